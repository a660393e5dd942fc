"""Measuring, on a clock that the work itself moves."""

from __future__ import annotations

import itertools
import math
import signal
import statistics
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gilprobe.errors import GilProbeError, InvalidTypeError, InvalidValueError, UnsupportedError
from gilprobe.measuring.measure import (
    MIN_ARM_NS,
    Settings,
    Trial,
    calibrate,
    interleave,
    measure,
    measure_trials,
)
from gilprobe.measuring.teams import ArmPlan, run_team
from gilprobe.model.confidence import bootstrap_interval, ratio_interval
from gilprobe.model.machine import CpuTimes
from gilprobe.results import Arm

pytestmark = pytest.mark.plain_python


class FakeClock:
    """Stands still unless work moves it: `cost_ns` an operation, all members one after another."""

    def __init__(self, cost_ns=1000):
        self.now_ns = 0
        self.cost_ns = cost_ns
        self._lock = threading.Lock()

    def __call__(self):
        return self.now_ns

    def work(self, operations):
        with self._lock:
            self.now_ns += operations * self.cost_ns


def frame_of(clock, **changes):
    settings = {
        "repeat": 5,
        "arm_ns": MIN_ARM_NS,
        "member_ns": 0,
        "clock": clock,
        "wall": clock,
        "cpu_times": lambda: None,
        "load_average": lambda: None,
        "cores": lambda: 64,
        "physical_cores": lambda: None,
    }
    return Settings(**(settings | changes))


def test_every_member_does_the_work_once_and_all_are_counted():
    seen = []
    run = run_team(ArmPlan("a", 5, seen.append), 7)
    assert seen == [7] * 5
    assert run.operations == 35
    assert len(run.members) == 5
    assert len({member.native_id for member in run.members}) == 5
    assert run.elapsed_ns >= max(member.end_ns - member.start_ns for member in run.members)


def test_no_member_starts_before_all_are_there():
    alive = []
    before = threading.active_count()

    def work(_operations):
        alive.append(threading.active_count())
        time.sleep(0.05)

    run_team(ArmPlan("a", 8, work), 1)
    assert alive[0] == before + 8


def test_elapsed_is_from_the_first_start_to_the_last_end():
    stamps = iter([10, 40, 25, 90])  # one member after the other: start, end, start, end
    lock = threading.Lock()

    def clock():
        with lock:
            return next(stamps)

    run = run_team(ArmPlan("a", 2, lambda _n: None), 1, clock=clock)
    assert run.elapsed_ns == 80


def test_work_comes_in_chunks_that_add_up():
    seen = []
    run_team(ArmPlan("a", 1, seen.append, chunk=10), 25)
    assert seen == [10, 10, 5]


def test_a_members_exception_is_raised_and_the_others_are_called_off():
    ends = threading.Event()

    def work(_operations):
        if threading.current_thread().name == "worker 2":
            raise ZeroDivisionError("mine")
        ends.wait(0.01)

    with pytest.raises(ZeroDivisionError, match="mine"):
        run_team(ArmPlan("a", 3, work, chunk=1), 10**9)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("worker")]


def test_too_many_threads_are_unsupported_and_those_that_started_go_home(monkeypatch):
    start = threading.Thread.start
    numbers = itertools.count()

    def limited(self):
        if next(numbers) == 3:
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", limited)
    with pytest.raises(UnsupportedError, match="5 threads can't run here"):
        run_team(ArmPlan("a", 5, lambda _n: None), 1)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("worker")]


def test_ctrl_c_ends_a_team_of_python_loops_promptly():
    code = """
import time
from gilprobe.measuring.teams import ArmPlan, run_team
def work(n):
    while n: n -= 1
print("go", flush=True)
run_team(ArmPlan("a", 4, work, chunk=10_000), 10**12)
"""
    command = [sys.executable, "-P", "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"go\n"
        time.sleep(0.3)
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=120)
    assert b"KeyboardInterrupt" in errors
    assert child.returncode == -signal.SIGINT


def test_a_clock_that_goes_backwards_is_refused():
    stamps = iter([100, 90])
    with pytest.raises(UnsupportedError, match="backwards, it did by 10 ns"):
        run_team(ArmPlan("a", 1, lambda _n: None), 1, clock=lambda: next(stamps))


@given(cost_ns=st.integers(1, 10**9), threads=st.integers(1, 3), arm_ns=st.integers(1, 10**9))
def test_calibrated_work_lasts_long_enough_and_not_absurdly_longer(cost_ns, threads, arm_ns):
    clock = FakeClock(cost_ns)
    plan = ArmPlan("a", threads, clock.work)
    operations = calibrate(plan, arm_ns=arm_ns, clock=clock)
    elapsed_ns = run_team(plan, operations, clock=clock).elapsed_ns
    assert elapsed_ns >= arm_ns
    assert operations == 1 or elapsed_ns <= 1.2 * arm_ns + 2 * cost_ns * threads


