# How a status of the core becomes an exception: compiled into each binding that cimports it.

from libc.string cimport strerror

from .c_base cimport *


cdef inline int check_status(gp_status status, str what, str rule, int error=0, path=None, str reason=None) except -1:
    """Raise the exception that a status stands for; return 0 for GP_OK.

    `what` was asked for, as in "a recording". `rule` says what arguments must be, and what they are. `error` is the
    errno, `path` the file that it is about. `reason` is what the core itself says is wrong, "" for nothing.
    """
    if status == GP_OK:
        return 0
    if status == GP_EINVAL:
        raise ValueError(rule or f"an argument for {what} is out of its range")
    if status == GP_ENOMEM:
        raise MemoryError(f"no memory for {what}")
    if status == GP_EUNSUPPORTED:
        raise NotImplementedError(reason or f"there is no way to make {what} on this platform: use Linux")
    wrong = strerror(error).decode()
    if status == GP_ESYSTEM:
        wrong = f"{reason}: {wrong}" if reason else wrong
        raise OSError(error, wrong) if path is None else OSError(error, wrong, path)
    if status == GP_ETHREAD:
        raise OSError(error, f"{what} needs a thread, which can't be made: {wrong}")
    raise SystemError(f"status {<int>status} of {what} has no message: add it to gilprobe/_native/status.pxd")
