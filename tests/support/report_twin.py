"""A slow twin of the tracer's reports: from what threads did, one by one, to what a report is made from.

It keeps every hold and every wait and adds them up at the end. Times are ticks. What the tracer has booked is
read from its snapshots by docs/recording-format.md alone, and brought to the same form: accounts by native
identifier, places by their frames.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from recording_chunks import Payload

MERGED = "ended threads"
UNSEEN_PLACE = (("unseen",),)  # nobody looked, since nobody wanted to know
FINAL, SITES, STACKS, CPU_TIME = 1, 8, 16, 64
LOOKS, LOOKED, PAUSES, CALLBACKS = 256, 512, 1024, 2048
NO_LOOKS = 0, 0, 0, 0, 0  # number, threads that waited, time they stand for, that of all waiters, its squares
SEEN, FREE, UNSEEN = "seen", "free", "unseen"  # what comes of a look
HOLD, WAIT, OFF = "hold", "wait", "off"
LAST_BUCKET = 42 * 64 - 1
OS_NAME = "play_schedule"  # of each thread


def bucket(ns):
    """Return the bucket of a duration: 64 in each power of two."""
    shift = max(0, ns.bit_length() - 7)
    return min(64 * shift + (ns >> shift), LAST_BUCKET)


# ---- what the tracer has booked ----


class Event(NamedTuple):
    """A hold or a wait of a timeline."""

    kind: str
    thread: int
    place: tuple | None
    start: int
    end: int


def read_places(entries, known=()):
    """Return the places of a PLAC, behind those that are known: tuples of frames, the outermost first."""
    payload, places = Payload(entries), list(known)
    while payload:
        assert payload.number() == len(places)
        parent, kind = payload.number(), payload.number()
        if kind == 0:
            line = payload.number()
            frame = (payload.string(), payload.string(), line)
        elif kind == 4:
            frame = ("task", payload.string())
        else:
            frame = ("native", payload.number()) if kind == 1 else (("deeper", "unseen")[kind - 2],)
        places.append((*places[parent - 1], frame) if parent else (frame,))
    return places


def _pairs(payload):
    rows, key = {}, 0
    for _ in range(payload.number()):
        key += payload.number()
        rows[key] = payload.number()
    return rows


def _read_account(payload, flags):
    names = "first last hold wait off longest_hold longest_wait acquisitions contended releases forced blamed"
    number = payload.number()
    account = {"native_id": payload.signed(), "label": payload.number(), "ended": payload.number()}
    account["merged"] = payload.number()
    account["os_name"] = payload.string()
    account |= {name: payload.number() for name in names.split()}
    if flags & CPU_TIME:
        account["cpu"] = payload.number()
    return number, account | {"holds": _pairs(payload), "waits": _pairs(payload)}


def read_snapshot(content, places, *, by_number=False):
    """Return a SNAP's numbers; `places` as :func:`read_places` returns them.

    Threads have their native identifiers, or, since those are used again, the numbers of their accounts.
    """
    payload = Payload(content)
    names = "flags interpreter rate elapsed contended handoffs lost sites_lost dropped"
    snapshot = {name: payload.number() for name in names.split()}
    accounts = dict(_read_account(payload, snapshot["flags"]) for _ in range(payload.number()))
    ids = {number: account.pop("native_id") for number, account in accounts.items()}
    if by_number:
        ids = {number: number for number in ids}
    ids |= {number: MERGED for number, account in accounts.items() if account["merged"] != 1}

    def who(number):
        return None if number is None else ids.get(number, MERGED)

    def place(number):
        return None if number is None else named(places[number], who)

    def optional():
        return (payload.number() or 0) - 1

    sites, at = {}, 0
    columns = 3 + (snapshot["flags"] & CPU_TIME != 0)
    for _ in range(payload.number()):
        at += payload.number()
        before = sites.get(place(at), [0] * columns)  # of another thread that was merged, too
        sites[place(at)] = [value + payload.number() for value in before]
    blame = defaultdict(int)
    for _ in range(payload.number()):
        waiter, holder, where = payload.number(), payload.number(), optional()
        blame[who(waiter), who(holder), place(where) if where >= 0 else None] += payload.number()
    stalls, seen = [], []
    for _ in range(payload.number()):
        waiter, *others = payload.number(), optional(), optional(), optional()
        others = [None if other < 0 else other for other in others]
        numbers = [payload.number() for _ in range(3)]
        stalls.append((who(waiter), place(others[0]), who(others[1]), place(others[2]), *numbers))
        looked = optional() if snapshot["flags"] & LOOKED else -1
        seen.append((*stalls[-1], place(looked) if looked >= 0 else None))
    looks, counts = _read_looks(payload, who, place) if snapshot["flags"] & LOOKS else ({}, {})
    pauses = _read_pauses(payload, who, place) if snapshot["flags"] & PAUSES else None
    callbacks = _read_callbacks(payload, who) if snapshot["flags"] & CALLBACKS else None
    assert not payload
    return snapshot | {
        "callbacks": callbacks,
        "looks": looks,
        "pauses": pauses,
        "look_counts": counts,
        "accounts": {ids[number]: account for number, account in accounts.items()},
        "sites": sites,
        "blame": dict(blame),
        "stalls": sorted(stalls, key=repr),
        "stalls_seen": sorted(seen, key=repr),
        "numbers": ids,
    }


def _read_looks(payload, who, place):
    """Return the sums over looks by holder, place of the end and place that was seen; and the others."""
    counts = {UNSEEN: payload.number(), FREE: payload.number()}
    return _read_tallies(payload, who, place), counts


def _read_tallies(payload, who, place):
    tallies = defaultdict(lambda: NO_LOOKS)
    for _ in range(payload.number()):
        holder, ended, looked = payload.number(), payload.number(), payload.number()
        tally = who(holder), place(ended - 1) if ended else None, place(looked)
        tallies[tally] = tuple(number + payload.number() for number in tallies[tally])
    return dict(tallies)


def _read_pauses(payload, who, place):
    """Return the sums by holder, places and generation; the longest; and the looks in pauses."""
    names = "held wait count ticks longest collected uncollectable"
    lost, sums, longest = payload.number(), {}, []
    for _ in range(payload.number()):
        holder, ended, at, generation = (payload.number() for _ in range(4))
        row = {name: payload.number() for name in names.split()}
        key = who(holder), place(ended - 1) if ended else None, place(at - 1) if at else None, generation
        before = sums.get(key, dict.fromkeys(row, 0))
        sums[key] = {
            name: (max if name == "longest" else int.__add__)(row[name], before[name]) for name in row
        }
    for _ in range(payload.number()):
        holder, at, *numbers = (payload.number() for _ in range(9))
        longest.append((who(holder), place(at - 1) if at else None, *numbers))
    looks = _read_tallies(payload, who, place)
    return {"lost": lost, "sums": sums, "longest": longest, "looks": looks}


def _read_named(payload):
    line = payload.number()
    return payload.string(), payload.string(), line


def _read_callbacks(payload, who):
    """Return thread, start, ticks, task, what ran, looks, looks that saw the same, where, callee."""
    return [
        (
            who(payload.number()),
            payload.number(),
            payload.number(),
            payload.string(),
            _read_named(payload),
            payload.number(),
            payload.number(),
            _read_named(payload),
            payload.string(),
        )
        for _ in range(payload.number())
    ]


def named(place, who):
    """Return a place with its thread's identifier instead of its account, where it has one."""
    return tuple(("native", who(frame[1])) if frame[0] == "native" else frame for frame in place)


