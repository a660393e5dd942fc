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


def watch_calls() -> None:
    """Have `os._exit` noticed from now on, for a recorder that is guarded, and changes of root and rights, for all.

    Lets the GIL go: before a trace begins.
    """
    cdef const void *interpreter = gp_interpreter_host().interpreter
    with nogil:
        gp_guard_watch_calls(interpreter)


@cython.final
cdef class Recorder:
    """A recording file that is being written (csrc/recording/gp_recorder.h). `path` has no zero byte.

    By a native thread, if there is a `timeline`, as long as the process has several. A file of that name is replaced
    by `commit`.

    With `later` the file, which must not be there, is made when there is something to write.
    """

    cdef gp_recorder *handle

    def __cinit__(self, bytes path, bint timeline=True, bint later=False):
        cdef int error = 0
        cdef unsigned how = GP_RECORDER_LATER if later else GP_RECORDER_REPLACE | GP_RECORDER_PENDING
        how |= GP_RECORDER_ALONE if timeline else GP_RECORDER_NO_THREAD
        cdef gp_status status
        cdef const char *name = path
        watch_forks()
        with nogil:
            gp_guard_prepare()
            status = gp_recorder_open(name, how, &self.handle, &error)
        if status == GP_ESYSTEM:
            raise OSError(error, strerror(error).decode(), os.fsdecode(path))
        if status == GP_ETHREAD:
            raise OSError(error, f"a recording needs a thread, which can't be made: {strerror(error).decode()}")
        if status == GP_EUNSUPPORTED:
            raise NotImplementedError("recordings are written on Linux only")
        if status != GP_OK:
            raise MemoryError("no memory for a recording")

    def __dealloc__(self):
        with nogil:
            gp_guard_end(self.handle)
            gp_recorder_free(self.handle)

    def guard_signals(self) -> bool:
        """Have the recording end well, until `finish`, if SIGTERM or SIGHUP ends the process by default, or `os._exit` does, where `watch_calls` was called.

        False if another recorder is guarded, or if this is process 1.
        """
        return gp_guard_begin(self.handle)

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

    def commit(self) -> None:
        """Take the file's name, and so replace one that is there."""
        cdef int error = gp_recorder_commit(self.handle)
        if error != 0:
            raise OSError(error, strerror(error).decode())

    def discard(self) -> None:
        """Remove the file, instead of `finish`: an earlier one stays as it was."""
        with nogil:
            gp_guard_end(self.handle)
            gp_recorder_discard(self.handle)

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
