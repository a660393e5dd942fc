"""What exporters show of a monitor: each number with its name, and labels in a bounded number."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, NamedTuple

from gilprobe.errors import InvalidTypeError, InvalidValueError, UnsupportedError
from gilprobe.model.distribution import bucket_bounds_ns
from gilprobe.model.labels import OTHER_LABELS
from gilprobe.render.shared.words import clipped, visible
from gilprobe.tracing.monitoring import Monitor
from gilprobe.tracing.stall_alarm import Alarm

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from gilprobe.model.distribution import Distribution
    from gilprobe.model.monitor_reading import MonitorReading

BOUNDS_NS = tuple(1 << power for power in range(10, 35))
"""Bounds of the histograms: powers of two, 1 us to 17 s. Each is an edge of a Distribution's buckets, too."""

LABELS_LIMIT = 1024  # of a monitor
_LONGEST_LABEL = 100


class CounterFigure(NamedTuple):
    """A number of the whole process that only grows, in seconds."""

    name: str
    told: str
    value: Callable[[MonitorReading], float]


class HistogramFigure(NamedTuple):
    """A distribution of the whole process."""

    name: str
    told: str
    value: Callable[[MonitorReading], Distribution]


COUNTERS = (
    CounterFigure("monitored", "Time that was monitored: divide by it to get shares.", lambda r: r.elapsed_s),
    CounterFigure("gil_held", "Time in which some thread had the GIL.", lambda r: r.held_s),
    CounterFigure(
        "gil_contended", "Time in which a thread had the GIL and another waited.", lambda r: r.contended_s
    ),
)
HISTOGRAMS = (
    HistogramFigure("gil_wait", "Waits for the GIL that ended; 0 for a GIL that was free.", lambda r: r.wait),
    HistogramFigure("gil_hold", "Holds of the GIL that ended.", lambda r: r.hold),
)
LOCK_HISTOGRAMS = (HistogramFigure("lock_wait", "Waits for locks that ended.", lambda r: r.wait),)
LABEL_COUNTERS = {
    "label_held": "Time with the GIL under a label.",
    "label_wait": "Time waiting for the GIL under a label.",
    "label_blamed": "Time that others waited while code under the label had the GIL.",
}
RINGS = ("gil_stalls", "Holds of the GIL that made another thread wait for longer than the alarm's time.")
WAITING = ("gil_threads_waiting", "Threads that wait for the GIL now.")


class LabelFigures:
    """Seconds by label: of the first labels that came; all later ones are one row.

    A label never moves from one row to another, so no row ever goes backwards.
    """

    def __init__(self, limit: int) -> None:
        if isinstance(limit, bool) or not isinstance(limit, int):
            raise InvalidTypeError(f"max_labels must be an integer, got {limit!r}")
        if not 0 <= limit <= LABELS_LIMIT:
            raise InvalidValueError(f"max_labels must be within 0 and {LABELS_LIMIT}, got {limit}")
        self._limit = limit
        self._rows: dict[str, str] = {}
        self._shown: dict[tuple[str, str], float] = {}
        self._elapsed_ns = 0

    def of(self, reading: MonitorReading) -> dict[tuple[str, str], float]:
        """Return the seconds of each (name of LABEL_COUNTERS, label)."""
        found: dict[tuple[str, str], float] = {}

        def add(name: str, label: str, seconds: float) -> None:
            key = name, self._row(label)
            found[key] = found.get(key, 0.0) + seconds

        for row in reading.labels:
            add("label_held", row.name, row.hold_s)
            add("label_wait", row.name, row.wait_s)
        for blame in reading.blame:
            if blame.holder:
                add("label_blamed", blame.holder, blame.wait_s)
        return self._never_back(found, reading.elapsed_ns)

    def _never_back(
        self, found: dict[tuple[str, str], float], elapsed_ns: int
    ) -> dict[tuple[str, str], float]:
        """Keep the rounding of sums from showing as a step backwards, which scrapers take for a restart."""
        shown = {} if elapsed_ns < self._elapsed_ns else self._shown
        self._shown = {key: max(seconds, shown.get(key, 0.0)) for key, seconds in {**shown, **found}.items()}
        self._elapsed_ns = elapsed_ns
        return dict(self._shown)

    def _row(self, label: str) -> str:
        if label not in self._rows and len(self._rows) < self._limit:
            self._rows[label] = clipped(visible(label), _LONGEST_LABEL)
        return self._rows.get(label, OTHER_LABELS)


def counters_of(what: str) -> tuple[CounterFigure, ...]:
    """Return what is there of "gil" or "locks", whichever a monitor counts."""
    return COUNTERS if what == "gil" else COUNTERS[:1]


def histograms_of(what: str) -> tuple[HistogramFigure, ...]:
    """Return what is there of "gil" or "locks", whichever a monitor counts."""
    return HISTOGRAMS if what == "gil" else LOCK_HISTOGRAMS


def counts_by_bound(distribution: Distribution) -> list[int]:
    """Return how many durations are below each of BOUNDS_NS and at least the one before it, then the rest."""
    counts = [0] * (len(BOUNDS_NS) + 1)
    first = BOUNDS_NS[0].bit_length() - 1
    for index, number in distribution.buckets:
        low, _ = bucket_bounds_ns(index)
        counts[min(max(low.bit_length() - first, 0), len(BOUNDS_NS))] += number
    return counts


def needed(module: str, extra: str) -> Any:
    """Import an optional module.

    Raises
    ------
    UnsupportedError
        If it is not installed; the message names the extra that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UnsupportedError(
            f"{module.partition('.')[0]} is needed: pip install 'gilprobe[{extra}]' ({error})"
        ) from None


def running(monitor: Monitor | None) -> Monitor:
    """Return the monitor, or the one that all integrations share; start it if it does not run.

    Raises
    ------
    InvalidTypeError
        If it is no monitor.
    UnsupportedError
        If the GIL can't be traced here.
    """
    if not isinstance(monitor, Monitor | None):
        raise InvalidTypeError(f"monitor must be a Monitor or None, got {monitor!r}")
    chosen = _SHARED if monitor is None else monitor
    return chosen if chosen.running else chosen.start()


def alarm_or_none(alarm: Alarm | None) -> Alarm | None:
    """Return the alarm, if it is one.

    Raises
    ------
    InvalidTypeError
        If it is something else.
    """
    if not isinstance(alarm, Alarm | None):
        raise InvalidTypeError(f"alarm must be an Alarm or None, got {alarm!r}")
    return alarm


_SHARED = Monitor()
