"""Share exact totals out to the places that were seen in the holds, by looks at random times.

A total is booked for the place where holds ended, which is often not what they were spent on. The looks that
fell into the same holds tell that: looks at random times fall on each place in proportion to its time. Totals
stay as they are, to the nanosecond; only their places change. A total without a look stays where it ended.
"""

from __future__ import annotations

from collections import defaultdict

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    Place = int | None
    """A place's number; None if there was no memory for it."""

    LookRow = tuple[int, Place, Place, int, int]
    """Holder, place where its holds ended, place that was looked at, looks, and the waiting looks: the sum of
    the threads that waited at each look."""

    ExactRow = tuple[int, Place, Place, int, int]
    """Holder, place where its holds ended, place that was run, and the nanoseconds of the holds and of the
    waits for them that passed there: not by looks."""

    _Seen = list[tuple[Place, int, int]]
    """Places that were looked at, with their weights and looks, the heaviest first."""

_PLACES = 16
"""Rows of blame may become so many times more by the looks, since reports must stay readable and files are
not trusted."""


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
            ((ended, looked, looks, looks) for _, ended, looked, looks, _ in self.known),
        )
        self._waits = self._by_end(
            (((holder, ended), place, wait_ns) for holder, ended, place, _, wait_ns in rows),
            (
                ((holder, ended), looked, waiting, min(looks, waiting))
                for holder, ended, looked, looks, waiting in self.known
            ),
        )

    def _by_end(
        self, exact: Iterable[tuple[Any, Place, int]], looks: Iterable[tuple[Any, Place, int, int]]
    ) -> dict[Any, tuple[int, _Seen]]:
        """Return the nanoseconds in pauses, and their places with weights, by where the holds ended."""
        lengths: dict[Any, dict[Place, int]] = defaultdict(lambda: defaultdict(int))
        finalizers: dict[Any, dict[Place, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
        collector: dict[Any, list[int]] = defaultdict(lambda: [0, 0])
        for end, place, length_ns in exact:
            lengths[end][place] += length_ns
        for end, looked, weight, number in looks:
            own = self._is_collector(looked)
            _add(collector[end] if own else finalizers[end][looked], weight, number)
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
    others = {place: (weight, looks) for place, (weight, looks) in finalizers.items() if weight > 0}
    whole = sum(lengths.values())
    collector, looks = own if others else (1, 0)  # without others all is known without looks
    seen = [(place, length * collector, looks * length // whole) for place, length in lengths.items()]
    seen += [(place, weight * whole, looks) for place, (weight, looks) in others.items()]
    return _in_order(seen)


class Looks:
    """The looks at one GIL's holders, by the holds that they fell into.

    Parameters
    ----------
    rows : iterable of tuple
        Holder, place where the hold ended, place looked at, looks, waiting looks, in any order. Not those in
        pauses.
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
        paused: Paused | None = None,
    ) -> None:
        self._paused = paused = paused or Paused((), (), lambda _: False)
        holds: dict[Place, dict[Place, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
        waits: dict[tuple[int, Place], dict[Place, list[int]]] = defaultdict(
            lambda: defaultdict(lambda: [0, 0])
        )
        self.by_place: dict[Place, int] = defaultdict(int)
        for _, _, looked, looks, _ in paused.known:
            self.by_place[looked] += looks
        for holder, ended, looked, looks, waiting in (*rows, *paused.others):
            self.by_place[looked] += looks
            _add(holds[ended][looked], looks, looks)
            _add(waits[holder, ended][looked], waiting, min(looks, waiting))
        self._holds = {ended: _ranked(seen) for ended, seen in holds.items()}
        self._waits = {key: _ranked(seen) for key, seen in waits.items()}

    def holds(
        self, totals: Mapping[Place, int], lengths: Mapping[Place, int] | None = None
    ) -> dict[Place, int]:
        """Share holds out, by pauses and looks.

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
            paused_ns, seen = self._paused.of_holds(ended)
            length = total if lengths is None else lengths.get(ended, 0)
            paused = total * min(paused_ns, length) // length if length else 0
            rest = _shared(total - paused, self._holds.get(ended) or [(ended, 1, 0)])
            for place, part, _ in (*_shared(paused, seen), *rest):
                if part or not paused:
                    shared[place] += part
        return dict(shared)

    def waits(
        self, totals: Mapping[tuple[int, int, Place], int]
    ) -> tuple[dict[tuple[int, int, Place], tuple[int, int]], int]:
        """Share waits out, by pauses and waiting looks.

        What all waiters together waited for a holder's pauses is known; it is each one's in proportion to its
        wait.

        Of many places only those seen most get a share if many threads waited, so that the rows become at
        most some twenty times more; the rest stays where the holds ended.

        Parameters
        ----------
        totals : mapping of (int, int, place) to int
            Nanoseconds by waiter, holder, and the place where its holds ended.

        Returns
        -------
        shared : dict of (int, int, place) to (int, int)
            Nanoseconds, and the looks that they rest on, by waiter, holder, and the place that was seen. All
            that a waiter waited for a holder has the same sum.
        unshared_ns : int
            The part without a look, which stayed where the holds ended.
        """
        waiters: dict[tuple[int, Place], int] = defaultdict(int)
        for _, holder, ended in totals:
            waiters[holder, ended] += 1
        seen = {
            key: _most(self._waits[key], number, key[1])
            for key, number in waiters.items()
            if self._waits.get(key)
        }
        shared: dict[tuple[int, int, Place], tuple[int, int]] = {}
        unshared_ns = 0
        paused = self._paused_waits(totals)

        def add(waiter: int, holder: int, parts: Iterable[tuple[Place, int, int]]) -> None:
            for place, part, looks in parts:
                before_ns, before = shared.get((waiter, holder, place), (0, 0))
                shared[waiter, holder, place] = before_ns + part, before + looks

        for (waiter, holder, ended), total in totals.items():
            in_pauses, places = paused.get((waiter, holder, ended), (0, []))
            rest = _shared(total - in_pauses, seen.get((holder, ended)) or [(ended, 1, 0)])
            add(waiter, holder, _shared(in_pauses, _most(places, waiters[holder, ended], ended)))
            if total > in_pauses or not in_pauses:
                add(waiter, holder, rest)
            unshared_ns += sum(part for _, part, looks in rest if not looks)
        return shared, unshared_ns

    def _paused_waits(
        self, totals: Mapping[tuple[int, int, Place], int]
    ) -> dict[tuple[int, int, Place], tuple[int, _Seen]]:
        """Return what of each total was a wait for a pause, and on what the pauses were spent."""
        waiters: dict[tuple[int, Place], list[int]] = defaultdict(list)
        for waiter, holder, ended in totals:
            if self._paused.of_waits(holder, ended)[0]:
                waiters[holder, ended].append(waiter)
        found: dict[tuple[int, int, Place], tuple[int, _Seen]] = {}
        for (holder, ended), of in waiters.items():
            paused_ns, places = self._paused.of_waits(holder, ended)
            waits = [totals[waiter, holder, ended] for waiter in of]
            if any(waits):
                parts = parted(min(paused_ns, sum(waits)), waits)
                for waiter, part in zip(of, parts, strict=True):
                    found[waiter, holder, ended] = part, places
        return found


def _add(cell: list[int], weight: int, looks: int) -> None:
    cell[0] += weight
    cell[1] += looks


def _ranked(seen: Mapping[Place, Sequence[int]]) -> _Seen:
    """Return the places with a weight, in an order that does not depend on that of the rows."""
    return _in_order((place, weight, looks) for place, (weight, looks) in seen.items() if looks > 0)


def _in_order(seen: Iterable[tuple[Place, int, int]]) -> _Seen:
    return sorted((one for one in seen if one[1] > 0), key=lambda one: (-one[1], _order(one[0])))


def _shared(total: int, seen: _Seen) -> list[tuple[Place, int, int]]:
    """Return the places that get a part of a total, with their parts and looks."""
    if not seen:
        return []
    if len(seen) == 1:
        ((place, _, looks),) = seen
        return [(place, total, looks)]
    parts = parted(total, [weight for _, weight, _ in seen])
    return [(place, part, looks) for (place, _, looks), part in zip(seen, parts, strict=True) if part]


def _most(seen: _Seen, waiters: int, ended: Place) -> _Seen:
    """Return as many places as there may be for so many waiters; `ended` has the weight of the others."""
    limit = _PLACES + _PLACES * len(seen) // waiters
    if len(seen) <= limit:
        return seen
    return [*seen[:limit], (ended, sum(weight for _, weight, _ in seen[limit:]), 0)]
