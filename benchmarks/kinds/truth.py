"""The truth about a culprit, by the clocks of the program: when it worked, and when its victims waited."""

from __future__ import annotations

import bisect
import ctypes
import itertools
import random
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Span = tuple[int, int]

clock = time.monotonic_ns

MS = 1_000_000
REST_NS = MS
PATIENCE_NS = 20_000 * MS
"""After this time, a culprit that did not work yet never will."""

VICTIMS_NS = (2 * MS, 5 * MS)
"""For each victim, the mean time from one turn to the next wait."""

NUMBERS = list(range(60_000))


class Wait(NamedTuple):
    """A turn of a victim.

    Attributes
    ----------
    wanted, had, left : int
        When it wanted the GIL, had it, and let go again.
    late_least, late_most : int
        For how long, at the end of the wait, the GIL was free but the victim did not run yet: between these.
        The kernel tells its delays in all. If the wait let it wake up more than once, to ask for the GIL, any
        part of that may be the last one's.
    """

    wanted: int
    had: int
    left: int
    late_least: int
    late_most: int

    def turn(self, part: float) -> Span:
        """Return since when the GIL was free for it, and until when it had it.

        It was late for this part of what is unknown.
        """
        late = self.late_least + part * (self.late_most - self.late_least)
        return max(self.wanted, self.had - int(late)), self.left


@dataclass(frozen=True)
class Facts:
    """What is true of one run.

    Attributes
    ----------
    least, most : float
        Between these lies the culprit's share of the victims' waits, 0 to 1.
    other_share : float
        The share of what its thread does beside, at most.
    hold_share : float or None
        Its share of all holding; None if it lets go where no clock sees it.
    victims_s : float
        The victims' waits.
    worked : int
        How often the culprit was at work.
    preempted : int
        How often a victim got the GIL while it was.
    """

    least: float
    most: float
    other_share: float
    hold_share: float | None
    victims_s: float
    worked: int
    preempted: int

    def error(self, share: float) -> float:
        """Return how far a share is from the truth: the distance to the nearer end, 0 between them."""
        return min(0.0, share - self.least) + max(0.0, share - self.most)


