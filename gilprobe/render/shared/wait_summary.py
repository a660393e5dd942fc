"""The most important findings of a trace: how long threads waited, and behind what."""

from __future__ import annotations

from collections import Counter

from gilprobe.model.plain_data import dataclass
from gilprobe.model.traced_process import contended as contended
from gilprobe.model.traced_process import is_little
from gilprobe.model.traced_process import traces_gil as traces_gil
from gilprobe.model.traced_process import waited_ns as waited_ns
from gilprobe.render.shared.words import plural

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilprobe.model.traced_process import TracedProcess
    from gilprobe.report import By, Culprit, OpenHold, OwnGil, Report, Stall

_NOTHING_NS = 100_000
"""A shorter wait while nobody held the GIL is just the cost of an acquisition."""

_LONG_NS = 100_000_000
"""From this length on, a hold that was under way at the end is told."""

NEARLY_ALL = 0.9
"""From this share of a wait on, a stall's sentence leaves out the holder's time."""

MOST = 0.5
"""Below this share of a wait, its longest holder was one of many."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a verdict is to be about.

    Attributes
    ----------
    by : str or None
        What a row is about, of the kinds of :meth:`~gilprobe.report.Report.culprits`. None: calls; where
        neither stacks nor looks were recorded, the lines at which holds ended.
    own : tuple of str
        Folders of the user's own code; empty: all code but libraries.
    """

    by: By | None = None
    own: tuple[str, ...] = ()

    def kind(self, report: Report) -> By:
        """Return what the rows of a report's verdict are about."""
        return self.by or ("call" if report.stacks or report.looks else "line")


ANY = Question()
"""The verdict that nobody asked otherwise."""


@dataclass(frozen=True, slots=True)
class WaitSummary:
    """The facts of a trace's headline.

    Attributes
    ----------
    threads : int
        Number of waiting threads.
    waited_ns : int
        Waits of all threads, nanoseconds.
    culprits : tuple of Culprit
        What made threads wait, the worst first.
    nobody_ns : int
        Waits while nobody held the GIL, nanoseconds.
    little : bool
        Whether there is too little contention to slow the program down.
    still_held : tuple of OpenHold
        Holds that had not ended at the end of the recording, without short ones: those are the usual work.
    """

    threads: int
    waited_ns: int
    culprits: tuple[Culprit, ...]
    nobody_ns: int
    little: bool
    still_held: tuple[OpenHold, ...]

    @property
    def culprit(self) -> Culprit | None:
        """What made threads wait most; None if nothing did."""
        return self.culprits[0] if self.culprits else None

    @property
    def nobody_is_worse(self) -> bool:
        """Whether threads waited longer for a free GIL than behind the culprit."""
        return self.culprit is not None and self.nobody_ns > self.culprit.caused_ns


def summarise_waits(report: Report, question: Question = ANY) -> WaitSummary:
    """Return the facts of a report's headline."""
    culprits = report.culprits(question.kind(report), question.own)
    return WaitSummary(
        threads=sum(thread.merged for thread in report.threads),
        waited_ns=sum(thread.wait_ns for thread in report.threads),
        culprits=tuple([row for row in culprits if row.caused_ns > 0]),
        nobody_ns=sum(row.wait_ns for row in report.blame if not row.holder),
        little=is_little(report),
        still_held=tuple(hold for hold in report.still_held or () if hold.hold_ns >= _LONG_NS),
    )


def suffering_gil(report: Report) -> OwnGil | None:
    """Return the GIL of the interpreter whose threads waited most; None if that is the main one."""
    own = max(report.own_gils or (), key=lambda gil: gil.wait_ns, default=None)
    waits = sum(thread.wait_ns for thread in report.threads if not thread.interpreter)
    return own if own is not None and own.wait_ns > waits else None


def holders(report: Report, culprit: Culprit) -> list[tuple[str, int]]:
    """Return the threads that held at a culprit, with the waits they caused, most first."""
    if culprit.thread:
        return [(culprit.thread, culprit.caused_ns)]
    total: Counter[str] = Counter()
    for row in report.blame:
        if row.holder and (row.function, row.filename, row.line, row.callee) == _site_of(culprit):
            total[row.holder] += row.wait_ns
    return total.most_common()


def _site_of(culprit: Culprit) -> tuple[str, str, int, str]:
    return culprit.function, culprit.filename, culprit.line, culprit.called


def telling_stalls(report: Report) -> Sequence[Stall]:
    """Return the longest waits, without those that are just the cost of an acquisition."""
    return [stall for stall in report.longest_waits if stall.holder or stall.wait_ns >= _NOTHING_NS]


def without_cpu(report: Report) -> tuple[int, int]:
    """Return the part of all holds without CPU time, and all holds, nanoseconds; 0, 0 if unknown."""
    threads = [thread for thread in report.threads if thread.hold_cpu_ns is not None]
    hold_ns = sum(thread.hold_ns for thread in threads)
    return hold_ns - sum(thread.hold_cpu_ns or 0 for thread in threads), hold_ns


def by_waits(processes: Sequence[TracedProcess]) -> list[TracedProcess]:
    """Return several processes in order: the first one, then those whose threads waited most."""
    return [*processes[:1], *sorted(processes[1:], key=waited_ns, reverse=True)]


def doubts_of_many(processes: Sequence[TracedProcess]) -> list[str]:
    """Return each doubt once, with the number of its processes, or the file of a single one."""
    by_doubt: dict[str, list[str]] = {}
    for process in processes:
        for doubt in dict.fromkeys(process.doubts):
            by_doubt.setdefault(doubt, []).append(process.source)
    return [
        f"{sources[0] if len(sources) == 1 else plural(len(sources), 'process', 'es')}: {doubt}"
        for doubt, sources in by_doubt.items()
    ]
