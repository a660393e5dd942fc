#ifndef GP_OPCODES_H
#define GP_OPCODES_H

/* What the instructions of this version of CPython are, behind questions. */

#include <Python.h>

#include <opcode.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/gp_safe_read.h"

enum {
    GP_LINE_ENTRY_MAX = 8, /* bytes: see gp_opcodes_read_lines */
};

/* The instruction as it was compiled, of one that is specialised or instrumented; 0: it stands for another
 * one that does not show in it. */
uint8_t gp_opcodes_original(uint8_t opcode);

/* Whether the interpreter has made it for one kind of objects. */
bool gp_opcodes_is_specialised(uint8_t opcode);

/* Since 3.12 these stand for instructions that are kept elsewhere: a tool wants to know of each line, or of
 * each instruction. */
bool gp_opcodes_is_line(uint8_t opcode);
bool gp_opcodes_is_event(uint8_t opcode);

/* Since 3.13 this one stands for what a compiled trace begins with. */
bool gp_opcodes_is_trace(uint8_t opcode);

/* Copy what those of the first two kinds stand for, for `units` code units of a copied code object. The first
 * gives entries of the size that it returns, each with the opcode first; 0: can't be read. */
size_t gp_opcodes_read_lines(gp_safe_reader *reader, const PyCodeObject *code, uint8_t *entries,
                             size_t units);
bool gp_opcodes_read_events(gp_safe_reader *reader, const PyCodeObject *code, uint8_t *opcodes, size_t units);

/* All below: of an instruction as it was compiled. */

/* Code units after it that are its cache. */
unsigned gp_opcodes_caches(uint8_t opcode);

/* Whether it may jump: 1: forward, -1: backward, 0: never. And whether it never goes on with the next one. */
int gp_opcodes_jumps(uint8_t opcode);
bool gp_opcodes_ends(uint8_t opcode);

#endif
