"""The recorded data of one process, as loaded from a file and exported. Plain data."""

from __future__ import annotations

from gilprobe.model.plain_data import dataclass

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from gilprobe.model.timeline import Timeline
    from gilprobe.report import Report


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
        """The process's name in headings. It contains foreign names: renderers escape them."""
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
