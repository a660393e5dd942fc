"""A reference count goes up and down with the references to an object; at zero the object is freed, at once.

Every name, list slot, cell or argument that refers to an object counts one. A statement that makes a
reference adds one, a statement that ends it subtracts one; other uses change nothing. The statement that ends
the last reference frees the object before the next one runs: first ``__del__`` is called, then weak
references die. Objects that refer to each other keep their counts above zero for ever; only the cycle
collector frees them.

The absolute number of ``sys.getrefcount`` means little: it counts its own argument, from 3.14 on a local
variable may be lent to a call without being counted (LOAD_FAST_BORROW), and an immortal object shows a
constant. So the count is read by a watch (:mod:`gilprobe.refs`), which needs no argument; a weak one, so that
the object can die.
"""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gilprobe.measuring.measure import Trial
from gilprobe.refs import watch
from gilprobe.results import Fact, Law
from gilprobe.scenarios.laws import verdict
from gilprobe.scenarios.scenario import Findings, Request, Scenario, observe_trials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

UNIT = "references"

STEPS = (
    ("other = thing", 1),
    ("things = [thing, thing]", 2),
    ("things.append(thing)", 1),
    ("pair = (thing, things)", 1),
    ('table = {"key": thing}', 1),
    ("held = (lambda captured: lambda: captured)(thing)", 1),
    ("method = thing.look", 1),
    ("weak = weakref.ref(thing)", 0),
    ("number = id(thing)", 0),
    ("inside = count_in_call(thing)", 0),
    ("del other", -1),
    ("things.pop()", -1),
    ("things.clear()", -2),
    ("pair = None", -1),
    ('del table["key"]', -1),
    ("del held", -1),
    ("del method", -1),
)
"""Statements run one after another, and their effect on the count of `thing`."""

LAST_REFERENCE = 'log.append("before"); del thing; log.append("after")'
FREED_AT_ONCE = ["before", "__del__", "weak reference dies", "after"]
"""The log if the statement that ends the last reference frees `thing`."""

NONES = 1000
"""References to None: so many that other changes meanwhile don't matter."""

CYCLE = "thing = Thing(); thing.itself = thing; weak = weakref.ref(thing); del thing"


class Thing:
    """The object of the references. Writes to its log when it is freed."""

    def __init__(self, log: list[str] | None = None) -> None:
        self.log = [] if log is None else log
        self.itself: Thing | None = None

    def look(self) -> None:
        """Do nothing: a bound method refers to its object."""

    def __del__(self) -> None:
        self.log.append("__del__")


@dataclass(frozen=True, slots=True)
class Life:
    """One life of a thing.

    Attributes
    ----------
    deltas : tuple of int
        Change of its count by each step.
    in_call : int
        Additional references while it was the argument of a call.
    of_local : int
        The same for an argument from a local variable.
    of_none : int
        Change of None's count by `NONES` more references.
    log : tuple of str
        Events around the end of its last reference.
    cycle_survives, cycle_is_collected : bool
        Whether an object that refers to itself outlives its last name, and whether the cycle collector frees
        it.
    """

    deltas: tuple[int, ...]
    in_call: int
    of_local: int
    of_none: int
    log: tuple[str, ...]
    cycle_survives: bool
    cycle_is_collected: bool


def live() -> Life:
    """Let a thing live: make and end references to it, and watch its count."""
    log: list[str] = []
    names: dict[str, Any] = {"thing": Thing(log), "log": log, "weakref": weakref}

    watched = watch(names["thing"], hold=False)

    def count() -> int:
        return watched.count or 0

    def count_in_call(_argument: object) -> int:
        return count()

    names["count_in_call"] = count_in_call
    deltas, in_call = [], 0
    for text, _ in STEPS:
        before = count()
        exec(text, names)  # noqa: S102 (the constants above: shown and run)
        deltas.append(count() - before)
        if "inside" in names:
            in_call = names.pop("inside") - before
    of_local = _count_of_local(count, names) - count()
    names["last"] = weakref.ref(names["thing"], lambda _: log.append("weak reference dies"))
    exec(LAST_REFERENCE, names)  # noqa: S102
    return Life(tuple(deltas), in_call, of_local, _count_of_none(), tuple(log), *_live_in_a_cycle())


def _count_of_local(count: Callable[[], int], names: Mapping[str, Any]) -> int:
    """Return the count inside a call with a local variable as argument, less the variable's own reference."""

    def inside(_argument: object) -> int:
        return count()

    local = names["thing"]
    return inside(local) - 1


def _count_of_none() -> int:
    watched = watch(None)
    nones = [None] * NONES
    added = watched.delta()
    del nones
    return added


def _live_in_a_cycle() -> tuple[bool, bool]:
    """Return whether a cycle outlives its name, and whether the cycle collector frees it."""
    names: dict[str, Any] = {"Thing": Thing, "weakref": weakref}
    enabled = gc.isenabled()
    gc.disable()  # the collector might run just in between
    try:
        exec(CYCLE, names)  # noqa: S102
        survives = names["weak"]() is not None
        gc.collect()
        return survives, survives and names["weak"]() is None
    finally:
        if enabled:
            gc.enable()


