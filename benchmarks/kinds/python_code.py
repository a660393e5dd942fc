"""Code in Python: its time is spread over lines, functions and frames of many kinds."""

from __future__ import annotations

import copy
import functools
import importlib
import json
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .base import kind, note
from .c_calls import DOCUMENT, TEXT, heavy, shuffled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .base import Act
    from .truth import Truth

Made = TypeVar("Made", bound="Callable[..., Any]")


@kind("comprehension")
def comprehension(_: Truth) -> Act:
    """Build a list by a comprehension, which has a frame of its own up to 3.11."""
    numbers = list(range(200_000))

    def act() -> None:
        [number * 3 + 1 for number in numbers]  # culprit
        note()

    return act


@kind("generator expression", callee=r"sum|genexpr")
def expression(_: Truth) -> Act:
    """Sum up what a generator yields."""
    numbers = list(range(200_000))

    def act() -> None:
        sum(number + 1 for number in numbers)  # culprit
        note()

    return act


@kind("generator function", callee=r"list|numbered")
def generator(_: Truth) -> Act:
    """Make a list of what a generator yields."""

    def numbered(count: int) -> Iterator[int]:
        for number in range(count):  # culprit
            yield number * 3 + 1  # culprit

    def act() -> None:
        list(numbered(200_000))  # culprit
        note()

    return act


@kind("recursion", callee=r"fibonacci")
def recursion(_: Truth) -> Act:
    """Compute by a function that calls itself."""

    def fibonacci(number: int) -> int:  # culprit
        if number < 2:  # culprit
            return number  # culprit
        return fibonacci(number - 1) + fibonacci(number - 2)  # culprit

    def act() -> None:
        fibonacci(24)  # culprit
        note()

    return act


def logged(function: Made) -> Made:
    """Wrap a function, as decorators do."""

    @functools.wraps(function)
    def wrapper(*arguments: object) -> object:
        note()
        result = function(*arguments)
        note()
        return result

    return wrapper  # type: ignore[return-value]


@kind("decorated function", callee=r"sorted|ranked")
def decorated(_: Truth) -> Act:
    """Call a function through its decorator."""
    numbers = heavy()

    @logged
    def ranked() -> list[int]:
        return sorted(numbers)  # culprit

    def act() -> None:
        ranked()  # culprit
        note()

    return act


@kind("__lt__ in Python", callee=r"sorted|__lt__")
def compared(_: Truth) -> Act:
    """Sort objects that compare themselves in Python."""

    class Thing:
        def __init__(self, number: int) -> None:
            self.number = number

        def __lt__(self, other: Thing) -> bool:  # culprit
            return self.number < other.number  # culprit

    things = [Thing(number) for number in shuffled(9_000)]

    def act() -> None:
        sorted(things)  # culprit
        note()

    return act


@kind("property", callee=r"sorted|ranked")
def computed(_: Truth) -> Act:
    """Read a property that computes."""
    numbers = heavy()

    class Thing:
        @property  # culprit
        def ranked(self) -> list[int]:
            return sorted(numbers)  # culprit

    thing = Thing()

    def act() -> None:
        thing.ranked  # noqa: B018  # culprit
        note()

    return act


@kind("__getattr__", callee=r"sorted|__getattr__")
def attribute(_: Truth) -> Act:
    """Read an attribute that is computed."""
    numbers = heavy()

    class Thing:
        def __getattr__(self, name: str) -> list[int]:
            return sorted(numbers)  # culprit

    thing = Thing()

    def act() -> None:
        thing.ranked  # noqa: B018  # culprit
        note()

    return act


@kind("class body")
def class_body(_: Truth) -> Act:
    """Compute in the body of a class."""
    numbers = heavy()

    def act() -> None:
        class Table:  # culprit
            rows = sorted(numbers)  # culprit

        note(Table)

    return act


@kind("code of exec", files=("<rules>",))
def executed(_: Truth) -> Act:
    """Execute compiled text, which is in no file."""
    code = compile("total = 0\nfor number in range(100_000):\n    total += number * 3\n", "<rules>", "exec")

    def act() -> None:
        exec(code, {})  # noqa: S102  # culprit
        note()

    return act


@kind(
    "import",
    callee=r"import|compile|exec|kinds_imported",
    functions=("_call_with_frames_removed", "_compile_bytecode"),
)
def imported(truth: Truth) -> Act:
    """Import a module again and again, which compiles it each time."""
    folder = Path(truth.library).with_name("imported")
    folder.mkdir(exist_ok=True)
    lines = [f"value_{number} = [{number}, ({number}, 'text'), {number} + 1]\n" for number in range(450)]
    (folder / "kinds_imported.py").write_text("".join(lines), encoding="utf-8")
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()

    def act() -> None:
        import kinds_imported  # type: ignore[import-not-found]  # culprit

        del sys.modules["kinds_imported"]
        note(kinds_imported)

    return act


SPREAD_NS = 5_000_000
LESS = 0.6


def _least_ns(act: Act) -> int:
    """Return how long something takes, undisturbed."""
    taken = []
    for _ in range(5):
        begin = time.perf_counter_ns()
        act()
        taken.append(time.perf_counter_ns() - begin)
    return min(taken)


@kind("many lines: json.dumps(indent=1)", callee=r"dumps|json", itself=True)
def spread(truth: Truth) -> Act:
    """Write JSON by the encoder in Python, beside searches in C that take a little less time.

    From 3.15 on C indents, too, ten times faster: the document and the text that is searched have a size by
    which the writing is the longer work on each version.
    """
    document = DOCUMENT[:1_200]
    while (writing_ns := _least_ns(functools.partial(json.dumps, document, indent=1))) < SPREAD_NS:
        document = document * 2
    searching_ns = _least_ns(functools.partial(re.findall, r"(\w+) (\w+)", TEXT))
    text = TEXT[: int(LESS * writing_ns / searching_ns * len(TEXT))]

    def act() -> None:
        begin = truth.now()
        json.dumps(document, indent=1)  # culprit
        truth.culprit_since(begin)
        begin = truth.now()
        re.findall(r"(\w+) (\w+)", text)
        truth.others.append((begin, truth.now()))

    return act


@kind("many lines: copy.deepcopy", callee=r"deepcopy")
def deeply_copied(_: Truth) -> Act:
    """Copy deeply: many short functions of the standard library call each other."""
    document = DOCUMENT[:2_000]

    def act() -> None:
        copy.deepcopy(document)  # culprit
        note()

    return act
