"""The metrics for Prometheus, by the client's own exposition, parsers and multiprocess collector."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from monitor_readings import READING, Shown, distribution

from gilprobe.errors import InvalidTypeError, InvalidValueError
from gilprobe.integrations.figures import BOUNDS_NS, LabelFigures, counts_by_bound
from gilprobe.integrations.prometheus import register
from gilprobe.model.distribution import EMPTY
from gilprobe.model.labels import LabelTotals

client = pytest.importorskip("prometheus_client")
parser = pytest.importorskip("prometheus_client.parser")
openmetrics = pytest.importorskip("prometheus_client.openmetrics.parser")
exposition = pytest.importorskip("prometheus_client.openmetrics.exposition")


def samples(text: str, parse) -> dict:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def test_every_number_is_exposed_as_it_was_read():
    registry = client.CollectorRegistry()
    register(Shown(), registry)
    found = samples(client.generate_latest(registry).decode(), parser.text_string_to_metric_families)
    assert found["gilprobe_monitored_seconds_total",] == 10
    assert found["gilprobe_gil_held_seconds_total",] == 4
    assert found["gilprobe_gil_contended_seconds_total",] == 1
    assert found["gilprobe_gil_threads_waiting",] == 2
    assert found["gilprobe_gil_wait_seconds_count",] == 4
    assert found["gilprobe_gil_wait_seconds_sum",] == READING.wait.total_s
    label = 'GET /a"b\\n\\ud800'
    assert found["gilprobe_label_held_seconds_total", label] == 3
    assert found["gilprobe_label_wait_seconds_total", label] == 0.5
    assert found["gilprobe_label_blamed_seconds_total", label] == 2


def test_an_alarm_has_a_counter(bell):
    registry = client.CollectorRegistry()
    register(Shown(), registry, alarm=bell)
    bell.rings = 3
    found = samples(client.generate_latest(registry).decode(), parser.text_string_to_metric_families)
    assert found["gilprobe_gil_stalls_total",] == 3
    with pytest.raises(InvalidTypeError, match="alarm must be an Alarm or None, got 3"):
        register(Shown(), client.CollectorRegistry(), alarm=3)


def test_buckets_are_exact():
    registry = client.CollectorRegistry()
    register(Shown(), registry)
    found = samples(client.generate_latest(registry).decode(), parser.text_string_to_metric_families)
    bound = "gilprobe_gil_wait_seconds_bucket"
    assert found[bound, "1.024e-06"] == 2  # 0 and 1023 ns
    assert found[bound, "2.048e-06"] == 3
    assert found[bound, "0.004194304"] == 3
    assert found[bound, "0.008388608"] == found[bound, "+Inf"] == 4
    assert found["gilprobe_gil_hold_seconds_bucket", repr(BOUNDS_NS[-1] / 1e9)] == 1
    assert found["gilprobe_gil_hold_seconds_bucket", "+Inf"] == 2


def test_each_edge_of_a_histogram_falls_into_the_bucket_that_begins_with_it():
    for number, bound in enumerate(BOUNDS_NS):
        assert counts_by_bound(distribution(bound - 1))[number] == 1
        assert counts_by_bound(distribution(bound))[number + 1] == 1


def test_the_longest_wait_is_an_exemplar_of_its_bucket():
    registry = client.CollectorRegistry()
    register(Shown(), registry)
    text = exposition.generate_latest(registry).decode()
    found = [
        sample
        for family in openmetrics.text_string_to_metric_families(text)
        for sample in family.samples
        if sample.exemplar is not None
    ]
    assert [sample.labels["le"] for sample in found] == ["0.008388608"]
    assert found[0].exemplar.value == 0.005
    assert found[0].exemplar.labels["holder"].startswith("holder\\x1bh")


def test_labels_are_bounded_and_none_goes_back():
    """A label that was shown stays a row of its own, also when others overtake it."""

    def row(name: str, seconds: int) -> LabelTotals:
        return LabelTotals(name, seconds * 1_000_000_000, 0, 0, 1, 0)

    labels = LabelFigures(2)
    before = labels.of(replace(READING, labels=(row("a", 1), row("b", 1)), blame=()))
    after = labels.of(replace(READING, labels=tuple(row(n, 5) for n in "dcba"), blame=()))
    assert {label for _, label in after} == {"a", "b", "(other labels)"}
    assert after["label_held", "(other labels)"] == 10
    assert all(after[key] >= value for key, value in before.items())


def test_a_row_that_is_rounded_down_does_not_go_back_but_a_new_monitor_begins_anew():
    def seconds(ns: int, elapsed_ns: int) -> float:
        row = LabelTotals("a", ns, 0, 0, 1, 0)
        found = labels.of(replace(READING, elapsed_ns=elapsed_ns, labels=(row,), blame=()))
        return found["label_held", "a"]

    labels = LabelFigures(1)
    assert seconds(5_000, 10_000) == seconds(4_999, 11_000) == 5e-6
    assert seconds(1_000, 2_000) == 1e-6


def test_a_registry_has_the_metrics_once():
    registry = client.CollectorRegistry(auto_describe=True)
    collector = register(Shown(), registry)
    with pytest.raises(ValueError, match="Duplicated"):
        register(Shown(), registry)
    collector.stop()
    register(Shown(), registry)


def test_waits_for_locks_are_not_called_waits_for_the_gil():
    """An interpreter without a GIL has only these."""
    registry = client.CollectorRegistry()
    monitor = Shown()
    monitor.reading = replace(READING, what="locks", hold=EMPTY, labels=(), blame=())
    register(monitor, registry)
    text = client.generate_latest(registry).decode()
    found = samples(text, parser.text_string_to_metric_families)
    assert found["gilprobe_lock_wait_seconds_count",] == 4
    assert found["gilprobe_monitored_seconds_total",] == 10
    assert "gilprobe_gil" not in text


def test_arguments_are_checked():
    with pytest.raises(InvalidTypeError, match="monitor must be a Monitor or None, got 3"):
        register(3, client.CollectorRegistry())
    with pytest.raises(InvalidValueError, match="max_labels must be within 0 and 1024, got -1"):
        register(Shown(), client.CollectorRegistry(), max_labels=-1)
    with pytest.raises(InvalidTypeError, match="max_labels must be an integer, got True"):
        register(Shown(), client.CollectorRegistry(), max_labels=True)


SUPPORT = str(Path(__file__).parents[1] / "support")
MULTIPROCESS = """
import json, os, signal, sys
from dataclasses import replace
sys.path.insert(0, {tests!r})
from monitor_readings import READING, Shown
from gilprobe.integrations.prometheus import register
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

