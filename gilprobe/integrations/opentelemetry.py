"""OpenTelemetry: metrics by its API, and spans that say how long they held the GIL and waited for it."""

from __future__ import annotations

import asyncio
import time
from itertools import accumulate
from typing import TYPE_CHECKING

from gilprobe.integrations.figures import (
    BOUNDS_NS,
    LABEL_COUNTERS,
    RINGS,
    WAITING,
    LabelFigures,
    alarm_or_none,
    counters_of,
    counts_by_bound,
    histograms_of,
    needed,
    running,
)
from gilprobe.integrations.timing import Stretch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from gilprobe.model.distribution import Distribution
    from gilprobe.model.monitor_reading import MonitorReading
    from gilprobe.tracing.monitoring import Monitor
    from gilprobe.tracing.stall_alarm import Alarm

    Values = Callable[[MonitorReading], list[tuple[float, dict[str, str]]]]

_SAME_READING_S = 0.1  # a collection asks for one instrument after the other: all of them from one reading


def register(
    monitor: Monitor | None = None,
    meter_provider: Any = None,
    *,
    max_labels: int = 100,
    alarm: Alarm | None = None,
) -> None:
    """Export a monitor as observable instruments, as long as the provider lasts.

    The API has no histogram that is observed, and to record each wait would cost more than the wait. So the
    distributions are counters, `gilprobe.gil_wait.count` with the attribute `le`, as in Prometheus.

    Parameters
    ----------
    monitor : Monitor, optional
        Started if it does not run. Default: one that all integrations share.
    meter_provider : opentelemetry.metrics.MeterProvider, optional
        Default: the global one.
    max_labels : int
        The first so many labels have counters of their own; all others are "(other labels)".
    alarm : Alarm, optional
        From :func:`gilprobe.alarm`: how often it rang is a counter, too.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If an argument is of another type, or out of range.
    UnsupportedError
        If opentelemetry-api is not installed, or the GIL can't be traced here.
    """
    metrics = needed("opentelemetry.metrics", "opentelemetry")
    labels, bell = LabelFigures(max_labels), alarm_or_none(alarm)
    read = _reader(running(monitor))
    meter = metrics.get_meter("gilprobe", meter_provider=meter_provider)

    def observe(name: str, told: str, unit: str, values: Values) -> None:
        def observed(_options: Any) -> Iterator[Any]:
            for value, attributes in values(read()):
                yield metrics.Observation(value, attributes)

        meter.create_observable_counter(f"gilprobe.{name}", [observed], unit, told)

    what = read().what
    for counter in counters_of(what):
        observe(counter.name, counter.told, "s", _seconds(counter.value))
    for histogram in histograms_of(what):
        observe(f"{histogram.name}.sum", histogram.told, "s", _sum(histogram.value))
        observe(f"{histogram.name}.count", histogram.told, "1", _counts(histogram.value))
    for name, told in LABEL_COUNTERS.items():
        observe(name, told, "s", _rows(name, labels))
    if what == "gil":
        meter.create_observable_gauge(
            f"gilprobe.{WAITING[0]}",
            [lambda _options: [metrics.Observation(read().threads_waiting)]],
            "{thread}",
            WAITING[1],
        )
    if bell is not None:
        meter.create_observable_counter(
            f"gilprobe.{RINGS[0]}",
            [lambda _options: [metrics.Observation(bell.count)]],
            "{stall}",
            RINGS[1],
        )


def _seconds(value: Callable[[MonitorReading], float]) -> Values:
    return lambda reading: [(value(reading), {})]


def _sum(value: Callable[[MonitorReading], Distribution]) -> Values:
    return lambda reading: [(value(reading).total_s, {})]


def _counts(value: Callable[[MonitorReading], Distribution]) -> Values:
    bounds = [*(repr(bound_ns / 1e9) for bound_ns in BOUNDS_NS), "+Inf"]

    def counted(reading: MonitorReading) -> list[tuple[float, dict[str, str]]]:
        below = accumulate(counts_by_bound(value(reading)))
        return [(count, {"le": bound}) for bound, count in zip(bounds, below, strict=True)]

    return counted


def _rows(name: str, labels: LabelFigures) -> Values:
    def rows(reading: MonitorReading) -> list[tuple[float, dict[str, str]]]:
        return [
            (seconds, {"label": label}) for (of, label), seconds in labels.of(reading).items() if of == name
        ]

    return rows


def _reader(monitor: Monitor) -> Callable[[], MonitorReading]:
    last: list[tuple[float, MonitorReading]] = []

    def read() -> MonitorReading:
        now = time.monotonic()
        if not last or now - last[0][0] > _SAME_READING_S:
            last[:] = [(now, monitor.read())]
        return last[0][1]

    return read


def span_processor(monitor: Monitor | None = None) -> Any:
    """Return a processor that gives each span `gil.hold_s` and `gil.wait_s`: those of its thread meanwhile.

    A span that ends in another thread than it began in has neither, nor has one that begins in an event loop,
    whose thread does other things meanwhile. A span's times include those of the spans within it.

    Parameters
    ----------
    monitor : Monitor, optional
        Started if it does not run. Default: one that all integrations share.

    Returns
    -------
    opentelemetry.sdk.trace.SpanProcessor
        For ``TracerProvider.add_span_processor``.

    Raises
    ------
    UnsupportedError
        If opentelemetry-sdk is not installed, or the GIL can't be traced here.
    """
    sdk = needed("opentelemetry.sdk.trace", "opentelemetry")
    running(monitor)

    class GilSpanProcessor(sdk.SpanProcessor):  # type: ignore[misc, name-defined]
        """See :func:`span_processor`."""

        def on_start(self, span: Any, parent_context: Any = None) -> None:  # noqa: ARG002
            if asyncio._get_running_loop() is None:
                _time_until_the_end(span)

    return GilSpanProcessor()


def _time_until_the_end(span: Any) -> None:
    """Set the attributes at the end, but before it: a span that has ended takes none."""
    stretch = Stretch()
    end = span.end

    def ending(*arguments: Any, **named: Any) -> None:
        span.__dict__.pop("end", None)  # else the span would refer to itself
        if (times := stretch.so_far()) is not None:
            span.set_attribute("gil.hold_s", times[0] / 1e9)
            span.set_attribute("gil.wait_s", times[1] / 1e9)
        end(*arguments, **named)

    span.end = ending