@pytest.mark.parametrize("stalled", [0, 1, 2])
def test_calibration_is_not_fooled_by_a_stall(stalled):
    clock = FakeClock(cost_ns=1000)
    runs = []

    def work(operations):
        clock.work(operations)
        if len(runs) == stalled:
            clock.now_ns += 300_000_000  # another process had the core
        runs.append(operations)

    operations = calibrate(ArmPlan("a", 1, work), arm_ns=100_000_000, clock=clock)
    assert operations * clock.cost_ns >= 100_000_000


def test_calibration_refuses_a_clock_that_stands_still():
    with pytest.raises(UnsupportedError, match="must advance"):
        calibrate(ArmPlan("a", 1, lambda _n: None), arm_ns=1, clock=lambda: 5)


@given(arms=st.integers(1, 9), repeat=st.integers(1, 20))
def test_each_repeat_has_every_arm_once_and_no_arm_is_always_first(arms, repeat):
    orders = list(interleave(arms, repeat))
    assert len(orders) == repeat
    assert all(sorted(order) == list(range(arms)) for order in orders)
    if arms > 1 and repeat >= 2:
        assert len({order[0] for order in orders}) > 1


def test_arms_take_turns():
    calls = []
    clock = FakeClock()

    def plan(name):
        def work(operations):
            calls.append(name)
            clock.work(operations)

        return ArmPlan(name, 1, work)

    measure([plan("a"), plan("b")], frame_of(clock, repeat=4))
    assert calls[-8:] == ["a", "b", "b", "a", "b", "a", "a", "b"]


numbers = st.lists(st.floats(1e-3, 1e12), min_size=1, max_size=40)


@given(numbers)
def test_the_interval_holds_the_median_and_stays_within_the_samples(samples):
    low, high = bootstrap_interval(samples, resamples=200)
    assert min(samples) <= low <= statistics.median(samples) <= high <= max(samples)


@given(numbers)
def test_the_same_samples_always_give_the_same_interval(samples):
    assert bootstrap_interval(samples, resamples=50) == bootstrap_interval(samples, resamples=50)


@given(st.lists(st.floats(1, 1e6), min_size=2, max_size=30))
def test_more_confidence_is_a_wider_interval(samples):
    narrow = bootstrap_interval(samples, confidence=0.5, resamples=200)
    wide = bootstrap_interval(samples, confidence=0.99, resamples=200)
    assert wide[0] <= narrow[0] <= narrow[1] <= wide[1]


def test_the_interval_covers_the_true_median_about_as_often_as_it_says():
    """Of 300 draws of 25 from a uniform distribution, some 95 % of the intervals hold 0.5."""
    import random

    draw = random.Random(7)
    hits = 0
    for _ in range(300):
        low, high = bootstrap_interval([draw.random() for _ in range(25)], resamples=300)
        hits += low <= 0.5 <= high
    assert 0.90 <= hits / 300 <= 0.99


def test_an_interval_of_nothing_is_refused():
    with pytest.raises(InvalidValueError, match="at least one number"):
        bootstrap_interval([])


def test_a_drift_that_hits_both_arms_leaves_their_ratio_alone():
    below = Arm("b", 1, "1/s", 3.0, 1.0, 5.0, (1.0, 2.0, 3.0, 4.0, 5.0))
    above = Arm("a", 1, "1/s", 6.0, 2.0, 10.0, tuple(2 * sample for sample in below.samples))
    assert ratio_interval(above, below) == (2.0, 2.0, 2.0)


def test_an_arm_is_operations_a_second_of_all_members_together():
    clock = FakeClock(cost_ns=1000)
    found = measure([ArmPlan("a", 1, clock.work)], frame_of(clock))
    (arm,) = found.arms
    assert (arm.median, arm.low, arm.high) == (1e6, 1e6, 1e6)
    assert len(arm.samples) == 5
    assert found.warnings == ()


def test_a_large_team_works_longer_so_that_each_member_does_something():
    clock = FakeClock(cost_ns=1000)
    found = measure([ArmPlan("a", 30, clock.work)], frame_of(clock, member_ns=4_000_000))
    assert found.operations[0] * 1000 >= 4_000_000


def test_progress_rises_from_zero_to_one():
    clock = FakeClock()
    shares = []
    measure([ArmPlan("a", 1, clock.work)], frame_of(clock), lambda _label, share: shares.append(share))
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] < 1


@pytest.mark.parametrize("repeat", [1, 0, -1, 1001])
def test_repeat_out_of_range_is_refused_with_rule_and_value(repeat):
    with pytest.raises(InvalidValueError, match=f"between 2 and 1000, got {repeat}$"):
        Settings(repeat=repeat)


