"""Event loops of asyncio: which task and coroutine held the GIL, and the longest callbacks."""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import subprocess
import sys
import threading
import time

import pytest

import gilprobe
from gilprobe._native import tracer
from gilprobe.render.text.trace_text import render_report
from gilprobe.tracing.loading import load

pytestmark = pytest.mark.skipif(
    not tracer.support()[0] or tracer.frames_differ() is not None, reason="no sites here"
)

BIG = list(range(200_000))
ENOUGH = 40
LONG_S = 0.05
WORKS = 12  # times `heavy` does what `light` does: on a busy machine it may be `light` that loses its core


class Waiter:
    """A thread that wants the GIL all the time: so there are looks."""

    def __enter__(self):
        self.over = False
        self.thread = threading.Thread(target=self._run, name="waiter")
        self.thread.start()

    def _run(self):
        while not self.over:
            len(BIG)

    def __exit__(self, *_):
        self.over = True
        self.thread.join()


def tasks(report):
    """Return the report's tasks by name and coroutine."""
    return {(task.name, task.function.rpartition(".")[2]): task for task in report.tasks}


def seen(*keys, number=ENOUGH):
    """Return a condition: each of these tasks has so many looks."""

    def enough(report):
        found = tasks(report)
        return all(key in found and found[key].looks >= number for key in keys)

    return enough


def run_until(enough, start, **options):
    """Run tasks in an event loop until a report says enough; return that of the whole trace.

    `start` gets a function that tells whether the time is over, and returns the tasks to wait for.
    """
    over = threading.Event()

    def wait(t):
        try:
            while not enough(t.report()):
                until = time.monotonic() + 0.2
                while time.monotonic() < until:
                    len(BIG)
        finally:
            over.set()

    async def main():
        await asyncio.gather(*start(over.is_set))

    with gilprobe.trace(**options) as t:
        waiter = threading.Thread(target=wait, args=(t,), name="waiter")
        waiter.start()
        asyncio.run(main())
        waiter.join()
    return t.report()


async def heavy(over):
    while not over():
        for _ in range(WORKS):
            sum(BIG)
        await asyncio.sleep(0)


async def light(over):
    while not over():
        sum(BIG)
        await asyncio.sleep(0)


def two_tasks(over):
    return [asyncio.create_task(heavy(over), name="grind"), asyncio.create_task(light(over), name="tick")]


@pytest.mark.lengthy
def test_the_task_that_holds_longer_is_told_first_with_its_coroutine():
    both = ("grind", "heavy"), ("tick", "light")

    def enough(report):
        heavy, light = map(tasks(report).get, both)
        return seen(*both, number=20)(report) and heavy.caused_ns > 2 * light.caused_ns

    report = run_until(enough, two_tasks, stacks=True)
    found = tasks(report)
    assert found["grind", "heavy"].caused_ns > found["tick", "light"].caused_ns > 0
    assert found["grind", "heavy"].filename == __file__
    first = next(row for row in report.culprits("task") if row.task)
    assert (first.task, first.function, first.thread) == ("grind", "heavy", "MainThread")
    call = next(row for row in report.culprits("call") if row.task)
    assert (call.task, call.function, call.called) == ("grind", "heavy", "sum")
    assert "task grind in heavy (" in render_report(report)


def test_rows_by_task_add_up_to_all_waiting_behind_a_holder():
    report = run_until(seen(("grind", "heavy")), two_tasks)
    waited = sum(row.wait_ns for row in report.blame if row.holder)
    assert sum(row.caused_ns for row in report.culprits("task")) == waited
    assert sum(task.caused_ns for task in report.tasks) <= waited
    assert sum(task.hold_ns for task in report.tasks) <= report.held_ns


async def inner(over):
    await light(over)


async def outer(over):
    await inner(over)


def test_a_task_has_the_coroutine_that_it_was_made_for_not_the_one_that_runs():
    report = run_until(
        seen(("nested", "outer")), lambda over: [asyncio.create_task(outer(over), name="nested")]
    )
    assert ("nested", "light") not in tasks(report)
    rows = [row for row in report.blame if row.task is not None and report.tasks[row.task].name == "nested"]
    assert any(row.function == "light" for row in rows)


@pytest.mark.lengthy
def test_equal_names_of_two_coroutines_are_two_rows_and_numbered_ones_of_one_are_one():
    def start(over):
        names = [("same", heavy), ("same", light), ("conn-1", outer), ("conn-2", outer)]
        return [asyncio.create_task(function(over), name=name) for name, function in names]

    keys = ("same", "heavy"), ("same", "light"), ("conn-N x 2", "outer")
    assert set(keys) <= set(tasks(run_until(seen(*keys, number=10), start)))


def test_tasks_that_nobody_named_are_one_row_for_each_coroutine():
    report = run_until(
        seen(("Task-N", "light")), lambda over: [asyncio.create_task(light(over)) for _ in range(3)]
    )
    assert not [name for name, _ in tasks(report) if name.startswith("Task-") and name != "Task-N"]


