"""The most important findings of a trace: how long threads waited, and behind what."""

from __future__ import annotations

from collections import Counter

from gilprobe.model.plain_data import dataclass
from gilprobe.render.shared.words import plural

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilprobe.model.traced_process import TracedProcess
    from gilprobe.report import OpenHold, OwnGil, Report, Site, Stall

_LITTLE = 0.01
"""Share of the time; contention below it does not slow a program down noticeably."""

_NOTHING_NS = 100_000
"""A shorter wait while nobody held the GIL is just the cost of an acquisition."""

_LONG_NS = 100_000_000
"""From this length on, a hold that was under way at the end is told."""

NEARLY_ALL = 0.9
"""From this share of a wait on, a stall's sentence leaves out the holder's time."""

MOST = 0.5
"""Below this share of a wait, its longest holder was one of many."""


@dataclass(frozen=True, slots=True)
class WaitSummary:
    """The facts of a trace's headline.

    Attributes
    ----------
    threads : int
        Number of waiting threads.
    waited_ns : int
        Waits of all threads, nanoseconds.
    causes : tuple of Site
        Sites at which the GIL was held while others waited, by caused waits; the first is the culprit.
    nobody_ns : int
        Waits while nobody held the GIL, nanoseconds.
    little : bool
        Whether there is too little contention to slow the program down.
    still_held : tuple of OpenHold
        Holds that had not ended at the end of the recording, without short ones: those are the usual work.
    """

    threads: int
    waited_ns: int
    causes: tuple[Site, ...]
    nobody_ns: int
    little: bool
    still_held: tuple[OpenHold, ...]

    @property
    def culprit(self) -> Site | None:
        """The site with the most caused waits; None if there is none."""
        return self.causes[0] if self.causes else None

    @property
    def nobody_is_worse(self) -> bool:
        """Whether threads waited longer for a free GIL than behind the culprit."""
        return self.culprit is not None and self.nobody_ns > self.culprit.caused_ns

    def holders(self, report: Report) -> list[tuple[str, int]]:
        """Return the threads that held at the culprit, with their caused waits, most first."""
        total: Counter[str] = Counter()
        site = self.culprit
        for row in report.blame if site is not None else ():
            if row.holder and (row.function, row.filename, row.line) == _key(site):
                total[row.holder] += row.wait_ns
        return total.most_common()


def _key(site: Site | None) -> tuple[str, str, int] | None:
    return None if site is None else (site.function, site.filename, site.line)


def summarise_waits(report: Report) -> WaitSummary:
    """Return the facts of a report's headline."""
    causes = [site for site in report.sites if site.caused_ns > 0]
    return WaitSummary(
        threads=sum(thread.merged for thread in report.threads),
        waited_ns=sum(thread.wait_ns for thread in report.threads),
        causes=tuple(sorted(causes, key=lambda site: site.caused_ns, reverse=True)),
        nobody_ns=sum(row.wait_ns for row in report.blame if not row.holder),
        little=_contended_ns(report) < _LITTLE * report.elapsed_ns,
        still_held=tuple(hold for hold in report.still_held or () if hold.hold_ns >= _LONG_NS),
    )


def _contended_ns(report: Report) -> int:
    """Return how long the GILs of all interpreters were contended, together."""
    return report.contended_ns + sum(gil.contended_ns for gil in report.own_gils or ())


def suffering_gil(report: Report) -> OwnGil | None:
    """Return the GIL of the interpreter whose threads waited most; None if that is the main one."""
    own = max(report.own_gils or (), key=lambda gil: gil.wait_ns, default=None)
    waits = sum(thread.wait_ns for thread in report.threads if not thread.interpreter)
    return own if own is not None and own.wait_ns > waits else None


def contended(process: TracedProcess) -> bool:
    """Return whether threads of a process waited for one another noticeably."""
    found = summarise_waits(process.report)
    return found.culprit is not None and not found.little


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


def waited_ns(process: TracedProcess) -> int:
    """Return the waits of all threads of a process, nanoseconds."""
    return sum(thread.wait_ns for thread in process.report.threads)


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