def measure(request: Request) -> Findings:
    """Watch some lives, which should all be the same."""
    lives: list[Life] = []

    def run() -> Mapping[str, float]:
        life = live()
        lives.append(life)
        deltas = {text: float(delta) for (text, _), delta in zip(STEPS, life.deltas, strict=True)}
        return {"": float(sum(life.deltas)), **deltas}

    units = {"": UNIT, **{text: UNIT for text, _ in STEPS}}
    seen = observe_trials(request, [Trial("count", 1, units, run)])
    return Findings(
        seen.measurement.arms,
        _facts(lives[0]),
        _laws(request, lives),
        seen.traces,
        seen.warnings,
        _printed(lives[0]),
    )


def _facts(life: Life) -> tuple[Fact, ...]:
    return (
        Fact("references_of_an_argument", life.in_call, UNIT),
        Fact("references_of_a_local_passed_on", life.of_local, UNIT),
        Fact(f"counted_of_{NONES}_references_to_none", life.of_none, UNIT),
    )


def _laws(request: Request, lives: Sequence[Life]) -> tuple[Law, ...]:
    expected = tuple(delta for _, delta in STEPS)
    wrong = {
        text: life.deltas[number]
        for life in lives
        for number, (text, delta) in enumerate(STEPS)
        if life.deltas[number] != delta
    }
    deltas = ", ".join(f"{delta:+d}" for delta in expected)
    arguments = {life.in_call for life in lives}
    ends = {life.log for life in lives}
    survive = all(life.cycle_survives for life in lives)
    collected = all(life.cycle_is_collected for life in lives)
    return (
        Law(
            "a statement changes the count by the references that it makes and ends",
            deltas,
            "; ".join(f"{text}: {delta:+d}" for text, delta in wrong.items()) or "the same in every life",
            verdict(not wrong),
        ),
        Law(
            "the argument of a call is a reference while the call lasts",
            "+1",
            ", ".join(f"{delta:+d}" for delta in sorted(arguments)),
            verdict(arguments == {1}),
        ),
        Law(
            "the end of the last reference frees the object, before the next statement",
            ", ".join(FREED_AT_ONCE),
            "; ".join(", ".join(end) for end in sorted(ends)),
            verdict(ends == {tuple(FREED_AT_ONCE)}),
        ),
        Law(
            "an object that refers to itself is freed by the cycle collector only",
            "lives, then is freed by gc.collect()",
            ("lives" if survive else "is freed at once")
            + (", then is freed by gc.collect()" if collected else ", not freed by gc.collect()"),
            verdict(survive and collected),
        ),
        _immortal_law(request, lives),
    )


def _immortal_law(request: Request, lives: Sequence[Life]) -> Law:
    """Return the law of PEP 683: from 3.12 on None and the like are not counted."""
    version = tuple(map(int, request.environment.python.split(".")[:2]))
    counted = [life.of_none for life in lives]
    immortal = version >= (3, 12)
    expected = 0 if immortal else NONES
    return Law(
        f"{NONES} references to None: immortal objects are not counted"
        if immortal
        else f"{NONES} references to None: counted like any other, immortal from 3.12 on",
        f"{expected:+d}" if expected else "0",
        f"{min(counted):+d} to {max(counted):+d}",
        # other references to None in the process come and go
        verdict(all(abs(added - expected) < NONES / 10 for added in counted)),
    )


def _printed(life: Life) -> str:
    width = max(len(text) for text, _ in STEPS)
    count = 1
    lines = [f"{'thing = Thing()':{width}}      count {count}"]
    for (text, _), delta in zip(STEPS, life.deltas, strict=True):
        count += delta
        lines.append(f"{text:{width}}  {_signed(delta):>2}  count {count}")
        if text.startswith("inside"):
            lines.append(f"{'    inside of the call':{width}}  {_signed(life.in_call):>2}")
    lines.append(f"{'    where a local variable is passed on':{width}}  {_signed(life.of_local):>2}")
    lines.append(f"{'del thing':{width}}  -1  count 0: {', then '.join(life.log[1:-1])}")
    lines.append(CYCLE)
    lines.append(f"    {'lives on' if life.cycle_survives else 'is freed'}")
    lines.append(f"gc.collect()\n    {'is freed' if life.cycle_is_collected else 'lives on'}")
    lines.append(f"nones = [None] * {NONES}\n    {_signed(life.of_none)} on the count of None")
    return "\n".join(lines) + "\n"


def _signed(delta: int) -> str:
    return f"{delta:+d}" if delta else "0"


SCENARIO = Scenario(
    id="refcount-lifecycle",
    title="A count goes up and down with the references to an object, which is freed at zero",
    group="reference counts",
    measure=measure,
    ceiling_s=60.0,
)