@pytest.mark.lengthy
def test_a_group_of_tasks():
    async def group(over):
        async with asyncio.TaskGroup() as tg:
            tg.create_task(heavy(over), name="first")
            tg.create_task(light(over), name="second")

    report = run_until(
        seen(("first", "heavy"), ("second", "light"), number=8),
        lambda over: [asyncio.create_task(group(over))],
    )
    assert report.tasks


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no eager tasks")
def test_an_eager_task_is_told_instead_of_the_one_that_made_it():
    async def eager():
        sum(BIG)

    async def maker(over):
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        while not over():
            for _ in range(8):
                asyncio.create_task(eager())  # noqa: RUF006  # it is over already
            await asyncio.sleep(0)

    report = run_until(
        seen(("Task-N", "eager")), lambda over: [asyncio.create_task(maker(over), name="maker")]
    )
    found = tasks(report)
    assert ("maker", "maker") not in found or found["maker", "maker"].looks < found["Task-N", "eager"].looks


def test_a_callback_without_a_task_is_told_by_its_function():
    def start(over):
        loop, done = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

        def called():
            sum(BIG)
            loop.call_soon(called) if not over() else done.set_result(None)

        loop.call_soon(called)
        return [done]

    report = run_until(seen(("", "called")), start)
    assert any(row.function.endswith("called") and not row.task for row in report.culprits("task"))


@pytest.mark.lengthy
def test_each_of_several_loops_has_its_own_task():
    over = threading.Event()

    async def one():
        await asyncio.create_task(heavy(over.is_set), name=threading.current_thread().name)

    threads = [threading.Thread(target=lambda: asyncio.run(one()), name=f"loop {letter}") for letter in "ab"]
    with gilprobe.trace() as t:
        for thread in threads:
            thread.start()
        while not seen(("loop a", "heavy"), ("loop b", "heavy"))(t.report()):
            time.sleep(0.05)
        over.set()
        for thread in threads:
            thread.join()
    # a look may also fall into the task of `one`, which only makes the other and waits
    rows = [row for row in t.report().culprits("task") if row.task and row.function == "heavy"]
    assert sorted((row.task, row.thread) for row in rows) == [("loop a", "loop a"), ("loop b", "loop b")]


NAMES = {
    "surrogate \ud800": "surrogate",
    "line\nbreak \x1b[31m": "line",
    "long " * 100: "long long",
    "ünï": "ünï",
}


@pytest.mark.parametrize("given", NAMES)
def test_names_with_any_characters(given, tmp_path):
    path = tmp_path / "t.gilprobe"

    def enough(report):
        return any(task.name.startswith(NAMES[given]) and task.looks for task in report.tasks)

    report = run_until(
        enough, lambda over: [asyncio.create_task(light(over), name=given)], path=path, timeline=True
    )
    text = render_report(report, rows=50)
    assert "\x1b" not in text
    assert "\ud800" not in text
    assert load(path).report.tasks == report.tasks


@pytest.mark.lengthy
def test_a_recording_tells_the_same_as_the_trace(tmp_path):
    path = tmp_path / "t.gilprobe"
    report = run_until(seen(("grind", "heavy")), two_tasks, path=path, stacks=True, timeline=True)
    loaded = load(path).report
    assert loaded.tasks == report.tasks
    assert loaded.blame == report.blame
    assert loaded.longest_callbacks == report.longest_callbacks
    report.save(tmp_path / "r.json")
    assert gilprobe.Report.load(tmp_path / "r.json") == report


# ---- the longest callbacks ----


def named(report, task):
    return [row for row in report.longest_callbacks if row.task == task]


def run_traced(main, **options):
    with gilprobe.trace(**options) as t:
        asyncio.run(main())
    return t.report()


def test_a_long_step_is_told_with_its_task_and_the_line_where_it_stopped():
    spent = []

    async def blocker():
        begin = time.monotonic()
        time.sleep(LONG_S)
        spent.append(time.monotonic() - begin)
        await asyncio.sleep(0.01)

    async def main():
        begin = time.monotonic()
        await asyncio.create_task(blocker(), name="blocker")
        spent.append(time.monotonic() - begin)

    stopped = blocker.__code__.co_firstlineno + 4
    (row,) = [row for row in named(run_traced(main), "blocker") if row.line == stopped]
    assert spent[0] <= row.duration_s <= spent[1]
    assert row.function.endswith("blocker")
    assert row.filename == __file__
    assert row.thread == "MainThread"


def test_the_longest_come_first_and_the_number_is_bounded():
    async def main():
        for number in range(150):
            asyncio.get_running_loop().call_soon(time.sleep, 0.002 if number != 70 else 0.04)
        await asyncio.sleep(0.01)

    rows = run_traced(main).longest_callbacks
    assert len(rows) == 128
    assert next(row for row in rows if row.function == "sleep").duration_s >= 0.04
    assert [row.duration_ns for row in rows] == sorted((row.duration_ns for row in rows), reverse=True)


