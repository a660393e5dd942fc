"""A pool of W threads does K tasks in ceil(K/W) rounds; leaving its ``with`` waits for all of them.

``ThreadPoolExecutor.map`` gives the tasks to at most W threads, which take the next one when done. Tasks that
sleep for t take t together if there are no more than threads, and a multiple of it otherwise. The end of the
``with`` block joins the threads: the line after it is printed after the last task has finished.

An exception in a task is kept in its result, and raised where that is read. The notebook's cell never reads
the results of ``map``, so its tasks fail silently. Two programs show both.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gilprobe.results import Fact, Law
from gilprobe.scenarios.laws import TIMES, every_law, once_law, sampled, within_law
from gilprobe.scenarios.scenario import Findings, Request, Scenario
from gilprobe.scenarios.support import cells
from gilprobe.scenarios.support.cells import (
    THREAD_FUNCTION,
    Cell,
    CellPlan,
    observe_cells,
    run_cell,
    sections,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gilprobe.scenarios.support.cells import CellObservation, CellRun

CELL = f"""\
import concurrent.futures
import time
{THREAD_FUNCTION}\
    with concurrent.futures.ThreadPoolExecutor(max_workers=WORKERS) as executor:
        executor.map(thread_function, range(TASKS))
"""

LEFT = "Main    : left the with block."
TIMED = f'{CELL}    print("{LEFT}")\n'

FAILING = f"""\
import concurrent.futures

def thread_function(name):
    raise ValueError("thread " + str(name) + " failed")

if __name__ == "__main__":
    with concurrent.futures.ThreadPoolExecutor(max_workers=3) as executor:
        results = executor.map(thread_function, range(3))
    print("{LEFT}")
"""

READ = f"""\
{FAILING}\
    try:
        next(results)
    except ValueError as error:
        print("Main    : reading a result raised:", error)
"""

RAISED = "Main    : reading a result raised: thread 0 failed"

POOLS = ((3, 3), (3, 4), (3, 7), (1, 3))
"""Workers and tasks; the first is the notebook's."""

QUICK_POOLS = POOLS[:2]

RANGE = (0.9, 1.15)
"""Time over the expected multiple of a single round, including starts and handoffs."""


def measure(request: Request) -> Findings:
    """Time pools of several sizes, and check where a task's exception is raised."""
    pools = QUICK_POOLS if request.quick else POOLS
    sleep_s = request.frame.arm_ns / (1e9 if request.quick else 2e9)  # a run has up to three rounds
    plans = [
        CellPlan(
            f"{tasks} tasks",
            workers,
            Cell(TIMED, {"SLEEP_S": sleep_s, "WORKERS": workers, "TASKS": tasks}),
            {"": "s"},
            _took,
        )
        for workers, tasks in pools
    ]
    seen = observe_cells(request, plans)
    silent, read = run_cell(Cell(FAILING)), run_cell(Cell(READ))
    facts = [
        Fact(f"rounds_{tasks}_tasks_{workers}", *_rounds(seen, workers, tasks)) for workers, tasks in pools
    ]
    laws = (*_laws(seen, pools), *_failure_laws(silent, read))
    shown = {
        f"{tasks} tasks, {workers} threads": seen.runs[f"{tasks} tasks", workers][-1]
        for workers, tasks in pools[:2]
    }
    printed = sections({**shown, "tasks that fail, results not read": silent, "results read": read})
    return Findings(seen.measurement.arms, tuple(facts), laws, seen.traces, seen.warnings, printed)


def _took(run: CellRun) -> Mapping[str, float]:
    """Return the time from the first task's start until the ``with`` block was left."""
    return {"": run.between("Thread 0: starting.", LEFT)}


def _samples(seen: CellObservation, workers: int, tasks: int) -> list[float]:
    return [_took(run)[""] for run in seen.runs[f"{tasks} tasks", workers]]


def _ratios(seen: CellObservation, workers: int, tasks: int) -> list[float]:
    """Return the time of a pool over that of the notebook's, which has one round, run by run."""
    pairs = zip(_samples(seen, workers, tasks), _samples(seen, *POOLS[0]), strict=True)
    return [several_s / one_s for several_s, one_s in pairs]


def _rounds(seen: CellObservation, workers: int, tasks: int) -> tuple[float, str]:
    return sampled(_ratios(seen, workers, tasks))[0], ""


def _laws(seen: CellObservation, pools: Sequence[tuple[int, int]]) -> Iterator[Law]:
    for workers, tasks in pools[1:]:
        rounds = math.ceil(tasks / workers)
        yield within_law(
            f"ceil(K/W) rounds: {tasks} tasks, {workers} thread{'s' if workers > 1 else ''}",
            sampled(_ratios(seen, workers, tasks)),
            rounds * RANGE[0],
            rounds * RANGE[1],
            TIMES,
        )
    runs = [(run, tasks) for workers, tasks in pools for run in seen.runs[f"{tasks} tasks", workers]]
    joined = sum(
        all(run.in_order(f"Thread {task}: finishing.", LEFT) for task in range(tasks)) for run, tasks in runs
    )
    yield every_law("leaving the with block joins: all tasks finish before", joined, len(runs))


def _failure_laws(silent: CellRun, read: CellRun) -> Iterator[Law]:
    quiet = silent.status == 0 and "Error" not in silent.text and LEFT in silent.text
    yield once_law("a task's exception is silent while its result is not read", quiet)
    yield once_law("it surfaces where the result is read", read.in_order(LEFT, RAISED))


SCENARIO = Scenario(
    id="thread-pool",
    title="A pool of threads: K tasks in ceil(K/W) rounds, and where a task's exception surfaces",
    group="lessons",
    measure=measure,
    missing=cells.missing,
    ceiling_s=90.0,
)
