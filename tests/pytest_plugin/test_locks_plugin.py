"""The pytest plugin about locks and threads: `--locks`, `max_lock_wait` and `scales`."""

from __future__ import annotations

import dataclasses
import re
import threading
import time

import pytest

from gilprobe.measuring import host, teams
from gilprobe.measuring.host import capabilities
from gilprobe.measuring.measure import Measurement
from gilprobe.measuring.teams import MemberRun, TeamRun
from gilprobe.model.distribution import Distribution
from gilprobe.model.lock_places import waited_locks
from gilprobe.model.locks import LOCK, WORK, Lock, LockWait
from gilprobe.pytest_plugin import lock_limits, scaling
from gilprobe.pytest_plugin.limits import ScalingLimit
from gilprobe.results import Arm

pytestmark = pytest.mark.plain_python

pytest_plugins = ["pytester"]

HERE = capabilities()
TRACED = HERE.locks == "exact" and (HERE.tracer == "exact" or not HERE.gil_enabled)
needs_locks = pytest.mark.skipif(not TRACED, reason=f"locks can't be traced here: {HERE.locks_reason}")
TWO_CORES = pytest.mark.skipif(host.usable_cores() < 2, reason="needs two cores")

HEAD = """
import threading, time, unittest
import gilprobe, pytest

LOCK = threading.Lock()

def want():
    with LOCK:
        pass

def hold(begun, end):
    with LOCK:
        begun.set()
        end.wait()

def sleeps(thread):
    with open(f"/proc/self/task/{thread.native_id}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "S"

def wait_behind():
    # Until a trace has seen it, then for a while more.
    begun, end = threading.Event(), threading.Event()
    holder = threading.Thread(target=hold, args=(begun, end), name="holder")
    waiter = threading.Thread(target=want, name="waiter")
    holder.start()
    begun.wait()
    with gilprobe.trace(locks=True) as own:
        waiter.start()
        while not any(row.waiter_function == "want" for row in own.report().lock_waits):
            time.sleep(0.001)
        while not sleeps(waiter):  # it spins: then a release is silent
            time.sleep(0.001)
        time.sleep(0.25)
    end.set()
    for thread in (holder, waiter): thread.join()
"""


@pytest.fixture
def run(pytester):
    """Return a function that runs pytest on a file of tests in a process of its own."""

    def run(source, *arguments):
        pytester.makepyfile(HEAD + source)
        return pytester.runpytest_subprocess(
            "--strict-markers", "-W", "error", "-p", "no:hypothesispytest", *arguments
        )

    return run


LIMITS = """
@pytest.mark.max_lock_wait("200ms")
def test_waits_too_long(): wait_behind()

@pytest.mark.max_lock_wait("1000s")
def test_may_wait(): wait_behind()

@pytest.mark.max_lock_wait("1000s")
def test_that_fails_by_itself(): assert want() == 1

class TestPlain(unittest.TestCase):
    @pytest.mark.max_lock_wait("200ms")
    def test_a_method(self): wait_behind()

    def setUp(self): wait_behind()

    @pytest.mark.max_lock_wait("200ms")
    def test_waits_in_set_up_only(self): pass

@pytest.mark.max_lock_wait("200ms")
def test_waits_for_work():
    threading.Event().wait(0.25)
    thread = threading.Thread(target=time.sleep, args=(0.25,))
    thread.start()
    thread.join()
"""


@needs_locks
@pytest.mark.parametrize("more", [(), ("--locks",), ("--gil", "--locks")])
def test_a_long_wait_for_a_lock_fails_its_test_and_tells_lock_waiter_and_holder(run, more):
    ended = run(LIMITS, "-rA", *more)
    ended.assert_outcomes(passed=3, failed=3)
    failed = set(re.findall(r"^FAILED \S*?::(\S+)", ended.stdout.str(), re.M))
    assert failed == {"test_waits_too_long", "test_that_fails_by_itself", "TestPlain::test_a_method"}
    ended.stdout.re_match_lines_random([
        r"max_lock_wait: a thread waited [0-9.]+ m?s at a time for Lock .*, at most 200 ms is allowed; .*",
        r".*; most waited waiter in want \(\S+:\d+\), behind holder in hold \(\S+:\d+\)",
        r"E +assert None == 1",
    ])  # fmt: skip


