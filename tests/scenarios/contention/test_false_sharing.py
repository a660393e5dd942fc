from __future__ import annotations

import dataclasses
import threading

import pytest

from gilprobe import scenarios
from gilprobe.measuring.measure import Settings
from gilprobe.scenarios.contention import false_sharing
from gilprobe.scenarios.contention.false_sharing import APART, TOGETHER, Counting


@pytest.fixture
def verdicts(monkeypatch, observed):
    """Return a function that gives the verdicts on a made-up machine, by the first two words."""

    def find(request, score, physical=None):
        frame = dataclasses.replace(request.frame, physical_cores=lambda: physical)
        monkeypatch.setattr(false_sharing, "observe", observed(score))
        found = false_sharing.SCENARIO.measure(dataclasses.replace(request, frame=frame))
        return {" ".join(law.text.split(":")[0].split()): law.verdict for law in found.laws}

    return find


def sharing(name, threads):
    return 30 if name.startswith("one line") else 100 * threads


def test_counters_on_one_line_are_expected_to_be_slower_and_padded_ones_to_scale(verdicts, ask):
    found = verdicts(ask(cores=4), sharing)
    assert found == dict.fromkeys(
        ["padded atomic", "one line atomic", "padded plain", "one line plain"], "holds"
    )
    assert set(verdicts(ask(cores=4), lambda _name, _threads: 100).values()) == {"does not hold"}


def test_one_core_has_nothing_to_share(verdicts, ask):
    assert set(verdicts(ask(cores=1), sharing).values()) == {"not testable here"}
    found = verdicts(ask(cores=4), sharing, physical=1)
    assert found["one line atomic"] == "not testable here"
    assert found["padded atomic"] == "holds"


@pytest.mark.parametrize("layout", [APART, TOGETHER])
def test_each_thread_counts_in_its_own_slot(layout):
    counting = Counting(layout, "plain", 3)
    threads = [threading.Thread(target=counting.bump, args=(number * 1000,)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counting._counter.values) == [1000, 2000, 3000]


def test_a_short_run_has_the_promised_shape():
    settings = Settings(arm_ns=5_000_000, member_ns=0)
    result = scenarios.run("false-sharing", threads=(1, 2), repeat=2, quick=True, frame=settings)
    assert [(arm.name, arm.threads) for arm in result.arms] == [
        ("padded atomic", 1),
        ("padded atomic", 2),
        ("one line atomic", 2),
    ]
    assert len(result.laws) == 2
    together = result.arm("one line atomic", 2).median
    assert result.fact("slowdown_atomic_2") == result.arm("padded atomic", 2).median / together


def test_one_thread_alone_has_no_law():
    settings = Settings(arm_ns=2_000_000, member_ns=0)
    result = scenarios.run("false-sharing", threads=(1,), repeat=2, quick=True, frame=settings)
    assert [(arm.name, arm.threads) for arm in result.arms] == [("padded atomic", 1)]
    assert result.laws == ()
