"""Measures whether the right thread is blamed, and for the right amount.

A culprit is planted: a C call that repeatedly keeps the GIL for a known time, and measures with its own clock
how long it had it (`kernels.alternate`). Its victims are threads of pure Python. They always want the GIL, so
each waits through every hold of the culprit: its wait because of the culprit must equal the culprit's holds.
The kernel is called from a function of this file; the blame must have its name and line.

The sum of blame is compared with the sum of waits in the same runs, and in a run of threads that obstruct
each other by locks, by sleep, and by starting and ending.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

from typing import TYPE_CHECKING

import common
from common import Question, Row

from gilprobe._native import kernels
from gilprobe.tracing.tracer import trace

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from gilprobe.report import Blame, Report

MS = 1000_000
RELEASED_NS = MS
INTERVAL_S = 0.001
"""Switch interval: it sets how long a culprit waits for its turn, not how long it holds."""

SUMS: list[float] = []
"""Relative difference of the sums of blame and of waits, in all runs."""


@dataclass
class Culprit:
    """A thread that holds the GIL for long: its name, its place, and the sum of its holds."""

    name: str
    held_ns: int
    cycles: int
    line: int = 0
    truth_ns: int = 0

    def plant(self) -> None:
        """Hold the GIL."""
        self.line = sys._getframe().f_lineno + 1
        spent = kernels.alternate(self.cycles, self.held_ns, RELEASED_NS)
        self.truth_ns = spent[0]

    def is_named_by(self, row: Blame) -> bool:
        """Whether the blame has its thread, function and line."""
        where = (Culprit.plant.__qualname__, os.path.realpath(__file__), self.line)
        return row.holder == self.name and (row.function, os.path.realpath(row.filename), row.line) == where


@dataclass(frozen=True)
class Verdict:
    """What one victim says about one culprit."""

    right: bool
    error: float


def _suffer(end: threading.Event) -> None:
    total = 0
    while not end.is_set():
        for step in range(1000):
            total += step & 7


def crime(culprits: list[Culprit], victims: int) -> Report:
    """Run culprits and victims, under a trace that begins and ends while all of them work."""
    end = threading.Event()
    suffering = [threading.Thread(target=_suffer, args=(end,), name=f"victim-{n}") for n in range(victims)]
    planted = [threading.Thread(target=one.plant, name=one.name) for one in culprits]
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(INTERVAL_S)
    try:
        for thread in suffering:
            thread.start()
        with trace() as recording:
            for thread in planted:
                thread.start()
            for thread in planted:
                thread.join()
    finally:
        end.set()
        sys.setswitchinterval(interval_s)
        for thread in suffering:
            thread.join()
    SUMS.append(_sum_error(recording.report()))
    return recording.report()


def judge(report: Report, culprits: list[Culprit]) -> Iterator[Verdict]:
    """Yield what each victim says about each culprit. A single one must be whom the victim waited for most.

    Time in which nobody held the GIL does not count: on a loaded machine it may be the largest part.
    """
    for victim in (thread.name for thread in report.threads if thread.name.startswith("victim")):
        rows = sorted((row for row in report.blame if row.waiter == victim), key=lambda row: -row.wait_ns)
        for one in culprits:
            among = {row.holder for row in rows if row.holder} if len(culprits) == 1 else {one.name}
            suspects = [row for row in rows if row.holder in among]
            charged_ns = sum(row.wait_ns for row in rows if one.is_named_by(row))
            yield Verdict(any(map(one.is_named_by, suspects[:1])), 100 * (charged_ns / one.truth_ns - 1))


def blame(options: argparse.Namespace) -> Iterator[Row]:
    """Compare the blame with the truth: one culprit of short holds, one of long ones, and two together."""
    for name, held_ns, victims in (
        ("1 ms, one victim", (MS,), 1),
        ("10 ms, one victim", (10 * MS,), 1),
        ("10 ms, three victims", (10 * MS,), 3),
        ("two of 10 and 3 ms, two victims", (10 * MS, 3 * MS), 2),
    ):
        verdicts: list[Verdict] = []
        for _ in range(options.repeat):
            culprits = [
                Culprit(f"culprit-{n}", held, max(2, int(options.work * 1e9) // held))
                for n, held in enumerate(held_ns)
            ]
            verdicts += judge(crime(culprits, victims), culprits)
        right = [100.0 * one.right for one in verdicts]
        errors = [one.error for one in verdicts]
        yield Row(
            f"planted holds of {name}: right thread, function and line",
            "all",
            "%",
            right,
            common.judge_figure(min(right), lambda share: share == 100),
            f"asked {len(right)} times",
            value=sum(right) / len(right),
        )
        yield Row(
            f"planted holds of {name}: blamed against held",
            "within 1 %",
            "%",
            errors,
            common.judge(errors, lambda error: abs(error) <= 1),
        )


def _sum_error(report: Report) -> float:
    waited = sum(thread.wait_ns for thread in report.threads)
    blamed = sum(row.wait_ns for row in report.blame)
    return abs(blamed - waited) / waited if waited else float(blamed != 0)


def _jostle(lock: threading.Lock, end_s: float) -> None:
    while time.monotonic() < end_s:
        with lock:
            time.sleep(0)
        sum(range(200))
        passer_by = threading.Thread(target=sum, args=(range(50),))
        passer_by.start()
        time.sleep(0.0001)
        passer_by.join()


def jostling(duration_s: float) -> Report:
    """Let threads obstruct each other in all ways."""
    lock = threading.Lock()
    with trace() as recording:
        end_s = time.monotonic() + duration_s
        threads = [threading.Thread(target=_jostle, args=(lock, end_s)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return recording.report()


def sums(options: argparse.Namespace) -> Iterable[Row]:
    """Compare the sum of blame with that of waits, over every run above and in a throng."""
    reports = [jostling(options.work) for _ in range(options.repeat)]
    SUMS.extend(map(_sum_error, reports))
    rows = sum(len(report.blame) for report in reports)
    yield Row(
        "sum of blame against sum of waits, relative difference",
        "<= 1e-6",
        "",
        SUMS,
        common.judge(SUMS, lambda error: error <= 1e-6),
        f"{len(SUMS)} runs; {rows} rows of blame in the throngs",
    )


QUESTIONS = (
    Question("planted holds", "right place, within 1 %", blame),
    Question("sum of blame against sum of waits", "<= 1e-6", sums),
)


def main() -> int:
    """Run the benchmark."""
    made = common.parser("Is the right thread blamed, and for the right amount?", repeat=5)
    made.add_argument("--work", type=common.seconds, default=0.5, help="seconds of holds a run (%(default)s)")
    options = made.parse_args()
    common.check_file(options, made)
    if options.quick:
        options.repeat, options.work = min(options.repeat, 2), 0.04
    return common.main("culprit", options, QUESTIONS)


if __name__ == "__main__":
    sys.exit(main())