MISUSED = """
@pytest.mark.max_lock_wait
def test_a(): pass

@pytest.mark.max_lock_wait("soon")
def test_b(): pass

@pytest.mark.scales("most")
def test_c(): pass

@pytest.mark.scales(at_least=2)
def test_d(): pass

@pytest.mark.scales(threads=1)
def test_e(): pass

@pytest.mark.scales(threads=True)
def test_f(): pass

@pytest.mark.scales(0.8, 2, 3)
def test_g(): pass
"""


def test_a_marker_that_can_not_be_read_fails_its_test_with_the_rule(run):
    ended = run(MISUSED)
    ended.assert_outcomes(failed=7)
    ended.stdout.fnmatch_lines([
        'max_lock_wait must have a time such as "5ms", got None',
        "max_lock_wait must be a time above 0 such as 100ms, 0.5s or 2, got 'soon'",
        "scales: at_least must be a number, got 'most'",
        "scales: at_least must be from 0 to 1, got 2",
        "scales: threads must be from 2 to 1024, got 1",
        "scales: threads must be an integer, got True",
        "a marker must be scales(at_least=0.8, threads=2), got also 3",
    ])  # fmt: skip


WAITERS = """
@pytest.mark.parametrize("number", range(3))
def test_waits(number): wait_behind()

def test_does_not(): want()

@pytest.mark.skip
def test_is_not_called(): pass
"""


def check_overview(ended):
    ended.assert_outcomes(passed=4, skipped=1)
    ended.stdout.re_match_lines_random([
        r".*PASSED +for locks [0-9.]+ m?s ",
        r"=+ locks =+",
        r"4 tests traced for .*: threads waited .* for locks, .* for work",
        r"Tests in which threads waited for locks, and for which most \(the first 2 of 3\)",
        r" *[0-9.]+ m?s +[0-9.]+ m?s  \S*::test_waits\[\d\]  \[Lock .*\]",
        r"Locks that threads waited for, and where most.*",
        r" *[0-9.]+ m?s +[0-9.]+ m?s +\d+ +[1-3]  Lock .*  \[want \(test_.*:\d+\)\]",
    ])  # fmt: skip


@needs_locks
def test_overview(run):
    ended = run(WAITERS, "--locks", "-v", "--locks-top=2")
    check_overview(ended)
    assert "= GIL =" not in ended.stdout.str()
    ended.stdout.fnmatch_lines(["gilprobe: traces locks in every test"])


@needs_locks
def test_overview_of_several_processes(run):
    pytest.importorskip("xdist")
    check_overview(run(WAITERS, "--locks", "-v", "--locks-top=2", "-n2"))


SCALING = """
def keep_sleeping():
    with LOCK:
        time.sleep(0.01)

@pytest.fixture
def length(): return 0.01

@pytest.mark.scales
def test_sleeps(length): time.sleep(length)

@pytest.mark.scales(at_least=0.8)
def test_has_to_wait(length): keep_sleeping()

@pytest.mark.scales(at_least=0)
def test_anything_will_do(): keep_sleeping()

@pytest.mark.scales
def test_fails_by_itself(): assert time.sleep(0.001) == 1

CALLS = []

@pytest.mark.scales
def test_passes_once():
    CALLS.append(1)
    assert len(CALLS) == 1

@pytest.mark.scales
async def test_is_async(): pass

class TestPlain(unittest.TestCase):
    def setUp(self): self.length = 0.01

    @pytest.mark.scales(at_least=0.8, threads=2)
    def test_a_method(self): time.sleep(self.length)
"""


MADE_UP = """
from gilprobe.measuring.measure import Measurement
from gilprobe.measuring.teams import MemberRun, TeamRun
from gilprobe.measuring.teams import run_team
from gilprobe.pytest_plugin import scaling
from gilprobe.results import Arm

def measure(plans, settings):
    # It calls what it should, but knows the result.
    for plan in plans: run_team(plan, 2)
    waits = "keep_sleeping" in plans[0].work.args[0].func.__code__.co_names
    arms = []
    for plan in plans:
        rate = 100.0 if plan.threads == 1 else 90.0 if waits else 190.0
        arms.append(Arm(plan.name, plan.threads, "", rate, rate, rate, (rate,) * settings.repeat))
    return Measurement(tuple(arms), (2, 2), ())

scaling.measure = measure
"""


