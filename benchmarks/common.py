"""What the benchmarks share: rows, the table, the JSON file, and the doubts about the numbers."""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from gilprobe.errors import GilProbeError
from gilprobe.measuring import host
from gilprobe.model import codec
from gilprobe.model.confidence import bootstrap_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

T = TypeVar("T")

SCHEMA = 1

REACHED = "reached"
MEDIAN_ONLY = "median only"
MISSED = "missed"
NO_TARGET = "-"
NOT_TESTABLE = "not testable here"

OTHER_LOAD_LIMIT = 0.05
STEAL_LIMIT = 0.01


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes
    ----------
    what, target : str
        What was measured, and its target; ``""`` if there is none.
    unit : str
        Of the samples.
    samples : sequence of float
        One a repeat, in the order of measurement.
    verdict : str
        ``"reached"`` by every sample, by the ``"median only"``, or ``"missed"``; ``"-"`` without a target;
        ``"not testable here"``.
    note : str
        A remark for the reader, in one line.
    details : dict
        The same as numbers, for the JSON file only.
    value : float or None
        The figure, if it is not the samples' median but a ratio of two medians.
    """

    what: str
    target: str
    unit: str
    samples: Sequence[float] = ()
    verdict: str = NO_TARGET
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    value: float | None = None

    def figure(self) -> float | None:
        """Return the number that the row is about."""
        if self.value is not None or not self.samples:
            return self.value
        return statistics.median(self.samples)

    def farthest(self) -> float | None:
        """Return the sample that is farthest from zero."""
        return max(self.samples, key=abs, default=None)

    def interval(self) -> tuple[float, float] | None:
        """Return the bootstrap interval of the median."""
        return bootstrap_interval(self.samples) if self.samples else None

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON has it."""
        return {
            "what": self.what,
            "target": self.target,
            "unit": self.unit,
            "figure": self.figure(),
            "interval": self.interval(),
            "lowest": min(self.samples, default=None),
            "highest": max(self.samples, default=None),
            "farthest_from_zero": self.farthest(),
            "samples": list(self.samples),
            "verdict": self.verdict,
            "note": self.note,
            "details": self.details,
        }


def judge(samples: Sequence[float], reaches: Callable[[float], bool]) -> str:
    """Return the verdict on samples of which each should reach the target."""
    if all(map(reaches, samples)):
        return REACHED
    return MEDIAN_ONLY if reaches(statistics.median(samples)) else MISSED


def judge_figure(figure: float, reaches: Callable[[float], bool]) -> str:
    """Return the verdict where only the figure itself has a target."""
    return REACHED if reaches(figure) else MISSED


def in_turns(sample: Callable[[int], T], arms: int, repeat: int) -> list[list[T]]:
    """Take samples of arms 0, 1, ... by turns, after an uncounted one of each.

    Each time in another order: a run finds the caches, and where the system has put the threads, as the one
    before has left them, and so that must not always be the same one.
    """
    shuffled = random.Random(0)
    for arm in range(arms):
        sample(arm)
    taken: list[list[T]] = [[] for _ in range(arms)]
    for _ in range(repeat):
        for arm in shuffled.sample(range(arms), arms):
            taken[arm].append(sample(arm))
    return taken


def ranges(off: Sequence[float], on: Sequence[float]) -> str:
    """Return both medians and their intervals in words."""
    texts = []
    for name, samples in (("off", off), ("on", on)):
        low, high = bootstrap_interval(samples)
        texts.append(f"{name} {shown(statistics.median(samples))} ({shown(low)} .. {shown(high)})")
    return ", ".join(texts)


def difference(
    what: str, target: str, unit: str, off: Sequence[float], on: Sequence[float], limit: float | None
) -> Row:
    """Return the differences of neighbouring samples."""
    added = [with_it - without for without, with_it in zip(off, on, strict=True)]
    verdict = NO_TARGET if limit is None else judge(added, lambda one: one <= limit)
    return Row(what, target, unit, added, verdict, ranges(off, on), {"off": list(off), "on": list(on)})


def more(off: Sequence[float], on: Sequence[float]) -> list[float]:
    """Return by how many per cent each of `on` is larger than its neighbour."""
    return [100 * (with_it / without - 1) for without, with_it in zip(off, on, strict=True)]


@dataclass(frozen=True)
class Question:
    """A part of a benchmark: what it asks, what must be reached, and how it is answered.

    `answer` takes the parsed options and yields rows. `traces` says that it needs the tracer.
    """

    what: str
    target: str
    answer: Callable[[argparse.Namespace], Iterable[Row]]
    traces: bool = True


