"""A daemon thread is cut off when the program ends; joined, it can finish.

The notebook's cell makes its thread a daemon and then has ``x.join`` without parentheses, which does not call
the method and does not wait. As a program the thread never prints that it is finishing, since the exit does
not wait for daemons. In the notebook it did, after "all done": the end of a cell does not end the kernel's
process, so the thread lived on. Three programs show the difference: the cell as it stands, the cell with
``x.join()``, and the cell in a process that lives on as a kernel does. Their arms are the durations of the
whole programs.

The trace of the first shows the cut: the thread's account ends within its sleep.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from gilprobe.durations import duration
from gilprobe.results import Fact, Law, fact_name
from gilprobe.scenarios.laws import (
    SECONDS,
    claim,
    every_law,
    sampled,
    untestable,
    verdict,
    within_law,
)
from gilprobe.scenarios.lessons import thread_start
from gilprobe.scenarios.lessons.thread_start import ALL_DONE, FINISHING, STARTING, exit_delay_s
from gilprobe.scenarios.scenario import Findings, Request, Scenario
from gilprobe.scenarios.support import cells
from gilprobe.scenarios.support.cells import Cell, CellPlan, observe_cells, sections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilprobe.results import TracedArm
    from gilprobe.scenarios.support.cells import CellRun

CELL = thread_start.CELL.replace("args=(1,)", "args=(1,), daemon=True").replace(
    '    print("Main    : all', '    x.join\n    print("Main    : all'
)

JOINED = CELL.replace("x.join\n", "x.join()\n")

KERNEL = """\
exec(CELL)
import time
time.sleep(2 * SLEEP_S)  # a kernel waits for the next cell
"""

NAMES = {
    "as it stands": "x.join without parentheses",
    "joined": "x.join()",
    "in a kernel": "x.join without parentheses, in a process that lives on",
}


def measure(request: Request) -> Findings:
    """Run the three programs, and check in which of them the thread finishes."""
    sleep_s = request.frame.arm_ns / 1e9
    programs = {
        "as it stands": Cell(CELL, {"SLEEP_S": sleep_s}),
        "joined": Cell(JOINED, {"SLEEP_S": sleep_s}),
        "in a kernel": Cell(KERNEL, {"SLEEP_S": sleep_s, "CELL": CELL}),
    }
    plans = [
        CellPlan(name, 1, cell, {"": "s"}, lambda run: {"": run.exit_s}) for name, cell in programs.items()
    ]
    seen = observe_cells(request, plans)
    runs = {name: seen.runs[name, 1] for name in programs}
    facts = [
        Fact(fact_name("finished", name), finished(taken) / len(taken), "") for name, taken in runs.items()
    ]
    facts += [
        Fact(fact_name("exit_delay", name), statistics.median(map(exit_delay_s, taken)), "s")
        for name, taken in runs.items()
    ]
    printed = sections({NAMES[name]: taken[-1] for name, taken in runs.items()})
    laws = (*_laws(runs, sleep_s), _cut_law(seen.traces, sleep_s, request.trace_reason))
    return Findings(seen.measurement.arms, tuple(facts), laws, seen.traces, seen.warnings, printed)


def finished(runs: Sequence[CellRun]) -> int:
    """Return in how many runs the thread reached its last line."""
    return sum(FINISHING in run.text for run in runs)


def _laws(runs: dict[str, tuple[CellRun, ...]], sleep_s: float) -> tuple[Law, ...]:
    bare, joined, kernel = runs.values()
    return (
        every_law("a daemon does not finish", len(bare) - finished(bare), len(bare)),
        _exit_law(bare, sleep_s),
        every_law(
            'joined, it finishes before "all done"',
            sum(run.in_order(FINISHING, ALL_DONE) for run in joined),
            len(joined),
        ),
        every_law(
            'where the process lives on it finishes, after "all done"',
            sum(run.in_order(ALL_DONE, FINISHING) for run in kernel),
            len(kernel),
        ),
    )


def _exit_law(runs: Sequence[CellRun], sleep_s: float) -> Law:
    """Return the law that an exit takes less than the sleep that is left then."""
    text = "exit does not wait for it"
    left_s = min(run.at(STARTING) + sleep_s - run.at(ALL_DONE) for run in runs)
    if left_s <= 0:
        expected = "less than the sleep that was left"
        return untestable(text, expected, "no sleep was left: the machine is too busy for so short a sleep")
    return within_law(text, sampled([exit_delay_s(run) for run in runs]), 0.0, left_s, SECONDS)


def _cut_law(traces: tuple[TracedArm, ...], sleep_s: float, reason: str) -> Law:
    """Return the law that the thread's account ends within its sleep."""
    text, expected = "traced, the daemon lives less than it wanted to sleep", f"< {duration(sleep_s)}"
    lives = [
        account.lifetime_s
        for traced in traces
        if traced.name == "as it stands"
        for account in traced.report.threads
        if account.name != "MainThread"
    ]
    if len(traces) < len(NAMES):
        return untestable(text, expected, reason or "a trace is missing")
    # A program that ends at once may do so before the thread has ever requested the GIL.
    measured = duration(max(lives)) if lives else "it never had the GIL"
    longest = max(lives, default=0.0)
    numbers = claim(longest, None, sleep_s, "s") if lives else None
    return Law(text, expected, measured, verdict(longest < sleep_s), numbers)


SCENARIO = Scenario(
    id="thread-daemon",
    title="A daemon thread is cut off at exit; joined, it is not",
    group="lessons",
    measure=measure,
    missing=cells.missing,
    ceiling_s=60.0,
)
