"""A recording of any length, written fast: a made-up service in which one thread makes all others wait.

A few stretches of it are simulated; the recording is made of them, in any order, as often as it takes. So it
has the texture of a real one at every scale, and 10 million events are written in seconds.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from typing import TYPE_CHECKING

import recording_twin as twin

from gilprobe._native.histogram import index_of
from gilprobe.measuring.host import read_environment
from gilprobe.model.timeline import HOLD, WAIT

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("MainThread", "encoder", "request-1", "request-2", "request-3", "request-4")
MAIN, CULPRIT = 0, 1
WORKERS = range(2, len(NAMES))
PLACES = (
    ("JSONEncoder.iterencode", "/usr/lib/python3.11/json/encoder.py", 258),
    ("handle", "/srv/app/views.py", 42),
    ("parse", "/srv/app/views.py", 17),
    ("read_line", "/srv/app/stream.py", 88),
    ("serve_forever", "/srv/app/main.py", 12),
)
ENCODES, HANDLES = 0, 1
_STRETCH = 20_000  # events, at least
_STRETCHES = 6


class _Stretch:
    """Events (kind, account, place, start, end) from tick 0 on, a tick a nanosecond."""

    def __init__(self, seed: int, least: int) -> None:
        self._random = random.Random(seed)
        self.now = 0
        self.rows: list[tuple[int, int, int, int, int]] = []
        self.blame: Counter[tuple[int, int, int]] = Counter()
        self.stalls: list[tuple[int, int, int, int]] = []  # waiter, its place, start, wait
        while len(self.rows) < least:
            self._act()
        self.longest = max(end - start for kind, _, _, start, end in self.rows if kind == HOLD)
        self.rows.sort(key=lambda row: row[4])

    def _hold(self, thread: int, place: int, length: int) -> None:
        self.rows.append((HOLD, thread, place, self.now, self.now + length))
        self.now += length

    def _act(self) -> None:
        chance = self._random.random()
        if chance < 0.002:
            self._stall()
        elif chance < 0.02:
            self._hold(MAIN, 4, self._random.randint(2_000, 9_000))
        else:
            self._contend()
        self.now += self._random.randint(200, 3_000)

    def _contend(self) -> None:
        """Let one worker wait for another."""
        first, second = self._random.sample(WORKERS, 2)
        place, length = self._random.randint(1, 3), self._random.randint(2_000, 30_000)
        asked = self.now + length // 2
        self._hold(first, place, length)
        self._wait(second, place, asked, first, place)
        self._hold(second, place, self._random.randint(2_000, 9_000))

    def _stall(self) -> None:
        """Let the culprit encode while everybody else comes to wait."""
        length = self._random.randint(15_000_000, 55_000_000)
        asked = {worker: self.now + self._random.randint(0, length // 2) for worker in WORKERS}
        self._hold(CULPRIT, ENCODES, length)
        for worker in sorted(WORKERS, key=lambda worker: asked[worker]):
            self.stalls.append((worker, HANDLES, asked[worker], self.now - asked[worker]))
            self._wait(worker, HANDLES, asked[worker], CULPRIT, ENCODES)
            self._hold(worker, HANDLES, self._random.randint(2_000, 60_000))

    def _wait(self, waiter: int, place: int, asked: int, holder: int, at: int) -> None:
        self.rows.append((WAIT, waiter, place, asked, self.now))
        self.blame[waiter, holder, at] += self.now - asked


def write(path: Path, events: int = 10_000_000) -> int:
    """Write a recording of about so many events; return of how many."""
    stretches = [_Stretch(seed, min(_STRETCH, events // 2 + 1)) for seed in range(_STRETCHES)]
    order = _order(stretches, events)
    written = sum(len(stretches[number].rows) for number in order)
    bodies = [twin.events(0, one.rows)[len(_head(one, 0)) :] for one in stretches]
    with path.open("wb") as file:
        file.write(twin.header())
        for kind, payload in _descriptions():
            file.write(twin.chunk(kind, payload))
        now = 0
        for number in order:
            file.write(twin.chunk("EVNT", _head(stretches[number], now) + bodies[number]))
            now += stretches[number].now
        file.write(twin.chunk("SNAP", twin.snapshot(_snapshot([stretches[number] for number in order]))))
        file.write(twin.chunk("DONE", twin.done("stopped")))
    return written


def _order(stretches: list[_Stretch], events: int) -> list[int]:
    chosen, left = random.Random(0), events
    order = []
    while left > 0:
        order.append(chosen.randrange(len(stretches)))
        left -= len(stretches[order[-1]].rows)
    return order


def _head(stretch: _Stretch, tick: int) -> bytes:
    return twin.numbers(0, len(stretch.rows), 0, tick)


def _descriptions() -> list[tuple[str, bytes]]:
    environment = dataclasses.asdict(read_environment())
    threads = [(number, 7000 + number, number + 1, "python", 0) for number in range(len(NAMES))]
    return [
        ("META", twin.meta(environment, argv=["service.py"], options={"sites": True, "timeline": True})),
        ("LABL", twin.labels((number + 1, name) for number, name in enumerate(NAMES))),
        ("THRD", twin.number(0) + twin.threads(threads)),
        ("PLAC", twin.number(0) + twin.places([(None, 0, line, name, file) for name, file, line in PLACES])),
        ("SNAP", twin.snapshot(twin.empty_snapshot())),
    ]


class _Sums:
    """What the snapshot says, of stretches that are counted one by one and then as often as they come."""

    def __init__(self) -> None:
        self.ticks = {kind: Counter() for kind in (HOLD, WAIT)}  # by account
        self.counts = {kind: Counter() for kind in (HOLD, WAIT)}
        self.longest = {kind: Counter() for kind in (HOLD, WAIT)}
        self.buckets = {kind: [Counter() for _ in NAMES] for kind in (HOLD, WAIT)}
        self.sites = [Counter() for _ in PLACES]
        self.blame: Counter[tuple[int, int, int]] = Counter()

    def add(self, stretch: _Stretch, times: int) -> None:
        for kind, account, place, start, end in stretch.rows:
            length = end - start
            self.ticks[kind][account] += times * length
            self.counts[kind][account] += times
            self.longest[kind][account] = max(self.longest[kind][account], length)
            self.buckets[kind][account][index_of(length)] += times
            self.sites[place][kind] += times * length
            if kind == HOLD:
                self.sites[place]["releases"] += times
        for key, ticks in stretch.blame.items():
            self.blame[key] += times * ticks


def _snapshot(stretches: list[_Stretch]) -> dict:
    sums, elapsed = _Sums(), sum(one.now for one in stretches)
    times = Counter(map(id, stretches))
    for one in {id(one): one for one in stretches}.values():
        sums.add(one, times[id(one)])
    waited = Counter()
    for (waiter, _, _), ticks in sums.blame.items():
        waited[waiter] += ticks
    return twin.empty_snapshot(final=True) | {
        "flags": 1 | 4 | 8 | 32,
        "totals": (elapsed, sum(sums.ticks[WAIT].values()) // 3, sum(sums.counts[WAIT].values()), 0, 0, 0),
        "accounts": [_account(sums, number, elapsed, waited[number]) for number in range(len(NAMES))],
        "sites": [
            (number, site["releases"], site[HOLD], site[WAIT]) for number, site in enumerate(sums.sites)
        ],
        "blame": [(*key, ticks) for key, ticks in sums.blame.items()],
        "stalls": _stalls(stretches),
    }


def _account(sums: _Sums, number: int, elapsed: int, blamed: int) -> dict:
    hold, wait = sums.ticks[HOLD][number], sums.ticks[WAIT][number]
    longest = sums.longest[HOLD][number], sums.longest[WAIT][number]
    holds, waits = sums.counts[HOLD][number], sums.counts[WAIT][number]
    return twin.sample_account(
        number,
        7000 + number,
        label=number + 1,
        ticks=(0, elapsed, hold, wait, elapsed - hold - wait, *longest),
        counts=(holds, waits, holds, 0),
        blamed=blamed,
        holds=sorted(sums.buckets[HOLD][number].items()),
        waits=sorted(sums.buckets[WAIT][number].items()),
    )


def _stalls(stretches: list[_Stretch]) -> list[tuple[int, ...]]:
    now, stalls = 0, []
    for one in stretches[:50]:
        stalls += [
            (waiter, place, CULPRIT, ENCODES, now + start, wait, min(wait, one.longest))
            for waiter, place, start, wait in one.stalls
        ]
        now += one.now
    return sorted(stalls, key=lambda stall: stall[5], reverse=True)[:64]
