#ifndef GP_FRAMES_H
#define GP_FRAMES_H

/* Where threads are: reads CPython's frames and code objects, and names what it has read. No state but what
 * gp_frames_check found.
 *
 * Unless said otherwise the functions here only read: they never allocate, block, take a lock or call Python,
 * and may be called with the GIL, or under the GIL's mutex at a release: there the thread state may be
 * detached already, but the frames are as the thread left them and nobody else can touch a reference count.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/gp_place.h"

/* Look up what the check needs of the loader, whose lock may be held by who waits for the GIL. Once, without
 * the GIL, before all else here. */
void gp_frames_prepare(void);

/* Check that the interpreter is laid out as this was compiled for: by its version, from 3.13 by the offsets
 * that it publishes for debuggers, and by a walk over the calling thread's own stack. Returns NULL, or one
 * line that says what differs: then nothing else here may be called. With the GIL; may allocate; the line is
 * valid until the next call. */
const char *gp_frames_check(void);

/* What is read without a call of the interpreter since that check found it well: whether the interpreter
 * finalizes, and the calling thread's state. */
typedef struct {
    bool finalizing, state;
} gp_frames_shortcuts;

gp_frames_shortcuts gp_frames_shortcuts_found(void);

/* The innermost Python frame of the calling thread; code NULL if it has none. */
gp_site_key gp_frames_here(void);

/* Whether a place of the calling thread is one of the import system: then *key becomes the place that
 * imports, if there is one. */
bool gp_frames_importer(gp_site_key *key);

/* The calling thread's Python stack, innermost first, as far as there is room. Returns the number of frames;
 * *truncated tells whether there are more. */
size_t gp_frames_stack(gp_site_key *keys, size_t room, bool *truncated);

/* The same from `frame` on, a frame object of the calling thread; an empty stack for any other object. */
size_t gp_frames_stack_above(const void *frame, gp_site_key *keys, size_t room, bool *truncated);

/* UTF-8, not terminated; lone surrogates may occur (see gp_utf8.h). */
typedef struct {
    size_t size;
    char bytes[1024];
} gp_frames_text;

/* Name a place: qualified name (too long: its beginning), file name (too long: its end), and line, 0 where
 * there is none. The code object must live. All empty if `key` has no code. */
void gp_frames_describe(gp_site_key key, gp_frames_text *function, gp_frames_text *file, int32_t *line);

/* One frame in words, both names terminated. */
typedef struct {
    char function[128];
    char file[256];
    int32_t line;
} gp_frames_line;

/* The calling thread's state, for gp_frames_read_safely; NULL if it has none. Compare it or read it
 * safely, never dereference it: the state is freed when its thread ends. */
const void *gp_frames_thread_state(void);

/* Look at the stack of any thread while it runs, innermost first, as far as there is room. For a thread
 * without the GIL: makes some system calls for each frame, so not for hooks. Nothing is dereferenced:
 * whatever has been freed or is being changed gives a shorter or a wrong stack and nothing worse. */
size_t gp_frames_read_safely(const void *thread_state, gp_frames_line *lines, size_t room);

#endif