def test_a_callback_function_is_told_by_its_name():
    def blocks():
        time.sleep(LONG_S)

    async def main():
        asyncio.get_running_loop().call_later(0, blocks)
        await asyncio.sleep(LONG_S / 10)

    (row,) = [row for row in run_traced(main).longest_callbacks if row.function.endswith("blocks")]
    assert (row.task, row.filename) == ("", __file__)
    assert row.duration_s >= LONG_S


def test_what_others_waited_meanwhile_is_told():
    text = json.dumps([list(range(1000))] * 400)

    async def loads():
        begin = time.monotonic()
        while time.monotonic() - begin < 0.2:
            json.loads(text)

    async def main():
        await asyncio.create_task(loads(), name="loads")

    with Waiter():
        (row,) = named(run_traced(main), "loads")
        while row.waited_s == 0:  # on a busy machine the other may ask late
            (row,) = named(run_traced(main), "loads")
    assert 0 < row.waited_s <= 2 * row.duration_s
    if row.looks >= 10:
        assert row.seen_line
        assert row.seen <= row.looks


def test_a_task_that_fails_fails_as_ever_and_is_told():
    async def fails():
        time.sleep(LONG_S)
        raise LookupError("as planned")

    async def main():
        with pytest.raises(LookupError, match="as planned"):
            await asyncio.create_task(fails(), name="fails")

    assert named(run_traced(main), "fails")


class Odd(asyncio.Task):
    """A class of tasks that tells nothing of itself."""

    def get_name(self):
        raise RuntimeError("asked by nobody")

    def get_coro(self):
        raise RuntimeError("asked by nobody")


def test_no_code_of_the_program_runs_for_a_name():
    async def blocks():
        time.sleep(LONG_S)

    async def main():
        asyncio.get_running_loop().set_task_factory(
            lambda loop, coroutine, **more: Odd(coroutine, loop=loop, **more)
        )
        await asyncio.create_task(blocks(), name="odd")

    assert [row.function.rpartition(".")[2] for row in named(run_traced(main), "odd")] == ["blocks"]


def test_other_users_of_contexts_are_not_callbacks():
    with gilprobe.trace() as t:
        assert contextvars.copy_context().run(time.sleep, LONG_S) is None
        with pytest.raises(TypeError):
            contextvars.copy_context().run()
        assert contextvars.copy_context().run(lambda *a, **k: (a, k), 1, two=2) == ((1,), {"two": 2})
    assert not t.report().longest_callbacks


def test_nothing_that_a_program_sees_changes():
    before = contextvars.Context.run, asyncio.events.Handle._run
    with gilprobe.trace():
        assert (contextvars.Context.run, asyncio.events.Handle._run) == before
        assert contextvars.Context.run is before[0]


def test_a_trace_that_begins_and_ends_in_a_callback():
    async def main():
        trace = gilprobe.trace()
        trace.start()
        time.sleep(LONG_S)
        trace.stop()
        await asyncio.sleep(0)
        with gilprobe.trace() as t:
            await asyncio.sleep(0)
            time.sleep(LONG_S)
            await asyncio.sleep(0)
        return trace.report(), t.report()

    first, second = asyncio.run(main())
    assert not first.longest_callbacks
    assert [row for row in second.longest_callbacks if row.duration_s >= LONG_S]


def test_without_sites_nothing_is_told():
    async def main():
        time.sleep(LONG_S)

    assert not run_traced(main, sites=False).longest_callbacks


def test_a_loop_that_ends_and_another_that_begins_in_one_trace():
    async def main():
        time.sleep(LONG_S)
        await asyncio.sleep(0)

    with gilprobe.trace() as t:
        for _ in range(3):
            asyncio.run(main())
    stopped = main.__code__.co_firstlineno + 2
    rows = [row for row in t.report().longest_callbacks if row.line == stopped]
    assert len([row for row in rows if row.filename == __file__ and row.duration_s >= LONG_S]) == 3


FORKS = """
import asyncio, os, sys, time, gilprobe

async def blocks(path):
    time.sleep(0.03)
    pid = os.fork()
    if pid == 0:
        with gilprobe.trace() as t:
            loop = asyncio.new_event_loop()
            asyncio._set_running_loop(None)
            loop.call_soon(time.sleep, 0.03)
            loop.call_soon(loop.stop)
            loop.run_forever()
        os._exit(not [row for row in t.report().longest_callbacks if row.function == "sleep"])
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

with gilprobe.trace() as t:
    status = asyncio.run(blocks(sys.argv[-1]))
sys.exit(status or not t.report().longest_callbacks)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_fork_in_a_callback():
    assert (
        subprocess.run([sys.executable, "-W", "ignore", "-c", FORKS], timeout=120, check=False).returncode
        == 0
    )
