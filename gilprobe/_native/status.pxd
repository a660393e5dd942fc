# How a status of the core becomes an exception: compiled into each binding that cimports it, so kept small.

from cpython.exc cimport PyErr_Format, PyErr_SetObject, PyErr_SetString
from cpython.unicode cimport PyUnicode_FromFormat
from libc.string cimport strerror

from .c_base cimport *


cdef inline int check_status(gp_status status, const char *what, str rule, int error=0, path=None,
                             const char *reason=b"") except -1:
    """Raise the exception that a status stands for; return 0 for GP_OK.

    `what` was asked for, as in "a recording". `rule` says what the arguments must be, and their values. `error` is
    the errno, `path` the file that it is about. `reason` is what the core itself says is wrong, "" for nothing.
    """
    if status == GP_OK:
        return 0
    if status == GP_EINVAL and rule is not None:
        PyErr_SetObject(ValueError, rule)
    elif status == GP_EINVAL:
        PyErr_Format(ValueError, "an argument for %s is out of its range", what)
    elif status == GP_ENOMEM:
        PyErr_Format(MemoryError, "no memory for %s", what)
    elif status == GP_EUNSUPPORTED and reason[0] != 0:
        PyErr_SetString(NotImplementedError, <char *>reason)
    elif status == GP_EUNSUPPORTED:
        PyErr_Format(NotImplementedError, "there is no way to make %s on this platform: use Linux", what)
    elif status == GP_ESYSTEM:
        told = PyUnicode_FromFormat("%s%s%s", reason, b": " if reason[0] != 0 else b"", strerror(error))
        PyErr_SetObject(OSError, (error, told) if path is None else (error, told, path))
    elif status == GP_ETHREAD:
        told = PyUnicode_FromFormat("%s needs a thread, which can't be made: %s", what, strerror(error))
        PyErr_SetObject(OSError, (error, told))
    else:
        PyErr_Format(SystemError, "status %d of %s has no message: add it to _native/status.pxd", <int>status, what)
    return -1
