#ifndef GP_PROGRAM_H
#define GP_PROGRAM_H

#include <Python.h>

/* Compile and run `file` with `names` as its globals, as `python SCRIPT` does: the parser has rules of its
 * own for files (encodings, null bytes, what a syntax error shows). `filename` is in the file system's
 * encoding. Closes the file. Returns None, or NULL with the error that ended the program. Needs the GIL. */
PyObject *gp_program_run(FILE *file, const char *filename, PyObject *names);

#endif
