"""Book the events that a recording holds beyond its last totals: its process was killed after them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from gilprobe.model.distribution import bucket_of_ns
from gilprobe.model.timeline import HOLD, WAIT
from gilprobe.tracing.sharing_out import parted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gilprobe._native.recording import _Account, _Pause, _Snapshot
    from gilprobe.tracing.recording_reader import ThreadDescription
    from gilprobe.tracing.seen_holds import RecordedHold

MOST_EVENTS = 1 << 22
"""Limit of events that are booked: recorders write some hundred thousand between two totals."""

_MOST_CHARGES = 1 << 24  # holds that are looked at for waits: a made-up file could have far more
_MOST_STALLS = 1024
_MOST_PAUSES = 256  # of the longest
_ENDED = 1 << 31  # in a label
_SLACK_NS = 2  # two roundings

_PauseSums = dict[tuple[int, int | None, int | None, int], list[int]]
"""By holder, where its holds ended, the line that made the collector run, and the generation."""

_Stall = tuple[int, int | None, int | None, int | None, int, int, int, int | None]


class LateEvent(NamedTuple):
    """A hold or a wait, in nanoseconds since the start.

    Attributes
    ----------
    kind : int
        `HOLD` or `WAIT` of :mod:`gilprobe.model.timeline`.
    account : int
        The number of its thread's account.
    place : int or None
        Where the hold ended, or where the waiting thread had let go before.
    start_ns, end_ns : int
        When it began and ended.
    """

    kind: int
    account: int
    place: int | None
    start_ns: int
    end_ns: int


def add_late(
    snapshot: _Snapshot,
    events: Iterable[LateEvent],
    threads: Mapping[int, ThreadDescription],
    under_way: RecordedHold | None,
    pauses: Iterable[_Pause] = (),
) -> bool:
    """Add what came after a snapshot to it.

    Of an event or a pause that was under way, the snapshot has the part up to then. What a thread did after
    its last event is not known: it counts as off. A pause in a hold that did not end is left out.

    Parameters
    ----------
    snapshot : dict
        As ``_native.recording.decode_snapshot`` returns it; changed in place.
    events : iterable of LateEvent
        Those that ended before the snapshot are ignored.
    threads : mapping of int to ThreadDescription
        By the numbers of their accounts.
    under_way : RecordedHold or None
        The hold that the snapshot has at the place where it was seen.
    pauses : iterable of tuple
        Collections of garbage, as ``_native.recording.decode_pauses`` returns them. Those that ended before
        the snapshot are ignored.

    Returns
    -------
    bool
        Whether all waits were charged: not in a made-up file.
    """
    booking = _Booking(snapshot, threads)
    late = sorted((one for one in events if one.end_ns > booking.since_ns), key=lambda one: one.end_ns)
    if not late:
        return True
    holds = [event for event in late if event.kind == HOLD]
    if holds and holds[0].start_ns < booking.since_ns:
        booking.end_looks(None if under_way is None else under_way.place, holds[0])
        if under_way is not None:
            holds[0] = booking.settle(under_way.place, holds[0])
    for event in late:
        booking.add(event)
    waits = [event for event in late if event.kind == WAIT]
    waits += booking.open_waits(late[-1].end_ns)
    whole = booking.charge(waits, holds)
    booking.contend(waits, holds)
    booking.pause(pauses, holds)
    booking.finish(late[-1].end_ns)
    return whole


class _ThreadHolds(NamedTuple):
    """The holds of one thread, in order."""

    holds: list[LateEvent]
    starts_ns: list[int]
    ends_ns: list[int]

    def between(self, start_ns: int, end_ns: int) -> list[LateEvent]:
        """Return those that lie there at least in part."""
        return self.holds[bisect_right(self.ends_ns, start_ns) : bisect_left(self.starts_ns, end_ns)]


class _Booking:
    """A snapshot to which events are added."""

    def __init__(self, snapshot: _Snapshot, threads: Mapping[int, ThreadDescription]) -> None:
        self._snapshot = snapshot
        self._totals = snapshot["totals"]
        self._threads = threads
        self.since_ns = self._totals["elapsed_ns"]
        self._accounts = {account["number"]: account for account in snapshot["accounts"]}
        self._merged = next((one for one in snapshot["accounts"] if one["merged"] != 1), None)
        self._sites = {place: [*numbers] for place, *numbers in snapshot["sites"]}
        self._blame: dict[tuple[int, int, int | None], int] = defaultdict(int)
        for waiter, holder, place, wait_ns in snapshot["blame"]:
            self._blame[waiter, holder, place] += wait_ns
        self._under_way = {
            row[0]: row for row in snapshot["stalls"] if row[4] + row[5] >= self.since_ns - _SLACK_NS
        }
        self._stalls = [row for row in snapshot["stalls"] if self._under_way.get(row[0]) is not row]
        self._histograms: dict[tuple[int, str], dict[int, int]] = {}
        self._lasts: dict[int, int] = {}
        self._settled: LateEvent | None = None  # the hold under way, as far as it is charged already

    def end_looks(self, seen: int | None, hold: LateEvent) -> None:
        """Move looks at the hold under way, and its pauses, from where it was seen to where it ended."""
        pauses = self._snapshot.get("pauses")
        self._move_ends(self._snapshot["looks"], seen, hold)
        if pauses is not None:
            self._move_ends(pauses["looks"], seen, hold)
            self._move_ends(pauses["sums"], seen, hold)

    @staticmethod
    def _move_ends(rows: list[Any], seen: int | None, hold: LateEvent) -> None:
        for at, (holder, ended, *others) in enumerate(rows):
            if (holder, ended) == (hold.account, seen):
                rows[at] = (holder, hold.place, *others)

    def settle(self, seen: int | None, hold: LateEvent) -> LateEvent:
        """Move the hold under way from where it was seen to where it ended; return the rest of it."""
        row = self._sites.pop(seen, None) if seen is not None else None
        if row is None or hold.place is None:
            return hold
        self._settled = hold
        site = self._site(hold.place)
        site[1] += row[1]
        site[3] += row[3]
        for key in [key for key in self._blame if key[2] == seen]:
            self._blame[key[0], key[1], hold.place] += self._blame.pop(key)
        return hold._replace(start_ns=self.since_ns)

    def add(self, event: LateEvent) -> None:
        """Book an event for its thread and its place."""
        account = self._account(event.account)
        forced = event.kind == WAIT and event.start_ns == self._lasts.get(event.account)  # it asked at once
        self._lasts[event.account] = event.end_ns
        part_ns, length_ns = self._part_ns(event), event.end_ns - event.start_ns
        new = event.start_ns >= self.since_ns
        waits = self._histogram(account, "waits")
        if event.kind == HOLD:
            account["hold_ns"] += part_ns
            account["longest_hold_ns"] = max(account["longest_hold_ns"], length_ns)
            account["acquisitions"] += new
            account["releases"] += new
            waits[0] = waits.get(0, 0) + new  # taken back if it had to wait
            self._count(self._histogram(account, "holds"), event)
        else:
            self._lengthen(account, part_ns, length_ns)
            account["contended_acquisitions"] += 1
            account["forced_releases"] += forced and self._totals["releases_told_apart"]
            waits[0] = max(0, waits.get(0, 0) - 1)
            self._count(waits, event)
        if event.place is not None and self._totals["sites"]:
            site, hold = self._site(event.place), event.kind == HOLD
            site[0] += hold
            site[1 if hold else 2] += length_ns if hold and self._settled is None else part_ns

    def open_waits(self, end_ns: int) -> list[LateEvent]:
        """Return the waits that were under way in the snapshot, and of which no end is known."""
        found = []
        for waiter, (_, place, _, _, start_ns, *_) in self._under_way.items():
            account = self._accounts.get(waiter)
            if waiter in self._lasts or account is None or account["ended"] or start_ns >= end_ns:
                continue
            event = LateEvent(WAIT, waiter, place, start_ns, end_ns)
            self._lengthen(account, self._part_ns(event), end_ns - start_ns)
            if place is not None:
                self._site(place)[2] += self._part_ns(event)
            self._recount(self._histogram(account, "waits"), event)
            found.append(event)
        return found

    def charge(self, waits: Sequence[LateEvent], holds: Sequence[LateEvent]) -> bool:
        """Charge waits to the holds meanwhile, and keep the longest; return whether all were."""
        if not self._totals["sites"]:
            return True
        ends, left = [hold.end_ns for hold in holds], _MOST_CHARGES
        for wait in waits:
            worst, worst_ns = None, 0
            for at in range(bisect_right(ends, wait.start_ns), len(holds)):
                hold = holds[at]
                part_ns = min(hold.end_ns, wait.end_ns) - max(hold.start_ns, wait.start_ns)
                if part_ns <= 0 or left == 0:
                    break
                left -= 1
                self._blame[self._number(wait), self._number(hold), hold.place] += part_ns
                if at == 0 and self._settled is not None:
                    part_ns = min(hold.end_ns, wait.end_ns) - max(self._settled.start_ns, wait.start_ns)
                if part_ns > worst_ns:
                    worst, worst_ns = hold, part_ns
            self._keep_stall(wait, worst, worst_ns)
        return left > 0

    def contend(self, waits: Sequence[LateEvent], holds: Sequence[LateEvent]) -> None:
        """Add the time in which the GIL was held and wanted, and count handoffs."""
        ends, at = [hold.end_ns for hold in holds], 0
        for wait in waits:
            release = bisect_right(ends, wait.start_ns)
            self._totals["handoffs"] += release < len(ends) and ends[release] <= wait.end_ns
        for start_ns, end_ns in _united(waits):
            while at < len(holds) and holds[at].end_ns <= start_ns:
                at += 1
            for nth in range(at, len(holds)):
                if holds[nth].start_ns >= end_ns:
                    break
                first_ns = max(holds[nth].start_ns, start_ns, self.since_ns)
                self._totals["contended_ns"] += max(0, min(holds[nth].end_ns, end_ns) - first_ns)

    def pause(self, rows: Iterable[_Pause], holds: Sequence[LateEvent]) -> None:
        """Book collections of garbage, each by the holds that it lies in."""
        pauses = self._snapshot.get("pauses")
        if pauses is None:
            return
        of: dict[int, _ThreadHolds] = defaultdict(lambda: _ThreadHolds([], [], []))
        for hold in holds:
            known = of[hold.account]
            known.holds.append(hold)
            known.starts_ns.append(hold.start_ns)
            known.ends_ns.append(hold.end_ns)
        sums: _PauseSums = {(row[0], row[1], row[2], row[3]): [*row[4:]] for row in pauses["sums"]}
        longest = {(row[0], row[3]): row for row in pauses["longest"]}
        left = _MOST_CHARGES
        for row in rows:
            if row[3] + row[4] <= self.since_ns or row[0] not in of or left <= 0:
                continue
            inside = of[row[0]].between(max(row[3], self.since_ns), row[3] + row[4])
            left -= len(inside)
            if self._pause(sums, row, longest.get((row[0], row[3])), inside):
                longest[row[0], row[3]] = row
        pauses["sums"] = [(*key, *numbers) for key, numbers in sums.items()]  # type: ignore[misc]
        ranked = sorted(longest.values(), key=lambda row: -row[4])
        pauses["longest"] = ranked[: max(_MOST_PAUSES, len(pauses["longest"]))]

    def _pause(
        self, sums: _PauseSums, row: _Pause, before: _Pause | None, holds: Sequence[LateEvent]
    ) -> bool:
        """Add the part of a pause that came after the snapshot, by the holds that it lies in, if any."""
        holder, place, generation, start_ns, length_ns, *_ = row
        first_ns, end_ns = max(start_ns, self.since_ns), start_ns + length_ns
        parts = [max(0, min(hold.end_ns, end_ns) - max(hold.start_ns, first_ns)) for hold in holds]
        if not any(parts):
            return False
        booked = self._booked(row) if before is None else before[4:]
        left = [max(0, now - then) for now, then in zip(row[4:], booked, strict=True)]
        held, waited = parted(min(left[1], sum(parts)), parts), parted(left[2], parts)
        for hold, held_ns, wait_ns in zip(holds, held, waited, strict=True):
            cell = sums.setdefault((holder, hold.place, place, generation), [0] * 7)
            cell[0] += held_ns
            cell[1] += wait_ns
        cell[2] += start_ns >= self.since_ns
        cell[3] += left[0]
        cell[4] = max(cell[4], length_ns)
        cell[5] += left[3]
        cell[6] += left[4]
        return True

    def _booked(self, row: _Pause) -> tuple[int, ...]:
        """Return what a snapshot has of a pause that is not among its longest, about."""
        part_ns = min(max(0, self.since_ns - row[3]), row[4])
        return part_ns, min(part_ns, row[5]), row[6] * part_ns // max(1, row[4]), 0, 0

    def finish(self, end_ns: int) -> None:
        """Let all living threads last up to the end, and write everything back."""
        self._totals["elapsed_ns"] = end_ns
        for account in self._accounts.values():
            self._end(account, end_ns)
        for (number, kind), buckets in self._histograms.items():
            rows = sorted((bucket, times) for bucket, times in buckets.items() if times > 0)
            self._accounts[number]["holds" if kind == "holds" else "waits"] = rows
        self._snapshot["accounts"] = [*self._accounts.values()]
        self._snapshot["sites"] = [
            (place, releases, hold_ns, wait_ns, cpu_ns)
            for place, (releases, hold_ns, wait_ns, cpu_ns) in sorted(self._sites.items())
        ]
        self._snapshot["blame"] = [(*key, wait_ns) for key, wait_ns in self._blame.items()]
        stalls = sorted([*self._stalls, *self._under_way.values()], key=lambda row: -row[5])
        self._snapshot["stalls"] = stalls[: max(_MOST_STALLS, len(self._snapshot["stalls"]))]

    def _end(self, account: _Account, end_ns: int) -> None:
        busy_ns = account["hold_ns"] + account["wait_ns"]
        thread = self._threads.get(account["number"])
        if account["merged"] != 1:
            account["lifetime_ns"] = max(account["lifetime_ns"], busy_ns + account["off_ns"])
            return
        last_ns = account["first_ns"] + account["lifetime_ns"]
        if thread is not None:
            account["label"] = thread.label
        if account["label"] >= _ENDED or account["ended"]:
            last_ns = max(last_ns, self._lasts.get(account["number"], 0))
        else:
            last_ns = end_ns
        account["lifetime_ns"] = max(last_ns - account["first_ns"], busy_ns)
        account["off_ns"] = account["lifetime_ns"] - busy_ns

    def _account(self, number: int) -> _Account:
        known = self._accounts.get(number)
        if known is not None:
            return known
        thread = self._threads[number]
        first_ns = thread.first_tick * self._totals["factor"] >> 32
        if self._merged is not None and first_ns < self.since_ns:
            return self._merged
        self._accounts[number] = _opened(thread, first_ns, cpu_time=self._totals["cpu_time"])
        return self._accounts[number]

    def _number(self, event: LateEvent) -> int:
        return self._account(event.account)["number"]

    def _site(self, place: int) -> list[int]:
        return self._sites.setdefault(place, [0, 0, 0, 0])

    def _part_ns(self, event: LateEvent) -> int:
        return event.end_ns - max(event.start_ns, self.since_ns)

    @staticmethod
    def _lengthen(account: _Account, part_ns: int, length_ns: int) -> None:
        account["wait_ns"] += part_ns
        account["longest_wait_ns"] = max(account["longest_wait_ns"], length_ns)

    def _histogram(self, account: _Account, kind: str) -> dict[int, int]:
        key = account["number"], kind
        if key not in self._histograms:
            self._histograms[key] = dict(account["holds" if kind == "holds" else "waits"])
        return self._histograms[key]

    def _count(self, buckets: dict[int, int], event: LateEvent) -> None:
        if event.start_ns < self.since_ns:
            self._recount(buckets, event)
        else:
            bucket = bucket_of_ns(event.end_ns - event.start_ns)
            buckets[bucket] = buckets.get(bucket, 0) + 1

    def _recount(self, buckets: dict[int, int], event: LateEvent) -> None:
        """Count the whole event instead of its part in the snapshot, whose length is off by roundings."""
        part = bucket_of_ns(self.since_ns - event.start_ns)
        near = [bucket for bucket in (part, part - 1, part + 1) if buckets.get(bucket, 0) > 0]
        if near:
            buckets[near[0]] -= 1
        bucket = bucket_of_ns(event.end_ns - event.start_ns)
        buckets[bucket] = buckets.get(bucket, 0) + 1

    def _keep_stall(self, wait: LateEvent, hold: LateEvent | None, hold_ns: int) -> None:
        holder, place = (None, None) if hold is None else (self._number(hold), hold.place)
        seen: int | None = None
        before = self._under_way.get(wait.account)
        if before is not None and abs(before[4] - wait.start_ns) <= _SLACK_NS:
            del self._under_way[wait.account]
            if before[6] > hold_ns:
                holder, place, hold_ns = before[2], before[3], before[6]
                seen = before[7]
            elif self._settled is not None and hold is not None and hold.end_ns == self._settled.end_ns:
                seen = before[7]
        length_ns = wait.end_ns - wait.start_ns
        self._stalls.append(
            (self._number(wait), wait.place, holder, place, wait.start_ns, length_ns, hold_ns, seen)
        )


def _united(waits: Sequence[LateEvent]) -> list[tuple[int, int]]:
    """Return when somebody waited: intervals without overlaps, in order."""
    united: list[tuple[int, int]] = []
    for wait in sorted(waits, key=lambda wait: wait.start_ns):
        if united and wait.start_ns <= united[-1][1]:
            united[-1] = united[-1][0], max(united[-1][1], wait.end_ns)
        else:
            united.append((wait.start_ns, wait.end_ns))
    return united


def _opened(thread: ThreadDescription, first_ns: int, *, cpu_time: bool) -> _Account:
    return {
        "number": thread.number,
        "native_id": thread.native_id,
        "os_name": thread.os_name,
        "label": thread.label,
        "ended": False,
        "merged": 1,
        "first_ns": first_ns,
        "lifetime_ns": 0,
        "hold_ns": 0,
        "wait_ns": 0,
        "off_ns": 0,
        "longest_hold_ns": 0,
        "longest_wait_ns": 0,
        "blamed_ns": 0,
        "imbalance_ticks": 0,
        "acquisitions": 0,
        "contended_acquisitions": 0,
        "releases": 0,
        "forced_releases": 0,
        "hold_cpu_ns": 0 if cpu_time else None,
        "holds": [],
        "waits": [],
    }
