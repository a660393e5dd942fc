#ifndef GP_CODES_H
#define GP_CODES_H

/* Tells when code objects are destroyed. The tracer knows a place by the address of its code object, and
 * keeps none alive: it must be told before another object can get the address.
 *
 * Other ways fall short. Code watchers (PyCode_AddWatcher) are missing in 3.11, few, and for one interpreter
 * only. The free function of co_extra is for one interpreter too, and must be attached to each code object by
 * a thread that may allocate, which none may at a release of the GIL. Weak references are seen by the
 * program. The type's destructor is called for every code object of all interpreters, from 3.11 to 3.15. */

typedef void gp_codes_gone(const void *code);

/* From now on call `gone` for each code object that is about to be destroyed, on the thread that destroys it,
 * with the GIL of the object's interpreter. NULL: call nothing any more. Needs the main GIL. */
void gp_codes_watch(gp_codes_gone *gone);

#endif
