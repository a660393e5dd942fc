"""What a reader must know of a trace first: how much was waited, and for what."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilprobe.render.shared.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilprobe.model.traced_process import TracedProcess
    from gilprobe.report import Report, Site, Stall

_LITTLE = 0.01
"""Share of the time; where the GIL is contended for less, it is not what makes a program slow."""

_NOTHING_NS = 100_000
"""A shorter wait in which nobody held the GIL is what taking it costs."""

NEARLY_ALL = 0.9
"""Share of a wait from which on a stall's sentence does not say how long its holder held."""

MOST = 0.5
"""Share of a wait below which its longest holder was one of many."""


@dataclass(frozen=True, slots=True)
class WaitSummary:
    """What a trace's headline is made of.

    Attributes
    ----------
    threads : int
        How many there were.
    waited_ns : int
        All waiting of all threads, nanoseconds.
    causes : tuple of Site
        Sites at which the GIL was held while others waited, by the waits that they caused; the first is the
        culprit.
    nobody_ns : int
        Waiting while nobody held the GIL, nanoseconds.
    little : bool
        Whether the GIL was contended so little that it does not slow the program down.
    """

    threads: int
    waited_ns: int
    causes: tuple[Site, ...]
    nobody_ns: int
    little: bool

    @property
    def culprit(self) -> Site | None:
        """The site that most waiting was behind; None if none was behind any."""
        return self.causes[0] if self.causes else None

    @property
    def nobody_is_worse(self) -> bool:
        """Whether more waiting passed while nobody held the GIL than behind the culprit."""
        return self.culprit is not None and self.nobody_ns > self.culprit.caused_ns

    def holders(self, report: Report) -> list[tuple[str, int]]:
        """Return the threads that held at the culprit, and the waits that each caused there; most first."""
        total: Counter[str] = Counter()
        site = self.culprit
        for row in report.blame if site is not None else ():
            if row.holder and (row.function, row.filename, row.line) == _key(site):
                total[row.holder] += row.wait_ns
        return total.most_common()


def _key(site: Site | None) -> tuple[str, str, int] | None:
    return None if site is None else (site.function, site.filename, site.line)


def summarise_waits(report: Report) -> WaitSummary:
    """Return what the headline of a report is made of."""
    causes = [site for site in report.sites if site.caused_ns > 0]
    return WaitSummary(
        threads=sum(thread.merged for thread in report.threads),
        waited_ns=sum(thread.wait_ns for thread in report.threads),
        causes=tuple(sorted(causes, key=lambda site: site.caused_ns, reverse=True)),
        nobody_ns=sum(row.wait_ns for row in report.blame if not row.holder),
        little=report.contended_ns < _LITTLE * report.elapsed_ns,
    )


def contended(process: TracedProcess) -> bool:
    """Whether threads of a process waited for one another so much that it says something."""
    found = summarise_waits(process.report)
    return found.culprit is not None and not found.little


def telling_stalls(report: Report) -> Sequence[Stall]:
    """Return the longest waits without those that only show what taking the GIL costs."""
    return [stall for stall in report.longest_waits if stall.holder or stall.wait_ns >= _NOTHING_NS]


def without_cpu(report: Report) -> tuple[int, int]:
    """Return how much of all holding used no CPU, and all holding, nanoseconds; 0, 0 if it is not known."""
    threads = [thread for thread in report.threads if thread.hold_cpu_ns is not None]
    hold_ns = sum(thread.hold_ns for thread in threads)
    return hold_ns - sum(thread.hold_cpu_ns or 0 for thread in threads), hold_ns


def by_waits(processes: Sequence[TracedProcess]) -> list[TracedProcess]:
    """Return the processes as several are shown: the first stays it, then those whose threads waited most."""
    return [*processes[:1], *sorted(processes[1:], key=waited_ns, reverse=True)]


def waited_ns(process: TracedProcess) -> int:
    """Return what all threads of a process waited, nanoseconds."""
    return sum(thread.wait_ns for thread in process.report.threads)


def doubts_of_many(processes: Sequence[TracedProcess]) -> list[str]:
    """Return each doubt once, with how many processes have it; with one's file if it is the only one."""
    by_doubt: dict[str, list[str]] = {}
    for process in processes:
        for doubt in dict.fromkeys(process.doubts):
            by_doubt.setdefault(doubt, []).append(process.source)
    return [
        f"{sources[0] if len(sources) == 1 else plural(len(sources), 'process', 'es')}: {doubt}"
        for doubt, sources in by_doubt.items()
    ]
