"""Measures whether the right thread is blamed, and for the right amount.

A culprit is planted: a C call that repeatedly keeps the GIL for a known time, and measures with its own clock
how long it had it (`kernels.alternate`). Its victims are threads of pure Python. They always want the GIL, so
each waits through every hold of the culprit: its wait because of the culprit must equal the culprit's holds.
The kernel is called from a function of this file; the blame must have its name and line.

The sum of blame is compared with the sum of waits in the same runs, and in a run of threads that obstruct
each other by locks, by sleep, and by starting and ending.

Then come culprits of many kinds, each a program of its own (`kinds`): operators, calls, code in Python, the
collector, pools, callbacks. The first row of the verdict must name the culprit, and its share of the victims'
waits must be that of the program's clocks. `--beside` asks other tools the same.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

from typing import TYPE_CHECKING, Any

import common
from common import Question, Row
from kinds import KINDS
from kinds.runs import GILPROBE, PEERS, Runner
from peers.environments import Environments, UnavailableError

from gilprobe._native import kernels
from gilprobe.tracing.tracer import trace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kinds import Kind
    from kinds.runs import Outcome

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


# ---- culprits of many kinds

QUICK = ("x in list", "ThreadPoolExecutor")

POINTS = 3.0
"""A share may be as far from the truth, or three standard errors if that is more."""

ENVIRONMENTS = Path(tempfile.gettempdir()) / "gilprobe-peers"
"""Peers stay installed here."""


@dataclass(frozen=True)
class Answer:
    """What a tool told of a kind in one run: whether its first row was right, and how far its shares were."""

    tool: str
    right: bool
    error: float
    limit: float
    hold_error: float | None

    @property
    def near(self) -> bool:
        """Whether its share is that of the truth."""
        return abs(self.error) <= self.limit


class Kinds:
    """The questions about all kinds, and a summary of the answers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._answers: list[Answer] = []

    def questions(self, *, quick: bool) -> Iterator[Question]:
        """Yield a question for each kind, two if it is to be quick, and one for the summary."""
        for kind in map(KINDS.__getitem__, QUICK) if quick else KINDS.values():
            yield Question(f"kind: {kind.name}", TARGET, lambda options, kind=kind: self._ask(kind, options))
        yield Question("kinds in all", TARGET, self._summary)

    def _ask(self, kind: Kind, options: argparse.Namespace) -> Iterator[Row]:
        for cpus in options.cpus:
            where = f"kind: {kind.name}" + (f", {cpus} CPU" if cpus else "")
            try:
                runner = Runner(self._folder, options.python, cpus, Environments(ENVIRONMENTS))
            except UnavailableError as error:
                yield Row(where, TARGET, "", (), common.NOT_TESTABLE, str(error))
                continue
            for tool in (GILPROBE, *options.beside):
                outcomes = [runner.run(kind, options.seconds, tool) for _ in range(options.runs)]
                about = {"kind": kind.name, "cpus": cpus, "tool": tool}
                what = where if tool == GILPROBE else f"{where}: {tool}"
                yield self._row(what, about, outcomes)

    def _row(self, what: str, about: dict[str, Any], outcomes: Sequence[Outcome]) -> Row:
        tool = about["tool"]
        answers = [answer for one in outcomes if (answer := answer_of(tool, one))]
        self._answers += answers
        target = TARGET if tool == GILPROBE else ""
        if not answers:
            reason = outcomes[0].reason or "tells nothing"
            return Row(what, target, "", (), common.NOT_TESTABLE, reason, about)
        good = [one.right and one.near for one in answers]
        verdict = common.REACHED if all(good) else common.MISSED
        return Row(
            what,
            target,
            "points",
            [one.error for one in answers],
            verdict if tool == GILPROBE else common.NO_TARGET,
            in_words(outcomes),
            {
                **about,
                "right": [one.right for one in answers],
                "truth": [(one.facts.least + one.facts.most) / 2 for one in outcomes if one.facts],
                "runs": [{**one.document, "told": one.reading and one.reading.to_dict()} for one in outcomes],
            },
        )

    def _summary(self, options: argparse.Namespace) -> Iterator[Row]:
        for tool in (GILPROBE, *options.beside):
            answers = [one for one in self._answers if one.tool == tool]
            if not answers:
                continue
            target, judge = ("all", common.judge) if tool == GILPROBE else ("", lambda *_: common.NO_TARGET)
            right = [100.0 * one.right for one in answers]
            near = [100.0 * one.near for one in answers]
            for what, samples in (("the culprit is first", right), ("its share is near", near)):
                yield Row(
                    f"kinds in all: {tool}: {what}",
                    target,
                    "%",
                    samples,
                    judge(samples, lambda share: share == 100),
                    f"{sum(map(bool, samples))} of {len(samples)}",
                    value=statistics.fmean(samples),
                )
            holds = [one.hold_error for one in answers if one.hold_error is not None]
            if holds:
                target = f"within {POINTS:.0f} points" if tool == GILPROBE else ""
                verdict = judge(holds, lambda error: abs(error) <= POINTS)
                yield Row(f"kinds in all: {tool}: share of all holding", target, "points", holds, verdict)


