from __future__ import annotations

import math

import pytest
from made_up_runs import cell_run, cells_observed, verdicts

from gilprobe import scenarios
from gilprobe.measuring.measure import Settings
from gilprobe.scenarios.lessons import thread_pool
from gilprobe.scenarios.lessons.thread_pool import LEFT, RAISED

SILENT = cell_run((0.1, LEFT), exit_s=0.1)
READ = cell_run((0.1, LEFT), (0.1, RAISED), exit_s=0.1)


def pool(rounds, *, joins=True):
    def model(name, workers):
        tasks = int(name.split()[0])
        end_s = 0.1 + 0.1 * rounds(tasks, workers)
        lines = [(0.1, "Thread 0: starting.")]
        finishing = [(end_s, f"Thread {task}: finishing.") for task in range(tasks)]
        last = [(end_s, LEFT)]
        return cell_run(*lines, *(finishing + last if joins else last + finishing), exit_s=end_s)

    return model


def expected(tasks, workers):
    return math.ceil(tasks / workers)


def findings_of(monkeypatch, model, request, silent=SILENT, read=READ):
    failing = iter((silent, read))
    monkeypatch.setattr(thread_pool, "observe_cells", cells_observed(model))
    monkeypatch.setattr(thread_pool, "run_cell", lambda _cell: next(failing))
    return thread_pool.SCENARIO.measure(request)


def test_rounds_are_recognised(monkeypatch, ask):
    found = findings_of(monkeypatch, pool(expected), ask())
    assert set(verdicts(found).values()) == {"holds"}
    facts = {fact.name: round(fact.value, 6) for fact in found.facts}
    assert (facts["rounds_7_tasks_3"], facts["rounds_3_tasks_1"]) == (3, 3)
    assert found.printed.count("# ") == 4


def test_a_reader_that_comes_too_late_costs_no_scenario(monkeypatch, ask):
    laws = verdicts(findings_of(monkeypatch, pool(lambda _tasks, _workers: 0), ask()))
    assert laws["ceil(K/W) rounds: 4 tasks, 3 threads"] == "does not hold"


def test_a_pool_that_does_all_at_once_is_told(monkeypatch, ask):
    laws = verdicts(findings_of(monkeypatch, pool(lambda _tasks, _workers: 1), ask()))
    assert laws["ceil(K/W) rounds: 4 tasks, 3 threads"] == "does not hold"


def test_a_with_block_that_does_not_join_is_told(monkeypatch, ask):
    laws = verdicts(findings_of(monkeypatch, pool(expected, joins=False), ask()))
    assert laws["leaving the with block joins: all tasks finish before"] == "does not hold"


@pytest.mark.parametrize(
    ("silent", "read", "text"),
    [
        (
            cell_run((0.1, "ValueError"), (0.1, LEFT), exit_s=0.1),
            READ,
            "a task's exception is silent while its result is not read",
        ),
        (SILENT, SILENT, "it surfaces where the result is read"),
    ],
)
def test_an_exception_that_surfaces_elsewhere_is_told(monkeypatch, ask, silent, read, text):
    laws = verdicts(findings_of(monkeypatch, pool(expected), ask(), silent, read))
    assert laws[text] == "does not hold"


def test_a_real_run_keeps_exceptions_until_they_are_read():
    result = scenarios.run("thread-pool", repeat=2, quick=True, frame=Settings(arm_ns=5_000_000, member_ns=0))
    assert [(arm.name, arm.threads) for arm in result.arms] == [("3 tasks", 3), ("4 tasks", 3)]
    laws = verdicts(result)
    assert laws["a task's exception is silent while its result is not read"] == "holds"
    assert laws["it surfaces where the result is read"] == "holds"
    assert laws["leaving the with block joins: all tasks finish before"] == "holds"
