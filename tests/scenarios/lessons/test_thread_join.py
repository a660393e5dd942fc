from __future__ import annotations

import pytest
from made_up_runs import cell_run, cells_observed, verdicts

from gilprobe import scenarios
from gilprobe.measuring.measure import Settings
from gilprobe.scenarios.lessons import thread_join


def machine(*, serial=False, joins_in_order=True, differ=4, sleep_s=0.2):
    def model(name, threads):
        if name == "finish order":
            return cell_run((0.3, f"{differ} of 10"), exit_s=0.3)
        took_s = sleep_s * (threads if serial else 1)
        joins = list(range(threads))
        if not joins_in_order:
            joins[:2] = joins[1::-1]
        lines = [(0.1, "Thread 0: starting.")]
        lines += [(0.1 + took_s, f"Main    : before joining thread {number}.") for number in range(threads)]
        lines += [(0.1 + took_s, f"Main    : thread {number} done.") for number in joins]
        return cell_run(*lines, exit_s=1.0)

    return model


def findings_of(monkeypatch, model, request):
    monkeypatch.setattr(thread_join, "observe_cells", cells_observed(model))
    return thread_join.SCENARIO.measure(request)


def test_sleeps_that_overlap_are_recognised(monkeypatch, ask):
    found = findings_of(monkeypatch, machine(), ask())
    assert set(verdicts(found).values()) == {"holds"}
    facts = {fact.name: fact.value for fact in found.facts}
    assert (facts["time_ratio_3"], facts["out_of_order"], facts["rounds"]) == (1.0, 0.4, 30)


def test_sleeps_that_follow_each_other_are_told(monkeypatch, ask):
    laws = verdicts(findings_of(monkeypatch, machine(serial=True), ask()))
    assert laws["3 sleeps take as long as one"] == "does not hold"


def test_a_reader_that_comes_too_late_costs_no_scenario(monkeypatch, ask):
    found = findings_of(monkeypatch, machine(sleep_s=0.0), ask())
    assert len(found.laws) > 0


def test_joins_in_another_order_are_told(monkeypatch, ask):
    laws = verdicts(findings_of(monkeypatch, machine(joins_in_order=False), ask()))
    assert laws["joins return in the order of the calls, 3 threads"] == "does not hold"


def test_threads_that_always_finish_as_they_started_are_told(monkeypatch, ask):
    laws = verdicts(findings_of(monkeypatch, machine(differ=0), ask()))
    assert laws["finish order is not start order, 3 threads"] == "does not hold"


@pytest.mark.parametrize(("text", "counts"), [("3 of 7\n", (3, 7)), ("", (0, 1))])
def test_rounds_are_counted(text, counts):
    assert thread_join.counted(cell_run((0.1, text.strip()), exit_s=1.0)) == counts


def test_a_real_run_has_the_notebooks_threads():
    result = scenarios.run(
        "thread-join", threads=(1, 2), repeat=2, frame=Settings(arm_ns=5_000_000, member_ns=0)
    )
    assert [(arm.name, arm.threads) for arm in result.arms] == [
        ("sleeps", 1),
        ("sleeps", 2),
        ("sleeps", 3),
        ("finish order", 3),
    ]
    for thread in range(3):
        assert f"Thread {thread}: finishing." in result.printed
        assert f"Main    : thread {thread} done." in result.printed
