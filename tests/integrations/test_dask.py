"""Real clusters of Dask: each worker is a level of one report, and task keys are told."""

from __future__ import annotations

import contextlib
import time
import zlib

import pytest

pytest.importorskip("distributed")

import distributed
from dask_clusters import local_cluster

from gilprobe import capabilities
from gilprobe.errors import FormatError, InvalidTypeError, InvalidValueError
from gilprobe.integrations import cluster_reports
from gilprobe.integrations import dask as integration

TRACED = capabilities().tracer == "exact"
PATIENCE_S = 200

pytestmark = [
    pytest.mark.skipif(not TRACED, reason="needs an interpreter whose GIL can be traced"),
    # the cluster's own: sockets that it leaves to the collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@contextlib.contextmanager
def cluster(*, processes, workers=2):
    with (
        local_cluster(processes=processes, workers=workers) as made,
        distributed.Client(made, timeout="200s") as client,
    ):
        yield client


def contend(path):
    """Take the GIL in turns with other threads until a file is there."""
    import os

    while not os.path.exists(path):  # noqa: PTH110
        sorted(range(2000))


def tasks(client, path):
    """Start two kinds of tasks in the two threads of one worker."""
    contend_again = distributed.protocol.pickle.loads(distributed.protocol.pickle.dumps(contend))
    worker = sorted(client.run(lambda: None))[0]
    return [
        client.submit(contend_again, str(path), key=f"{kind}-1", workers=[worker])
        for kind in ("left", "right")
    ]


def until(client, plugin, is_enough):
    """Return the first report that is enough."""
    end = time.monotonic() + PATIENCE_S
    while True:
        report = integration.collect(client, plugin)
        if is_enough(report):
            return report
        assert time.monotonic() < end, "the tasks did not contend"
        time.sleep(0.2)


@pytest.fixture(scope="module", autouse=True)
def pickled_by_value():
    """Let workers do without this module, which they can't import."""
    import sys

    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.mark.slow
def test_processes_are_traced_and_their_task_keys_told(tmp_path):
    stop = tmp_path / "stop"
    with cluster(processes=True) as client:
        addresses = set(client.run(lambda: None))
        assert all(address.startswith("tcp://") for address in addresses)
        plugin = integration.GilProbe(tmp_path / "recordings")
        client.register_plugin(plugin)
        running = tasks(client, stop)

        def is_enough(report):
            told = {row.prefix: row for row in integration.task_keys(report)}
            return {"left", "right"} <= told.keys() and all(
                row.hold_ns and row.wait_ns and row.caused_ns for row in told.values()
            )

        report = until(client, plugin, is_enough)
        stop.touch()
        client.gather(running)
        client.unregister_worker_plugin(plugin.name)
        after = client.run(lambda: distributed.worker._run_task.__module__)
    assert {level.source for level in report.processes} == addresses
    assert len({level.pid for level in report.processes}) == 2
    (host,) = report.hosts
    assert host.processes == 2
    assert host.clock_error_ns > 0
    assert sum(row.wait_ns for row in report.blame) == sum(thread.wait_ns for thread in report.threads)
    assert set(after.values()) == {"distributed.worker"}  # as it was
    recordings = sorted((tmp_path / "recordings").iterdir())
    assert len(recordings) == 2
    assert {path.stat().st_mode & 0o777 for path in recordings} == {0o600}


@pytest.mark.slow
def test_workers_in_one_process_share_a_trace_that_ends_with_them():
    with cluster(processes=False) as client:
        report = integration.record(client, 0.2)
        assert len(client.run(lambda: None)) == 2
        again = integration.record(client, 0.2)
    for one in (report, again):
        (level,) = one.processes
        assert level.source.endswith(" and 1 more")
    assert not integration._running


@pytest.mark.slow
def test_a_worker_that_cannot_be_traced_goes_on(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with cluster(processes=False, workers=1) as client:
        with pytest.raises(FormatError, match=r"is left out: .*(Not a directory|File exists)"):
            integration.record(client, 0.1, folder=tmp_path / "file")
        assert client.submit(sum, (1, 2)).result() == 3


class NoClient:
    asynchronous = True


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_seconds_must_be_positive(seconds):
    with pytest.raises(InvalidValueError, match="seconds must be > 0 and finite"):
        integration.record(NoClient(), seconds)


def test_arguments_must_fit():
    for wrong in ("1", True, None):
        with pytest.raises(InvalidTypeError, match="seconds must be a number"):
            integration.record(NoClient(), wrong)
    with pytest.raises(InvalidValueError, match="client must be synchronous"):
        integration.record(NoClient(), 1)
    with pytest.raises(InvalidValueError, match="client must be synchronous"):
        integration.collect(NoClient(), integration.GilProbe())


def test_many_keys_are_bounded(monkeypatch):
    monkeypatch.setattr(integration, "_MOST_KEYS", 4)
    monkeypatch.setattr(integration, "_prefixes", set())
    names = {integration._labelled(f"{letter * 9}-1").__code__.co_name for letter in "abcdefgh"}
    assert names == {"aaaaaaaaa", "bbbbbbbbb", "ccccccccc", "(others)"}
    assert integration._labelled(("x" * 500, 1)).__code__.co_qualname == "(others)"
    assert integration._labelled("aaaaaaaaa-7")(max, 3, 4) == 4


def test_what_is_no_report_is_refused():
    for packed in (b"nonsense", b"", zlib.compress(b"[]"), zlib.compress(b"{")):
        with pytest.raises(FormatError):
            cluster_reports._unpacked(packed)