@TWO_CORES
def test_a_test_scales_or_fails_and_tells_what_its_threads_waited_for(pytester, run):
    pytester.makeconftest(MADE_UP)
    ended = run(SCALING, "-rA", "-k", "not async")
    ended.assert_outcomes(passed=3, failed=3, deselected=1)
    failed = set(re.findall(r"^FAILED \S*?::(\S+)", ended.stdout.str(), re.M))
    assert failed == {"test_has_to_wait", "test_fails_by_itself", "test_passes_once"}
    ended.stdout.re_match_lines_random([
        r"scales: each of 2 threads did 0.45 times as much as one alone \(95% interval .*\), at least 0.8.*",
        r"scales: the test passed, but a run in threads raised AssertionError: .*",
    ])  # fmt: skip


@TWO_CORES
@pytest.mark.timing
def test_what_is_measured_is_what_the_threads_do():
    lock = threading.Lock()

    def keep_sleeping():
        with lock:
            time.sleep(0.005)

    limit = ScalingLimit(0.75, 2)
    waited = scaling.scale(keep_sleeping, limit)
    assert scaling.scale(lambda: time.sleep(0.005), limit).share > 1.2 * waited.share, (
        "twice as much, if quiet"
    )
    if TRACED and waited.is_too_little:
        assert re.search(r"they waited \d+% of their time for locks, .* in .*keep_sleeping", waited.cause)


def test_more_threads_than_cores_skip_the_test_with_the_reason(run):
    ended = run("@pytest.mark.scales(threads=1024)\ndef test_it(): 1 / 0", "-rs")
    ended.assert_outcomes(skipped=1)
    ended.stdout.fnmatch_lines(["SKIPPED * scales: 1024 threads need as many cores, * can be used here"])


@TWO_CORES
def test_an_asynchronous_test_is_refused(pytester, run):
    pytester.makeconftest("""
        import asyncio, inspect, pytest
        @pytest.hookimpl(tryfirst=True)
        def pytest_pyfunc_call(pyfuncitem):
            if inspect.iscoroutinefunction(pyfuncitem.obj):
                asyncio.run(pyfuncitem.obj())
                return True
    """)
    ended = run(SCALING, "-k", "is_async")
    ended.assert_outcomes(failed=1, deselected=6)
    ended.stdout.fnmatch_lines(["scales: an asynchronous test can't run in several threads"])


# ---- judgement, with made-up measurements ----


