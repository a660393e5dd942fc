"""A thread that is started and not joined: "all done" comes first, and the program ends later.

The main thread reaches the end of the program while the other one still sleeps. Before the interpreter shuts
down it joins every thread that is not a daemon (``threading._shutdown``). So the process lives as long as the
thread, which is measured from outside: from the arrival of "all done" to the end of the process. The cost of
the exit itself is known from the same program without a thread, whose main thread sleeps at its end.

The trace adds that the wait at exit costs others nothing: the main thread is off, without the GIL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.results import Fact
from gilprobe.scenarios.laws import TIMES, every_law, sampled, within_law
from gilprobe.scenarios.scenario import Findings, Request, Scenario
from gilprobe.scenarios.support import cells
from gilprobe.scenarios.support.cells import THREAD_FUNCTION, Cell, CellPlan, observe_cells, off_law

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gilprobe.scenarios.support.cells import CellRun

CELL = f"""\
import threading
import time
{THREAD_FUNCTION}\
    print("Main    : before creating thread.")
    x = threading.Thread(target=thread_function, args=(1,))
    print("Main    : before running thread.")
    x.start()
    print("Main    : wait for the thread to finish.")
    print("Main    : all done.")
"""

NO_THREAD = CELL.replace("    x.start()\n", "") + "    time.sleep(SLEEP_S)\n"

STARTING = "Thread 1: starting."
FINISHING = "Thread 1: finishing."
ALL_DONE = "Main    : all done."

TOLERANCE = 0.10
"""Share of the exit's delay that the start of the sleep and the arrival of lines may cost."""


def exit_delay_s(run: CellRun) -> float:
    """Return how long the process lived after its main thread was done."""
    return run.exit_s - run.at(ALL_DONE)


def measure(request: Request) -> Findings:
    """Measure how long the process outlives its last line, with the thread and without."""
    sleep_s = request.frame.arm_ns / 1e9
    parameters = {"SLEEP_S": sleep_s}

    def remaining(run: CellRun) -> Mapping[str, float]:
        left_s = run.at(STARTING) + sleep_s - run.at(ALL_DONE)
        return {"": exit_delay_s(run), "sleep left": left_s}

    plans = (
        CellPlan("started", 1, Cell(CELL, parameters), {"": "s", "sleep left": "s"}, remaining),
        CellPlan("no thread", 1, Cell(NO_THREAD, parameters), {"": "s"}, lambda run: {"": exit_delay_s(run)}),
    )
    seen = observe_cells(request, plans)
    delay, left, bare = seen.measurement.arms
    facts = (
        Fact("exit_delay", delay.median, "s"),
        Fact("sleep_left", left.median, "s"),
        Fact("exit_alone", bare.median - sleep_s, "s"),
    )
    runs = seen.runs["started", 1]
    ratios = [
        waited_s / (left_s + bare_s - sleep_s)
        for waited_s, left_s, bare_s in zip(delay.samples, left.samples, bare.samples, strict=True)
    ]
    laws = (
        every_law(
            '"all done" is printed before the thread finishes',
            sum(run.in_order(ALL_DONE, FINISHING) for run in runs),
            len(runs),
        ),
        within_law(
            "exit waits: its delay against the sleep that was left and an exit's own time",
            sampled(ratios),
            1 - TOLERANCE,
            1 + TOLERANCE,
            TIMES,
        ),
        off_law(
            "waiting at exit, the main thread is off",
            "thread's sleep",
            sleep_s,
            seen,
            "started",
            request.trace_reason,
            main=True,
        ),
    )
    return Findings(seen.measurement.arms, facts, laws, seen.traces, seen.warnings, printed=runs[-1].text)


SCENARIO = Scenario(
    id="thread-start",
    title="A thread that is not joined: all is done, and exit still waits for it",
    group="lessons",
    measure=measure,
    missing=cells.missing,
    ceiling_s=60.0,
)
