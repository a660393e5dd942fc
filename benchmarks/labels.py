"""Measure what a label costs, and what a thread's times cost, with and without a monitor.

By CPU time, since other load on the machine does not count there. Each sample is the mean of many calls; the
loop around them is measured beside, and taken off.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

import common
from common import Question, Row

from gilprobe.tracing.labelling import label, thread_times
from gilprobe.tracing.monitoring import monitor

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

LABEL_LIMIT_NS, TIMES_LIMIT_NS = 300.0, 150.0
ONE = label("benchmark")


def _nothing(calls: range) -> None:
    for _ in calls:
        pass


def _enter(calls: range) -> None:
    for _ in calls:
        with ONE:
            pass


def _make(calls: range) -> None:
    for _ in calls:
        with label("benchmark"):
            pass


def _times(calls: range) -> None:
    for _ in calls:
        thread_times()


def _costs(options: argparse.Namespace, *loops: Callable[[range], None]) -> list[list[float]]:
    """Return samples of each loop, nanoseconds a call."""
    calls = range(options.calls)

    def sample(arm: int) -> float:
        begin = time.process_time()
        (_nothing, *loops)[arm](calls)
        return (time.process_time() - begin) / len(calls) * 1e9

    base, *taken = common.in_turns(sample, 1 + len(loops), options.repeat)
    return [[cost - least for cost, least in zip(costs, base, strict=True)] for costs in taken]


def _row(what: str, limit: float | None, samples: list[float]) -> Row:
    target = "" if limit is None else f"<= {limit:g} ns"
    verdict = common.NO_TARGET if limit is None else common.judge(samples, lambda one: one <= limit)
    return Row(what, target, "ns", samples, verdict)


def labels(options: argparse.Namespace) -> Iterator[Row]:
    """Enter and leave a label."""
    for name, limit in (("without a monitor", None), ("with a monitor", LABEL_LIMIT_NS)):
        running = monitor()
        if limit is not None:
            running.start()
        try:
            entered, made = _costs(options, _enter, _make)
        finally:
            if running.running:
                running.stop()
        yield _row(f"label, enter and exit, {name}", limit, entered)
        yield _row(f"label, made, enter and exit, {name}", limit, made)


def times(options: argparse.Namespace) -> Iterator[Row]:
    """Ask for a thread's times."""
    with monitor():
        (taken,) = _costs(options, _times)
    yield _row("thread_times()", TIMES_LIMIT_NS, taken)


QUESTIONS = (
    Question("label", f"<= {LABEL_LIMIT_NS:g} ns", labels),
    Question("thread_times", f"<= {TIMES_LIMIT_NS:g} ns", times),
)


def main() -> int:
    """Run the benchmark."""
    made = common.parser("What do labels and a thread's times cost?", repeat=50)
    made.add_argument("--calls", type=common.positive, default=20_000, help="a sample (%(default)s)")
    options = made.parse_args()
    common.check_file(options, made)
    if options.quick:
        options.repeat = min(options.repeat, 5)
    return common.main("labels", options, QUESTIONS)


if __name__ == "__main__":
    sys.exit(main())
