"""Share exact totals out to the places that were seen in the holds, by looks at random times.

A total is booked for the place where holds ended, which is often not what they were spent on. The looks that
fell into the same holds tell that: looks at random times fall on each place in proportion to its time. Where
looks were taken more seldom, each stands for more time. Totals stay as they are, to the nanosecond; only
their places change. A total without a look is shared out by the looks at its like: holds that ended at the
same site, and for waits also in a thread of the same kind. Without such looks it stays where it ended.
"""

from __future__ import annotations

from collections import defaultdict

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
    from typing import Any

    Place = int | None
    """A place's number; None if there was no memory for it."""

    LookRow = tuple[int, Place, Place, int, int, int, int, int]
    """Holder, place where its holds ended, place that was looked at; and sums over the looks: their number,
    the threads that waited at each, the time that each stands for, that of all who waited, and the squares of
    the last."""

    _Seen = list[tuple[Place, int, int, int]]
    """Places that were looked at, with their weights, looks and the squares of the looks' weights, the
    heaviest first."""

    _Shared = list[tuple[Place, int, int, int]]
    """Places that get a part of a total, with it, the looks that tell it and its spread."""

_PLACES = 16
"""Rows of blame may become so many times more by the looks, since reports must stay readable and files are
not trusted."""


def _unlike(holder: int | None, ended: Place) -> Hashable:
    return holder, ended


def _order(place: Place) -> int:
    return -1 if place is None else place


def parted(total: int, weights: Sequence[int]) -> list[int]:
    """Return whole parts of a total in proportion to the weights, by the largest remainders.

    Parameters
    ----------
    total : int
        What to share out, 0 or more.
    weights : sequence of int
        0 or more each, and not all 0.

    Returns
    -------
    list of int
        One part for each weight; they add up to `total`. Of equal remainders the first gets more.
    """
    whole = sum(weights)
    parts = [total * weight // whole for weight in weights]
    missing = total - sum(parts)
    if missing:
        by_remainder = sorted(range(len(weights)), key=lambda at: -(total * weights[at] % whole))
        for at in by_remainder[:missing]:
            parts[at] += 1
    return parts


class Looks:
    """The looks at one GIL's holders, by the holds that they fell into.

    Parameters
    ----------
    rows : iterable of tuple
        Of the looks, in any order.
    alike : callable
        Given a holder and a place, return the same for those whose looks may stand for each other; with None
        instead of a holder, for a place alone. By default none may.

    Attributes
    ----------
    by_place : dict of place to int
        Number of looks that saw each place.
    """

    def __init__(
        self, rows: Iterable[LookRow], alike: Callable[[int | None, Place], Hashable] = _unlike
    ) -> None:
        holds, waits, like = _Cells(), _Cells(), _Cells()
        self.by_place: dict[Place, int] = defaultdict(int)
        self._alike = alike
        for holder, ended, looked, looks, waiting, time, waited, squares in rows:
            self.by_place[looked] += looks
            _add(holds[ended][looked], time, looks, 0)
            _add(like[alike(None, ended)][looked], time, looks, 0)
            for cells, key in ((waits, (holder, ended)), (like, alike(holder, ended))):
                _add(cells[key][looked], waited, min(looks, waiting), squares)
        self._holds, self._waits, self._like = holds.ranked(), waits.ranked(), like.ranked()

    def holds(self, totals: Mapping[Place, int]) -> dict[Place, int]:
        """Share holds out, by the time that looks stand for.

        Parameters
        ----------
        totals : mapping of place to int
            Nanoseconds by the place where the holds ended.

        Returns
        -------
        dict of place to int
            Nanoseconds by the place that was seen, with the same sum.
        """
        shared: dict[Place, int] = defaultdict(int)
        for ended, total in totals.items():
            seen = self._holds.get(ended) or self._like.get(self._alike(None, ended))
            for place, part, _, _ in _shared(total, seen or [(ended, 1, 0, 0)]):
                shared[place] += part
        return dict(shared)

    def waits(
        self, totals: Mapping[tuple[int, int, Place], int]
    ) -> tuple[dict[tuple[int, int, Place], tuple[int, int, int]], int]:
        """Share waits out, by the time of waiting that looks stand for.

        Of many places only those seen most get a share if many threads waited, so that the rows become at
        most some twenty times more; the rest stays where the holds ended.

        Parameters
        ----------
        totals : mapping of (int, int, place) to int
            Nanoseconds by waiter, holder, and the place where its holds ended.

        Returns
        -------
        shared : dict of (int, int, place) to (int, int, int)
            By waiter, holder, and the place that was seen: nanoseconds, the looks that they rest on, and the
            sum of the squared nanoseconds that each look stands for. All that a waiter waited for a holder
            has the same sum.
        unshared_ns : int
            The part without a look, which stayed where the holds ended.
        """
        rows: dict[Hashable, int] = defaultdict(int)
        for _, holder, ended in totals:
            rows[self._key(holder, ended)] += 1
        shared: dict[tuple[int, int, Place], list[int]] = defaultdict(lambda: [0, 0, 0])
        unshared_ns = 0
        for (waiter, holder, ended), total in totals.items():
            key = self._key(holder, ended)
            seen = self._waits.get(key) or self._like.get(key) or [(ended, 1, 0, 0)]
            for place, part, looks, spread in _shared(total, _most(seen, rows[key], ended)):
                _add(shared[waiter, holder, place], part, looks, spread)
                unshared_ns += part if not looks else 0
        return {key: (part, looks, spread) for key, (part, looks, spread) in shared.items()}, unshared_ns

    def _key(self, holder: int, ended: Place) -> Hashable:
        """Return the key of the looks that tell of these holds."""
        own = holder, ended
        return own if own in self._waits else self._alike(holder, ended)


class _Cells(defaultdict["Any", "defaultdict[Place, list[int]]"]):
    """Sums of weights, looks and squares by a key and the place that was seen."""

    def __init__(self) -> None:
        super().__init__(lambda: defaultdict(lambda: [0, 0, 0]))

    def ranked(self) -> dict[Any, _Seen]:
        """Return the places of each key that have a weight, the heaviest first."""
        return {key: ranked for key, seen in self.items() if (ranked := _ranked(seen))}


def _add(cell: list[int], weight: int, looks: int, squares: int) -> None:
    cell[0] += weight
    cell[1] += looks
    cell[2] += squares


def _ranked(seen: Mapping[Place, Sequence[int]]) -> _Seen:
    """Return the places with a weight, in an order that does not depend on that of the rows."""
    found = [
        (place, weight, looks, squares)
        for place, (weight, looks, squares) in seen.items()
        if weight > 0 and looks > 0
    ]
    return sorted(found, key=lambda one: (-one[1], _order(one[0])))


def _shared(total: int, seen: _Seen) -> _Shared:
    """Return the places that get a part of a total."""
    parts = parted(total, [weight for _, weight, _, _ in seen]) if len(seen) > 1 else [total]
    return [
        (place, part, looks, part * part * squares // (weight * weight))
        for (place, weight, looks, squares), part in zip(seen, parts, strict=True)
        if part or len(seen) == 1
    ]


def _most(seen: _Seen, waiters: int, ended: Place) -> _Seen:
    """Return as many places as there may be for so many waiters; `ended` has the weight of the others."""
    limit = _PLACES + _PLACES * len(seen) // waiters
    if len(seen) <= limit:
        return seen
    return [*seen[:limit], (ended, sum(weight for _, weight, _, _ in seen[limit:]), 0, 0)]
