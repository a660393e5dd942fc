"""Cells: short programs to show, which run in another process and are watched from outside.

The end of a program and of its daemon threads can't be observed from inside. So a cell runs in a child with
the same interpreter, and its parent notes when each piece of its output arrives and when it ends. Times are
from the start of the child.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gilprobe.errors import FormatError, ScenarioError
from gilprobe.measuring import host
from gilprobe.measuring.measure import Trial, measure_trials
from gilprobe.results import Law, TracedArm
from gilprobe.scenarios.laws import claim, untestable, verdict
from gilprobe.workers.group import ProcessGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gilprobe.measuring.measure import Measurement
    from gilprobe.model.environment import Environment
    from gilprobe.model.traced_process import TracedProcess
    from gilprobe.scenarios.scenario import Request

TIMEOUT_S = 15.0
"""A cell takes a fraction of a second. After this time it is killed, with all its children."""

THREAD_FUNCTION = """
def thread_function(name):
    print("Thread " + str(name) + ": starting.")
    time.sleep(SLEEP_S)
    print("Thread " + str(name) + ": finishing.")

if __name__ == "__main__":
"""
"""What several cells have in common: the function of their threads, and where their main part begins."""

OFF_SHARE = 0.95
"""Share of the time for which a thread has to wait in which it is expected to be off; it also prints."""

SHORTEST_S = 1e-5
"""Distance of messages that were read at once: less than a process's wake-up."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A program to show.

    Attributes
    ----------
    source : str
        The code as in a notebook.
    parameters : mapping of str to object
        Names set before, for example the length of a sleep. Values must be literals.
    """

    source: str
    parameters: Mapping[str, object] = field(default_factory=dict)

    @property
    def program(self) -> str:
        """The whole source: the parameters, then the cell."""
        settings = "".join(f"{name} = {value!r}\n" for name, value in self.parameters.items())
        return settings + self.source


@dataclass(frozen=True, slots=True)
class CellRun:
    """The output of a cell, with times in seconds since the start of its process.

    Attributes
    ----------
    pieces : tuple of (float, str)
        Arrival and text of each piece of output, including standard error.
    exit_s : float
        End of the process.
    status : int
        Its exit status; negative: the signal that ended it.
    cut : bool
        Whether it was killed at its time limit, which is then `exit_s`.
    """

    pieces: tuple[tuple[float, str], ...]
    exit_s: float
    status: int
    cut: bool = False

    @property
    def text(self) -> str:
        """The whole output."""
        return "".join(text for _, text in self.pieces)

    def at(self, message: str) -> float:
        """Return the arrival of the first `message`, or the end of the process if it never came.

        Messages are searched anywhere, not by lines: ``print`` writes the text and the end of the line one
        after the other, and another thread's text may come between.
        """
        end = self.text.find(message) + len(message)
        if end < len(message):
            return self.exit_s
        length = 0
        for arrival_s, text in self.pieces:
            length += len(text)
            if length >= end:
                return arrival_s
        return self.exit_s

    def between(self, first: str, last: str) -> float:
        """Return the time from one message to another.

        Never 0, so that it can be divided by: on a busy machine the reader may find both at once.
        """
        return max(SHORTEST_S, self.at(last) - self.at(first))

    def in_order(self, *messages: str) -> bool:
        """Return whether all messages were printed, in this order."""
        places = [self.text.find(message) for message in messages]
        return min(places) >= 0 and places == sorted(places)


@dataclass(frozen=True, slots=True)
class CellPlan:
    """A cell as one arm or several; otherwise as a :class:`~gilprobe.measuring.measure.Trial`.

    Attributes
    ----------
    name, threads, units
        As in :class:`~gilprobe.measuring.measure.Trial`.
    cell : Cell
        The cell to run.
    score : callable
        Returns a number for each of `units`.
    traced : bool
        Whether its trace is useful.
    """

    name: str
    threads: int
    cell: Cell
    units: Mapping[str, str]
    score: Callable[[CellRun], Mapping[str, float]]
    traced: bool = True


@dataclass(frozen=True, slots=True)
class CellObservation:
    """Timed cells, and one extra run of each under a trace.

    Attributes
    ----------
    measurement : Measurement
        The arms.
    runs : mapping of (str, int) to tuple of CellRun
        The timed runs of each plan, by its name and threads, in the order of the samples.
    traces : tuple of TracedArm
        In the order of the plans; empty where the tracer does not work.
    warnings : tuple of str
        Doubts of the measurement and the traces, and runs that were killed.
    """

    measurement: Measurement
    runs: Mapping[tuple[str, int], tuple[CellRun, ...]]
    traces: tuple[TracedArm, ...]
    warnings: tuple[str, ...]


def missing(_environment: Environment) -> str:
    """Return why cells can't run here, if so: an embedded interpreter has no executable."""
    return "" if sys.executable else "this interpreter's executable is unknown, so it can't start children"


def run_cell(cell: Cell, *, timeout_s: float = TIMEOUT_S) -> CellRun:
    """Run a cell in a child with this interpreter, with or without a GIL as here.

    Parameters
    ----------
    cell : Cell
        What to run.
    timeout_s : float
        Time limit after which it and its children are killed.

    Returns
    -------
    CellRun
        Its output, with times.
    """
    with tempfile.TemporaryDirectory(prefix="gilprobe-") as folder:
        return _run(cell, folder, [], timeout_s)


