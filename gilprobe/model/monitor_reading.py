"""What a monitor has counted so far: totals of the whole process and of each label. Plain data, no clock."""

from __future__ import annotations

from gilprobe.model.distribution import Distribution
from gilprobe.model.plain_data import dataclass

NO_LABEL = "(no label)"
"""The row of whatever runs without a label."""

OTHER_LABELS = "(other labels)"
"""The row of labels that came when there were too many."""


@dataclass(frozen=True, slots=True)
class LabelTotals:
    """What the code under one label did so far.

    The rows of all labels, with that of `NO_LABEL`, add up to the totals of the process.

    Attributes
    ----------
    name : str
        The label.
    hold_ns, wait_ns, off_ns : int
        Time with the GIL, waiting for it, and neither, of all threads while they had the label, nanoseconds.
        A hold in which the label changes is cut there.
    holds, waits : int
        Holds that ended under the label, and waits for the GIL under it.
    """

    name: str
    hold_ns: int
    wait_ns: int
    off_ns: int
    holds: int
    waits: int

    @property
    def hold_s(self) -> float:
        """Time with the GIL, seconds."""
        return self.hold_ns / 1e9

    @property
    def wait_s(self) -> float:
        """Time waiting for the GIL, seconds."""
        return self.wait_ns / 1e9

    @property
    def off_s(self) -> float:
        """Time without the GIL and without wanting it, seconds."""
        return self.off_ns / 1e9


@dataclass(frozen=True, slots=True)
class LabelBlame:
    """How long code under one label waited while code under another had the GIL.

    Attributes
    ----------
    waiter, holder : str
        The labels. `holder` is empty for time in which nobody had the GIL. Both may be the same, where two
        threads have one label.
    wait_ns : int
        Nanoseconds. All rows of a waiter add up to its `wait_ns`.
    """

    waiter: str
    holder: str
    wait_ns: int

    @property
    def wait_s(self) -> float:
        """The wait, seconds."""
        return self.wait_ns / 1e9


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

    @property
    def wait_s(self) -> float:
        """Its length, seconds."""
        return self.wait_ns / 1e9


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

    @property
    def elapsed_s(self) -> float:
        """Time since the start, seconds."""
        return self.elapsed_ns / 1e9

    @property
    def held_s(self) -> float:
        """Time in which some thread had the GIL, seconds."""
        return self.held_ns / 1e9

    @property
    def contended_s(self) -> float:
        """Part of it in which another thread waited, seconds."""
        return self.contended_ns / 1e9

    @property
    def wait_s(self) -> float:
        """Waiting of all threads, seconds."""
        return self.wait_ns / 1e9
