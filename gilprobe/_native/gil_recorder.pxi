# Part of gil.pyx: the recording file that is being written, and forks meanwhile.

def before_fork() -> None:
    """Pause the native threads, so that os.fork neither counts them nor copies what they have begun."""
    gp_forks_before()


def after_fork_in_parent() -> None:
    """Ask for them to be resumed when the fork is over."""
    gp_forks_after_in_parent()


cdef bint forks_watched = False


cdef watch_forks():
    """Have the hooks above called, for good."""
    global forks_watched
    if not forks_watched:
        forks_watched = True
        os.register_at_fork(before=before_fork, after_in_parent=after_fork_in_parent)


def watch_exit() -> None:
    """Have `os._exit` noticed from now on, for a recorder that is guarded. Lets the GIL go: before a trace begins."""
    cdef const void *interpreter = gp_interpreter_host().interpreter
    with nogil:
        gp_guard_watch_exit(interpreter)


@cython.final
cdef class Recorder:
    """A recording file that is being written, by a native thread (csrc/gp_recorder.h). `path` has no zero byte.

    With `later` the file, which must not be there, is made when there is something to write.
    """

    cdef gp_recorder *handle

    def __cinit__(self, bytes path, bint replace=False, bint later=False):
        cdef gp_recorder_mode mode = GP_RECORDER_REPLACE if replace else GP_RECORDER_NEW
        cdef int error = 0
        cdef gp_status status
        cdef const char *name = path
        watch_forks()
        if later:
            mode = GP_RECORDER_LATER
        with nogil:
            status = gp_recorder_open(name, mode, &self.handle, &error)
        if status == GP_ESYSTEM:
            raise OSError(error, strerror(error).decode(), os.fsdecode(path))
        if status == GP_EUNSUPPORTED:
            raise NotImplementedError("recordings are written on Linux only")
        if status != GP_OK:
            raise MemoryError("no memory for a recording")

    def __dealloc__(self):
        with nogil:
            gp_guard_end(self.handle)
            gp_recorder_free(self.handle)

    def guard_signals(self) -> bool:
        """Have the recording end well, until `finish`, if SIGTERM or SIGHUP ends the process by default, or `os._exit` does, where `watch_exit` was called.

        False if another recorder is guarded, or if this is process 1.
        """
        cdef bint guarded
        with nogil:
            guarded = gp_guard_begin(self.handle)
        return guarded

    def put(self, bytes kind, bytes payload) -> None:
        """Add a chunk; its type is four letters."""
        if len(kind) != 4:
            raise ValueError(f"the type of a chunk must be four letters, got {kind!r}")
        if gp_recorder_put(self.handle, kind, <const char *>payload, len(payload)) != GP_OK:
            raise MemoryError("no memory for a chunk of a recording")

    def put_label(self, uint32_t number, str name) -> None:
        """Add the name behind a label: a listener of `ThreadLabels`, compiled for the same reason as `before_call`."""
        self.put(b"LABL", encoded_number(number) + encoded_string(name))

    def flush(self, double timeout_s) -> bool:
        """Write everything so far to the disk; whether that was done in time."""
        cdef uint64_t timeout_ns = <uint64_t>(timeout_s * 1e9)
        cdef bint done
        with nogil:
            done = gp_recorder_flush(self.handle, timeout_ns)
        return done

    def finish(self) -> None:
        """Write the rest and close the file. After the end of the sessions that are recorded."""
        with nogil:
            gp_guard_end(self.handle)
            gp_recorder_finish(self.handle)

    def identity(self) -> tuple[int, int] | None:
        """Return device and inode of the file; None if it has not been made."""
        cdef uint64_t device = 0, inode = 0
        return (device, inode) if gp_recorder_identity(self.handle, &device, &inode) else None

    def state(self) -> tuple[int, int, int]:
        """Return errno of the first failure, 0 if there was none; bytes and events written."""
        cdef uint64_t bytes_written = 0, events_written = 0
        cdef int error = gp_recorder_error(self.handle, &bytes_written, &events_written)
        return error, bytes_written, events_written
