"""Labels: what code holds and waits for counts for the label that it has at the time."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
import weakref

import pytest

import gilprobe
from gilprobe._native import tracer
from gilprobe.errors import InvalidTypeError, TracerStateError
from gilprobe.model.labels import NO_LABEL
from gilprobe.tracing.loading import load

SUPPORTED, REASON = tracer.support()
needs_tracer = pytest.mark.skipif(not SUPPORTED, reason=f"the GIL can't be traced here: {REASON}")


@pytest.fixture(autouse=True)
def nothing_stays():
    """Every test here ends its monitors."""
    yield
    gc.collect()
    assert tracer.sessions() == 0


def work():
    """Hold the GIL; return how long, at least, nanoseconds."""
    before = gilprobe.thread_times()[0]
    sum(range(20_000))
    return gilprobe.thread_times()[0] - before


def holds(monitor):
    """Return the time that each label held."""
    return {row.name: row.hold_ns for row in monitor.read().labels}


def check_shares(monitor, least, begin):
    """Assert that each label has at least what its code measured, and no more than that leaves of the whole.

    `begin` is what the thread had held before all that. Time without a label began earlier. The clock's ticks
    are rounded.
    """
    found = holds(monitor)
    held = gilprobe.thread_times()[0] - begin
    for name, own in least.items():
        most = held - sum(least.values()) + own if name != NO_LABEL else found[name]
        assert own - 1000 <= found[name] <= most + 1000, (name, found, least, held)


@needs_tracer
def test_inner_labels_stand_for_outer_ones():
    with gilprobe.monitor() as monitor:
        begin = gilprobe.thread_times()[0]
        least = dict.fromkeys(("outer", "inner"), 0)
        for _ in range(300):  # more changes than a journal has notes
            with gilprobe.label("outer"):
                least["outer"] += work()
                with gilprobe.label("inner"):
                    least["inner"] += work()
                least["outer"] += work()
        check_shares(monitor, least, begin)


@needs_tracer
def test_an_exception_ends_a_label():
    @gilprobe.label("fails")
    def fail():
        raise KeyError("as it should")

    with gilprobe.monitor() as monitor:
        for _ in range(3):
            with pytest.raises(KeyError, match="as it should"):
                fail()
        begin = gilprobe.thread_times()[0]
        least = work()
        ended = gilprobe.thread_times()[0]
        found = holds(monitor)
        assert found[NO_LABEL] >= least
        assert found["fails"] <= ended  # and not what came since
        before = found["fails"]
        work()
        assert holds(monitor)["fails"] == before
        assert begin < ended


@needs_tracer
def test_tasks_that_take_turns_keep_their_labels():
    least = {"left": 0, "right": 0}

    async def run(name, mine, others):
        with gilprobe.label(name):
            for _ in range(20):
                await mine.wait()
                mine.clear()
                least[name] += work()
                others.set()

    async def both():
        left, right = asyncio.Event(), asyncio.Event()
        left.set()
        await asyncio.gather(run("left", left, right), run("right", right, left))

    with gilprobe.monitor() as monitor:
        begin = gilprobe.thread_times()[0]
        asyncio.run(both())
        check_shares(monitor, least, begin)


@needs_tracer
def test_a_decorated_coroutine_leaves_its_label_where_it_waits():
    """Two coroutines are driven by hand, in one context: by a loop that tells nothing, so to speak."""
    least = {"left": 0, "right": 0}

    class Turn:
        def __await__(self):
            yield

    def made(name):
        @gilprobe.label(name)
        async def run():
            for _ in range(20):
                least[name] += work()
                await Turn()

        return run()

    with gilprobe.monitor() as monitor:
        begin = gilprobe.thread_times()[0]
        left, right = made("left"), made("right")
        for _ in range(20):
            left.send(None)
            right.send(None)
        held = holds(monitor)
        work()
        assert {name: holds(monitor)[name] for name in least} == {name: held[name] for name in least}
        check_shares(monitor, least, begin)
        left.close()
        with pytest.raises(StopIteration):
            right.send(None)


@needs_tracer
def test_a_label_decorates_functions_and_coroutines():
    @gilprobe.label("plain")
    def plain(value):
        return value, work()

    @gilprobe.label("async")
    async def awaited(value):
        await asyncio.sleep(0)
        return value, work()

    with gilprobe.monitor() as monitor:
        begin = gilprobe.thread_times()[0]
        first, second = plain(1), asyncio.run(awaited(2))
        check_shares(monitor, {"plain": first[1], "async": second[1]}, begin)
    assert (first[0], second[0]) == (1, 2)
    assert (plain.__name__, awaited.__name__) == ("plain", "awaited")
    assert asyncio.iscoroutinefunction(awaited) if sys.version_info < (3, 14) else True


@needs_tracer
def test_a_context_that_is_run_has_its_label():
    with gilprobe.label("caught"):
        context = contextvars.copy_context()
    with gilprobe.monitor() as monitor:
        begin = gilprobe.thread_times()[0]
        with gilprobe.label("outside"):
            least = {"caught": context.run(work), "outside": work()}
        check_shares(monitor, least, begin)


def labels_in(context):
    """Return the labels that a context is inside of."""
    return [value for variable, value in context.items() if variable.name == "gilprobe.label" and value]


def test_a_label_may_be_left_in_copies_of_its_context_before_and_after_the_context_itself():
    label, before = gilprobe.label("copied"), contextvars.copy_context()
    label.__enter__()
    early, late = contextvars.copy_context(), contextvars.copy_context()
    early.run(label.__exit__, None, None, None)
    assert len(labels_in(contextvars.copy_context())) == len(labels_in(late)) == 1
    label.__exit__(None, None, None)
    late.run(label.__exit__, None, None, None)
    assert [labels_in(one) for one in (before, early, late, contextvars.copy_context())] == [[]] * 4


def test_a_context_that_is_given_up_inside_a_label_is_freed():
    context = contextvars.copy_context()
    context.run(gilprobe.label("given up").__enter__)
    left = weakref.ref(context)
    del context
    gc.collect()
    assert left() is None


@needs_tracer
def test_a_label_lasts_while_a_generator_is_suspended():
    def items():
        with gilprobe.label("generator"):
            yield

    with gilprobe.monitor() as monitor:
        begin = gilprobe.thread_times()[0]
        generator = items()
        next(generator)
        least = {"generator": work()}
        generator.close()
        least[NO_LABEL] = work()
        check_shares(monitor, least, begin)


@needs_tracer
def test_a_label_that_was_there_before_counts_from_the_start():
    with gilprobe.label("earlier"), gilprobe.monitor() as monitor:
        check_shares(monitor, {"earlier": work()}, begin=0)  # a thread's times count from the monitor's start


@needs_tracer
def test_each_thread_has_its_own():
    def run(name, gate):
        with gilprobe.label(name):
            gate.wait()
            work()

    gate = threading.Event()
    with gilprobe.monitor() as monitor, gilprobe.label("main"):
        threads = [threading.Thread(target=run, args=(f"thread {n}", gate)) for n in range(3)]
        for thread in threads:
            thread.start()
        gate.set()
        for thread in threads:
            thread.join()
        found = holds(monitor)
    assert {name for name, hold_ns in found.items() if hold_ns} >= {
        "main",
        "thread 0",
        "thread 1",
        "thread 2",
    }


@needs_tracer
def test_the_times_of_a_thread_are_those_of_its_report():
    with gilprobe.trace() as trace:
        before = gilprobe.thread_times()
        for _ in range(600):  # more than a journal has notes
            gilprobe.kernels.sleep(1)
        after = gilprobe.thread_times()
        report = trace.report()
        last = gilprobe.thread_times()
    (main,) = [thread for thread in report.threads if thread.native_id == threading.get_native_id()]
    assert all(earlier <= later for earlier, later in zip(before, after, strict=True))
    # the report's clock is more exact: 1e-4
    assert after[0] * 0.999 <= main.hold_ns <= last[0] * 1.001
    assert main.wait_ns == pytest.approx(after[1], rel=1e-3, abs=1000)
    assert main.off_ns == pytest.approx(after[2], rel=1e-3, abs=1000)


def test_without_a_trace_a_thread_has_no_times():
    with pytest.raises(TracerStateError, match="must be running"):
        gilprobe.thread_times()


@pytest.mark.parametrize("name", [None, 1, b"GET /"])
def test_a_label_is_a_string(name):
    with pytest.raises(InvalidTypeError, match="must be a string"):
        gilprobe.label(name)


def test_generators_are_not_decorated():
    def items():
        yield

    for wrong in (items, 1):
        with pytest.raises(InvalidTypeError, match="for a function"):
            gilprobe.label("items")(wrong)


@needs_tracer
def test_labels_are_bounded(child):
    ended = child(
        """
        import gilprobe
        with gilprobe.monitor() as monitor:
            for n in range(1100):
                with gilprobe.label(f"/item/{n}"):
                    sum(range(100))
            rows = {row.name: row for row in monitor.read().labels}
        assert len(rows) == 1024 + 2, len(rows)
        assert rows["(other labels)"].hold_ns > 0
        assert "/item/1023" in rows and "/item/1024" not in rows
        """
    )
    assert ended.status == 0, ended.stderr


@needs_tracer
def test_a_report_and_its_recording_tell_the_same_of_labels(tmp_path):
    path = tmp_path / "labels.gilprobe"
    with gilprobe.trace(path=path) as trace, gilprobe.label("recorded \N{SNOWMAN}\x1b[2J"):
        work()
    report = trace.report()
    assert sum(row.hold_ns for row in report.labels) == report.held_ns
    assert {row.name for row in report.labels} == {NO_LABEL, "recorded \N{SNOWMAN}\x1b[2J"}
    read = load(path).report
    assert (read.labels, read.label_blame) == (report.labels, report.label_blame)
    report.save(tmp_path / "report.json")
    assert gilprobe.Report.load(tmp_path / "report.json").labels == report.labels