TARGET = f"first, within {POINTS:.0f} points"


def answer_of(tool: str, outcome: Outcome) -> Answer | None:
    """Compare what a tool told with the truth; None if one of them is missing.

    A tool that knows waits is compared by those of the victims: the waits of others, which no clock measures,
    would change its share of all waiting. The standard error is one of that share, and grows with it.
    """
    facts, told = outcome.facts, outcome.reading
    if facts is None or told is None or told.share is None:
        return None
    share = told.share if told.caused_s is None else told.caused_s / max(1e-9, facts.victims_s)
    hold_error = None
    if facts.hold_share is not None and told.hold_share is not None:
        hold_error = 100 * (told.hold_share - facts.hold_share)
    limit = max(POINTS, 300 * (told.error or 0.0) * max(1.0, share / (told.share or 1.0)))
    return Answer(tool, told.right, 100 * facts.error(share), limit, hold_error)


def in_words(outcomes: Sequence[Outcome]) -> str:
    """Return the truth and what was told in the first run, and how often the first row was right."""
    facts, told = next((one.facts, one.reading) for one in outcomes if one.facts and one.reading)
    right = sum(one.reading.right for one in outcomes if one.reading)
    often = ("right" if right else "wrong") if len(outcomes) == 1 else f"right {right} of {len(outcomes)}"
    truth = f"{facts.least:.0%} to {facts.most:.0%}"
    return f"truth {truth}, told {told.share or 0:.0%}; {often}: {told.first or 'nothing'}"


def cpu_counts(text: str) -> list[int]:
    """Parse numbers of CPUs."""
    return [common.positive(one) for one in text.split(",")]


def peer_names(text: str) -> list[str]:
    """Parse names of peers."""
    names = [one for one in text.split(",") if one]
    for one in names:
        if one not in PEERS:
            raise argparse.ArgumentTypeError(f"must be of {', '.join(PEERS)}, got {one!r}")
    return names


def main() -> int:
    """Run the benchmark."""
    made = common.parser("Is the right thread blamed, and for the right amount?", repeat=5)
    made.add_argument("--work", type=common.seconds, default=0.5, help="seconds of holds a run (%(default)s)")
    made.add_argument("--runs", type=common.positive, default=1, help="runs of each kind (%(default)s)")
    made.add_argument("--seconds", type=common.seconds, default=4, help="their length (%(default)s)")
    made.add_argument(
        "--cpus", type=cpu_counts, default=[0], metavar="N,N", help="run the kinds on so many CPUs (on all)"
    )
    made.add_argument("--python", default=sys.executable, help="the interpreter that runs the kinds")
    made.add_argument(
        "--beside",
        type=peer_names,
        default=[],
        metavar="TOOL,TOOL",
        help=f"ask, too: {', '.join(PEERS)}",
    )
    options = made.parse_args()
    common.check_file(options, made)
    if options.quick:
        options.repeat, options.work = min(options.repeat, 2), 0.04
        options.runs, options.seconds = 1, min(options.seconds, 1.0)
    with tempfile.TemporaryDirectory(prefix="gilprobe-kinds-") as folder:
        return common.main(
            "culprit", options, [*QUESTIONS, *Kinds(Path(folder)).questions(quick=options.quick)]
        )


if __name__ == "__main__":
    sys.exit(main())
