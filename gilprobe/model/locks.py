"""What threads waited for beside the GIL: locks, and work. Plain data, for reports."""

from __future__ import annotations

from gilprobe.model.distribution import Distribution  # noqa: TC001  # hints are read at run time
from gilprobe.model.plain_data import dataclass
from gilprobe.model.seconds import Seconds

LOCK, OBJECT, INTERPRETER, STOP, WORK, UNKNOWN = (
    "lock",
    "object",
    "interpreter",
    "stop the world",
    "work",
    "unknown",
)
"""Kinds of what is waited for."""

KINDS = (LOCK, OBJECT, INTERPRETER, STOP, WORK, UNKNOWN)


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock, or what else threads waited for beside the GIL.

    Attributes
    ----------
    kind : str
        "lock": of :mod:`threading`, or one like it; "object": the lock that each object of a free-threaded
        build has; "interpreter": one of its own; "stop the world": all threads were stopped; "work": a
        condition, an event, a queue, the end of a thread; "unknown".
    type : str
        The type of the object: "_thread.lock", "dict"; of a lock inside an object of the standard library the
        type of that: "Queue", "ThreadPoolExecutor". Empty where there is none.
    name : str
        The variable or attribute that has the object, `self._lock`, where it was waited for; of the
        interpreter what it is for; of a stop of the world what stopped it, "collector"; of work the function
        that waits, `Queue.get`. Empty if not known.
    owner : str
        The type that has the attribute, or the module of a global variable; empty for a local one. Without a
        name the module of the standard library whose lock it is.
    address : int
        Tells apart locks without a name; 0 for others.
    wait : Distribution
        How long threads waited for it.
    spun_ns : int
        The part of these waits in which a thread only tried again, without sleep, nanoseconds.
    part : str
        The attribute of an object of the standard library in which the lock is: "_shutdown_lock"; empty for
        objects that are there for nothing else, as a queue or a condition.
    """

    kind: str
    type: str
    name: str
    owner: str
    address: int
    wait: Distribution
    spun_ns: int = 0
    part: str = ""

    @property
    def wait_ns(self) -> int:
        """All waits together, nanoseconds."""
        return self.wait.total_ns

    @property
    def wait_s(self) -> float:
        """All waits together, seconds."""
        return self.wait.total_ns / 1e9

    @property
    def waits(self) -> int:
        """Number of waits."""
        return self.wait.count

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        if self.kind == STOP:
            return f"stop the world: {self.name}" if self.name else "stop the world"
        if self.kind == INTERPRETER:
            return f"interpreter: {self.name}"
        if self.kind == WORK:
            return f"work: {self.name or 'not known'}"
        kind = _SHORT.get(self.type, self.type) or "a lock"
        if not self.name:
            if self.part:
                return f"{kind}'s `{self.part}` (module {self.owner})"
            return f"{kind} at {self.address:#x}"
        part = f"`{self.part}` of " if self.part else ""
        if not self.owner:
            return f"{part}{kind} `{self.name}`"
        of = f"of {self.owner}" if "." in self.name.replace("[...]", "") else f"(module {self.owner})"
        return f"{part}{kind} `{self.name}` {of}"


_SHORT = {"_thread.lock": "Lock", "_thread.RLock": "RLock", "_queue.SimpleQueue": "SimpleQueue"}


ITSELF = "(the waiter itself)"


@dataclass(frozen=True, slots=True)
class LockWait:
    """How long one thread waited at one place for a lock that another thread had.

    Time in which nobody had the lock (it was free, but the waiter did not run yet) is a row without a holder
    whose `function` is "(handoff)"; a wait that no release ended, or one that was not seen, has "(not seen)".
    Without a GIL a thread can wait behind itself: a call that wants an object's lock which its own thread
    already has spins in vain, and releases the lock before it sleeps.
    All rows of a lock add up to its waits.

    Attributes
    ----------
    lock : int
        Index in the report's `locks`.
    waiter, waiter_id, waiter_function, waiter_filename, waiter_line : str, int, str, str, int
        The thread that waited, its native identifier, and where.
    holder, holder_id : str, int
        The thread that released the lock; empty and 0 where nobody had it.
    function, filename, line : str, str, int
        Where it released the lock.
    wait_ns : int
        Nanoseconds.
    """

    lock: int
    waiter: str
    waiter_id: int
    waiter_function: str
    waiter_filename: str
    waiter_line: int
    holder: str
    holder_id: int
    function: str
    filename: str
    line: int
    wait_ns: int

    wait_s = Seconds("wait_ns", "Length of the waits, seconds.")

    @property
    def behind(self) -> str:
        """The thread that had the lock, also if that is the one that waited; empty if nobody had it."""
        had, waited = (self.holder, self.holder_id), (self.waiter, self.waiter_id)
        return ITSELF if had == waited else self.holder


@dataclass(frozen=True, slots=True)
class LockWaiter:
    """How often and how long one thread waited at one place for one lock.

    Attributes
    ----------
    lock : int
        Index in the report's `locks`.
    waiter, waiter_id : str, int
        The thread, and its native identifier.
    function, filename, line : str, str, int
        Where it waited.
    waits : int
        Number of waits.
    wait_ns : int
        All of them together, nanoseconds: as much as the rows of :class:`LockWait` say.
    longest_ns : int
        The longest, nanoseconds.
    spun_ns : int
        The part in which the thread only tried again, without sleep, nanoseconds.
    """

    lock: int
    waiter: str
    waiter_id: int
    function: str
    filename: str
    line: int
    waits: int
    wait_ns: int
    longest_ns: int
    spun_ns: int = 0

    wait_s = Seconds("wait_ns", "All waits together, seconds.")
    longest_s = Seconds("longest_ns", "The longest wait, seconds.")
