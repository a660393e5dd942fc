"""Measures what reading reference counts costs: one count, a million of them, and a sampled count.

The arms of each comparison take turns. A count is read in a loop, whose own time is included in both arms.
The watched program is a loop of pure Python that always takes and drops references to the watched object, so
that the sampling thread and the program want the same cache line: the worst case. A second row has a program
that works on other objects.
"""

from __future__ import annotations

import random
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

from typing import TYPE_CHECKING

import common
from common import Question, Row

from gilprobe import refs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

HZ = 1e6

SHORT = 4
"""This many times more, shorter runs if the machine's neighbours disturb more than the measured effect."""


def ratio(
    what: str, target: str, base: Sequence[float], other: Sequence[float], reaches: Callable[[float], bool]
) -> Row:
    """Return the ratio of each of `other` to its neighbour."""
    times = [one / without for without, one in zip(base, other, strict=True)]
    details = {"base": list(base), "other": list(other)}
    return Row(what, target, "x", times, common.judge(times, reaches), common.ranges(base, other), details)


# -- one count


def _watch_s(obj: object, times: int) -> float:
    watched = refs.watch(obj)
    begin = time.perf_counter()
    for _ in range(times):
        watched.count  # noqa: B018 (what is timed)
    return time.perf_counter() - begin


def _getrefcount_s(obj: object, times: int) -> float:
    begin = time.perf_counter()
    for _ in range(times):
        sys.getrefcount(obj)
    return time.perf_counter() - begin


def one(options: argparse.Namespace) -> Iterator[Row]:
    """Compare the two ways to read one count."""
    obj = object()
    arms = (_getrefcount_s, _watch_s)
    times = 20_000 if options.quick else 1_000_000
    known, watched = common.in_turns(lambda arm: 1e9 * arms[arm](obj, times) / times, 2, options.repeat)
    yield ratio(
        "watch(obj).count against sys.getrefcount(obj), ns with the loop",
        "<= 1.0x",
        known,
        watched,
        lambda times_as_long: times_as_long <= 1.0,
    )


# -- many


def _bulk_s(items: list[object]) -> float:
    begin = time.perf_counter()
    refs.counts(items)
    return time.perf_counter() - begin


def _listed_s(items: list[object]) -> float:
    begin = time.perf_counter()
    [sys.getrefcount(item) for item in items]
    return time.perf_counter() - begin


def many(options: argparse.Namespace) -> Iterator[Row]:
    """Compare the two ways to read many counts, of objects in a row in memory and scattered over it."""
    size = 10_000 if options.quick else 1_000_000
    items = [object() for _ in range(size)]
    shuffled = random.Random(options.seed).sample(items, size)
    for name, asked in (("as they were made", items), ("in random order", shuffled)):
        bulk, listed = common.in_turns(
            lambda arm, asked=asked: 1e3 * (_bulk_s, _listed_s)[arm](asked), 2, options.repeat
        )
        yield ratio(
            f"list comprehension with sys.getrefcount against counts, {size:,} objects {name}, ms",
            ">= 20x",
            bulk,
            listed,
            lambda times_as_long: times_as_long >= 20,
        )


# -- over time


def _refer_s(obj: object, rounds: int) -> float:
    """Take and drop two references to the object in each round."""
    begin = time.perf_counter()
    for _ in range(rounds):
        first = obj
        second = first
        first = second = None  # noqa: F841 (what is timed)
    return time.perf_counter() - begin


def _elsewhere_s(_: object, rounds: int) -> float:
    total = 0
    begin = time.perf_counter()
    for step in range(rounds):
        total += step & 7
    return time.perf_counter() - begin


def _sampled_s(work: Callable[[object, int], float], obj: object, rounds: int, seen: list[float]) -> float:
    with refs.timeline(obj, hz=HZ, keep=0) as sampling:
        duration_s = work(obj, rounds)
    seen.append(sampling.timeline.samples / sampling.timeline.elapsed_s)
    return duration_s


def sampled(options: argparse.Namespace) -> Iterator[Row]:
    """Compare a program with itself while a count is sampled."""
    rounds = 20_000 if options.quick else 2_000_000
    for name, work in (
        ("that counts the watched object all the time", _refer_s),
        ("that works on others", _elsewhere_s),
    ):
        obj, rates = object(), list[float]()

        runs = (partial(work, obj, rounds), partial(_sampled_s, work, obj, rounds, rates))
        off, on = common.in_turns(lambda arm, runs=runs: runs[arm](), 2, options.repeat * SHORT)
        slower = common.more(off, on)
        yield Row(
            f"timeline at 1 MHz: slowdown of a program {name}",
            "<= 1 %",
            "%",
            slower,
            common.judge(slower, lambda percent: percent <= 1),
            f"{common.ranges(off, on)} s; {min(rates):,.0f} to {max(rates):,.0f} samples a second",
            {"off": off, "on": on, "rates": rates},
        )


QUESTIONS = (
    Question("watch(obj).count against sys.getrefcount(obj)", "<= 1.0x", one, traces=False),
    Question("counts against a list comprehension", ">= 20x", many, traces=False),
    Question("timeline at 1 MHz", "<= 1 %", sampled, traces=False),
)


def main() -> int:
    """Run the benchmark."""
    made = common.parser("What does it cost to read reference counts?", repeat=15)
    options = made.parse_args()
    common.check_file(options, made)
    if options.quick:
        options.repeat = min(options.repeat, 3)
    return common.main("refs", options, QUESTIONS)


if __name__ == "__main__":
    sys.exit(main())
