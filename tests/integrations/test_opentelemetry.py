"""OpenTelemetry: what its own in-memory reader and exporter get."""

from __future__ import annotations

import asyncio
import threading

import pytest
from monitor_readings import READING, Shown

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gilprobe.integrations.opentelemetry import register, span_processor


def test_every_number_is_observed_as_it_was_read(bell):
    reader = InMemoryMetricReader()
    register(Shown(), MeterProvider([reader]), alarm=bell)
    bell.rings = 3
    found = {
        (metric.name, *point.attributes.values()): point.value
        for resource in reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    }
    assert found["gilprobe.monitored",] == 10
    assert found["gilprobe.gil_held",] == 4
    assert found["gilprobe.gil_contended",] == 1
    assert found["gilprobe.gil_threads_waiting",] == 2
    assert found["gilprobe.gil_stalls",] == 3
    assert found["gilprobe.gil_wait.sum",] == READING.wait.total_s
    assert found["gilprobe.gil_wait.count", "1.024e-06"] == 2
    assert found["gilprobe.gil_wait.count", "+Inf"] == 4
    assert found["gilprobe.gil_hold.count", "+Inf"] == 2
    assert found["gilprobe.label_blamed", 'GET /a"b\\n\\ud800'] == 2


@pytest.fixture
def tracer(labels):
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(span_processor())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("test"), exporter


def test_a_span_has_what_its_thread_spent(tracer, times):
    spans, exporter = tracer
    with spans.start_as_current_span("outer"):
        times.spend(1, 0)
        with spans.start_as_current_span("inner"):
            times.spend(2, 3)
    inner, outer = exporter.get_finished_spans()
    assert dict(inner.attributes) == {"gil.hold_s": 0.002, "gil.wait_s": 0.003}
    assert dict(outer.attributes) == {"gil.hold_s": 0.003, "gil.wait_s": 0.003}


def test_a_span_that_crosses_threads_has_none(tracer, times):
    spans, exporter = tracer
    span = spans.start_span("crosses")
    thread = threading.Thread(target=span.end)
    thread.start()
    thread.join()
    assert not exporter.get_finished_spans()[0].attributes


def test_a_span_of_an_event_loop_has_none(tracer, times):
    spans, exporter = tracer

    async def serve():
        with spans.start_as_current_span("shares its thread"):
            await asyncio.sleep(0)

    asyncio.run(serve())
    assert not exporter.get_finished_spans()[0].attributes