@pytest.mark.parametrize("repeat", [True, 2.0, "5", None])
def test_repeat_of_another_type_is_refused(repeat):
    with pytest.raises(InvalidTypeError, match="must be an integer"):
        Settings(repeat=repeat)


def doubts(clock=None, work=None, threads=1, **changes):
    clock = clock or FakeClock()
    return measure([ArmPlan("a", threads, work or clock.work)], frame_of(clock, **changes)).warnings


def test_an_unstable_arm_says_so():
    clock = FakeClock()
    costs = itertools.cycle([1000, 3000])

    def work(operations):
        clock.cost_ns = next(costs)
        clock.work(operations)

    assert any(text.startswith("unstable: ") and "a, 1 thread " in text for text in doubts(clock, work))


def test_fewer_cores_than_threads_says_so():
    assert "fewer cores than threads: 4 threads share 2 usable cores" in doubts(threads=4, cores=lambda: 2)
    assert not doubts(threads=1, cores=lambda: 2)


def test_hardware_threads_of_one_core_say_so():
    (text,) = doubts(threads=2, cores=lambda: 2, physical_cores=lambda: 1)
    assert text.startswith("shared cores: the 2 usable cores are hardware threads of 1 physical")


def test_a_run_that_is_too_short_says_so():
    assert any(text.startswith("short: ") for text in doubts(arm_ns=1_000_000))


def test_load_beside_the_measurement_says_so():
    assert doubts(load_average=lambda: 2.5) == (
        "other load: the load average was 2.50 before the measurement",
    )
    assert doubts(load_average=lambda: 0.1) == ()


def cpu_times(*rows):
    return iter([CpuTimes(*row) for row in rows]).__next__


def test_other_processes_and_the_hypervisor_say_so():
    busy = doubts(cpu_times=cpu_times((0, 0, 0, 0), (10, 8, 0, 5)))
    assert busy == ("other load: other processes used 30% of the usable cores' time (limit 5%)",)
    stolen = doubts(cpu_times=cpu_times((0, 0, 0, 0), (10, 5, 2, 5)))
    assert stolen == ("steal: the hypervisor took 20% of the usable cores' time (limit 1%)",)
    assert doubts(cpu_times=cpu_times((0, 0, 0, 0), (10, 5, 0, 5))) == ()


def test_a_frozen_proc_stat_falls_back_to_the_load_average():
    assert doubts(cpu_times=lambda: CpuTimes(0, 0, 0, 0), load_average=lambda: 1.0)


def test_a_clock_that_disagrees_with_the_time_of_day_says_so():
    wall = itertools.count(step=10**12)
    (text,) = doubts(wall=lambda: next(wall))
    assert text.startswith("clock: ")


def test_a_clock_that_stops_is_an_error_not_a_division_by_zero():
    clock = FakeClock()
    calls = itertools.count()

    def work(operations):
        if next(calls) < 5:
            clock.work(operations)

    with pytest.raises(GilProbeError, match="must advance"):
        measure([ArmPlan("a", 1, work)], frame_of(clock, arm_ns=1000))


# Trials


def test_trials_yield_an_arm_for_each_metric_and_take_turns(frame_of_nothing):
    order = []

    def run(name):
        def once():
            order.append(name)
            return {"": float(len(order)), "p99": 0.5}

        return once

    units = {"": "requests/s", "p99": "s"}
    trials = [Trial("a", 1, units, run("a")), Trial("b", 2, units, run("b"))]
    found = measure_trials(trials, frame_of_nothing)
    assert order == ["a", "b", *"ab", *"ba", *"ba"]
    assert [(arm.name, arm.threads, arm.unit) for arm in found.arms] == [
        ("a", 1, "requests/s"),
        ("a, p99", 1, "s"),
        ("b", 2, "requests/s"),
        ("b, p99", 2, "s"),
    ]
    assert found.arms[0].samples == (3.0, 6.0, 8.0)
    assert found.arms[0].median == 6.0
    assert found.operations == ()


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_trial_must_yield_numbers(frame_of_nothing, number):
    trial = Trial("a", 1, {"": "s"}, lambda: {"": number})
    with pytest.raises(InvalidValueError, match="'a' must be a finite number"):
        measure_trials([trial], frame_of_nothing)


def test_a_trial_must_yield_what_it_announced(frame_of_nothing):
    trial = Trial("a", 1, {"": "s"}, lambda: {"p99": 1.0})
    with pytest.raises(InvalidValueError, match="'a' must return '', got 'p99'"):
        measure_trials([trial], frame_of_nothing)


def test_a_count_that_is_always_the_same_is_not_unstable(frame_of_nothing):
    trial = Trial("lost", 2, {"": "updates"}, lambda: {"": 0.0})
    assert measure_trials([trial], frame_of_nothing).warnings == ()


@pytest.fixture
def frame_of_nothing():
    return Settings(repeat=3, cpu_times=lambda: None, load_average=lambda: None)