def read_events(content, places):
    """Return the events of an EVNT's payload; threads have the numbers of their accounts."""
    payload, found = Payload(content), []
    payload.number()
    count, _, end = payload.number(), payload.number(), payload.number()
    for _ in range(count):
        account, kind = divmod(payload.number(), 2)
        end += payload.signed()
        duration, place = payload.number(), payload.number()
        where = places[place - 1] if place else None
        found.append(Event((HOLD, WAIT)[kind], account, where, end - duration, end))
    assert not payload
    return found


class Recorded:
    """What a recording says of one interpreter, the main one by default: from its chunks."""

    def __init__(self, chunks, interpreter=0):
        self.places, self.ids, self.numbered = [], {}, []
        self.described, self.snapshots = b"", []
        for kind, content in chunks:
            if kind not in ("PLAC", "THRD", "SNAP", "EVNT"):
                continue
            payload = Payload(content)
            flags = payload.number()
            of = payload.number() if kind == "SNAP" else flags
            if of != interpreter:
                continue
            entries = content[_size(of) :]
            if kind == "PLAC":
                self.described += entries
                self.places = read_places(entries, self.places)
            elif kind == "THRD":
                self._take_threads(Payload(entries))
            elif kind == "SNAP":
                self.snapshots.append(content)
            else:
                self.numbered += read_events(content, self.places)

    @property
    def events(self):
        """All events, with the native identifiers of their threads."""
        who = self.ids.__getitem__
        return [
            event._replace(thread=who(event.thread), place=event.place and named(event.place, who))
            for event in self.numbered
        ]

    def _take_threads(self, payload):
        while payload:
            number = payload.number()
            self.ids[number] = payload.signed()
            payload.number(), payload.string(), payload.number()


