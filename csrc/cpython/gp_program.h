#ifndef GP_PROGRAM_H
#define GP_PROGRAM_H

#include <Python.h>

/* Compile what `file` holds and run it with `names` as its globals, the way `python SCRIPT` does: its parser
 * reads files by rules of their own (encodings, null bytes, what a syntax error shows). `filename` is in the
 * file system's encoding. Closes the file. Returns None, or NULL with the error that ended the program. Needs
 * the GIL. */
PyObject *gp_program_run(FILE *file, const char *filename, PyObject *names);

#endif
