"""Pauses: collections of garbage, which hold everything else up while they last."""

from __future__ import annotations

from gilprobe.model.plain_data import dataclass
from gilprobe.model.seconds import Seconds


@dataclass(frozen=True, slots=True)
class Collection:
    """All collections of one generation that one thread made at one line.

    Attributes
    ----------
    thread : str
        The thread that collected: the one whose code made the collector run.
    native_id, interpreter : int
        As in :class:`~gilprobe.report.ThreadAccount`.
    generation : int
        Which garbage was looked for: 0 for that of the youngest objects, 2 for all.
    function, filename, line : str, str, int
        The line that made the collector run: by a new object, mostly. Empty and 0 without sites.
    count : int
        Number of collections.
    pause_ns, longest_ns : int
        Their length together, and that of the longest: from start to stop, finalizers included, nanoseconds.
    held_ns : int
        The part in which the thread held the GIL, nanoseconds: a finalizer may let it go.
    caused_ns : int
        Waits of other threads for it meanwhile, all waiters together, nanoseconds.
    collected, uncollectable : int
        Number of objects that were freed, and that were garbage but could not be.
    """

    thread: str
    native_id: int
    interpreter: int
    generation: int
    function: str
    filename: str
    line: int
    count: int
    pause_ns: int
    longest_ns: int
    held_ns: int
    caused_ns: int
    collected: int
    uncollectable: int

    pause_s = Seconds("pause_ns", "Length of all these pauses together, seconds.")
    longest_s = Seconds("longest_ns", "Length of the longest, seconds.")
    caused_s = Seconds("caused_ns", "Waits of other threads meanwhile, seconds.")


@dataclass(frozen=True, slots=True)
class Pause:
    """One collection of garbage.

    Attributes
    ----------
    thread, native_id, interpreter, generation, function, filename, line
        As in :class:`Collection`.
    start_ns : int
        From the start of the trace to its own, nanoseconds.
    pause_ns, held_ns, caused_ns, collected, uncollectable : int
        As in :class:`Collection`.
    """

    thread: str
    native_id: int
    interpreter: int
    generation: int
    function: str
    filename: str
    line: int
    start_ns: int
    pause_ns: int
    held_ns: int
    caused_ns: int
    collected: int
    uncollectable: int

    start_s = Seconds("start_ns", "From the start of the trace to its own, seconds.")
    pause_s = Seconds("pause_ns", "Its length, seconds.")
    caused_s = Seconds("caused_ns", "Waits of other threads meanwhile, seconds.")
