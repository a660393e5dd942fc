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
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    Place = int | None
    """A place's number; None if there was no memory for it."""

    WaitTotals = Mapping[int, Mapping[tuple[int, Place], int]]
    WaitRows = dict[tuple[int, Place], list[int]]
    """As :meth:`Looks.waits` takes and yields them."""

    LookRow = tuple[int, Place, Place, int, int, int, int, int]
    """Holder, place where its holds ended, place that was looked at; and sums over the looks: their number,
    the threads that waited at each, the time that each stands for, that of all who waited, and the squares of
    the last."""

    ExactRow = tuple[int, Place, Place, int, int]
    """Holder, place where its holds ended, place that was run, and the nanoseconds of the holds and of the
    waits for them that passed there: not by looks."""

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


class Paused:
    """What of totals passed in pauses of the garbage collector, and on what.

    How long pauses were is known to the nanosecond. A pause is the collector's, but for the part that looks
    saw in finalizers.

    Parameters
    ----------
    exact : iterable of tuple
        What passed in pauses, by the place of the collector.
    looks : iterable of tuple
        The looks that fell into pauses.
    is_collector : callable
        Whether a place is the collector.

    Attributes
    ----------
    known, others : list of tuple
        The looks, and those of them of whose pauses nothing else is known.
    """

    def __init__(
        self, exact: Iterable[ExactRow], looks: Iterable[LookRow], is_collector: Callable[[Place], bool]
    ) -> None:
        rows = list(exact)
        ends = {(holder, ended) for holder, ended, *_ in rows}
        seen = list(looks)
        self.known = [row for row in seen if row[:2] in ends]
        self.others = [row for row in seen if row[:2] not in ends]
        self._is_collector = is_collector
        self._holds = self._by_end(
            ((ended, place, held_ns) for _, ended, place, held_ns, _ in rows),
            ((ended, looked, (time, looks, 0)) for _, ended, looked, looks, _, time, *_ in self.known),
        )
        self._waits = self._by_end(
            (((holder, ended), place, wait_ns) for holder, ended, place, _, wait_ns in rows),
            (
                ((holder, ended), looked, (waited, min(looks, waiting), squares))
                for holder, ended, looked, looks, waiting, _, waited, squares in self.known
            ),
        )

    def _by_end(
        self,
        exact: Iterable[tuple[Any, Place, int]],
        looks: Iterable[tuple[Any, Place, tuple[int, int, int]]],
    ) -> dict[Any, tuple[int, _Seen]]:
        """Return the nanoseconds in pauses, and their places with weights, by where the holds ended."""
        lengths: dict[Any, dict[Place, int]] = defaultdict(lambda: defaultdict(int))
        finalizers = _Cells()
        collector: dict[Any, list[int]] = defaultdict(lambda: [0, 0, 0])
        for end, place, length_ns in exact:
            lengths[end][place] += length_ns
        for end, looked, sums in looks:
            own = self._is_collector(looked)
            _add(collector[end] if own else finalizers[end][looked], *sums)
        return {
            end: (sum(of.values()), _of_pauses(of, finalizers[end], collector[end]))
            for end, of in lengths.items()
            if any(of.values())
        }

    def of_holds(self, ended: Place) -> tuple[int, _Seen]:
        """Return how long holds that ended there paused, and on what."""
        return self._holds.get(ended, (0, []))

    def of_waits(self, holder: int, ended: Place) -> tuple[int, _Seen]:
        """Return how long others waited for such pauses, and for what."""
        return self._waits.get((holder, ended), (0, []))


