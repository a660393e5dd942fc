"""Find the objects that cost threads time by being shared, and why.

While threads make the call, all objects that it reaches are looked at: a count that others than the owner
change shows in the object itself, and so does a lock that is held. Only these few are tried. With none of
them shared threads take the least time; with one group shared again they lose what that group costs. A group
that costs something is halved, until single objects are left.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from gilprobe._native import references
from gilprobe.auditing.own_copies import OwnCopies
from gilprobe.auditing.reach import Reach
from gilprobe.auditing.shared_costs import SLICE_NS, SharedCosts, Way, calls_of_a_batch, ratio, run_batches
from gilprobe.errors import UnsupportedError
from gilprobe.measuring import host
from gilprobe.measuring.surroundings import Surroundings
from gilprobe.model.sharing_result import SharedObject, SharingResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gilprobe.auditing.reach import Reached
    from gilprobe.measuring.measure import Progress, Settings
    from gilprobe.model.sharing_result import Cause

LOSS = 1.05
"""From this factor on an object counts, if its interval lies above one."""

_TOUCHED = 5
"""An object is tried if its count was seen to change so often, or its lock to be held."""

_MOST_TRIED = 48
_SINGLY = 3  # so few are tried one by one at once
_LOOK_NS = 300_000_000
_MOST_LOOKS = 5  # if other programs have the cores
_SEEN_ENOUGH = 2_000


@dataclass(frozen=True, slots=True)
class Touched:
    """An object that threads write to.

    Attributes
    ----------
    reached : Reached
        The object.
    changes_per_s : float
        How often its count was seen to change.
    locked : float
        Share of the sweeps in which its lock was held.
    """

    reached: Reached
    changes_per_s: float
    locked: float

    @property
    def own(self) -> bool:
        """Whether a copy of its own is needed to be without what others do to it: a lock is no count."""
        return self.locked > 0 or type(self.reached.value).__name__ in ("lock", "RLock")


@dataclass(frozen=True, slots=True)
class SharingRequest:
    """What to look into, and how; the parameters of :func:`gilprobe.sharing`."""

    name: str
    function: Callable[..., object]
    args: tuple[object, ...]
    threads: int
    settings: Settings
    limit_s: float
    progress: Progress


def carry_out(request: SharingRequest) -> SharingResult:
    """Find out what threads lose by sharing.

    Raises
    ------
    UnsupportedError
        With a GIL; with fewer cores than threads; or if the threads never ran at the same time.
    BaseException
        Whatever the call raises.
    """
    if host.capabilities().gil_enabled:
        raise UnsupportedError(
            "this Python has a GIL: one thread runs at a time, so none loses time by shared reference counts"
        )
    cores = request.settings.cores()
    if request.threads > cores:
        raise UnsupportedError(
            f"{request.threads} threads must have a core each to run at the same time, usable are {cores}"
        )
    return _SharingSearch(request).result()


class _SharingSearch:
    """One search, with what it has measured."""

    def __init__(self, request: SharingRequest) -> None:
        self._request = request
        self._surroundings = Surroundings(request.settings)
        self._doubts: list[str] = []
        self._reach = Reach(request.function, request.args, request.name)
        if not self._reach.whole:
            self._doubts.append(f"too much: the call reaches more than {len(self._reach.found):,} objects")
        calls, call_ns = calls_of_a_batch(self._own_partial())
        self._calls = calls
        self._call_ns = call_ns
        slice_ns = max(SLICE_NS, int(3 * calls * call_ns))
        self._costs = SharedCosts(calls, slice_ns, time.perf_counter_ns() + int(request.limit_s * 1e9))
        self._slice_ns = slice_ns

    def _own_partial(self) -> partial[object]:
        """Return the call; each thread has a new one, else it would be shared itself."""
        return partial(self._request.function, *self._request.args)

    def result(self) -> SharingResult:
        """Search."""
        request = self._request
        touched = self._touched()
        alone = Way(1, self._own_partial)
        shared = Way(request.threads, self._own_partial)
        own = self._without(touched, ())
        self._measure("with all objects shared, and with none", [alone, shared, own], 2)
        if not (shared.samples and own.samples and alone.samples):
            raise UnsupportedError(
                f"{request.threads} threads must run at the same time, the machine never let them: too busy"
            )
        objects = tuple(self._judged(touched, own)) if touched else ()
        factor, low, high = ratio(shared, own) or (1.0, 1.0, 1.0)
        self._tell(alone, shared, own)
        return SharingResult(
            name=request.name,
            verdict=verdict(request.threads, factor, low, objects),
            threads=request.threads,
            alone_ns=alone.ns,
            shared_ns=shared.ns,
            own_ns=own.ns,
            factor=factor,
            low=low,
            high=high,
            objects=objects,
            reached=len(self._reach.found),
            warnings=(*self._surroundings.doubts(), *dict.fromkeys(self._doubts)),
            environment=host.read_environment(),
        )

    def _measure(self, label: str, ways: Sequence[Way], times: int = 1) -> None:
        self._request.progress(label, 0.5)
        samples = times * self._request.settings.repeat
        self._costs.measure(ways, samples, 6 * samples)

    def _touched(self) -> list[Touched]:
        """Return the objects that the threads write to, those most often touched first."""
        found = [*self._reach.found.values()]
        look_ns = max(_LOOK_NS, int(3 * self._call_ns))
        counted, locked = [0] * len(found), [0] * len(found)
        sweeps = looks = 0
        quiet = False
        while looks < _MOST_LOOKS and not (quiet and looks) and max(counted) < _SEEN_ENOUGH:
            self._request.progress("looking which objects the threads touch", looks / 2 / _MOST_LOOKS)
            seen, made, quiet = self._look(found, look_ns)
            counted = [before + more for before, (more, _) in zip(counted, seen, strict=True)]
            locked = [before + more for before, (_, more) in zip(locked, seen, strict=True)]
            sweeps += made
            looks += 1
        touched = [
            Touched(one, changes / (looks * look_ns / 1e9), held / sweeps)
            for changes, held, one in zip(counted, locked, found, strict=True)
            if max(changes, held) >= _TOUCHED
        ]
        touched.sort(key=lambda one: one.changes_per_s, reverse=True)
        if len(touched) > _MOST_TRIED:
            tried = f"{_MOST_TRIED} of {len(touched)}"
            self._doubts.append(f"too many: {tried} objects that the threads touched were tried")
        return touched[:_MOST_TRIED]

    def _look(self, found: Sequence[Reached], look_ns: int) -> tuple[list[tuple[int, int]], int, bool]:
        """Sweep over objects while threads make the call.

        Returns what was seen of each, the number of sweeps, and whether all had the cores most of the time.
        """
        until_ns = time.perf_counter_ns() + look_ns
        asked = own_ns = 0
        seen: list[tuple[int, int]] = []

        def going_on() -> bool:
            nonlocal asked
            asked += 1
            return asked == 1 or time.perf_counter_ns() < until_ns

        def look() -> None:
            nonlocal own_ns
            begin_ns = time.thread_time_ns()
            seen.extend(references.traffic([one.value for one in found], going_on))
            own_ns = time.thread_time_ns() - begin_ns

        way = Way(self._request.threads, self._own_partial)
        members = run_batches(way, self._calls, max(look_ns, self._slice_ns), look)
        ran_ns = sum(batch.end_ns - batch.start_ns for member in members for batch in member if batch.whole)
        quiet = ran_ns >= look_ns * self._request.threads / 2 and own_ns >= look_ns / 4
        return seen, references.SWEEPS * (asked - 1), quiet

    def _without(self, touched: Sequence[Touched], shared: Sequence[Touched], *, counted: bool = True) -> Way:
        """Return the way to make the call with nothing shared but some; `counted` false: but their locks."""
        kept = {id(one) for one in shared}
        exempt = [one.reached.value for one in touched if id(one) not in kept or not counted]
        locked = [id(one.reached.value) for one in touched if one.own and id(one) not in kept]
        call: Callable[[], Any] = self._own_partial
        if locked:
            copies = OwnCopies(self._reach, self._request.function, self._request.args, locked)
            missing = copies.missing()
            for one in touched:
                if id(one.reached.value) in missing:
                    self._doubts.append(f"no copy: {one.reached.name} stayed shared, its lock with it")
            call = copies.make
        return Way(self._request.threads, call, exempt)

    def _judged(self, touched: Sequence[Touched], own: Way) -> Iterator[SharedObject]:
        """Yield the objects that cost something, the largest factor first."""
        found: list[SharedObject] = []
        left = [[*touched]] if len(touched) > _SINGLY else [[one] for one in touched]
        while left:
            group = left.pop(0)
            way = self._without(touched, group)
            self._measure(f"with {group[0].reached.name} shared", [way, own])
            cost = ratio(way, own)
            if not _counts(cost):
                continue
            if len(group) > 1:
                half = len(group) // 2
                left += [group[:half], group[half:]]
                continue
            self._measure(f"once more with {group[0].reached.name} shared", [way, own], 2)
            cost = ratio(way, own)
            if cost is not None and _counts(cost):
                found.append(self._described(touched, group[0], own, cost))
        yield from sorted(found, key=lambda one: one.factor, reverse=True)

    def _described(
        self,
        touched: Sequence[Touched],
        one: Touched,
        own: Way,
        cost: tuple[float, float, float],
    ) -> SharedObject:
        factor, low, high = cost
        cause: Cause = "reference count"
        if one.own:
            bare = self._without(touched, [one], counted=False)
            self._measure(f"with the lock of {one.reached.name} shared", [bare, own])
            kept = ratio(bare, own)
            if kept is not None and kept[0] - 1 > (factor - 1) / 2:
                cause = "lock" if one.locked else "other"
        return SharedObject(
            name=one.reached.name,
            kind=type(one.reached.value).__qualname__,
            cause=cause,
            factor=factor,
            low=low,
            high=high,
            changes_per_s=one.changes_per_s,
            locked=one.locked,
        )

    def _tell(self, alone: Way, shared: Way, own: Way) -> None:
        left = ratio(own, alone)
        if left is not None and left[0] >= 1.15 and left[1] > 1:
            self._doubts.append(
                f"something else: with own objects {self._request.threads} threads still take"
                f" {left[0]:.2f} times as long a call as one does"
            )
        least = 2 * self._request.settings.repeat
        if min(len(alone.samples), len(shared.samples), len(own.samples)) < least:
            self._doubts.append(
                f"busy machine: the threads ran at the same time in only {len(shared.samples)} of the slices"
            )


def _counts(cost: tuple[float, float, float] | None) -> bool:
    return cost is not None and cost[0] >= LOSS and cost[1] > 1


def verdict(threads: int, factor: float, low: float, objects: Sequence[SharedObject]) -> str:
    """Return the result in words."""
    if factor < LOSS or low <= 1:
        return f"{threads} threads lose nothing by sharing objects"
    lost = f"{threads} threads take {factor:.2f} times as long a call as with objects of their own"
    if not objects:
        return f"{lost}; no single object causes it"
    first = objects[0]
    return f"{lost}; most for the {first.cause} of {first.name}" + (
        "" if first.cause != "other" else f" (a {first.kind})"
    )
