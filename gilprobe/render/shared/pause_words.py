"""Pauses of the garbage collector: which are worth telling, and how."""

from __future__ import annotations

from gilprobe.durations import duration

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from gilprobe.model.pauses import Collection
    from gilprobe.report import Report, Stall

_WORTH = 1000
"""Pauses are told from this part of the traced time on, or of all waiting."""


def worst_collections(report: Report) -> list[Collection]:
    """Return the rows of a report's collections, what made others wait first; none if they hardly matter."""
    rows = sorted(report.collections or (), key=lambda row: (-row.caused_ns, -row.pause_ns))
    paused_ns, caused_ns = sum(row.pause_ns for row in rows), sum(row.caused_ns for row in rows)
    waited_ns = sum(thread.wait_ns for thread in report.threads)
    matters = paused_ns * _WORTH > report.elapsed_ns or caused_ns * _WORTH > waited_ns
    return rows if matters else []


def paused(stall: Stall) -> str:
    """Return how much of a wait was a pause, for a sentence; nothing if there was none."""
    if stall.pause_generation is None:
        return ""
    told = f"garbage collection of generation {stall.pause_generation}"
    return f", {duration(stall.pause_s)} in a {told}"
