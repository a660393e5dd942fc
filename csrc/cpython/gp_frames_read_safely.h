#ifndef GP_FRAMES_READ_SAFELY_H
#define GP_FRAMES_READ_SAFELY_H

/* Parts of gp_frames_read_safely, for other looks at threads that run. Include gp_frames_layout.h first.
 * Nothing is dereferenced; what comes back may be torn or garbage, as gp_safe_read.h says. */

#include "base/gp_safe_read.h"

/* What is read of a code object: all before its instructions. */
typedef union {
    PyCodeObject code;
    char bytes[offsetof(PyCodeObject, co_code_adaptive)];
} gp_code_copy;

/* The innermost frame of a thread; NULL if there is none. */
const void *gp_frames_safe_innermost(gp_safe_reader *reader, const void *thread_state);

/* Tell whether a copied frame is one of Python's, and if so where it is: *instruction as in gp_site_key. */
bool gp_frames_safe_locate(gp_safe_reader *reader, const gp_frame *frame, gp_code_copy *code,
                           int32_t *instruction);

/* Copy the beginning of a string object, terminated; "?" if it can't be read. */
void gp_frames_safe_string(gp_safe_reader *reader, const void *string, char *text, size_t room);

#endif
