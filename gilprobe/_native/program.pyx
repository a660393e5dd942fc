# cython: language_level=3, freethreading_compatible=True, binding=True, autotestdict=False
"""The interpreter's own way to run a file of source code, for :mod:`gilprobe.programs.program`."""

from libc.stdio cimport FILE
from posix.stdio cimport fdopen

from .c_cpython cimport *


def run_file(int descriptor, bytes filename not None, dict names not None):
    """Run the source code that `descriptor` reads, as the file `filename`; closes the descriptor.

    Raises
    ------
    OSError
        If the descriptor can't be read. Then, and only then, it stays open.
    """
    cdef FILE *file = fdopen(descriptor, "rb")
    if file is NULL:
        raise OSError(f"descriptor must be open for reading, got {descriptor}")
    gp_program_run(file, filename, names)
