#ifndef GP_CALLEE_LOOK_H
#define GP_CALLEE_LOOK_H

/* Where a thread that runs is at this moment, and what it works on: by few safe reads, each of much at once,
 * since a read of much costs as much as one of little. For gp_callee*.c only; include gp_frames_layout.h
 * first. */

/* until 3.12 public and internal headers define it differently (gh-105268) */
#undef _PyGC_FINALIZED
#define Py_BUILD_CORE 1
#include <internal/pycore_interp.h>
#undef Py_BUILD_CORE

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpython/gp_frames_read_safely.h"
#include "cpython/gp_stack_depth.h"

enum {
    GP_SEEN_SLOTS = 8, /* places of the frame's stack that are read, at most */
};

/* What is read of a thread's state: from its interpreter to what tells which thread it is. */
typedef struct {
    const void *interpreter, *frame_place, *frame;
    unsigned long native_id;
} gp_seen_state;

typedef struct _gc_runtime_state gp_collector;

typedef struct {
    gp_safe_reader *reader;
    const void *thread_state;
    gp_seen_state state;
    const char *address; /* of the frame */
    gp_frame frame;
    gp_collector collector; /* of its interpreter */
    gp_code_copy code;
    int32_t instruction; /* in bytes from the first one */
    gp_instruction at;
    ptrdiff_t first_slot, slot_count; /* of the stack, that were read */
    uintptr_t slots[GP_SEEN_SLOTS];   /* what lies there, with the interpreter's tags */
    const char *work;                 /* the place of what the instruction works on; NULL: none */
    bool must_last;                   /* what was found takes no time mostly */
} gp_seen_thread;

/* Read the innermost frame, and what its thread runs there. False if it can't be read, or is none of
 * Python's. */
bool gp_seen_frame(gp_seen_thread *look);

/* Find the instruction. */
bool gp_seen_instruction(gp_seen_thread *look);

/* Read `count` places of the stack, GP_SEEN_SLOTS at most, the first of them so many below the top as it is
 * before the instruction. */
bool gp_seen_stack(gp_seen_thread *look, ptrdiff_t from_top, ptrdiff_t count);

/* The object so many places from the top; NULL: there is none, or it was not read. */
const void *gp_seen_object(gp_seen_thread *look, ptrdiff_t from_top);

/* The object that a reference on the stack stands for. */
const void *gp_seen_referred(uintptr_t reference);

/* Whether the interpreter has taken the instruction's objects from the stack already: C has returned. Until
 * 3.13 it does not tell. */
bool gp_seen_is_over(const gp_seen_thread *look);

/* Whether the thread is still where it was, at work on the same objects. */
bool gp_seen_is_unchanged(const gp_seen_thread *look);

#endif
