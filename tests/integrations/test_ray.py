"""A real cluster of Ray: each worker is a level of one report, and methods of actors are told.

Run by hand, where Ray is installed: it is large, and starts in its own time.
"""

from __future__ import annotations

import contextlib
import sys
import threading

import pytest

pytest.importorskip("ray")

import ray

from gilprobe import capabilities
from gilprobe.errors import FormatError, InvalidTypeError, InvalidValueError
from gilprobe.integrations import ray as integration
from gilprobe.report import Frame, Stack

pytestmark = [
    pytest.mark.skipif(
        capabilities().tracer != "exact", reason="needs an interpreter whose GIL can be traced"
    ),
    # the cluster's own: sockets and files that it leaves to the collector
    pytest.mark.filterwarnings("ignore"),
]

TURNS = 20_000


class Model:
    """Two methods that contend until they have."""

    def __init__(self):
        self._both = threading.Barrier(2)
        self._turns = {"left": 0, "right": 0}

    def ready(self):
        pass

    def left(self):
        self._contend("left", "right")

    def right(self):
        self._contend("right", "left")

    def _contend(self, me, other):
        self._both.wait()
        while min(self._turns[me], self._turns[other]) < TURNS:
            sum(range(20))
            self._turns[me] += 1


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers can't import this module
    # They import from the driver's folder first, where there may be a checkout without a core.
    with contextlib.chdir(tmp_path_factory.mktemp("driver")):
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.mark.slow
def test_workers_are_traced_and_their_methods_told(cluster, tmp_path):
    model = ray.remote(Model).options(max_concurrency=2).remote()
    ray.get(model.ready.remote())
    with integration.JobTrace(tmp_path / "recordings") as job:
        ray.get([model.left.remote(), model.right.remote()])
    told = {row.name: row for row in integration.task_times(job.report)}
    assert told["Model.left"].wait_ns
    assert told["Model.right"].wait_ns
    assert all("/" not in name and "main_loop" not in name for name in told)
    assert any(level.command == "ray::Model" for level in job.report.processes)
    (host,) = job.report.hosts
    assert host.clock_error_ns > 0
    written = list((tmp_path / "recordings").iterdir())
    assert len(written) == host.processes
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}


@pytest.mark.slow
def test_a_node_that_cannot_trace_goes_on(cluster, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FormatError, match=r"worker of node .* is left out: .*(Not a directory|File exists)"):
        integration.record(0.1, folder=tmp_path / "file")
    assert ray.get(ray.remote(lambda: 3).remote()) == 3


PACKAGE = "/lib/site-packages/ray"
MAIN = Frame("Worker.main_loop", f"{PACKAGE}/_private/worker.py", 1)
METHOD = Frame("X.actor_method_executor", f"{PACKAGE}/_private/function_manager.py", 1)
SPAN = Frame("Y.<locals>._resume_span", f"{PACKAGE}/util/tracing/tracing_helper.py", 1)
LOOP = [
    Frame("Thread.run", "/lib/threading.py", 1),
    Frame("BaseEventLoop.run_forever", "/lib/asyncio/base_events.py", 1),
    Frame("BaseEventLoop._run_once", "/lib/asyncio/base_events.py", 1),
    Frame("Handle._run", "/lib/asyncio/events.py", 1),
]
TASK = Frame("main.<locals>.hog", "/home/ray/app.py", 3)
DEEPER = Frame("helper", "/home/ray/app.py", 9)


@pytest.mark.parametrize(
    ("frames", "name"),
    [
        ([MAIN, TASK, DEEPER], "hog"),
        ([MAIN, METHOD, SPAN, Frame("A.m", "/home/ray/app.py", 4), DEEPER], "A.m"),
        ([METHOD, Frame("PoolActor.run", f"{PACKAGE}/util/multiprocessing/pool.py", 4)], "PoolActor.run"),
        ([MAIN, Frame("_map_task", f"{PACKAGE}/data/_internal/map.py", 4)], "_map_task"),
        ([*LOOP, SPAN, Frame("B.serve", "/home/ray/app.py", 4)], "B.serve"),
        ([MAIN, Frame("CoreWorker.run_task_loop", "", 0), TASK], "hog"),
        ([*LOOP, Frame("Context.run", "", 0), Frame("B.stream", "/home/ray/app.py", 4)], "B.stream"),
        ([*LOOP, Frame("BaseSelectorEventLoop._read", "/lib/asyncio/selector_events.py", 4)], None),
        ([MAIN, Frame("apply", f"{PACKAGE}/util/serialization_addons.py", 4), DEEPER], None),
        ([MAIN, Frame("JobConfig._serialize", f"{PACKAGE}/job_config.py", 4)], None),
        ([MAIN], None),
        ([LOOP[0], DEEPER], None),
        ([], None),
    ],
)
def test_a_task_is_what_ray_calls(frames, name):
    assert integration._task_of(Stack(tuple(frames), 1, 2, 3, 4)) == name


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_seconds_must_be_positive(seconds):
    with pytest.raises(InvalidValueError, match="seconds must be > 0 and finite"):
        integration.record(seconds)


def test_arguments_must_fit():
    for wrong in ("1", True, None):
        with pytest.raises(InvalidTypeError, match="seconds must be a number"):
            integration.record(wrong)


def test_ray_must_be_connected(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(InvalidValueError, match=r"call ray\.init"):
        integration.record(1)
