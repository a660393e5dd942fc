"""What the trace of one process left: what a saved file gives back and an export shows. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gilprobe.model.timeline import Timeline
    from gilprobe.report import Report


@dataclass(frozen=True, slots=True)
class TracedProcess:
    """One process and what was recorded of it.

    Attributes
    ----------
    source : str
        Name of the file that it was read from, without its folder.
    report : Report
        The accounts.
    timeline : Timeline or None
        Every hold and wait; None if they were not recorded.
    pid : int
        The process; 0 where the file does not tell.
    argv : tuple of str
        Its command line; empty where the file does not tell.
    started_unix_ns : int
        When the recording began, nanoseconds since 1970; 0 where the file does not tell.
    complete : bool
        Whether the recording was ended; False if the process was killed or still runs.
    """

    source: str
    report: Report
    timeline: Timeline | None = None
    pid: int = 0
    argv: tuple[str, ...] = ()
    started_unix_ns: int = 0
    complete: bool = True

    @property
    def title(self) -> str:
        """The process as a heading names it. Names in it are foreign: a renderer escapes them."""
        if not self.pid:
            return self.source
        return f"process {self.pid}: {' '.join(self.argv)}" if self.argv else f"process {self.pid}"

    @property
    def doubts(self) -> tuple[str, ...]:
        """Everything that makes a number here doubtful; every rendering shows it."""
        doubts = list(self.report.warnings)
        if not self.complete:
            doubts.append("the recording was not ended: the process was killed, or it still runs")
        dropped = max(self.report.dropped_events, self.timeline.dropped if self.timeline is not None else 0)
        if dropped:
            doubts.append(
                f"{dropped} events are missing in the timeline: they came faster than they were written "
                "(what is summed up is exact all the same)"
            )
        return tuple(doubts)