def _size(number):
    return max(1, (number.bit_length() + 6) // 7)


# ---- what the threads did ----


@dataclass
class Span:
    """A part of a thread's life."""

    kind: str
    start: int
    end: int | None = None  # under way
    place: tuple | None = None  # where a hold ended; where the hold before a wait did
    begun: int = 0  # the number of the event
    ended: int = 0
    seen: bool = True  # that it began


@dataclass
class Life:
    """All that one thread did."""

    native_id: int
    born: int
    spans: list = field(default_factory=list)
    takes: list = field(default_factory=list)  # (event, whether it waited, whether it was handed over)
    releases: list = field(default_factory=list)  # (event, whether forced)
    exit: int | None = None
    place: tuple | None = None  # of its last release

    def turn_to(self, kind, now, event, **others):
        """End what is under way, and begin something else."""
        if self.spans:
            self.spans[-1].end, self.spans[-1].ended = now, event
        self.spans.append(Span(kind, now, place=self.place, begun=event, **others))


@dataclass
class Look:
    """One look at whoever had the GIL."""

    at: int
    outcome: str
    place: tuple
    callee: str


@dataclass
class Watch:
    """One session."""

    start: int
    event: int
    flags: int


def clamp(span, start, end):
    """Return a span's part in a session."""
    first = max(span.start, start)
    last = end if span.end is None else span.end
    return first, max(first, last)


class Twin:
    """Writes down what happens, and adds it up when it is asked."""

    def __init__(self, start):
        self.start = start
        self.event = 0
        self.lives = {}
        self.released = [start]  # when the GIL was, the first time at the earliest
        self.looks = []

    # ---- what happens ----

    def start_at(self, now):
        """Watch from now on: the thread that has the GIL has it since then."""
        self.start, self.released = now, [now]
        for life in self.lives.values():
            life.spans[-1].start = now

    def born(self, native_id, at, *, holds=False):
        self.lives[native_id] = life = Life(native_id, at)
        life.spans.append(Span(HOLD if holds else OFF, self.start if holds else at))

    def ask(self, native_id, at):
        self.event += 1
        life = self.lives[native_id]
        if life.spans[-1].kind == OFF:
            life.turn_to(WAIT, at, self.event)

    def take(self, native_id, at, *, unseen=False, place=None):
        """`place`: of a thread whose release was not seen."""
        self.event += 1
        life = self.lives[native_id]
        span = life.spans[-1]
        if place is not None:
            life.place = place
        if unseen:
            span.kind, span.seen = WAIT, False
        waited = span.kind == WAIT
        span.place = UNSEEN_PLACE if life.place is None else life.place
        handed = waited and max(self.released) > span.start
        life.takes.append((self.event, waited, handed))
        life.turn_to(HOLD, at, self.event)

    def release(self, native_id, at, place, *, forced):
        self.event += 1
        life = self.lives[native_id]
        life.place = life.spans[-1].place = place
        life.releases.append((self.event, forced))
        life.turn_to(WAIT if forced else OFF, at, self.event)
        self.released.append(at)

    def look(self, at, outcome, place, callee):
        self.looks.append(Look(at, outcome, place, callee))

    def exit(self, native_id, at):
        self.event += 1
        self.lives[native_id].exit = at

    # ---- what is to be booked ----

    def _concerned(self, watch):
        return [life for life in self.lives.values() if life.exit is None or life.exit >= watch.start]

    def report(self, watch, now, place):
        """Return what a session has to say at `now`, when the holder is at `place`."""
        concerned = self._concerned(watch)
        waits = self._waits(watch, now)
        blame, stalls = charge(waits, self._holds(watch, now, place), watch.start)
        accounts = {life.native_id: self._account(life, watch, now) for life in concerned}
        if not watch.flags & SITES:
            blame, stalls = {}, []
        for (waiter, _, _), ticks in blame.items():
            accounts[waiter]["blamed"] += ticks
        return {
            "elapsed": max(now, *(account["last"] for account in accounts.values())) - watch.start,
            "contended": self._contended(watch, now),
            "handoffs": self._count(watch, "takes", 2),
            "lost": 0,
            "sites_lost": 0,
            "dropped": 0,
            "accounts": {who: relative(account, watch.start) for who, account in accounts.items()},
            "sites": self._sites(watch, now, place) if watch.flags & SITES else {},
            "blame": blame,
            **self._looks(watch, place),
            "stalls": sorted((row[:-1] for row in stalls), key=repr),
            "stalls_seen": sorted(stalls, key=repr),
        }

    def events(self, watch, now, place):
        """Return the timeline, in no order."""
        found = []
        for life in self._concerned(watch):
            end = end_of(life, now)
            for span in life.spans:
                first, last = clamp(span, watch.start, end)
                if span.kind != OFF and last > first:
                    held = place if span.kind == HOLD and span.end is None else span.place
                    where = shown(held, life.native_id, watch.flags)
                    found.append(
                        Event(span.kind, life.native_id, where, first - watch.start, last - watch.start)
                    )
        return found

    def _count(self, watch, what, column):
        return sum(
            row[column] for life in self.lives.values() for row in getattr(life, what) if row[0] > watch.event
        )

    def _account(self, life, watch, now):
        end = end_of(life, now)
        account = {"label": 0, "ended": int(life.exit is not None), "merged": 1, "os_name": OS_NAME}
        account |= {"first": max(life.born, watch.start), "last": end, "blamed": 0}
        sums, longest = defaultdict(int), defaultdict(int)
        histograms = {HOLD: defaultdict(int), WAIT: defaultdict(int), OFF: defaultdict(int)}
        for span in life.spans:
            first, last = clamp(span, watch.start, end)
            sums[span.kind] += last - first
            longest[span.kind] = max(longest[span.kind], last - first)
            if span.end is None or span.ended > watch.event:
                histograms[span.kind][bucket(last - first)] += 1
        takes = [row for row in life.takes if row[0] > watch.event]
        releases = [row for row in life.releases if row[0] > watch.event]
        histograms[WAIT][0] += sum(not waited for _, waited, _ in takes)
        return account | {
            "hold": sums[HOLD],
            "wait": sums[WAIT],
            "off": sums[OFF],
            "longest_hold": longest[HOLD],
            "longest_wait": longest[WAIT],
            "acquisitions": len(takes),
            "contended": sum(waited for _, waited, _ in takes),
            "releases": len(releases),
            "forced": sum(forced for _, forced in releases),
            "holds": dict(histograms[HOLD]),
            "waits": {at: count for at, count in histograms[WAIT].items() if count},
        }

    def _contended(self, watch, now):
        """Add up when the GIL was held and wanted. Who exits while it waits wants it no longer."""
        waits = [
            (span.start, end_of(life, now) if span.end is None else span.end)
            for life in self.lives.values()
            for span in life.spans
            if span.kind == WAIT and span.seen
        ]
        holds = (span for life in self.lives.values() for span in life.spans if span.kind == HOLD)
        return sum(covered(waits, *clamp(hold, watch.start, now)) for hold in holds)

    def _sites(self, watch, now, place):
        sites = defaultdict(lambda: [0, 0, 0])
        for life in self._concerned(watch):
            end = end_of(life, now)
            for span in life.spans:
                first, last = clamp(span, watch.start, end)
                under_way = span.kind == HOLD and span.end is None
                where = shown(place if under_way else span.place, life.native_id, watch.flags)
                if span.kind == OFF or where is None:
                    continue
                row = sites[where]
                row[1 if span.kind == HOLD else 2] += last - first
                row[0] += span.kind == HOLD and span.ended > watch.event
        return {where: row for where, row in sites.items() if any(row)}

    def _looks(self, watch, place):
        """Return the looks at each holder in holds that ended somewhere; `place`: the one under way."""
        tallies, counts = defaultdict(lambda: NO_LOOKS), {UNSEEN: 0, FREE: 0}
        if not watch.flags & LOOKS:
            return {"looks": {}, "look_counts": {}}
        for look in self.looks:
            if look.at < watch.start:
                continue
            hold = self._hold_at(look.at)
            if look.outcome != SEEN or hold is None:
                counts[FREE if hold is None else look.outcome] += 1
                continue
            holder, span = hold
            ended = shown(place if span.end is None else span.place, holder, watch.flags)
            looked = looked_place(look, holder, watch.flags)
            time, waiting = 1 + look.at % 7, self._waiting_at(look.at)
            one = 1, waiting, time, time * waiting, (time * waiting) ** 2
            sums = zip(tallies[holder, ended, looked], one, strict=True)
            tallies[holder, ended, looked] = tuple(a + b for a, b in sums)
        return {"looks": dict(tallies), "look_counts": counts}

    def _hold_at(self, at):
        for life in self.lives.values():
            for span in life.spans:
                if span.kind == HOLD and span.start <= at and (span.end is None or at < span.end):
                    return life.native_id, span
        return None

    def _waiting_at(self, at):
        return sum(
            span.kind == WAIT and span.seen and span.start <= at and (span.end is None or at < span.end)
            for life in self.lives.values()
            if life.exit is None or life.exit > at
            for span in life.spans
        )

    def _waits(self, watch, now):
        """Return (thread, place, start, end, whether it can be charged) for each wait."""
        return [
            (
                life.native_id,
                shown(span.place, life.native_id, watch.flags),
                *clamp(span, watch.start, end_of(life, now)),
                span.seen,
            )
            for life in self._concerned(watch)
            for span in life.spans
            if span.kind == WAIT and (span.end is None or span.ended > watch.event)
        ]

    def _holds(self, watch, now, place):
        """Return (thread, place, start, end, what was seen most) for each hold, in order."""
        holds = [
            (
                life.native_id,
                shown(place if span.end is None else span.place, life.native_id, watch.flags),
                *clamp(span, watch.start, now),
                self._seen_most(watch, life.native_id, span),
            )
            for life in self.lives.values()
            for span in life.spans
            if span.kind == HOLD
        ]
        return sorted(holds, key=lambda hold: hold[2:4])

    def _seen_most(self, watch, holder, span):
        """Return what looks at a hold saw for most of the time of those who waited; None without looks."""
        sums = defaultdict(lambda: (0, 0))
        for look in self.looks if watch.flags & LOOKS else ():
            if look.outcome == SEEN and look.at >= watch.start and self._hold_at(look.at) == (holder, span):
                time, seen = 1 + look.at % 7, looked_place(look, holder, watch.flags)
                waited, whole = sums[seen]
                sums[seen] = waited + time * self._waiting_at(look.at), whole + time
        return max(sums, key=sums.get, default=None)


def end_of(life, now):
    """Return when a thread's part in what is read at `now` ends."""
    return now if life.exit is None else min(now, max(life.exit, life.spans[-1].start))


def covered(spans, first, last):
    """Return how much of [first, last) lies in one of the spans, or in several."""
    total = 0
    for start, end in sorted(spans):
        start = max(start, first)
        if min(end, last) > start:
            total += min(end, last) - start
            first = end
    return total


def shown(place, native_id, flags):
    """Return how a session has a place: the innermost frame alone where it wants no stacks."""
    if place is None or not flags & SITES:
        return None
    if not place:
        return (("native", native_id),)
    return place if flags & STACKS else place[-1:]


def looked_place(look, holder, flags):
    """Return the place that a look saw, as a session has it."""
    callee = ((look.callee, "", 0),) if look.callee and look.place else ()
    return shown(look.place, holder, flags) + callee


def relative(account, start):
    return account | {"first": account["first"] - start, "last": account["last"] - start}


def charge(waits, holds, start):
    """Return the rows of blame, and the longest waits.

    Each wait is charged to whoever held meanwhile, at the place where the hold ended; the longest hold is
    that without a break, the first of equals.
    """
    blame, stalls = defaultdict(int), []
    for waiter, waiter_place, asked, taken, chargeable in waits:
        culprit = (None, None, 0, None)
        for holder, place, first, last, seen in holds if chargeable else ():
            ticks = min(last, taken) - max(first, asked)
            if ticks <= 0:
                continue
            blame[waiter, holder, place] += ticks
            if ticks > culprit[2]:
                culprit = (holder, place, ticks, seen)
        if taken > asked:
            times = asked - start, taken - asked
            stalls.append((waiter, waiter_place, *culprit[:2], *times, *culprit[2:]))
    return dict(blame), stalls


# ---- what a timeline says ----


class TimelineTwin:
    """The numbers of a report that follow from its timeline: one interpreter's, recorded to the end.

    Who waited already when the trace began was not seen to ask: what it waited for is charged from when that
    is known, perhaps not at all. So with such a wait some numbers have a least and a most.
    """

    def __init__(self, recorded):
        self.snapshot = read_snapshot(recorded.snapshots[-1], recorded.places, by_number=True)
        events = recorded.numbered
        self.holds = sorted((event for event in events if event.kind == HOLD), key=lambda event: event.start)
        self.waits = [event for event in events if event.kind == WAIT]
        self.ends = [hold.end for hold in self.holds]
        self.seen = [wait for wait in self.waits if wait.start > 0]

    @property
    def exact(self):
        """Whether the timeline is all that the report is about."""
        numbers = self.snapshot
        merged = any(account["merged"] != 1 for account in numbers["accounts"].values())
        return numbers["flags"] & FINAL and not (numbers["dropped"] or numbers["lost"] or merged)

    def _meanwhile(self, wait):
        """Yield holder, place and ticks of each hold in a wait."""
        for hold in self.holds[bisect_right(self.ends, wait.start) :]:
            if hold.start >= wait.end:
                return
            ticks = min(hold.end, wait.end) - max(hold.start, wait.start)
            if ticks > 0:
                yield hold.thread, hold.place, ticks

    def faults(self):
        """Yield one line for each number of the report that the timeline does not bear out."""
        yield from differences(self._threads(), self._sums(), "accounts")
        least, most = self._contended(self.seen), self._contended(self.waits)
        yield from _outside(self.snapshot["contended"], least, most, "contended")
        if self.snapshot["flags"] & SITES:
            yield from differences(
                {place: row[1:3] for place, row in self.snapshot["sites"].items() if any(row[1:3])},
                self._sites(),
                "sites",
            )
            least, most = self._blame(self.seen), self._blame(self.waits)
            for row in sorted(self.snapshot["blame"].keys() | most.keys(), key=repr):
                booked = self.snapshot["blame"].get(row, 0)
                yield from _outside(booked, least.get(row, 0), most.get(row, 0), f"blame.{row}")
            yield from self._stall_faults()

    def _threads(self):
        names = ("hold", "wait", "longest_hold", "longest_wait")
        return {
            who: {name: account[name] for name in names} | {"rest": _rest(account)}
            for who, account in self.snapshot["accounts"].items()
        }

    def _sums(self):
        sums = {
            who: {"hold": 0, "wait": 0, "longest_hold": 0, "longest_wait": 0, "rest": 0}
            for who in self.snapshot["accounts"]
        }
        for kind, who, _, start, end in (*self.holds, *self.waits):
            sums[who][kind] += end - start
            sums[who][f"longest_{kind}"] = max(sums[who][f"longest_{kind}"], end - start)
        return sums

    def _contended(self, waits):
        """Add up what of the holds others waited for."""
        total, waits, at, wanted = 0, sorted(waits, key=lambda wait: wait.start), 0, []
        for hold in self.holds:
            while at < len(waits) and waits[at].start < hold.end:
                wanted.append(waits[at])
                at += 1
            wanted = [wait for wait in wanted if wait.end > hold.start]
            total += covered([(wait.start, wait.end) for wait in wanted], hold.start, hold.end)
        return total

    def _sites(self):
        sites = defaultdict(lambda: [0, 0])
        for kind, _, place, start, end in (*self.holds, *self.waits):
            if place is not None:
                sites[place][kind == WAIT] += end - start
        return dict(sites)

    def _blame(self, waits):
        blame = defaultdict(int)
        for wait in waits:
            for holder, place, ticks in self._meanwhile(wait):
                blame[wait.thread, holder, place] += ticks
        return dict(blame)

    def _stall_faults(self):
        found = Counter(stall for stall in self.snapshot["stalls"] if stall[4] > 0)
        least = min((stall[5] for stall in found), default=None)
        if least is None:
            return
        shown = Counter()
        for wait in self.seen:
            if wait.end - wait.start >= least:
                culprit = max(self._meanwhile(wait), key=lambda held: held[2], default=(None, None, 0))
                numbers = (wait.start, wait.end - wait.start, culprit[2])
                shown[wait.thread, wait.place, *culprit[:2], *numbers] += 1
        for stall in found - shown:
            yield f"no wait of the timeline is {stall!r}"
        for stall in shown - found:
            if stall[5] > least:
                yield f"no long wait of the report is {stall!r}"


def _outside(number, least, most, name):
    if not least <= number <= most:
        yield f"{name} is {number}, the twin has {least}" + (f" to {most}" if most != least else "")


def _rest(account):
    """Return what of a thread's life is neither held, waited nor off; its counts must agree as well."""
    rest = account["last"] - account["first"] - account["hold"] - account["wait"] - account["off"]
    assert account["contended"] <= account["acquisitions"]
    assert account["forced"] <= account["releases"] <= sum(account["holds"].values())
    return rest


def faults_of(chunks):
    """Return what in a recording's last snapshots its timeline does not bear out, for all interpreters."""
    if [kind for kind, _ in chunks][-1:] != ["DONE"]:
        return []
    numbers = {Payload(content).number() for kind, content in chunks if kind == "EVNT"}
    twins = [TimelineTwin(Recorded(chunks, number)) for number in sorted(numbers)]
    return [fault for twin in twins if twin.exact for fault in twin.faults()]


# ---- threads that were merged ----


def merge(report, alone):
    """Return a report with one account for all threads but those `alone`; the same if there are no others."""
    others = {who: row for who, row in report["accounts"].items() if who not in alone}
    if not others:
        return report

    def who(thread):
        return thread if thread is None or thread in alone else MERGED

    def place(where):
        return None if where is None else named(where, who)

    accounts = {one: row for one, row in report["accounts"].items() if one in alone}
    accounts[MERGED] = merged_account(list(others.values()))
    sites, blame = defaultdict(lambda: [0, 0, 0]), defaultdict(int)
    for where, row in report["sites"].items():
        sites[place(where)] = [a + b for a, b in zip(sites[place(where)], row, strict=True)]
    for (waiter, holder, where), ticks in report["blame"].items():
        blame[who(waiter), who(holder), place(where)] += ticks
    tallies = defaultdict(lambda: NO_LOOKS)
    for (holder, ended, looked), row in report["looks"].items():
        tally = who(holder), place(ended), place(looked)
        tallies[tally] = tuple(a + b for a, b in zip(tallies[tally], row, strict=True))
    stalls = [
        (who(waiter), place(waited), who(holder), place(held), *numbers, place(seen))
        for waiter, waited, holder, held, *numbers, seen in report["stalls_seen"]
    ]
    return report | {
        "accounts": accounts,
        "sites": dict(sites),
        "blame": dict(blame),
        "looks": dict(tallies),
        "stalls": sorted((row[:-1] for row in stalls), key=repr),
        "stalls_seen": sorted(stalls, key=repr),
    }


def merged_account(rows):
    merged = {"label": 0, "ended": 1, "merged": len(rows), "os_name": "", "first": 0}
    merged["last"] = sum(row["last"] - row["first"] for row in rows)
    for name in ("hold", "wait", "off", "acquisitions", "contended", "releases", "forced", "blamed"):
        merged[name] = sum(row[name] for row in rows)
    for name in ("longest_hold", "longest_wait"):
        merged[name] = max(row[name] for row in rows)
    for name in ("holds", "waits"):
        merged[name] = defaultdict(int)
        for row in rows:
            for at, count in row[name].items():
                merged[name][at] += count
        merged[name] = dict(merged[name])
    return merged


# ---- the comparison ----


def differences(is_, should, path=""):
    """Yield one line for each field in which two reports differ."""
    if isinstance(is_, dict) and isinstance(should, dict):
        for key in sorted(is_.keys() | should.keys(), key=repr):
            yield from differences(is_.get(key), should.get(key), f"{path}.{key}")
    elif isinstance(is_, list) and isinstance(should, list) and len(is_) == len(should):
        for number, (one, other) in enumerate(zip(is_, should, strict=True)):
            yield from differences(one, other, f"{path}[{number}]")
    elif is_ != should:
        yield f"{path.lstrip('.')} is {is_!r}, the twin has {should!r}"
