#ifndef GP_NATIVE_CALLER_H
#define GP_NATIVE_CALLER_H

/* Which native code has called into the interpreter, where there is no Python code in between: the name of
 * its shared object, and that of the function if the object exports it.
 *
 * What stands on the way from Python to native code and back (ctypes, cffi, libffi) is passed over, if what
 * called it can be found. Each path of calls is unwound and named once, and recognised by a few comparisons
 * afterwards. The loader is asked in a way that takes no lock: glibc 2.35 or newer. Elsewhere nothing is
 * named, nor where gp_unwind.h is not supported. */

#include <stdint.h>

/* Find the unwind tables of the interpreter, an object that contains `code`. Asks the loader, with its lock.
 */
void gp_native_caller_prepare(const void *code);

/* The number that `number_of` gives the name of the native code that called the function whose
 * __builtin_frame_address(0) is `frame`; `none`, if nothing is known. The name is UTF-8. One thread at a
 * time, whose own stack it is. Allocates nothing; leaves errno alone. */
uint32_t gp_native_caller(const char *frame, uint32_t (*number_of)(const char *name), uint32_t none);

#endif
