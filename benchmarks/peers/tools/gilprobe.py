"""gilprobe, from inside the process: `with gilprobe.trace()`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .base import MEASURES, Reading, Tool

if TYPE_CHECKING:
    from collections.abc import Iterator


class Gilprobe(Tool):
    """The tracer with its defaults."""

    name = "gilprobe"
    settings = "gilprobe.trace(), the defaults: sites on, stacks and timeline off"
    measures = frozenset(MEASURES)
    each_event = True
    restarts = True

    @contextmanager
    def inside(self) -> Iterator[Reading]:
        """Trace the block."""
        import gilprobe

        reading = Reading()
        with gilprobe.trace() as trace:
            yield reading
        _fill(reading, trace.report())


def _fill(reading: Reading, report: Any) -> None:
    reading.held = report.held_s / report.elapsed_s
    reading.threads = sum(thread.merged for thread in report.threads)
    reading.waits = {
        thread.name: thread.wait_s / thread.lifetime_s for thread in report.threads if thread.lifetime_s
    }
    reading.worst_s = {thread.name: thread.wait.max_s for thread in report.threads}
    reading.culprit = _culprit(report)
    reading.note = "; ".join(str(warning) for warning in report.warnings)


def _culprit(report: Any) -> tuple[str, int | None] | None:
    """Return the site that others have waited for most; if nobody waited, the one that held longest."""
    blamed: dict[tuple[str, int | None], float] = {}
    for row in report.blame:
        if row.holder:
            place = (row.function, row.line)
            blamed[place] = blamed.get(place, 0.0) + row.wait_s
    if blamed and max(blamed.values()) > 0.01 * report.elapsed_s:
        return max(blamed, key=lambda place: blamed[place])
    site = max(report.sites, key=lambda one: one.hold_s, default=None)
    return None if site is None else (site.function, site.line)
