"""Measures what a trace adds to one collection of garbage.

The collections are of the youngest generation, which is empty: what they cost is what the collector's own
beginning and end do, and the trace's part of it. All arms take turns in one process; the time is the CPU
time of the thread.
"""

from __future__ import annotations

import gc
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

import common
from common import Question, Row

from gilprobe.tracing.tracer import trace

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

LIMIT_NS = 1_000
ARMS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "without a trace": nullcontext,
    "sites": trace,
    "stacks": lambda: trace(stacks=True),
    "stacks and timeline": lambda: trace(stacks=True, timeline=True),
}


def _nothing(phase: str, info: dict[str, int]) -> None:
    pass


class Callback:
    """What a program pays that counts collections itself: a function of Python that does nothing."""

    def __enter__(self) -> None:
        gc.callbacks.append(_nothing)

    def __exit__(self, *_: object) -> None:
        gc.callbacks.remove(_nothing)


def _collection_ns(number: int) -> float:
    begin = time.thread_time_ns()
    for _ in range(number):
        gc.collect(0)
    return (time.thread_time_ns() - begin) / number


def collection(options: argparse.Namespace) -> Iterator[Row]:
    """Collect with and without a trace, by turns."""
    arms = {**ARMS, "a callback of Python's own": Callback}
    names = list(arms)

    def sample(arm: int) -> float:
        with arms[names[arm]]():
            return _collection_ns(options.collections)

    gc.collect()
    gc.disable()
    try:
        off, *others = common.in_turns(sample, len(names), options.repeat)
    finally:
        gc.enable()
    yield Row("a collection of nothing", "", "ns", off)
    for name, on in zip(names[1:], others, strict=True):
        ours = name in ARMS
        target, limit = (f"<= {LIMIT_NS} ns", LIMIT_NS) if ours else ("", None)
        yield common.difference(f"added to a collection: {name}", target, "ns", off, on, limit)


QUESTIONS = (Question("a collection", f"<= {LIMIT_NS} ns", collection),)


def main() -> int:
    """Run the benchmark."""
    made = common.parser("What does a trace add to a collection of garbage?", repeat=20)
    made.add_argument("--collections", type=common.positive, default=20_000, help="in a sample (%(default)s)")
    options = made.parse_args()
    common.check_file(options, made)
    if options.quick:
        options.repeat, options.collections = min(options.repeat, 2), 500
    return common.main("collector", options, QUESTIONS)


if __name__ == "__main__":
    sys.exit(main())
