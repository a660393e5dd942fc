#ifndef GP_CODES_H
#define GP_CODES_H

/* Tells when code objects go. The tracer knows places by the address of their code object, and keeps none
 * alive: before another can get the address it must be told.
 *
 * Of the ways to be told, code watchers (PyCode_AddWatcher) are missing in 3.11, are few and each
 * interpreter's own, and so is the free function of co_extra, which must be attached to each code object by a
 * thread that may allocate, as none may at a release of the GIL; weak references are seen by the program. The
 * destructor of the type is called for every code object of all interpreters, from 3.11 to 3.15. */

typedef void gp_codes_gone(const void *code);

/* From now on have `gone` called for each code object that is about to be destroyed, by the thread that does
 * so, with the GIL of the object's interpreter; NULL: no more. With the main GIL. */
void gp_codes_watch(gp_codes_gone *gone);

#endif
