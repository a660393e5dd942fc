"""The recorded data of one process, as loaded from a file and exported. Plain data."""

from __future__ import annotations

from gilprobe.model.locks import WORK
from gilprobe.model.plain_data import dataclass

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from gilprobe.model.timeline import Timeline
    from gilprobe.report import Report

_LITTLE = 0.01
"""Share of the time; contention below it does not slow a program down noticeably."""


@dataclass(frozen=True, slots=True)
class TracedProcess:
    """One process and its recorded data.

    Attributes
    ----------
    source : str
        Name of its file, without the folder.
    report : Report
        The accounts.
    timeline : Timeline or None
        Every hold and wait; None if they were not recorded.
    pid : int
        The process; 0 if unknown.
    argv : tuple of str
        Its command line; empty if unknown.
    started_unix_ns : int
        When the recording began, nanoseconds since 1970; 0 if unknown.
    complete : bool
        Whether the recording was ended; False if the process was killed or still runs.
    host : str
        Name of the machine; empty if unknown.
    """

    source: str
    report: Report
    timeline: Timeline | None = None
    pid: int = 0
    argv: tuple[str, ...] = ()
    started_unix_ns: int = 0
    complete: bool = True
    host: str = ""

    @property
    def title(self) -> str:
        """The process's name in headings. It contains foreign names: renderers escape them."""
        if self.report.processes is not None:
            number = sum(process.processes for process in self.report.processes)
            return f"{self.source}: {number} {'process' if number == 1 else 'processes'} together"
        if not self.pid:
            return self.source
        return f"process {self.pid}: {' '.join(self.argv)}" if self.argv else f"process {self.pid}"

    @property
    def doubts(self) -> tuple[str, ...]:
        """All doubts about these numbers; every renderer shows them."""
        doubts = list(self.report.warnings)
        if not self.complete:
            doubts.append("the recording was not ended: the process was killed, or it still runs")
        dropped = max(self.report.dropped_events, self.timeline.dropped if self.timeline is not None else 0)
        if dropped:
            doubts.append(
                f"{dropped} events are missing in the timeline: they came faster "
                "than they were written (all sums are exact)"
            )
        return tuple(doubts)


def with_worst(process: TracedProcess) -> list[TracedProcess]:
    """Return a process, and if it is a merged report, behind it the process whose threads waited most."""
    report = process.report
    if report.worst is None or not report.processes:
        return [process]
    level = report.processes[0]
    worst = TracedProcess(
        source=level.source,
        report=report.worst,
        pid=level.pid,
        argv=(level.command,) if level.command else (),
        started_unix_ns=level.started_unix_ns,
        complete=level.complete,
        host=level.host,
    )
    return [process, worst]


def traces_gil(report: Report) -> bool:
    """Return whether a report is about a GIL; without one it is about locks."""
    return report.locks is None or report.environment.gil_enabled


def is_little(report: Report) -> bool:
    """Return whether the GILs of all interpreters together are hardly contended."""
    contended_ns = report.contended_ns + sum(gil.contended_ns for gil in report.own_gils or ())
    return contended_ns < _LITTLE * report.elapsed_ns


def contended(process: TracedProcess) -> bool:
    """Return whether threads of a process, or of one of several, waited for one another noticeably."""
    report = process.report
    if report.processes is not None:
        return report.worst is not None
    return not is_little(report) and any(row.holder and row.wait_ns > 0 for row in report.blame)


def waited_ns(process: TracedProcess) -> int:
    """Return the waits of all threads of a process for the GIL, nanoseconds; without one, for locks."""
    report = process.report
    if not traces_gil(report):
        return sum(lock.wait_ns for lock in report.locks or () if lock.kind != WORK)
    return sum(thread.wait_ns for thread in report.threads)
