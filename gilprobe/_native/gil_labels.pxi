# Part of gil.pyx: names of threads, and how a recording has them.

def label_thread(uint32_t label) -> None:
    """Attach a number to the calling thread, 0 for none; an account has it as ``label``."""
    gp_tracer_label(label)


def hide_thread() -> None:
    """Leave the calling thread out of every trace from now on, before the first that it takes part in."""
    gp_tracer_hide()


def before_call(method, note):
    """Return a method that calls ``note(self)``, then `method`.

    Compiled, so that profilers, trace functions and tracebacks of the measured program see no frame of ours. What `note`
    raises is dropped: the program must not notice.
    """
    def wrapper(self, *args, **kwargs):
        try:
            note(self)
        except KeyboardInterrupt:
            raise
        except BaseException:  # the class may be the program's own, and raise anything
            pass
        return method(self, *args, **kwargs)
    return wrapper


cdef bint runs_in_own_thread(thread):
    """Whether the calling thread is that of a `threading.Thread`, and not one that lends itself to many.

    The identifier of a green thread (gevent, eventlet) is that of its greenlet (Python/thread_pthread.h,
    PyThread_get_thread_ident).
    """
    return thread._ident == <unsigned long><size_t>pthread_self()


LABEL_ENDED = GP_LABEL_ENDED


cdef enum:
    LABELS_KEPT = 1 << 14


@cython.final
cdef class ThreadLabels:
    """Names of threads, each under the number that is attached to the thread: its label.

    `listeners` are called with the number and the name when a name is new. Of very many names the oldest are forgotten:
    their threads then have the operating system's.
    """

    cdef dict names
    cdef dict numbers
    cdef uint32_t last
    cdef readonly list listeners

    def __cinit__(self):
        self.names = {}
        self.numbers = {}
        self.listeners = []

    def begin(self, thread) -> None:
        """Attach the name of a `threading.Thread` to the calling thread, if it was started as that one."""
        if runs_in_own_thread(thread):
            gp_tracer_label(self.number(thread))

    def end(self, thread) -> None:
        """The same once more, for good: it may have been renamed."""
        if runs_in_own_thread(thread):
            gp_tracer_label(self.number(thread) | GP_LABEL_ENDED)

    cdef uint32_t number(self, thread) except? 0:
        name = thread._name
        if type(name) is not str:
            return 0
        known = self.numbers.get(name)
        if known is not None:
            return known
        if self.last + 1 >= GP_LABEL_ENDED:
            return 0
        self.last += 1
        new = self.last
        self.numbers[name] = new
        self.names[new] = name
        if len(self.names) > LABELS_KEPT:
            del self.numbers[self.names.pop(next(iter(self.names)))]
        encoded = name.encode("utf-8", "replace")
        gp_labels_set(new, encoded, len(encoded))
        for listener in self.listeners:
            listener(new, name)
        return new

    def name(self, uint32_t label) -> str:
        """Return the name behind a label, "" if there is none."""
        return self.names.get(label & ~GP_LABEL_ENDED, "")

    def all(self) -> list:
        """Return all numbers with their names."""
        # a copy first: what making the pairs collects as garbage may let other threads run, which add names
        return list(self.names.copy().items())


STRING_MAX = 0xFFFF  # bytes of a string in a recording


def encoded_number(uint64_t value) -> bytes:
    """Encode a number as a recording has it (docs/recording-format.md)."""
    groups = bytearray()
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def encoded_string(str text) -> bytes:
    """Encode a string as a recording has it; one that is too long loses its end."""
    encoded = text.encode("utf-8", "surrogatepass")
    size = len(encoded)
    if size > STRING_MAX:
        size = STRING_MAX
        while encoded[size] & 0xC0 == 0x80:  # inside a character
            size -= 1
        encoded = encoded[:size]
    return encoded_number(len(encoded)) + encoded
