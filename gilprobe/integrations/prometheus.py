"""Metrics for Prometheus, through prometheus-client: see docs/integrations/prometheus.md.

A single process has a collector: it reads the monitor when it is scraped. With PROMETHEUS_MULTIPROC_DIR each
process writes what has come since it wrote last into the client's own files, each second and at its end;
there the client sums all processes, and keeps what dead ones had counted.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from typing import TYPE_CHECKING

from gilprobe.errors import TracerStateError
from gilprobe.integrations.figures import (
    BOUNDS_NS,
    COUNTERS,
    HISTOGRAMS,
    LABEL_COUNTERS,
    LOCK_HISTOGRAMS,
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
from gilprobe.render.shared.words import clipped, visible

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from gilprobe.model.monitor_reading import MonitorReading, WorstWait
    from gilprobe.tracing.monitoring import Monitor
    from gilprobe.tracing.stall_alarm import Alarm

_PREFIX = "gilprobe_"
_WRITES_EACH_S = 1.0
_EXEMPLAR_TEXT = 40  # characters of a name: an exemplar has at most 128


def register(
    monitor: Monitor | None = None,
    registry: Any = None,
    *,
    max_labels: int = 100,
    alarm: Alarm | None = None,
) -> Collector | Writer:
    """Export a monitor to Prometheus, until the result's `stop` is called.

    Parameters
    ----------
    monitor : Monitor, optional
        Started if it does not run. Default: one that all integrations share.
    registry : prometheus_client.CollectorRegistry, optional
        Default: the client's own. Not used with PROMETHEUS_MULTIPROC_DIR, as with the client's own metrics.
    max_labels : int
        The first so many labels have counters of their own; all others are "(other labels)".
    alarm : Alarm, optional
        From :func:`gilprobe.alarm`: how often it rang is a counter, too.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If an argument is of another type, or out of range.
    UnsupportedError
        If prometheus-client is not installed, or the GIL can't be traced here.
    TracerStateError
        If this process is exported already, with PROMETHEUS_MULTIPROC_DIR.
    ValueError
        If the registry has such metrics already.
    """
    client = needed("prometheus_client", "prometheus")
    labels, bell = LabelFigures(max_labels), alarm_or_none(alarm)
    if getattr(client.values.ValueClass, "_multiprocess", False):
        return Writer(monitor, labels, bell)
    collector = Collector(running(monitor), labels, registry or client.REGISTRY, bell)
    collector.registry.register(collector)
    return collector


class Collector:
    """Gives a monitor's numbers to the registry of a single process, as they are at the scrape."""

    def __init__(
        self, monitor: Monitor, labels: LabelFigures, registry: Any, alarm: Alarm | None = None
    ) -> None:
        self.monitor = monitor
        self._alarm = alarm
        self.registry = registry
        self._labels = labels
        self._started_s = time.time() - monitor.read().elapsed_s

    def stop(self) -> None:
        """Take the metrics out of the registry. The monitor goes on."""
        self.registry.unregister(self)

    def collect(self) -> Iterator[Any]:
        """Yield the metrics, as the client asks for them."""
        core = needed("prometheus_client.core", "prometheus")
        reading = self.monitor.read()
        for name, told, value in counters_of(reading.what):
            yield core.CounterMetricFamily(f"{_PREFIX}{name}_seconds", told, value=value(reading))
        for name, told, distribution in histograms_of(reading.what):
            worst = None if name == "gil_hold" else reading.worst
            yield core.HistogramMetricFamily(
                f"{_PREFIX}{name}_seconds",
                told,
                buckets=self._buckets(counts_by_bound(distribution(reading)), worst),
                sum_value=distribution(reading).total_s,
            )
        if reading.what == "gil":
            yield core.GaugeMetricFamily(_PREFIX + WAITING[0], WAITING[1], value=reading.threads_waiting)
        if self._alarm is not None:
            yield core.CounterMetricFamily(_PREFIX + RINGS[0], RINGS[1], value=self._alarm.count)
        rows = self._labels.of(reading)
        for name, told in LABEL_COUNTERS.items():
            family = core.CounterMetricFamily(f"{_PREFIX}{name}_seconds", told, labels=["label"])
            for (of, label), seconds in rows.items():
                if of == name:
                    family.add_metric([label], seconds)
            yield family

    def _buckets(self, counts: list[int], worst: WorstWait | None) -> list[tuple[Any, ...]]:
        text_of = needed("prometheus_client.utils", "prometheus").floatToGoString
        buckets: list[tuple[Any, ...]] = []
        total = 0
        for bound_ns, count in zip((*BOUNDS_NS, None), counts, strict=True):
            total += count
            bound = text_of(float("inf") if bound_ns is None else bound_ns / 1e9)
            if worst is not None and (bound_ns is None or worst.wait_ns < bound_ns):
                buckets.append((bound, total, self._exemplar(worst)))
                worst = None
            else:
                buckets.append((bound, total))
        return buckets

    def _exemplar(self, worst: WorstWait) -> Any:
        named = {"holder": worst.holder, "holder_label": worst.holder_label}
        shown = {name: clipped(visible(text), _EXEMPLAR_TEXT) for name, text in named.items() if text}
        ended_s = self._started_s + (worst.start_ns + worst.wait_ns) / 1e9
        exemplar = needed("prometheus_client.samples", "prometheus").Exemplar
        return exemplar(shown, worst.wait_s, ended_s)


