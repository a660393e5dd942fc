"""The same call under circumstances in which its frame is hard to find, or its hold is cut by the trace."""

from __future__ import annotations

import functools
import itertools
import sys
from typing import TYPE_CHECKING, Any

from .base import kind, note
from .c_calls import heavy

if TYPE_CHECKING:
    from .base import Act
    from .truth import Truth

SORTED = r"\bsorted\b"


@kind("sys.settrace on", callee=SORTED)
def traced(_: Truth) -> Act:
    """Call while a trace function looks at each line."""
    numbers = heavy()

    def look(*_: object) -> Any:
        return look

    def inner() -> None:
        sorted(numbers)  # culprit
        note()

    def act() -> None:
        sys.settrace(look)
        inner()  # culprit
        sys.settrace(None)

    return act


@kind("sys.monitoring on", callee=SORTED, since=(3, 12))
def monitored(_: Truth) -> Act:
    """Call while a tool monitors each line, call and branch."""
    numbers, watching = heavy(), sys.monitoring  # type: ignore[attr-defined,unused-ignore]
    events = watching.events
    watching.use_tool_id(3, "kinds")
    for event in (events.LINE, events.CALL, events.BRANCH):
        watching.register_callback(3, event, note_event)
    watching.set_events(3, events.LINE | events.CALL | events.BRANCH)

    def act() -> None:
        sorted(numbers)  # culprit
        note()

    return act


def note_event(*_: object) -> None:
    """Do nothing with an event."""


@kind("greenlet", callee=SORTED, needs="greenlet")
def greenlets(_: Truth) -> Act:
    """Call in one of two greenlets that take turns."""
    from greenlet import getcurrent, greenlet

    numbers = heavy()

    def working() -> None:
        sorted(numbers)  # culprit
        note()

    def idle() -> None:
        note()

    def act() -> None:
        parent = getcurrent()
        greenlet(working, parent).switch()
        greenlet(idle, parent).switch()

    return act


@kind("sub-interpreter", callee=SORTED, must_name=True, files=("<string>", "<script>"))
def interpreter(_: Truth) -> Act:
    """Call in an interpreter that shares the GIL with the victims' own."""
    prepare = "import random; numbers = list(range(60_000)); random.Random(1).shuffle(numbers)"
    run = shared_interpreter()
    run(prepare)

    def act() -> None:
        run("sorted(numbers)")  # culprit

    return act


def shared_interpreter() -> Any:
    """Return a function that runs code in a new interpreter without a GIL of its own."""
    if sys.version_info >= (3, 13):
        import _interpreters as module  # type: ignore[import-not-found,unused-ignore]

        number = module.create("legacy")
        return functools.partial(module.exec, number)
    import _xxsubinterpreters as module  # type: ignore[import-not-found,no-redef,unused-ignore]

    number = module.create(isolated=False) if sys.version_info >= (3, 12) else module.create()
    return functools.partial(module.run_string, number)


@kind("held when the trace began", callee=r"\bsum\b", itself=True, whole=True, main=True, early=True)
def held_before(truth: Truth) -> Act:
    """Keep the GIL from before the trace to its end, in one call."""

    def act() -> None:
        began = truth.now()
        sum(itertools.repeat(0, 5_000_000))
        speed = 5_000_000 / (truth.now() - began)
        begin = truth.now()
        sum(itertools.repeat(0, int(speed * (truth.until - begin))))  # culprit
        truth.culprit_since(begin)

    return act
