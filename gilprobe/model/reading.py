"""What happened in a running program between two moments: plain data, for screens and JSON lines."""

from __future__ import annotations

from gilprobe.model.plain_data import dataclass
from gilprobe.report import Blame, Culprit, Stall  # noqa: TC001  # hints are read at run time

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from typing import Any

SCHEMA = 1
"""Version of the JSON form."""

_KIND = "gilprobe.reading"


@dataclass(frozen=True, slots=True)
class ThreadReading:
    """What one thread did in the interval of a :class:`Reading`.

    Attributes
    ----------
    native_id : int
        The operating system's thread identifier; 0 in the row of merged ended threads.
    name : str
        Its name, as in :class:`~gilprobe.report.ThreadAccount`.
    interpreter : int
        As in :class:`~gilprobe.report.ThreadAccount`.
    ended : bool
        Whether it has ended.
    hold_ns, wait_ns, off_ns : int
        Time with the GIL, waiting for it, and neither, nanoseconds.
    acquisitions : int
        Number of times the thread took the GIL.
    longest_hold_ns, longest_wait_ns : int
        The longest hold and wait that ended, nanoseconds, within 1 %; 0 if none did.
    lock_wait_ns : int or None
        Time in which it waited for locks, nanoseconds; None if that is not recorded.
    """

    native_id: int
    name: str
    interpreter: int
    ended: bool
    hold_ns: int
    wait_ns: int
    off_ns: int
    acquisitions: int
    longest_hold_ns: int
    longest_wait_ns: int
    lock_wait_ns: int | None = None


@dataclass(frozen=True, slots=True)
class LockReading:
    """How long one thread waited at one place for one lock, in the window of a :class:`Reading`.

    Attributes
    ----------
    lock : str
        What the lock is, in a few words.
    kind : str
        As in :class:`~gilprobe.model.locks.Lock`.
    waiter, waiter_id, waiter_function, waiter_filename, waiter_line : str, int, str, str, int
        The thread that waited, its native identifier, and where.
    holder, function, filename, line : str, str, str, int
        The thread that had the lock, and where it released it; empty if nobody was seen.
    wait_ns : int
        Nanoseconds.
    """

    lock: str
    kind: str
    waiter: str
    waiter_id: int
    waiter_function: str
    waiter_filename: str
    waiter_line: int
    holder: str
    function: str
    filename: str
    line: int
    wait_ns: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What happened in a running program since an earlier moment.

    Times of the GIL and of threads are about the interval since the last reading. What made threads wait, who
    waited behind whom, and the longest waits are about a longer window, the last seconds.

    Attributes
    ----------
    elapsed_ns : int
        From the start of the trace to now, nanoseconds.
    interval_ns, window_ns : int
        Lengths of the interval and of the window, which both end now, nanoseconds.
    gil : bool
        Whether the GIL is traced; without one only locks are.
    held_ns, contended_ns, handoffs : int
        In the interval, as in :class:`~gilprobe.report.Report`.
    lock_wait_ns : int or None
        Waits of all threads for locks in the interval, nanoseconds; None if that is not recorded.
    threads : tuple of ThreadReading
        In the order of their first events, those that lived in the interval.
    waited_ns : int
        Waits of all threads for the GIL in the window, nanoseconds.
    culprits : tuple of Culprit
        What made threads wait in the window, by call, the worst first; at most 50.
    blame : tuple of Blame
        Who waited behind whom, and where that one was, in the window, the longest first; at most 200. Rows
        have no stack and no task.
    longest_waits : tuple of Stall
        Waits that ended in the window, as far as they are among the 1024 longest of the trace, the longest
        first; at most 50.
    locks : tuple of LockReading or None
        Waits for locks in the window, the longest first, at most 200; None if they are not recorded.
    final : bool
        Whether the program has ended.
    warnings : tuple of str
        All doubts about the trace.
    """

    elapsed_ns: int
    interval_ns: int
    window_ns: int
    gil: bool
    held_ns: int
    contended_ns: int
    handoffs: int
    lock_wait_ns: int | None
    threads: tuple[ThreadReading, ...]
    waited_ns: int
    culprits: tuple[Culprit, ...]
    blame: tuple[Blame, ...]
    longest_waits: tuple[Stall, ...]
    locks: tuple[LockReading, ...] | None
    final: bool
    warnings: tuple[str, ...]

    @property
    def free_ns(self) -> int:
        """Time in which nobody held the GIL, nanoseconds."""
        return max(0, self.interval_ns - self.held_ns)

    def to_dict(self) -> dict[str, Any]:
        """Return the reading as dicts, lists and scalars, ready for :mod:`json`."""
        from gilprobe.model import codec

        body: dict[str, Any] = codec.encode(self)
        return {"kind": _KIND, "schema": SCHEMA, **body, "free_ns": self.free_ns}
