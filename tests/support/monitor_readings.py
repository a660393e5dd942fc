"""A reading of a monitor as a test writes it, and a monitor that shows it."""

from __future__ import annotations

from gilprobe.model.distribution import EMPTY, Distribution, bucket_of_ns
from gilprobe.model.labels import LabelBlame, LabelTotals
from gilprobe.model.monitor_reading import MonitorReading, WorstWait
from gilprobe.tracing.monitoring import Monitor


def distribution(*durations_ns: int) -> Distribution:
    found = EMPTY
    for ns in durations_ns:
        found = found.merge(Distribution(1, ns, ns, ((bucket_of_ns(ns), 1),)))
    return found


READING = MonitorReading(
    what="gil",
    elapsed_ns=10_000_000_000,
    held_ns=4_000_000_000,
    contended_ns=1_000_000_000,
    wait_ns=2_000_000_000,
    threads=3,
    threads_waiting=2,
    hold=distribution(1_000, 30_000_000_000),
    wait=distribution(0, 1023, 1024, 5_000_000),
    waits=3,
    labels=(LabelTotals('GET /a"b\n\ud800', 3_000_000_000, 500_000_000, 0, 1, 1),),
    blame=(
        LabelBlame("x", 'GET /a"b\n\ud800', 1_500_000_000),
        LabelBlame("y", 'GET /a"b\n\ud800', 500_000_000),
        LabelBlame("y", "", 9_000_000_000),
    ),
    worst=WorstWait(5_000_000, 1_000_000_000, "waiter", "x", "holder\x1b" + "h" * 300, "l" * 300, 4_000_000),
)


class Shown(Monitor):
    """A monitor that reads what a test says."""

    running = True
    reading = READING

    def read(self) -> MonitorReading:
        return self.reading