def _of_pauses(lengths: Mapping[Place, int], finalizers: Mapping[Place, list[int]], own: list[int]) -> _Seen:
    others = {place: sums for place, sums in finalizers.items() if sums[0] > 0}
    whole = sum(lengths.values())
    collector, looks, spread = own if others else (1, 0, 0)  # without others all is known without looks
    seen = [
        (place, length * collector, looks * length // whole, spread * length * length)
        for place, length in lengths.items()
    ]
    seen += [
        (place, weight * whole, looks, squares * whole * whole)
        for place, (weight, looks, squares) in others.items()
    ]
    return _in_order(seen)


class Looks:
    """The looks at one GIL's holders, by the holds that they fell into.

    Parameters
    ----------
    rows : iterable of tuple
        Of the looks, in any order. Not those in pauses.
    alike : callable
        Given a holder and a place, return the same for those whose looks may stand for each other; with None
        instead of a holder, for a place alone. By default none may.
    paused : Paused, optional
        What of the totals passed in pauses.

    Attributes
    ----------
    by_place : dict of place to int
        Number of looks that saw each place.
    """

    def __init__(
        self,
        rows: Iterable[LookRow],
        alike: Callable[[int | None, Place], Hashable] = _unlike,
        paused: Paused | None = None,
    ) -> None:
        self._alike = alike
        self._paused = paused = paused or Paused((), (), lambda _: False)
        holds, waits, like = _Cells(), _Cells(), _Cells()
        self.by_place: dict[Place, int] = defaultdict(int)
        for _, _, looked, looks, *_ in paused.known:
            self.by_place[looked] += looks
        for holder, ended, looked, looks, waiting, time, waited, squares in (*rows, *paused.others):
            self.by_place[looked] += looks
            _add(holds[ended][looked], time, looks, 0)
            _add(like[alike(None, ended)][looked], time, looks, 0)
            for cells, key in ((waits, (holder, ended)), (like, alike(holder, ended))):
                _add(cells[key][looked], waited, min(looks, waiting), squares)
        self._holds, self._waits, self._like = holds.ranked(), waits.ranked(), like.ranked()

    def holds(
        self, totals: Mapping[Place, int], lengths: Mapping[Place, int] | None = None
    ) -> dict[Place, int]:
        """Share holds out, by pauses, and by the time that looks stand for.

        Parameters
        ----------
        totals : mapping of place to int
            Nanoseconds by the place where the holds ended.
        lengths : mapping of place to int, optional
            How long these holds were, if the totals are something else.

        Returns
        -------
        dict of place to int
            Nanoseconds by the place that was seen, with the same sum.
        """
        shared: dict[Place, int] = defaultdict(int)
        for ended, total in totals.items():
            paused_ns, in_pauses = self._paused.of_holds(ended)
            length = total if lengths is None else lengths.get(ended, 0)
            paused = total * min(paused_ns, length) // length if length else 0
            seen = self._holds.get(ended) or self._like.get(self._alike(None, ended)) or [(ended, 1, 0, 0)]
            for place, part, *_ in (*_shared(paused, in_pauses), *_shared(total - paused, seen)):
                if part or not paused:
                    shared[place] += part
        return dict(shared)

    def waits(self, totals: WaitTotals) -> Iterator[tuple[int, WaitRows, int]]:
        """Share waits out, by pauses, and by the time of waiting that looks stand for.

        What all waiters together waited for a holder's pauses is known; it is each one's in proportion to its
        wait.

        Of many places only those seen most get a share if many threads waited, so that the rows become at
        most some twenty times more; the rest stays where the holds ended.

        Parameters
        ----------
        totals : mapping of int to mapping of (int, place) to int
            Nanoseconds by waiter, and by holder and the place where its holds ended. There may be many
            thousands: keys that are equal had better be one object.

        Yields
        ------
        waiter : int
            Each of them.
        shared : dict of (int, place) to list of int
            By holder and the place that was seen: nanoseconds, the looks that they rest on, and the sum of
            the squared nanoseconds that each look stands for. All that a waiter waited for a holder has the
            same sum.
        unshared_ns : int
            The part without a look, which stayed where the holds ended.
        """
        keys: dict[tuple[int, Place], Hashable] = {}
        rows: dict[Hashable, int] = defaultdict(int)
        for own in (own for waits in totals.values() for own in waits):
            if own not in keys:
                keys[own] = own if own in self._waits else self._alike(*own)
            rows[keys[own]] += 1
        seen = {own: _most(self._told_by(key, own[1]), rows[key], own[1]) for own, key in keys.items()}
        paused = self._paused_waits(totals)
        for waiter, waits in totals.items():
            shared: WaitRows = defaultdict(lambda: [0, 0, 0])
            unshared_ns = 0
            for own, total in waits.items():
                in_pauses, parts = paused.get((waiter, *own), (0, []))
                rest = _shared(total - in_pauses, seen[own])
                for place, *row in (*parts, *(rest if total > in_pauses or not in_pauses else ())):
                    _add(shared[own[0], place], *row)
                unshared_ns += sum(part for _, part, looks, _ in rest if not looks)
            yield waiter, shared, unshared_ns

    def _told_by(self, key: Hashable, ended: Place) -> _Seen:
        """Return the places that tell of holds that ended in one."""
        return self._waits.get(key) or self._like.get(key) or [(ended, 1, 0, 0)]

    def _paused_waits(self, totals: WaitTotals) -> dict[tuple[int, int, Place], tuple[int, _Shared]]:
        """Return what of each total was a wait for a pause, and on what the pauses were spent."""
        waiters: dict[tuple[int, Place], list[int]] = defaultdict(list)
        for waiter, rows in totals.items():
            for own in rows:
                if self._paused.of_waits(*own)[0]:
                    waiters[own].append(waiter)
        found: dict[tuple[int, int, Place], tuple[int, _Shared]] = {}
        for own, of in waiters.items():
            paused_ns, places = self._paused.of_waits(*own)
            places = _most(places, len(of), own[1])
            waits = [totals[waiter][own] for waiter in of]
            if any(waits):
                parts = parted(min(paused_ns, sum(waits)), waits)
                for waiter, part in zip(of, parts, strict=True):
                    found[waiter, *own] = part, _shared(part, places)
        return found


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
    return _in_order(
        (place, weight, looks, squares) for place, (weight, looks, squares) in seen.items() if looks > 0
    )


def _in_order(seen: Iterable[tuple[Place, int, int, int]]) -> _Seen:
    return sorted((one for one in seen if one[1] > 0), key=lambda one: (-one[1], _order(one[0])))


def _shared(total: int, seen: _Seen) -> _Shared:
    """Return the places that get a part of a total."""
    parts = parted(total, [weight for _, weight, _, _ in seen]) if len(seen) > 1 else [total] * len(seen)
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
