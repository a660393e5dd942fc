"""One object for all threads, or one for each: what sharing costs.

Under a GIL one thread runs at a time, so one dict for all is as fast as one for each. A lock is different. If
a thread has to release the GIL while it has the lock, the others can only wait for the lock; and each time it
releases the lock, one of them takes it and then needs the GIL.

Without a GIL each thread runs on its own core, and private objects scale with the cores. A shared one is
protected by an internal lock, and its memory moves between the cores with every write: T threads together are
then slower than one alone.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any

from gilprobe.measuring.teams import ArmPlan
from gilprobe.model.confidence import ratio_interval
from gilprobe.results import Fact, Law, fact_name
from gilprobe.scenarios.laws import claim, parallel_law, speedup_law, untestable, verdict
from gilprobe.scenarios.scenario import Findings, Request, Scenario, observe
from gilprobe.scenarios.support.budget import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gilprobe.results import Arm

CHUNK = 20_000
"""Operations between two checks whether the team was cancelled: about a millisecond."""

SERIAL_RANGE = (0.85, 1.05)
"""Speedup under a GIL, as in held-vs-released; private objects may also cost some cache misses."""

QUICK = ("dict",)
"""Kinds in a quick run."""


class Box:
    """An object with an attribute."""

    def __init__(self) -> None:
        self.value: object = None


def use_lock(lock: threading.Lock, times: int) -> None:
    """Acquire and release a lock."""
    for _ in repeat(None, times):
        with lock:
            pass


def use_list(items: list[object], times: int) -> None:
    """Append an item and pop it."""
    for _ in repeat(None, times):
        items.append(None)
        items.pop()


def use_dict(table: dict[str, object], times: int) -> None:
    """Write and read a key."""
    for _ in repeat(None, times):
        table["key"] = None
        table["key"]


def use_attribute(box: Box, times: int) -> None:
    """Write and read an attribute."""
    for _ in repeat(None, times):
        box.value = None
        box.value  # noqa: B018 (read, for its cost)


@dataclass(frozen=True, slots=True)
class ObjectKind:
    """One kind of object, and its use. The stored value is None: immortal from 3.12 on."""

    name: str
    make: Callable[[], Any]
    use: Callable[[Any, int], None]


KINDS = (
    ObjectKind("lock", threading.Lock, use_lock),
    ObjectKind("list", list, use_list),
    ObjectKind("dict", dict, use_dict),
    ObjectKind("attribute", Box, use_attribute),
)


def plans(kind: ObjectKind, threads: int) -> Iterator[ArmPlan]:
    """Yield plans of one thread, of `threads` threads with an object each, and with one for all."""
    for size in (1, threads) if threads > 1 else (1,):
        yield ArmPlan(f"{kind.name} private", size, lambda times: kind.use(kind.make(), times), chunk=CHUNK)
    if threads > 1:
        shared = kind.make()
        yield ArmPlan(f"{kind.name} shared", threads, lambda times: kind.use(shared, times), chunk=CHUNK)


def measure(request: Request) -> Findings:
    """Measure each kind of object with as many threads as cores, at least two."""
    threads = team(request)
    kinds = [kind for kind in KINDS if kind.name in QUICK or not request.quick]
    planned = tuple(plan for kind in kinds for plan in plans(kind, threads))
    seen = observe(shortened(request, len(planned)), planned)
    arms = {(arm.name, arm.threads): arm for arm in seen.measurement.arms}
    facts: list[Fact] = []
    laws: list[Law] = []
    for kind in kinds:
        single = arms[f"{kind.name} private", 1]
        for way in ("private", "shared"):
            if (name := f"{kind.name} {way}", threads) in arms and threads > 1:
                arm = arms[name, threads]
                facts += _facts(arm, single)
                laws.append(_law(request, kind, way, arm, single))
    return Findings(tuple(arms.values()), tuple(facts), tuple(laws), seen.traces, seen.warnings)


def team(request: Request) -> int:
    """Return the largest team with a core per thread; if there is none, the smallest of several threads."""
    several = [size for size in request.threads if size > 1]
    fitting = [size for size in several if size <= request.environment.cores]
    return max(fitting, default=min(several, default=1))


def _facts(arm: Arm, single: Arm) -> Iterator[Fact]:
    speedup = arm.median / single.median
    yield Fact(fact_name("speedup", arm.name, arm.threads), speedup, "")
    yield Fact(fact_name("efficiency", arm.name, arm.threads), speedup / arm.threads, "")


def _law(request: Request, kind: ObjectKind, way: str, arm: Arm, single: Arm) -> Law:
    cores = request.environment.cores
    if not request.gil_enabled:
        if way == "private":
            return parallel_law(f"{kind.name} private: min(T, N), as there is no GIL", arm, single, cores)
        text = f"{kind.name} shared: slower than one thread, as its memory travels between cores"
        return _slower(text, arm, single) if cores > 1 else untestable(text, "no speedup", "1 usable core")
    if way == "private" or kind.name != "lock":
        return speedup_law(f"{arm.name}: one thread runs at a time", arm, single, *SERIAL_RANGE)
    return _slower("lock shared: as fast as one thread at most, as it is handed over too", arm, single)


def _slower(text: str, arm: Arm, single: Arm) -> Law:
    """Return the law that there is no speedup."""
    speedup, least, most = ratio_interval(arm, single)
    return Law(
        f"{text}, {arm.threads} threads",
        f"<= {SERIAL_RANGE[1]:.2f}x",
        f"{speedup:.2f}x ({least:.2f} to {most:.2f})",
        verdict(least <= SERIAL_RANGE[1]),
        claim((speedup, least, most), None, SERIAL_RANGE[1], "x", about=arm.name),
    )


SCENARIO = Scenario(
    id="shared-objects",
    title="One lock, list, dict or attribute for all threads against one for each",
    group="contention",
    measure=measure,
    ceiling_s=90.0,
)
