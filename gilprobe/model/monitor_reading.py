"""What a monitor has counted so far: totals of the whole process and of each label. Plain data, no clock."""

from __future__ import annotations

from gilprobe.model.distribution import Distribution  # noqa: TC001  # hints are read at run time
from gilprobe.model.labels import LabelBlame, LabelTotals  # noqa: TC001
from gilprobe.model.plain_data import dataclass
from gilprobe.model.seconds import Seconds


@dataclass(frozen=True, slots=True)
class WorstWait:
    """The longest wait for the GIL so far that has ended, and who had the GIL longest meanwhile.

    Attributes
    ----------
    wait_ns : int
        Its length, nanoseconds.
    start_ns : int
        When it began, nanoseconds since the start of the monitor.
    waiter, waiter_label : str
        The waiting thread, and its label.
    holder, holder_label : str
        The thread with the longest hold meanwhile, and its label; empty if nobody had the GIL.
    holder_ns : int
        How long that hold was within the wait, nanoseconds.
    """

    wait_ns: int
    start_ns: int
    waiter: str
    waiter_label: str
    holder: str
    holder_label: str
    holder_ns: int

    wait_s = Seconds("wait_ns", "Its length, seconds.")


@dataclass(frozen=True, slots=True)
class MonitorReading:
    """What a :class:`~gilprobe.tracing.monitoring.Monitor` has counted since its start.

    No number ever goes backwards from one reading of a monitor to the next, but for `threads_waiting`.

    Attributes
    ----------
    what : str
        What is counted: "gil", or "locks" where the interpreter runs without one. Then the waits are those
        for locks, nobody holds, and `held_ns`, `contended_ns`, `hold` and the holders of blame are empty.
    elapsed_ns : int
        Time since the start, nanoseconds.
    held_ns : int
        Time in which some thread had the GIL, nanoseconds: of one GIL, so at most `elapsed_ns`.
    contended_ns : int
        Part of it in which another thread waited, nanoseconds.
    wait_ns : int
        Waiting of all threads, nanoseconds; it may exceed `elapsed_ns`.
    threads : int
        Number of threads that were met so far.
    threads_waiting : int
        Number of threads that wait for the GIL now.
    hold, wait : Distribution
        Holds and waits that have ended, over all threads that were ever there. A thread that gets the GIL
        without a wait counts as a wait of 0.
    waits : int
        Number of waits that have ended and were longer than 0.
    labels : tuple of LabelTotals
        Most hold and wait first; empty without labels.
    blame : tuple of LabelBlame
        Longest first; empty without labels.
    worst : WorstWait or None
        The longest wait so far; None if nobody waited.
    """

    what: str
    elapsed_ns: int
    held_ns: int
    contended_ns: int
    wait_ns: int
    threads: int
    threads_waiting: int
    hold: Distribution
    wait: Distribution
    waits: int
    labels: tuple[LabelTotals, ...]
    blame: tuple[LabelBlame, ...]
    worst: WorstWait | None

    elapsed_s = Seconds("elapsed_ns", "Time since the start, seconds.")
    held_s = Seconds("held_ns", "Time in which some thread had the GIL, seconds.")
    contended_s = Seconds("contended_ns", "Part of it in which another thread waited, seconds.")
    wait_s = Seconds("wait_ns", "Waiting of all threads, seconds.")