class Writer:
    """Adds a monitor's numbers to the files of the client's multiprocess mode."""

    _active: Writer | None = None

    def __init__(self, monitor: Monitor | None, labels: LabelFigures, alarm: Alarm | None = None) -> None:
        if Writer._active is not None:
            raise TracerStateError("a process must be registered once, and it is")
        self.monitor = running(monitor)
        self._labels = labels
        self._alarm = alarm
        self._values: dict[tuple[str, str, str], Any] = {}
        self._written: dict[tuple[str, str, str], float] = {}
        self._elapsed_ns = 0
        self._lock = threading.RLock()  # a signal handler may fork within a write
        Writer._active = self
        _watch_forks_and_the_end()
        self.write()
        self._begin()

    def _begin(self) -> None:
        self._halted = threading.Event()
        threading.Thread(
            target=self._run, args=(self._halted,), name="gilprobe-prometheus", daemon=True
        ).start()

    def _run(self, halted: threading.Event) -> None:
        while not halted.wait(_WRITES_EACH_S):
            self.write()

    def stop(self) -> None:
        """Write for the last time. The monitor goes on; what was counted stays in the files."""
        if Writer._active is self:
            Writer._active = None
            self._halted.set()
            self.write()

    def write(self) -> None:
        """Write what was counted until now. It is done each second anyway."""
        with self._lock:
            reading = self.monitor.read()
            if reading.elapsed_ns < self._elapsed_ns:  # the monitor was started anew
                self._written.clear()
            self._elapsed_ns = reading.elapsed_ns
            for key, value in self._flat(reading).items():
                if key not in self._values:
                    self._values[key] = _client_value(*key)
                if key[0] == "gauge":
                    self._values[key].set(value)
                elif (more := value - self._written.get(key, 0.0)) > 0:
                    self._values[key].inc(more)
                    self._written[key] = value

    def before_fork(self) -> None:
        """Let no write be under way in the child, where nobody would end it."""
        self._lock.acquire()

    def after_fork(self, child: bool) -> None:
        """Go on; in a child without what the parent has counted, which stands in the parent's file."""
        self._lock.release()
        if child:
            self.monitor = running(self.monitor)
            reading = self.monitor.read()
            self._elapsed_ns = reading.elapsed_ns
            self._written = self._flat(reading)
            self._begin()

    def _flat(self, reading: MonitorReading) -> dict[tuple[str, str, str], float]:
        rings = {} if self._alarm is None else {("counter", RINGS[0], ""): float(self._alarm.count)}
        return _flat(reading, self._labels) | rings


def _flat(reading: MonitorReading, labels: LabelFigures) -> dict[tuple[str, str, str], float]:
    """Return each number by (kind, name, label or bound), as the client keeps them in its files."""
    flat: dict[tuple[str, str, str], float] = {}
    for name, _, value in counters_of(reading.what):
        flat["counter", name, ""] = value(reading)
    for name, _, distribution in histograms_of(reading.what):
        flat["histogram", name, ""] = distribution(reading).total_s
        counts = counts_by_bound(distribution(reading))
        for bound_ns, count in zip((*BOUNDS_NS, None), counts, strict=True):
            flat["histogram", name, "+Inf" if bound_ns is None else repr(bound_ns / 1e9)] = count
    if reading.what == "gil":
        flat["gauge", WAITING[0], ""] = reading.threads_waiting
    for (name, label), seconds in labels.of(reading).items():
        flat["counter", name, label] = seconds
    return flat


def _client_value(kind: str, name: str, which: str) -> Any:
    """Return the value of a sample in the client's file of this process; it keeps what was there."""
    metric = _PREFIX + name + ("" if kind == "gauge" or name == RINGS[0] else "_seconds")
    names: tuple[str, ...] = ()
    if which:
        names = ("label",) if kind == "counter" else ("le",)
    suffix = {"counter": "_total", "gauge": "", "histogram": "_bucket" if which else "_sum"}[kind]
    values = needed("prometheus_client.values", "prometheus")
    return values.ValueClass(
        kind,
        metric,
        metric + suffix,
        names,
        (which,) if which else (),
        _TOLD[name],
        multiprocess_mode="livesum",
    )


_TOLD = {
    **dict([WAITING, RINGS]),
    **LABEL_COUNTERS,
    **{figure.name: figure.told for figure in (*COUNTERS, *HISTOGRAMS, *LOCK_HISTOGRAMS)},
}
_watched = False


def _watch_forks_and_the_end() -> None:
    global _watched
    if _watched:
        return
    _watched = True
    held: list[Writer] = []

    def before() -> None:
        if (writer := Writer._active) is not None:
            writer.before_fork()
            held.append(writer)

    def after(child: bool) -> None:
        while held:
            held.pop().after_fork(child)

    os.register_at_fork(
        before=before, after_in_parent=lambda: after(False), after_in_child=lambda: after(True)
    )
    atexit.register(_stop_at_the_end)


def _stop_at_the_end() -> None:
    if Writer._active is not None:
        Writer._active.stop()