class Surroundings:
    """What other processes and the hypervisor did while a benchmark ran."""

    def __init__(self) -> None:
        self._load = host.load_average()
        self._times = host.cpu_times()
        self._children_s = _children_s()

    def doubts(self) -> Iterator[str]:
        """Yield the doubts about the numbers, a line each."""
        if self._load is not None and self._load > 0.5:
            yield f"other load: the load average was {self._load:.2f} before the benchmark"
        before, after = self._times, host.cpu_times()
        if before is None or after is None or after.total_s - before.total_s < 1.0:
            return
        total_s = after.total_s - before.total_s
        own_s = after.own_s - before.own_s + _children_s() - self._children_s
        other = (after.busy_s - before.busy_s - own_s) / total_s
        steal = (after.steal_s - before.steal_s) / total_s
        if other > OTHER_LOAD_LIMIT:
            yield f"other load: other processes used {other:.0%} of the usable cores' time"
        if steal > STEAL_LIMIT:
            yield f"steal: the hypervisor took {steal:.0%} of the usable cores' time"


def _children_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print the error and exit."""
        self.exit(2, f"{self.prog}: error: {message}\n")


def parser(description: str, *, repeat: int) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have."""
    made = Parser(description=description)
    made.add_argument("--json", metavar="FILE", help="also write the rows and the environment to this file")
    made.add_argument("--quick", action="store_true", help="a short trial: its numbers mean little")
    made.add_argument("--repeat", type=positive, default=repeat, help="samples a row (%(default)s)")
    made.add_argument("--seed", type=int, default=1, help="chooses the order of the runs (%(default)s)")
    made.add_argument("--only", metavar="TEXT", default="", help="only the questions with this in their name")
    return made


def positive(text: str) -> int:
    """Parse an integer from 1 on."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be >= 1, got {number}")
    return number


def seconds(text: str) -> float:
    """Parse a positive duration."""
    number = float(text)
    if not 0 < number < 3600:
        raise argparse.ArgumentTypeError(f"must be between 0 and 3600 seconds, got {number}")
    return number


def main(name: str, options: argparse.Namespace, questions: Sequence[Question]) -> int:
    """Answer the questions, print the table, write the file."""
    environment = host.read_environment()
    able = host.capabilities()
    surroundings = Surroundings()
    rows: list[Row] = []
    for question in questions:
        if options.only not in question.what:
            continue
        progress(question.what)
        if question.traces and able.tracer == "none":
            rows.append(Row(question.what, question.target, "", (), NOT_TESTABLE, able.tracer_reason))
            continue
        try:
            rows += question.answer(options)
        except GilProbeError as error:
            rows.append(Row(question.what, question.target, "", (), NOT_TESTABLE, str(error)))
    progress("")
    doubts = list(surroundings.doubts())
    if options.quick:
        doubts.append("quick: the runs were short, the numbers mean little")
    print(
        f"{name}: CPython {environment.python} ({environment.build}), {environment.cpu}, "
        f"{environment.cores} cores, clock {environment.clock}, {environment.started}"
    )
    print_table(rows)
    for doubt in doubts:
        print(f"doubt: {doubt}")
    if options.json:
        document = {
            "schema": SCHEMA,
            "benchmark": name,
            "environment": codec.encode(environment),
            "parameters": vars(options),
            "rows": [row.to_dict() for row in rows],
            "doubts": doubts,
        }
        codec.write_json(options.json, document)
    return 0


def progress(text: str) -> None:
    """Show on a terminal the current step."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def print_table(rows: Iterable[Row]) -> None:
    """Print the rows in columns."""
    heads = ("what", "target", "figure", "95 % interval", "lowest .. highest", "verdict", "note")
    lines = [heads, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    lines.insert(1, tuple("-" * width for width in widths))
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cells(row: Row) -> tuple[str, ...]:
    figure, interval = row.figure(), row.interval()
    return (
        row.what,
        row.target or "-",
        "-" if figure is None else f"{shown(figure)} {row.unit}".rstrip(),
        "-" if interval is None else f"{shown(interval[0])} .. {shown(interval[1])}",
        f"{shown(min(row.samples))} .. {shown(max(row.samples))}" if row.samples else "-",
        row.verdict,
        row.note,
    )


def shown(number: float) -> str:
    """Return a number with four significant digits."""
    return f"{number:.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def check_file(options: argparse.Namespace, made: argparse.ArgumentParser) -> None:
    """Refuse a file that can't be written before minutes of measuring."""
    if options.json and not Path(options.json).absolute().parent.is_dir():
        made.error(f"argument --json: there is no folder {str(Path(options.json).parent)!r}")