@dataclass
class Truth:
    """What the clocks tell.

    Attributes
    ----------
    library : str
        The path of the compiled `victims.c`.
    spans, others : list of (int, int)
        When the culprit was at work, and when its thread held the GIL for something else.
    waits : list of Wait
        Those of the victims.
    logs : list of array
        What the culprit noted itself: when it wanted the GIL, had it, began to let it go, and had let it go.
    begin, until, end : int
        The time that counts, and when the culprit should end; 0: not yet.
    """

    library: str
    spans: list[Span] = field(default_factory=list)
    others: list[Span] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    logs: list[Sequence[int]] = field(default_factory=list)
    begin: int = 0
    until: int = 0
    end: int = 0

    def __post_init__(self) -> None:
        free, held = ctypes.CDLL(self.library), ctypes.PyDLL(self.library)
        self.nap, self.nap_and_tell, self.park, self.delayed = (
            free.nap,
            free.nap_and_tell,
            held.park,
            held.delayed,
        )
        self.nap.argtypes = (ctypes.c_int64,)
        self.nap_and_tell.argtypes = (ctypes.c_int64, ctypes.POINTER(ctypes.c_int64))
        self.nap.restype = self.nap_and_tell.restype = self.park.restype = None
        self.delayed.restype = ctypes.c_int64
        self._random = random.Random(1)

    def open(self, seconds: float) -> None:
        """Count from now on."""
        self.begin = clock()
        self.until = self.begin + int(seconds * 1e9)

    def close(self) -> None:
        """Count no more."""
        self.end = clock()

    @staticmethod
    def now() -> int:
        """Return the time."""
        return clock()

    def is_over(self) -> bool:
        """Whether the culprit has worked long enough, and at least once."""
        return clock() > self.until + (0 if self.spans or self.logs else PATIENCE_NS)

    def culprit_since(self, begin: int) -> None:
        """Note that the culprit was at work since then."""
        self.spans.append((begin, clock()))

    def beside(self) -> None:
        """Hold the GIL for less time than the culprit does."""
        begin = clock()
        max(NUMBERS)
        self.others.append((begin, clock()))

    def pause_ns(self) -> int:
        """Return how long to be without the GIL after an act."""
        return int(self._random.expovariate(1 / REST_NS))

    def rest(self, *, alone: bool) -> None:
        """Do something else, if not alone; then be without the GIL for a while, as who waits for input."""
        if not alone:
            self.beside()
        self.nap(self.pause_ns())

    def suffer(self, mean_ns: int) -> None:
        """Want the GIL for a moment at random times, until the end: a victim's life."""
        gaps, told, interval_ns = (
            random.Random(mean_ns),
            (ctypes.c_int64 * 2)(),
            sys.getswitchinterval() * 1e9,
        )
        while not self.end:
            self.nap_and_tell(int(gaps.expovariate(1 / mean_ns)), told)
            had = clock()
            before, wanted = told
            delay = self.delayed() - before
            once = had - wanted - delay < interval_ns
            self.waits.append(Wait(wanted, had, clock(), delay if once else 0, delay))

    def facts(self, *, nobody_ns: int | None, unclocked: bool, lets_go: bool = False) -> Facts:
        """Return what follows.

        Parameters
        ----------
        nobody_ns : int or None
            For how much of the victims' waits nobody held the GIL, if that is known. What is then not
            accounted for may be the culprit's: a victim may have been late elsewhere.
        unclocked, lets_go : bool
            As in the kind. Who lets go where no clock sees it is not to blame for the time in which the GIL
            was free meanwhile: that is what a victim can't have been late for.
        """
        spans = sorted([*self.spans, *self._logged(1, 2)])
        widest = sorted([*self.spans, *self._logged(0, 3)])
        waits = [one for one in self._placed() if one.wanted < self.end and one.had > self.begin]
        waited_ns = max(1, sum(min(one.had, self.end) - max(one.wanted, self.begin) for one in waits))
        least, most = sum(one.late_least for one in waits), sum(one.late_most for one in waits)
        parts = (1.0, 0.0) if nobody_ns is None else ((nobody_ns - least) / max(1, most - least),) * 2
        shares, held_ns, others_ns = [], 0, 0
        for part, worked in zip((min(1.0, max(0.0, part)) for part in parts), (spans, widest), strict=True):
            holes = list(merged(one.turn(part) for one in waits))
            at_work = list(without(worked, holes))
            free_ns = max(0, nobody_ns - least - int(part * (most - least))) if lets_go and nobody_ns else 0
            behind_ns = _behind(at_work, waits, self.begin, self.end) - free_ns
            shares.append(max(0, behind_ns) / waited_ns)
            besides = list(without(sorted(self.others), holes))
            held_ns, others_ns = _length(at_work), _length(besides)
        turns_ns = sum(one.left - one.had for one in self.waits)
        other_share = _behind(besides, waits, self.begin, self.end) / waited_ns
        rest = 1 - other_share - (nobody_ns or 0) / waited_ns
        return Facts(
            least=shares[0],
            most=shares[1] if nobody_ns is None else max(shares[1], rest),
            other_share=other_share,
            hold_share=None if unclocked else held_ns / max(1, held_ns + others_ns + turns_ns),
            victims_s=waited_ns / 1e9,
            worked=len(spans),
            preempted=sum(1 for one in self.waits if overlap(spans, one.had, one.had + 1)),
        )

    def _logged(self, begin: int, end: int) -> Iterator[Span]:
        return (span for log in self.logs for span in zip(log[begin::4], log[end::4], strict=True))

    def _placed(self) -> Iterator[Wait]:
        """Yield the waits, with all that is known of when the GIL got free for them.

        If a victim has it while the culprit's thread is between two spans, that let go by itself, where its
        last span ended. Within a span, it was made to let go, and does not know when.
        """
        busy = list(merged([*self.spans, *self._logged(1, 2), *self.others]))
        lefts = sorted(one.left for one in self.waits)
        for one in self.waits:
            before = bisect.bisect_right(busy, (one.had, one.had)) - 1
            end = busy[before][1] if before >= 0 else self.begin
            if end > one.had:
                yield one
                continue
            last = bisect.bisect_left(lefts, one.had) - 1
            free = max(end, one.wanted, lefts[last] if last >= 0 else 0)
            yield one._replace(late_least=max(0, one.had - free), late_most=max(0, one.had - free))


def _behind(spans: Sequence[Span], waits: Iterable[Wait], begin: int, end: int) -> int:
    return sum(overlap(spans, max(one.wanted, begin), min(one.had, end)) for one in waits)


def _length(spans: Iterable[Span]) -> int:
    return sum(end - begin for begin, end in spans)


def overlap(spans: Sequence[Span], begin: int, end: int) -> int:
    """Return for how long one of the spans was under way between two times; they are sorted and apart."""
    first = max(0, bisect.bisect_right(spans, (begin, begin)) - 1)
    near = itertools.takewhile(lambda span: span[0] < end, itertools.islice(spans, first, None))
    return sum(max(0, min(span[1], end) - max(span[0], begin)) for span in near)


def merged(spans: Iterable[Span]) -> Iterator[Span]:
    """Yield spans sorted and apart."""
    last = None
    for begin, end in sorted(spans):
        if last is not None and begin <= last[1]:
            last = last[0], max(last[1], end)
            continue
        if last is not None:
            yield last
        last = begin, end
    if last is not None:
        yield last


def without(spans: Iterable[Span], holes: Sequence[Span]) -> Iterator[Span]:
    """Yield what is left of spans without the holes; both are sorted and apart."""
    for begin, end in spans:
        at = max(0, bisect.bisect_right(holes, (begin, begin)) - 1)
        start = begin
        for hole in itertools.takewhile(lambda hole: hole[0] < end, itertools.islice(holes, at, None)):  # noqa: B023
            if hole[1] > start:
                if hole[0] > start:
                    yield start, hole[0]
                start = min(hole[1], end)
        if start < end:
            yield start, end
