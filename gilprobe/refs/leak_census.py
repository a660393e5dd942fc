"""Take a census of all reference counts, to find objects that a function reaches only indirectly."""

from __future__ import annotations

import gc
import itertools
import operator
import sys
import time
from typing import TYPE_CHECKING

from gilprobe._native.references import counts_of_items
from gilprobe.refs.leak_probes import type_name
from gilprobe.refs.leak_suspects import Suspect
from gilprobe.refs.referents import referents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MOST_OBJECTS = 4_000_000
"""Limit of counted objects (some count twice)."""

IMMORTAL = 1000
"""Objects that 3.12's collector freezes by itself (gcmodule.c, update_refs); programs freeze more."""

MOST_GROWN = 20
"""Limit of objects that are examined further."""

PATIENCE_S = 1.0
"""Limit of the walk, in CPU time of the thread."""

_LEAST = 0.02  # a call
_LENGTHS = (1, 1, 2)

CENSUS_WINDOWS = sum(_LENGTHS)
"""Repetitions of a census."""


def population(patience_s: float = PATIENCE_S) -> tuple[list[object], bool]:
    """Return the reachable objects, and whether these are all.

    These are the objects that the garbage collector knows, other objects that they refer to, and the types of
    all. The others may occur more than once: removing duplicates takes longer than counting them.
    """
    end = time.thread_time() + patience_s
    fresh = gc.get_objects()
    held = [*fresh]
    others = _unlisted(fresh) if gc.get_freeze_count() > IMMORTAL else None
    types: set[type] = set()
    while fresh:
        if len(held) > MOST_OBJECTS or time.thread_time() > end:
            return held[:MOST_OBJECTS], False
        types.update(map(type, fresh))
        found = referents(fresh)
        # None fills half of all places, and is a suspect anyway
        fresh = [one for one in itertools.filterfalse(gc.is_tracked, found) if one is not None]
        if others is not None:
            fresh += others(found)
        held += fresh
    held += itertools.filterfalse(gc.is_tracked, types)
    return held, True


def frozen() -> list[object]:
    """Return the reachable objects that the program has hidden from the garbage collector (``gc.freeze``)."""
    if gc.get_freeze_count() <= IMMORTAL:
        return []
    listed = set(map(id, gc.get_objects()))
    found = {id(one): one for one in population()[0] if id(one) not in listed and gc.is_tracked(one)}
    return list(found.values())


def _unlisted(listed: list[object]) -> Callable[[list[object]], list[object]]:
    """Return a filter for objects, each once, that the collector knows but doesn't list: frozen ones."""
    seen = {*map(id, listed), id(listed)}

    def pick(found: list[object]) -> list[object]:
        fresh = {id(obj): obj for obj in filter(gc.is_tracked, found) if id(obj) not in seen}
        seen.update(fresh)
        return list(fresh.values())

    return pick


def grown(
    held: list[object], work: Callable[[int], None], calls: int, settle: Callable[[], None]
) -> list[object]:
    """Return objects whose counts rise or fall with the calls.

    Parameters
    ----------
    held : list
        The counted objects.
    work : callable
        Makes the given number of calls.
    calls : int
        Calls per window; twice as many in the last one.
    settle : callable
        Frees what is garbage.
    """
    settle()
    # an empty first window: the effect of the readings themselves
    rows = [counts_of_items(held) for _ in range(2)]
    for length in _LENGTHS:
        work(length * calls)
        settle()
        rows.append(counts_of_items(held))
    rates = dict(_rates(rows[1:], calls, {at for at, _ in _changes(rows[0], rows[1])}))
    most = sorted(rates, key=lambda at: -abs(rates[at]))
    return [*{id(held[at]): held[at] for at in most}.values()][:MOST_GROWN]


def _changes(before: memoryview[int], after: memoryview[int]) -> Iterator[tuple[int, int]]:
    """Yield where two rows differ, and by how much; skip equal pieces at once."""
    step = 1 << 10
    for start in range(0, len(before), step):
        old, new = before[start : start + step], after[start : start + step]
        if bytes(old) != bytes(new):
            moved = itertools.compress(range(len(old)), map(operator.ne, old, new))
            yield from ((start + at, new[at] - old[at]) for at in moved)


def _rates(rows: Sequence[memoryview[int]], calls: int, restless: set[int]) -> Iterator[tuple[int, float]]:
    """Yield the change per call of objects that change in each window, in the same direction."""
    first, *others = (dict(_changes(*pair)) for pair in itertools.pairwise(rows))
    for at, change in first.items():
        steps = [change, *(other.get(at, 0) for other in others)]
        rates = [step / (calls * length) for step, length in zip(steps, _LENGTHS, strict=True)]
        alike = min(rates) >= _LEAST or max(rates) <= -_LEAST
        if alike and at not in restless:
            yield at, rates[-1]


def named(objects: list[object]) -> list[Suspect]:
    """Return objects with readable names; the list is emptied, so that it is not a holder itself."""
    return [Suspect(_name(objects), objects.pop(0)) for _ in range(len(objects))]


def _name(objects: list[object]) -> str:
    """Name the first of some objects by its holder."""
    first = objects[0]
    if isinstance(first, type):
        return f"class {type_name(first)}"
    what = type_name(type(first))
    del first
    from gilprobe.refs import referrers

    alone = [objects.pop(0)]
    try:
        held = [text for text in referrers.describe(alone[0], sys._getframe()) if "a list" not in text]
    finally:
        objects.insert(0, alone.pop())
    return f"a {what} ({held[0]})" if held else f"a {what}"
