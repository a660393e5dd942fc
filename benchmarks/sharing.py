"""Does `gilprobe sharing` find what threads lose by sharing? Compares it with measurements made by hand.

Each case has a call in which threads share one object that is known, and by hand the same with one object a
thread: what a user would change to see whether it helps. The first object of the result must be that one, and
the factor within 20 % of the one by hand. Most cases are issues of CPython's; what a newer version has mended
is no loss any more, neither by hand.
"""

from __future__ import annotations

import copy
import enum
import math
import statistics
import sys
import threading
import time
import types
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

import common
from common import Question, Row

from gilprobe.auditing.shared_costs import SLICE_NS, SharedCosts, Way, calls_of_a_batch, ratio
from gilprobe.auditing.sharing import sharing
from gilprobe.errors import UnsupportedError
from gilprobe.measuring.host import capabilities

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

COPY = compile(Path(copy.__file__).read_text(encoding="utf-8"), "copy_anew", "exec")
TARGET = "right object first, within 20 %"
CLOSE = 0.2
NO_LOSS = 1.1


class Point:
    """A small class of a user's."""

    def __init__(self) -> None:
        self.x = 1

    def method(self) -> int:
        """Return a number."""
        return self.x


def used(source: str, times: int = 100) -> Callable[[Any], None]:
    """Return a function that does something with its argument so many times."""
    made: dict[str, Any] = {}
    exec(f"def use(shared):\n for _ in range({times}): {source}", made)  # noqa: S102
    use: Callable[[Any], None] = made["use"]
    return use


def closure() -> Callable[[], object]:
    """Return a nested function."""
    value = 1
    return lambda: value


def enumeration() -> Any:
    """Return an enum of one's own."""
    return enum.Enum("Color", {"RED": 1})


def module() -> types.ModuleType:
    """Return a module with one function."""
    import math

    new = types.ModuleType("new")
    new.sqrt = math.sqrt  # type: ignore[attr-defined]
    return new


def deepcopy_function() -> Callable[[Any], Any]:
    """Return deepcopy, with all functions and variables of its module made anew."""
    new = types.ModuleType("copy_anew")
    exec(COPY, new.__dict__)  # noqa: S102
    return new.deepcopy  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Case:
    """A call, how an object for it is made, and parts of the names of those that may come first."""

    work: Callable[[Any], None]
    make: Callable[[], Any]
    expected: tuple[str, ...] = ("argument 1",)
    issue: str = ""


CASES = {
    "item of a list": Case(used("shared[1]"), lambda: [1, 2]),
    "item of a dict": Case(used("shared[1]"), lambda: {1: 2}),
    "attribute of an object": Case(used("shared.x"), Point),
    "method of an object": Case(used("shared.method()"), Point, issue="#123619"),
    "bound method": Case(used("shared()"), lambda: Point().method, issue="#123619"),
    "closure": Case(used("shared()"), closure, ("argument 1", "cell"), "#124218"),
    "member of an enum": Case(used("shared.RED"), enumeration, ("RED",), "#139103"),
    "membership in a set": Case(used("1 in shared"), lambda: {1, 2, 3}, issue="#132657"),
    "threading.local": Case(used("shared.x = 1; shared.x"), threading.local, issue="#128691"),
    "threading.Lock": Case(used("shared.locked()"), threading.Lock, issue="#134761"),
    "function of a module": Case(used("shared.sqrt"), module, issue="#118527"),
    "small class": Case(used("shared()"), lambda: type("Small", (), {})),
    "copy.deepcopy": Case(
        used("shared([1, [2, 3], {'a': 1}])", 10), deepcopy_function, ("copy", "deepcopy"), "#132657"
    ),
}


def by_hand(case: Case, options: argparse.Namespace) -> tuple[float, float, float] | None:
    """Return how many times as long the call takes with one object for all as with one a thread."""
    one = case.make()
    calls, call_ns = calls_of_a_batch(partial(case.work, one))
    until_ns = time.perf_counter_ns() + int(options.limit * 1e9)
    costs = SharedCosts(calls, max(SLICE_NS, int(3 * calls * call_ns)), until_ns)
    shared = Way(options.threads, lambda: partial(case.work, one))
    own = Way(options.threads, lambda: partial(case.work, case.make()))
    costs.measure([shared, own], 2 * options.repeat, 12 * options.repeat)
    return ratio(shared, own)


def known(options: argparse.Namespace) -> Iterator[Row]:
    """Search each case's object."""
    if capabilities().gil_enabled:
        raise UnsupportedError("this Python has a GIL: threads lose nothing by shared reference counts")
    for name, case in CASES.items():
        if options.case not in name:
            continue
        common.progress(name)
        what = f"{name} {case.issue}".rstrip()
        try:
            yield compared(what, case, options)
        except UnsupportedError as error:  # too busy
            yield Row(what, TARGET, "", (), common.NOT_TESTABLE, str(error))


def compared(what: str, case: Case, options: argparse.Namespace) -> Row:
    """Search the object of a case, and measure by hand, some times."""
    factors, hands, firsts, close = [], [], [], []
    for _ in range(options.rounds):
        hand, _, _ = by_hand(case, options) or (math.nan, 0.0, 0.0)
        found = sharing(
            case.work, case.make(), threads=options.threads, repeat=options.repeat, limit_s=options.limit
        )
        if math.isnan(hand):
            raise UnsupportedError("by hand the threads never ran at the same time: too busy")
        first = found.objects[0] if found.objects else None
        right = hand < NO_LOSS or (first is not None and any(part in first.name for part in case.expected))
        factors.append(found.factor)
        hands.append(hand)
        firsts.append(f"{first.name} ({first.cause}, {first.factor:.2f})" if first else "nothing")
        close.append(float(right and abs(found.factor / hand - 1) <= CLOSE))
    return Row(
        what,
        TARGET,
        "times",
        factors,
        common.judge(close, bool),
        f"by hand {statistics.median(hands):.2f}; first: {', '.join(dict.fromkeys(firsts))}",
        {"by_hand": hands, "first": firsts},
    )


QUESTIONS = (Question("objects of known cases", TARGET, known, traces=False),)


def main() -> int:
    """Run the benchmark."""
    made = common.parser("Does `gilprobe sharing` find what threads lose by sharing?", repeat=5)
    made.add_argument("--threads", type=common.positive, default=2, help="threads (%(default)s)")
    made.add_argument("--rounds", type=common.positive, default=3, help="searches a case (%(default)s)")
    made.add_argument("--limit", type=common.seconds, default=30, help="seconds of a search (%(default)s)")
    made.add_argument("--case", metavar="TEXT", default="", help="only the cases with this in their name")
    options = made.parse_args()
    common.check_file(options, made)
    if options.quick:
        options.repeat, options.rounds, options.limit = 2, 1, 5
    return common.main("sharing", options, QUESTIONS)


if __name__ == "__main__":
    sys.exit(main())
