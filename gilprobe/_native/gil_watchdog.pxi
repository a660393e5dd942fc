# Part of gil.pyx: stalls while they last.

@cython.final
cdef class Watchdog:
    """Writes a line to a descriptor while a hold makes others wait for longer than a limit
    (csrc/trace/gp_watchdog.h).

    `names` are those of threads by native identifier, for the ones that have no label. Sees something while a session
    runs.
    """

    cdef gp_watchdog *handle
    cdef uint64_t count  # after the end
    cdef uint32_t begun

    def __cinit__(self, uint64_t limit_ns, int fd, dict names):
        cdef gp_watchdog_name *rows
        cdef gp_status status
        cdef const gp_watchdog_eyes *eyes = gp_interpreter_eyes()
        cdef int error = 0
        cdef size_t n = 0
        watch_forks()
        kept = [(native_id, name.replace("\0", "").encode("utf-8", "replace")) for native_id, name in names.items()]
        rows = <gp_watchdog_name *>calloc(len(kept) + 1, sizeof(gp_watchdog_name))
        if rows == NULL:
            raise MemoryError("no memory for a watchdog")
        try:
            for native_id, name in kept:
                rows[n].native_id = native_id
                rows[n].name = name
                n += 1
            with nogil:
                status = gp_watchdog_start(limit_ns, fd, eyes, rows, n, &self.handle, &error)
        finally:
            free(rows)
        if status == GP_ESYSTEM:
            raise OSError(error, strerror(error).decode())
        if status == GP_EINVAL:
            raise ValueError("limit_ns must be > 0, got 0")
        if status == GP_EUNSUPPORTED:
            raise NotImplementedError("the GIL is watched on Linux only")
        if status != GP_OK:
            raise MemoryError("no memory for a watchdog")
        self.begun = gp_tracer_watch_begin()

    def __dealloc__(self):
        self.end()

    cdef end(self):
        cdef gp_watchdog *handle = self.handle
        if handle == NULL:
            return
        self.count = gp_watchdog_reported(handle)
        self.handle = NULL  # before the GIL goes: nobody else must free it
        gp_tracer_watch_end(self.begun)
        with nogil:
            gp_watchdog_stop(handle)

    @property
    def reported(self) -> int:
        """Number of holds reported so far."""
        return self.count if self.handle == NULL else gp_watchdog_reported(self.handle)

    def stop(self) -> None:
        """End it; nothing the second time."""
        self.end()
