# Binding of the tracer of locks (csrc/locks/gp_lock_trace.h): a part of tracer.pyx, with whose state its own must lie.


def locks_support() -> tuple[bool, str]:
    """Whether waits for locks can be traced here, and if not why, in one line.

    Tries it the first time: a native thread waits for a lock for a moment.
    """
    cdef const char *reason = b""
    cdef gp_status status
    with nogil:
        status = gp_lock_learn(&reason)
    return status == GP_OK, reason.decode()


@cython.final
cdef class LockSession:
    """One trace of locks: begins when made, ends with `stop`. Places are recorded where not `frames_differ`."""

    cdef gp_lock_session *handle

    def __cinit__(self):
        cdef const char *reason = b""
        cdef gp_status status
        cdef int error
        if frames_differ() is None:
            gp_lock_host_use_frames()
        with nogil:
            status = gp_lock_start(&self.handle, &reason)
            error = errno
        check_status(status, "a trace of locks", None, error, None, reason)

    def __dealloc__(self):
        with nogil:
            gp_lock_forget(self.handle)

    def stop(self) -> None:
        """End the session; nothing if it has ended."""
        with nogil:
            gp_lock_stop(self.handle)

    def read(self) -> bytes:
        """Return what is booked, up to now if the session runs: the payload of a LOCK (docs/recording-format.md)."""
        cdef gp_buffer buffer = gp_buffer(NULL, 0, 0, False)
        cdef gp_status status
        try:
            with nogil:
                status = gp_lock_read(self.handle, &buffer)
            check_status(status, "a snapshot of a trace of locks", None)
            return buffer.bytes[:buffer.size]
        finally:
            gp_buffer_free(&buffer)


def lock_sessions() -> int:
    """Return the number of traces of locks that run."""
    cdef size_t count
    with nogil:
        count = gp_lock_sessions()
    return count
