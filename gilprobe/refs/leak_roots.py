"""Find leaked objects that refer to other leaked ones, among the leftovers of some calls."""

from __future__ import annotations

import dataclasses
import gc
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from gilprobe._native.references import counts_of_items
from gilprobe.refs.leak_probes import type_name
from gilprobe.refs.leak_windows import settle
from gilprobe.refs.referents import referents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from gilprobe.model.leak_report import LeakFinding

MOST_CALLS = 30
"""Limit of calls whose leftovers are examined."""

_MOST_OBJECTS = 2_000_000  # limit of objects among which leftovers are searched
_MOST_TOPS = 20
_MOST_REACHED = 10_000
_ENOUGH = 0.9  # least share of another type's objects to explain them
_SURE_OF_ATOMS = 3  # what one of so many reaches is not shared by all
_OWN = 3  # references to an examined object: all, from its type, by identity
_MOST_TOLD = 6


class Root(NamedTuple):
    """What each object of a leaked type refers to.

    Attributes
    ----------
    explains : tuple of str
        Other leaked types whose objects are held by these.
    with_each : dict
        How many objects of each type one of these refers to, on average.
    """

    explains: tuple[str, ...]
    with_each: dict[str, float]


def find_roots(work: Callable[[int], None], calls: int, rates: Mapping[str, float]) -> dict[str, Root]:
    """Return by name the leaked types whose objects hold those of others.

    Parameters
    ----------
    work : callable
        Makes the given number of calls.
    calls : int
        Number of calls; `MOST_CALLS` are enough.
    rates : mapping
        Names of the leaked types, and their objects per call.
    """
    left = _left(work, calls) if len(rates) > 1 else []
    by_id = dict(zip(map(id, left), left, strict=True))
    candidates = [one for name in rates if (one := _candidate(name, left, by_id, rates)) is not None]
    roots: dict[str, Root] = {}
    taken: set[str] = set()
    # Objects that reach each other explain the same: the root is what is held from outside.
    for one in sorted(candidates, key=lambda one: (-len(one.explains), -one.held)):
        explains = tuple(name for name in one.explains if name not in taken and name not in roots)
        if one.name not in taken and explains:
            roots[one.name] = Root(explains, one.with_each)
            taken.update(explains)
    return roots


def grouped(findings: Iterable[LeakFinding], roots: Mapping[str, Root]) -> tuple[LeakFinding, ...]:
    """Return the findings, each root followed by what it holds, which names it."""
    root_of = {f"{name} objects": f"{top} objects" for top, root in roots.items() for name in root.explains}
    told = {f"{top} objects": _sentence(root) for top, root in roots.items()}
    whole = [
        dataclasses.replace(
            one,
            root=root_of.get(one.what),
            evidence=(*one.evidence, told[one.what]) if one.what in told else one.evidence,
        )
        for one in findings
    ]
    places = {one.what: at for at, one in enumerate(whole)}
    return tuple(sorted(whole, key=lambda one: (places[one.root or one.what], one.root is not None)))


def _sentence(root: Root) -> str:
    most = sorted(root.with_each.items(), key=lambda pair: -pair[1])[:_MOST_TOLD]
    return "with each: " + ", ".join(f"{number:.3g} {name}" for name, number in most)


def _left(work: Callable[[int], None], calls: int) -> list[object]:
    """Return the objects that some calls leave, among those the collector knows."""
    settle()
    before = gc.get_objects()
    if len(before) > _MOST_OBJECTS:
        return []
    known = set(map(id, before))
    known |= {id(before), id(known)}
    work(calls)
    settle()
    after = gc.get_objects()
    return [one for one in after if id(one) not in known]


class _Candidate(NamedTuple):
    name: str
    explains: tuple[str, ...]
    with_each: dict[str, float]
    held: float  # share of objects referred to from outside the leftovers


def _candidate(
    name: str, left: list[object], by_id: Mapping[int, object], rates: Mapping[str, float]
) -> _Candidate | None:
    """Return what the objects of a type hold; None if no other leaked type."""
    tops = [one for one in left if type_name(type(one)) == name]
    tops = tops[:: max(1, len(tops) // _MOST_TOPS)]
    with_each = _with_each(tops, by_id)
    explains = tuple(
        other
        for other in rates
        if other != name and with_each.get(other, 0) * rates[name] >= _ENOUGH * rates[other]
    )
    if not explains:
        return None
    return _Candidate(name, explains, with_each, _share_held(tops, left, by_id))


def _with_each(tops: Sequence[object], by_id: Mapping[int, object]) -> dict[str, float]:
    """Return how many objects of each type only one of the tops reaches, on average."""
    atoms = len(tops) >= _SURE_OF_ATOMS
    reached = [dict(_reached(top, by_id, atoms=atoms)) for top in tops]
    times = Counter(key for one in reached for key in one)
    names = Counter(name for one in reached for key, name in one.items() if times[key] == 1)
    return {name: number / len(tops) for name, number in names.items()}


def _reached(top: object, by_id: Mapping[int, object], *, atoms: bool) -> Iterator[tuple[int, str]]:
    """Yield identity and type of leftovers that an object reaches, except through others of its type.

    With `atoms` also untracked objects: texts and numbers.
    """
    seen, todo = {id(top)}, [top]
    while todo and len(seen) < _MOST_REACHED:
        for one in referents([todo.pop()]):
            if id(one) in seen or type(one) is type(top):
                continue
            seen.add(id(one))
            if id(one) in by_id or (atoms and not gc.is_tracked(one) and not _is_common(one)):
                yield id(one), type_name(type(one))
                todo.append(one)


def _is_common(one: object) -> bool:
    """Return whether the interpreter has it only once: small numbers, letters, None."""
    if type(one) is int:
        return -5 <= one <= 1024
    return one is None or type(one) is bool or (isinstance(one, str | bytes) and len(one) < 2)


def _share_held(tops: Sequence[object], left: list[object], by_id: Mapping[int, object]) -> float:
    inside = Counter(id(one) for holder in left for one in referents([holder]) if id(one) in by_id)
    counts = dict(zip(map(id, left), counts_of_items(left), strict=True))
    return sum(counts[id(top)] - inside[id(top)] > _OWN for top in tops) / len(tops)
