"""Threads started and joined in order: their sleeps overlap, and they finish in any order.

Joining one thread after another does not make them run one after another. They sleep at the same time, so T
sleeps take as long as one; joining a finished thread returns at once. The joins return in the order of the
calls, but the threads finish in any order: the operating system wakes them, and each then needs the GIL
before it can print. The notebook's cell shows it by chance; a second program repeats it many times with short
sleeps, and counts how often the finish order differs from the start order.

In the notebook two messages sometimes share a line. ``print`` writes its text and the end of the line one
after the other and releases the GIL at each, so another thread's text can come between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.results import Fact, Law
from gilprobe.scenarios.laws import TIMES, every_law, sampled, verdict, within_law
from gilprobe.scenarios.scenario import Findings, Request, Scenario
from gilprobe.scenarios.support import cells
from gilprobe.scenarios.support.cells import THREAD_FUNCTION, Cell, CellPlan, observe_cells

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gilprobe.scenarios.support.cells import CellObservation, CellRun

CELL = f"""\
import threading
import time
{THREAD_FUNCTION}\

    threads = list()
    for index in range(THREADS):
        print("Main    : create and start thread " + str(index) + ".")
        x = threading.Thread(target=thread_function, args=(index,))
        threads.append(x)
        x.start()

    for index, thread in enumerate(threads):
        print("Main    : before joining thread " + str(index) + ".")
        thread.join()
        print("Main    : thread " + str(index) + " done.")
"""

ROUNDS = """\
import threading
import time

def thread_function(name):
    time.sleep(SLEEP_S)
    finished.append(name)

out_of_order = rounds = 0
end = time.monotonic() + TOTAL_S
while time.monotonic() < end:
    finished = []
    threads = [threading.Thread(target=thread_function, args=(index,)) for index in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rounds += 1
    out_of_order += finished != sorted(finished)
print(out_of_order, "of", rounds)
"""

NOTEBOOKS = 3
"""The notebook's cell starts so many threads."""

SLEEP_S = 0.001
"""Sleep of the threads whose order is counted: longer than their start, short enough for many rounds."""

RANGE = (0.9, 1.15)
"""Time of T sleeps over one, including the start of T threads."""


def measure(request: Request) -> Findings:
    """Time the cell with one thread and with several, and count finish orders."""
    sleep_s = request.frame.arm_ns / 1e9
    sizes = (1, NOTEBOOKS) if request.quick else sorted({*request.threads, NOTEBOOKS})
    plans = [
        CellPlan("sleeps", size, Cell(CELL, {"SLEEP_S": sleep_s, "THREADS": size}), {"": "s"}, _took)
        for size in sizes
    ]
    rounds = Cell(ROUNDS, {"SLEEP_S": SLEEP_S, "THREADS": NOTEBOOKS, "TOTAL_S": sleep_s})
    plans.append(CellPlan("finish order", NOTEBOOKS, rounds, {"": "of rounds differ"}, _share, traced=False))
    seen = observe_cells(request, plans)
    shown = seen.runs["sleeps", NOTEBOOKS]
    counts = [counted(run) for run in seen.runs["finish order", NOTEBOOKS]]
    differ, of = (sum(column) for column in zip(*counts, strict=True))
    facts = [*_ratios(seen), Fact("out_of_order", differ / of, ""), Fact("rounds", of, "")]
    facts.append(Fact("shared_lines", sum(_shares_line(run) for run in shown) / len(shown), ""))
    laws = [*_laws(seen), _order_law(differ, of)]
    return Findings(
        seen.measurement.arms, tuple(facts), tuple(laws), seen.traces, seen.warnings, shown[-1].text
    )


def _took(run: CellRun) -> Mapping[str, float]:
    """Return the time from the first thread's start to the return of the last join."""
    count = run.text.count("before joining thread")
    last = f"Main    : thread {count - 1} done."
    return {"": run.between("Thread 0: starting.", last)}


def _share(run: CellRun) -> Mapping[str, float]:
    differ, of = counted(run)
    return {"": differ / of}


def counted(run: CellRun) -> tuple[int, int]:
    """Return how many rounds finished in another order than they started, and how many there were."""
    words = run.text.split()
    return (int(words[0]), int(words[2])) if len(words) == 3 else (0, 1)


def _shares_line(run: CellRun) -> bool:
    return any(line.count(".") > 1 for line in run.text.splitlines())


def _ratios(seen: CellObservation) -> Iterator[Fact]:
    sleeps = [arm for arm in seen.measurement.arms if arm.name == "sleeps"]
    for arm in sleeps:
        yield Fact(f"time_ratio_{arm.threads}", arm.median / sleeps[0].median, "")


def _laws(seen: CellObservation) -> Iterator[Law]:
    sleeps = [arm for arm in seen.measurement.arms if arm.name == "sleeps"]
    for arm in sleeps[1:]:
        ratios = [several_s / one_s for several_s, one_s in zip(arm.samples, sleeps[0].samples, strict=True)]
        yield within_law(f"{arm.threads} sleeps take as long as one", sampled(ratios), *RANGE, TIMES)
    for arm in sleeps[1:]:
        runs = seen.runs["sleeps", arm.threads]
        joins = [f"Main    : thread {number} done." for number in range(arm.threads)]
        yield every_law(
            f"joins return in the order of the calls, {arm.threads} threads",
            sum(run.in_order(*joins) for run in runs),
            len(runs),
        )


def _order_law(differ: int, of: int) -> Law:
    return Law(
        f"finish order is not start order, {NOTEBOOKS} threads",
        "> 0 rounds differ",
        f"{differ} of {of}",
        verdict(differ > 0),
    )


SCENARIO = Scenario(
    id="thread-join",
    title="Threads that are started and joined in order: their sleeps overlap, they finish in any order",
    group="lessons",
    measure=measure,
    missing=cells.missing,
    ceiling_s=90.0,
)
