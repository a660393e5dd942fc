#ifndef GP_FRAMES_H
#define GP_FRAMES_H

/* Where threads are: reads CPython's frames and code objects, and names them. Its only state is what
 * gp_frames_check found.
 *
 * Unless said otherwise the functions here only read: they never allocate, block, take a lock or call Python.
 * Call them with the GIL, or under the GIL's mutex at a release: the thread state may be detached then, but
 * the frames are as the thread left them, and nobody else can change a reference count. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/gp_paths.h"
#include "base/gp_safe_read.h"

/* Look up what gp_frames_check needs from the loader, whose lock a thread that waits for the GIL may hold.
 * Once, without the GIL, before all else here. */
void gp_frames_prepare(void);

/* Check that the interpreter has the layout that this was compiled for: by its version, from 3.13 by the
 * offsets that it publishes for debuggers, and by a walk over the calling thread's stack. Returns NULL, or
 * one line that says what differs: then nothing else here may be called. Needs the GIL; may allocate; the
 * line is valid until the next call. */
const char *gp_frames_check(void);

/* What gp_frames_check found out how to read without a call into the interpreter: whether the interpreter
 * finalizes, and the calling thread's state. */
typedef struct {
    bool finalizing, state;
} gp_frames_shortcuts;

gp_frames_shortcuts gp_frames_shortcuts_found(void);

/* The instruction of the innermost frame that is one of Python's: not for more than to recognise it. NULL if
 * there is none. The thread state must be alive. And where in a code object its instructions begin. */
const void *gp_frames_instruction(const void *thread_state);
extern const size_t gp_frames_code_begins;

/* The member of a GIL's state that has the thread state of its holder, by the condition in it; NULL if that
 * is not what stands there. By the thread that has the GIL. */
const void *const *gp_frames_last_holder(const void *cond);

/* And the one that says whether a thread has the GIL: above 0 if so. */
const int *gp_frames_gil_taken(const void *cond);

/* The innermost Python frame of the calling thread; code NULL if it has none. */
gp_site_key gp_frames_here(void);

/* The same step by step: the calling thread's innermost frame that is shown, with its key, NULL if there is
 * none; and the next one around it. */
const void *gp_frames_innermost(gp_site_key *key);
const void *gp_frames_outer(const void *frame, gp_site_key *key);

/* Whether a place on the calling thread's stack, at which it lets go, stands for the one that called it,
 * which *key becomes if there is one: in the import system the place that imports; and at a function's entry
 * the call, since the interpreter looks only there whether it has to let go of what ran before. */
bool gp_frames_stands_for_caller(gp_site_key *key);

/* The place of the path that the calling thread's stack is, frame by frame; GP_ROW_NONE if it is none of
 * them. */
uint32_t gp_frames_recognise(gp_paths *paths, const void *thread_state);

/* Take down the calling thread's stack for such paths: see gp_naming in gp_places.h. */
gp_walked gp_frames_walk(const gp_paths *paths, gp_path_frame *frames, gp_site_key *keys);

/* The calling thread's Python stack, innermost first, up to `room` frames. Returns their number; *truncated
 * tells whether there are more. */
size_t gp_frames_stack(gp_site_key *keys, size_t room, bool *truncated);

/* The same from `frame` on, a frame object of the calling thread. The stack of any other object is empty. */
size_t gp_frames_stack_above(const void *frame, gp_site_key *keys, size_t room, bool *truncated);

/* UTF-8, not terminated; lone surrogates may occur (see gp_utf8.h). */
typedef struct {
    size_t size;
    char bytes[1024];
} gp_frames_text;

/* Name a place: qualified name (of a long one the beginning), file name (of a long one the end), and line, 0
 * if there is none. The code object must be alive. All are empty if `key` has no code. */
void gp_frames_describe(gp_site_key key, gp_frames_text *function, gp_frames_text *file, int32_t *line);

/* The same without the GIL, for a code object that may go meanwhile: false if it can't be read. Makes some
 * system calls, so not in hooks. */
bool gp_frames_describe_safely(gp_safe_reader *reader, gp_site_key key, gp_frames_text *function,
                               gp_frames_text *file, int32_t *line);

/* One frame by name; both names are terminated. */
typedef struct {
    char function[128];
    char file[256];
    int32_t line;
} gp_frames_line;

/* The calling thread's state, for gp_frames_read_safely; NULL if it has none. Compare it or read it
 * safely, never dereference it: the state is freed when its thread ends. */
const void *gp_frames_thread_state(void);

/* Read the stack of any thread while it runs, innermost first, up to `room` frames. Without the GIL. Makes
 * some system calls for each frame, so not in hooks. Nothing is dereferenced: memory that has been freed or
 * is being changed gives a shorter or a wrong stack, and nothing worse. */
size_t gp_frames_read_safely(const void *thread_state, gp_frames_line *lines, size_t room);

#endif
