#include "cpython/gp_program.h"

PyObject *gp_program_run(FILE *file, const char *filename, PyObject *names)
{
    return PyRun_FileExFlags(file, filename, Py_file_input, names, names, 1, NULL);
}