def taker(*rounds):
    """Return a stand-in for a measurement: of each round, calls a second alone and in threads."""
    left = list(rounds)
    taken = []

    def take(_call, limit, repeats):
        alone, together = left.pop(0)
        taken.append(repeats)
        arms = [
            Arm(
                "calls",
                size,
                "calls/s",
                sorted(samples)[len(samples) // 2],
                min(samples),
                max(samples),
                samples,
            )
            for size, samples in ((1, alone), (limit.threads, together))
        ]
        return Measurement(tuple(arms), (1, 1), ("unstable: much",))

    take.taken = taken
    return take


def judged(limit, *rounds):
    take = taker(*rounds)
    return scaling.scale(lambda: None, limit, take), take.taken


LIMIT = ScalingLimit(0.8, 2)
FLAT = (100.0,) * 5


def test_what_is_fast_enough_is_measured_once():
    found, taken = judged(LIMIT, (FLAT, (180.0,) * 5))
    assert (found.share, found.is_enough, found.is_too_little) == (0.9, True, False)
    assert len(taken) == 1
    assert list(scaling.faults(found)) == []
    assert scaling.uncertain(found) == ""


def test_what_seems_too_slow_is_measured_again_with_more_samples():
    found, (first, second) = judged(LIMIT, (FLAT, (100.0,) * 5), (FLAT, (170.0,) * 5))
    assert second > first
    assert found.is_enough


def test_a_test_fails_only_if_the_whole_interval_is_below():
    found, _ = judged(LIMIT, (FLAT, (100.0,) * 5), (FLAT, (100.0, 110.0, 120.0, 110.0, 100.0)))
    first, *doubts = scaling.faults(found)
    assert first.startswith(
        "scales: each of 2 threads did 0.55 times as much as one alone (95% interval 0.50 to 0.60), "
        "at least 0.8 is required"
    )
    assert doubts == ["doubt: unstable: much"]
    wide, _ = judged(LIMIT, (FLAT, (100.0,) * 5), (FLAT, (100.0, 110.0, 150.0, 170.0, 180.0)))
    assert list(scaling.faults(wide)) == []
    assert scaling.uncertain(wide).startswith("scales is not certain: each of 2 threads did 0.75 times")


def test_for_want_of_cores_a_test_does_not_fail():
    busy = scaling.Scaling(LIMIT, 0.5, 0.4, 0.6, ("other load: much",), scaling.NO_WAITS)
    assert list(scaling.faults(busy)) == []
    assert scaling.uncertain(busy).endswith("at least 0.8 is required; other load: much")
    waited = dataclasses.replace(busy, cause="they waited 50% of their time for the GIL")
    assert len(list(scaling.faults(waited))) == 2
    assert len(list(scaling.faults(dataclasses.replace(busy, doubts=())))) == 1


ROWS = (
    LockWait(0, "a", 1, "want", "w.py", 3, "b", 2, "hold", "h.py", 5, 300_000_000),
    LockWait(0, "a", 1, "want", "w.py", 3, "c", 3, "keep", "h.py", 9, 400_000_000),
    LockWait(0, "a", 1, "want", "w.py", 3, "", 0, "(handoff)", "", 0, 500_000_000),
    LockWait(0, "d", 4, "other", "w.py", 7, "b", 2, "hold", "h.py", 5, 900_000_000),
    LockWait(1, "a", 1, "get", "q.py", 1, "", 0, "(not seen)", "", 0, 5_000_000_000),
)


def made(kind, name, ns):
    return Lock(kind, "_thread.lock", name, "m", 0, Distribution(1, ns, ns, ((0, 1),)))


@pytest.fixture
def locked(report):
    locks = (made(LOCK, "L", 2_100_000_000), made(WORK, "Queue.get", 5_000_000_000))
    return dataclasses.replace(report, locks=locks, lock_waits=ROWS)


def test_of_a_lock_the_thread_is_told_that_waited_most_and_whom_it_waited_for(locked):
    (seen,) = waited_locks(locked)
    assert (seen.waiter, seen.waited_in) == ("a", ("want", "w.py", 3))
    assert (seen.holder, seen.held_in) == ("c", ("keep", "h.py", 9))
    assert lock_limits.behind(seen) == "behind c in keep (h.py:9)"
    (line,) = lock_limits.waited_too_long(locked, 2.0)
    assert "waited 2.1 s at a time for" in line
    assert list(lock_limits.waited_too_long(locked, 2.2)) == []


def test_waits_for_work_are_told_apart_in_the_overview(locked):
    told = lock_limits.summary(locked)
    assert (told["wait_ns"], told["work_ns"], len(told["locks"])) == (2_100_000_000, 5_000_000_000, 1)


def test_a_lock_that_nobody_was_seen_to_have_is_told_so(locked):
    alone = dataclasses.replace(locked, lock_waits=(dataclasses.replace(ROWS[2], wait_ns=2_100_000_000),))
    (seen,) = waited_locks(alone)
    assert lock_limits.behind(seen) == "behind nobody that was seen"


def ran(life_ns):
    return TeamRun(1, (MemberRun(1, 0, life_ns, 0),))


def test_the_cause_is_what_most_of_the_time_was_waited_for(locked, report, account):
    quiet = dataclasses.replace(report, threads=(account("w", 900, 10, 90, native_id=1),))
    assert scaling.cause(quiet, ran(1_000_000_000)) == "they hardly waited for the GIL or a lock"
    waiting = dataclasses.replace(report, threads=(account("w", 500, 400, 100, native_id=1),))
    assert scaling.cause(waiting, ran(1_000_000_000)) == (
        "they waited 40% of their time for the GIL, most behind JSONEncoder.iterencode (/lib/encoder.py:250)"
    )
    told = scaling.cause(locked, ran(4_800_000_000))
    assert told.startswith("they waited 25% of their time for locks, 25% for ")
    assert told.endswith(" in want (w.py:3), behind keep (h.py:9)")
    rows = (*ROWS, dataclasses.replace(ROWS[0], waiter_filename=teams.__file__, wait_ns=10**10))
    gates = dataclasses.replace(locked, lock_waits=rows)
    assert scaling.cause(gates, ran(4_800_000_000)) == told, "the gate of the team does not count"
