from __future__ import annotations

import contextlib
import dataclasses

import pytest

from gilprobe import scenarios
from gilprobe.measuring.measure import Measurement, Settings
from gilprobe.model.distribution import Distribution
from gilprobe.model.locks import LOCK, WORK, Lock, LockWait
from gilprobe.results import Arm, TracedArm
from gilprobe.scenarios.contention import locks
from gilprobe.scenarios.contention.locks import LockRun, Member
from gilprobe.scenarios.scenario import Observation


@pytest.mark.parametrize(
    ("threads", "held", "share"),
    [
        (1, 0.3, 0.0),
        (2, 0.1, 0.1 / 10.1),  # by hand: one finds the other there in a tenth of the cases
        (2, 0.3, 0.3 / (1.3 + 7 / 3)),
        (2, 0.7, 0.7 / (1.7 + 3 / 7)),
        (4, 0.3, 0.2760),
    ],
)
def test_the_law_is_that_of_machines_and_a_repairman(threads, held, share):
    assert locks.wait_share(threads, held, 1 - held) == pytest.approx(share, abs=1e-4)


def test_who_always_wants_the_lock_waits_for_all_others():
    assert locks.wait_share(4, 1.0, 0.0) == pytest.approx(0.75)
    assert locks.wait_share(2, 0.0, 1.0) == 0.0


def test_random_lengths_have_the_promised_mean():
    lengths = locks._lengths(locks.random.Random(1))
    first, second = ([next(lengths) for _ in range(64)] for _ in range(2))
    assert sum(first) == pytest.approx(64)
    assert sorted(first) == pytest.approx(sorted(second))
    assert first != second


def lock(kind):
    return Lock(kind, "_thread.lock", "lock", "", 0, Distribution(1, 10, 10, ((0, 1),)))


def waits(index, waiter_id, ns, filename=locks.__file__):
    return LockWait(index, "w", waiter_id, "_Play.play", filename, 1, "", 0, "(not seen)", "", 0, ns)


def test_the_trace_is_compared_with_each_threads_own_clock(report):
    played = LockRun((Member(1, 1000, 100, 1, 1), Member(2, 1000, 300, 1, 1)))
    rows = (
        waits(0, 1, 90),
        waits(0, 1, 5),
        waits(0, 2, 310),
        waits(0, 2, 500, "teams.py"),  # the gate behind which a team starts
        waits(1, 2, 500),  # for work
        waits(0, 3, 500),  # somebody else
    )
    traced = dataclasses.replace(report, locks=(lock(LOCK), lock(WORK)), lock_waits=rows)
    assert locks.worst_difference(traced, played) == pytest.approx(0.010)


@pytest.fixture
def found(monkeypatch, report, ask):
    """Return a function that measures on a made-up machine: waits, and what they are by the law."""

    def find(measured, expected, *, traced=True, **changes):
        def observe(request, trials, *, warm_up):
            assert not warm_up
            arms = []
            for trial in trials:
                trial.run.args[0].last = LockRun((Member(1, 1000, 100, 1, 1),))
                for metric, value in (("", measured), (locks.EXPECTED, expected)):
                    samples = (value,) * 3
                    arms.append(
                        Arm(trial.arm_name(metric), trial.threads, "share", value, value, value, samples)
                    )
            seen = dataclasses.replace(report, locks=(lock(LOCK),), lock_waits=(waits(0, 1, 100),))
            traces = tuple(TracedArm(trial.name, trial.threads, seen) for trial in trials)
            measurement = Measurement(tuple(arms), (), ("unstable: much", "a doubt"))
            return Observation(measurement, traces if request.trace else (), (), measurement.warnings)

        monkeypatch.setattr(locks, "observe_trials", observe)
        request = dataclasses.replace(
            ask((1, 2, 4), **changes),
            trace_locks=contextlib.nullcontext if traced else None,
            trace_locks_reason="" if traced else "no locks today",
        )
        return locks.SCENARIO.measure(request)

    return find


def test_waits_near_the_law_hold_and_others_do_not(found):
    result = found(0.30, 0.29)
    assert {law.verdict for law in result.laws} == {"holds"}
    assert len(result.laws) == 2 * 3 * 2, "for three shares and two sizes: the wait, and the trace"
    assert result.warnings == ("a doubt",)
    far = found(0.40, 0.29)
    assert {law.verdict for law in far.laws if "wait" in law.text} == {"does not hold"}


def test_without_a_trace_of_locks_the_reason_is_told(found):
    result = found(0.30, 0.29, traced=False)
    (untested,) = [law for law in result.laws if law.verdict == "not testable here"]
    assert untested.measured == "no locks today"
    assert result.traces == ()


def test_without_a_gil_there_is_no_table_of_holds(found):
    assert found(0.3, 0.3, gil_enabled=False, build="free-threaded").traces == ()
    assert len(found(0.3, 0.3).traces) == 6


def test_a_short_run_has_the_promised_shape():
    result = scenarios.run("locks", threads=(1, 2), repeat=2, quick=True, frame=Settings(arm_ns=10_000_000))
    assert [(arm.name, arm.threads) for arm in result.arms] == [
        ("held 30%", 2),
        (f"held 30%, {locks.EXPECTED}", 2),
    ]
    assert result.fact("wait_share_held_30_2") == result.arm("held 30%", 2).median
    assert len(result.laws) == 2
    assert all(0 <= sample < 1 for arm in result.arms for sample in arm.samples)