def trace_cell(cell: Cell, *, timeout_s: float = TIMEOUT_S) -> tuple[CellRun, TracedProcess | None]:
    """Run a cell as :func:`run_cell` does, under ``gilprobe record``.

    Returns
    -------
    CellRun, TracedProcess or None
        None if the recording can't be read. That of a killed cell is incomplete.
    """
    from gilprobe.tracing.loading import load

    with tempfile.TemporaryDirectory(prefix="gilprobe-") as folder:
        recording = Path(folder, "cell.gilprobe")
        record = ["-m", "gilprobe", "record", "--quiet", "--no-timeline", "-o", str(recording)]
        run = _run(cell, folder, record, timeout_s)
        try:
            return run, load(recording)
        except (FormatError, OSError):
            return run, None


def observe_cells(request: Request, plans: Sequence[CellPlan]) -> CellObservation:
    """Sample the cells in turns, then trace each of them once more.

    Raises
    ------
    ScenarioError
        If a cell ends with another status than 0.
    """
    to_trace = [plan for plan in plans if plan.traced] if request.trace else []
    parts = len(plans) * request.frame.repeat + len(to_trace)
    timed_share = 1 - len(to_trace) / parts
    runs: dict[tuple[str, int], list[CellRun]] = {(plan.name, plan.threads): [] for plan in plans}
    measurement = measure_trials(
        [_trial(plan, runs[plan.name, plan.threads]) for plan in plans],
        request.frame,
        lambda label, share: request.progress(label, share * timed_share),
        warm_up=False,  # this interpreter runs already: its files are in memory
    )
    traces, doubts = [], []
    for number, plan in enumerate(to_trace):
        request.progress(f"tracing {plan.name}", timed_share + number / parts)
        _, traced = trace_cell(plan.cell)
        found = ("nothing was recorded",) if traced is None else traced.doubts
        doubts += [f"trace of {plan.name}, {plan.threads}: {text}" for text in found]
        if traced is not None:
            traces.append(TracedArm(plan.name, plan.threads, traced.report))
    kept = {key: tuple(taken) for key, taken in runs.items()}
    return CellObservation(
        measurement, kept, tuple(traces), (*measurement.warnings, *_cuts(kept), *dict.fromkeys(doubts))
    )


def sections(shown: Mapping[str, CellRun]) -> str:
    """Return the output of several cells, each below its title as a comment."""
    return "\n".join(f"# {title}\n{run.text.rstrip()}\n" for title, run in shown.items())


def off_law(
    text: str, of_what: str, waited_s: float, seen: CellObservation, arm: str, reason: str, *, main: bool
) -> Law:
    """Return the law that the main thread of an arm, or its other one, is off while it waits."""
    expected = f">= {OFF_SHARE:.0%} of the {of_what}"
    offs = [
        account.off_s
        for traced in seen.traces
        if traced.name == arm
        for account in traced.report.threads
        if (account.name == "MainThread") == main
    ]
    if not offs:
        return untestable(text, expected, reason or "no trace")
    share = max(offs) / waited_s
    numbers = claim(share, OFF_SHARE, None, "share", about=arm)
    return Law(text, expected, f"{share:.1%}", verdict(share >= OFF_SHARE), numbers)


def _trial(plan: CellPlan, taken: list[CellRun]) -> Trial:
    def run() -> Mapping[str, float]:
        ran = run_cell(plan.cell)
        if ran.status and not ran.cut:
            raise ScenarioError(
                f"the cell of {plan.name!a} must end with status 0,"
                f" got {ran.status}: {ascii(ran.text)[-200:]}"
            )
        taken.append(ran)
        return plan.score(ran)

    return Trial(plan.name, plan.threads, plan.units, run)


def _cuts(runs: Mapping[tuple[str, int], tuple[CellRun, ...]]) -> list[str]:
    return [
        f"cut: {cut} of {len(taken)} runs of {name} were killed after {TIMEOUT_S:g} s; they would take longer"
        for (name, _), taken in runs.items()
        if (cut := sum(run.cut for run in taken))
    ]


def _run(cell: Cell, folder: str, launcher: list[str], timeout_s: float) -> CellRun:
    script = Path(folder, "cell.py")
    script.write_text(cell.program, encoding="utf-8")
    # Unbuffered, or output into a pipe would arrive only at the end.
    command = [sys.executable, "-u", *launcher, str(script)]
    start_s = time.perf_counter()
    group = ProcessGroup(
        command, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, cwd=folder, env=_environment()
    )
    try:
        return _watch(group, start_s, timeout_s)
    finally:
        group.end()


def _watch(group: ProcessGroup, start_s: float, timeout_s: float) -> CellRun:
    """Read output until all have closed it and the program has ended, or its time is up."""
    latest_s = start_s + timeout_s
    pieces: list[tuple[float, str]] = []
    while data := group.take_next("stdout", latest_s - time.perf_counter()):
        pieces.append((time.perf_counter() - start_s, data.decode("utf-8", "backslashreplace")))
    cut = data is None or not group.wait(latest_s - time.perf_counter())
    exit_s = time.perf_counter() - start_s
    return CellRun(tuple(pieces), exit_s, group.end(), cut)


def _environment() -> dict[str, str]:
    chosen = dict(os.environ)
    if host.build() == "free-threaded":
        chosen["PYTHON_GIL"] = str(int(host.gil_enabled()))  # -X gil=1 is not inherited
    return chosen
