#ifndef GP_FRAMES_LAYOUT_H
#define GP_FRAMES_LAYOUT_H

/* What differs from one version of CPython to the next in thread states and frames, behind functions and
 * macros named after the question. For gp_frames*.c only; include it first. */

#include <Python.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define Py_BUILD_CORE 1
#include <internal/pycore_frame.h>
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_interpframe_structs.h> /* _PyInterpreterFrame has moved here */
#endif
#undef Py_BUILD_CORE

typedef struct _PyInterpreterFrame gp_frame;

/* Since 3.13 the frame is in the thread state itself, before that in a structure on the C stack (_PyCFrame,
 * Include/cpython/pystate.h). */
#if PY_VERSION_HEX >= 0x030D0000
#define GP_FRAMES_INNERMOST(state) ((state)->current_frame)
#else
#define GP_FRAMES_INNERMOST(state) ((state)->cframe->current_frame)
#endif

/* Since 3.13 the instruction that runs, before that the code unit before the next one (pycore_frame.h). */
#if PY_VERSION_HEX >= 0x030D0000
#define GP_FRAMES_INSTRUCTION instr_ptr
#else
#define GP_FRAMES_INSTRUCTION prev_instr
#endif

#if PY_VERSION_HEX >= 0x030D0000
#define GP_FRAMES_EXECUTABLE f_executable
#else
#define GP_FRAMES_EXECUTABLE f_code
#endif

/* From this owner on a frame links C and Python, and runs no function: FRAME_OWNED_BY_CSTACK in 3.12 and
 * 3.13, FRAME_OWNED_BY_INTERPRETER since. 3.11 has no such frames. */
enum {
    GP_FRAMES_NOT_PYTHON = 3,
};
#if PY_VERSION_HEX >= 0x030E0000
_Static_assert((int)FRAME_OWNED_BY_INTERPRETER == (int)GP_FRAMES_NOT_PYTHON, "pycore_interpframe_structs.h");
#elif PY_VERSION_HEX >= 0x030C0000
_Static_assert((int)FRAME_OWNED_BY_CSTACK == (int)GP_FRAMES_NOT_PYTHON, "pycore_frame.h");
#else
_Static_assert((int)FRAME_OWNED_BY_FRAME_OBJECT < (int)GP_FRAMES_NOT_PYTHON, "pycore_frame.h");
#endif

/* What the frame runs: a code object, or another object if an extension pushed the frame. NULL or None if it
 * runs nothing. */
static inline const void *gp_frame_executable(const gp_frame *frame)
{
#if PY_VERSION_HEX >= 0x030E0000
    /* a tagged pointer (Include/internal/pycore_stackref.h); no object's address needs the two bits */
    return (const void *)(frame->f_executable.bits & ~(uintptr_t)3);
#else
    return frame->GP_FRAMES_EXECUTABLE;
#endif
}

/* Since 3.14 threads of a free-threaded build have copies of the instructions (Include/cpython/code.h,
 * co_tlbc). */
#if defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030E0000
#define GP_FRAMES_COPIED_CODE 1
#endif

/* Does the frame still create its cells or its generator? Python does not show such a frame either
 * (_PyFrame_IsIncomplete, Include/internal/pycore_frame.h; since 3.14 pycore_interpframe.h). `distance`: in
 * bytes, from the first instruction to where the frame is. */
static inline bool gp_frame_incomplete(const gp_frame *frame, ptrdiff_t distance, const PyCodeObject *code)
{
    return distance < code->_co_firsttraceable * (ptrdiff_t)sizeof(_Py_CODEUNIT) &&
           frame->owner != FRAME_OWNED_BY_GENERATOR;
}

#endif