def scraped():
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return {{" ".join([s.name, *s.labels.values()]): s.value
            for f in text_string_to_metric_families(generate_latest(registry).decode()) for s in f.samples}}

monitor = Shown()
monitor.reading = replace(READING, held_ns=4_000_000_000)
writer = register(monitor)
told = [scraped()]
for end in "exit", "kill":
    pid = os.fork()
    if pid == 0:
        monitor.reading = replace(READING, held_ns=monitor.reading.held_ns + 2_000_000_000)
        writer.write()
        if end == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(0)
    os.waitpid(pid, 0)
    told.append(scraped())
monitor.reading = replace(READING, elapsed_ns=1_000_000_000, held_ns=1_000_000_000)  # started anew
writer.write()
told.append(scraped())
monitor.reading = replace(monitor.reading, held_ns=3_000_000_000)
writer.stop()
told.append(scraped())
print(json.dumps(told))
"""


def test_the_sum_of_processes_has_also_those_that_died(tmp_path):
    """A child adds what came after its fork; a monitor that begins anew, and the end, lose nothing."""
    pytest.importorskip("prometheus_client.multiprocess")
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", MULTIPROCESS.format(tests=SUPPORT)],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [row["gilprobe_gil_held_seconds_total"] for row in told] == [4, 6, 8, 9, 11]
    assert told[0]["gilprobe_gil_wait_seconds_count"] == 4
    assert all(row["gilprobe_gil_wait_seconds_bucket 1.024e-06"] == 2 for row in told[:3])
    assert {path.name.partition("_")[0] for path in tmp_path.iterdir()} == {"counter", "gauge", "histogram"}
