"""Timelines in memory, made by hand or by a simulated GIL."""

from __future__ import annotations

import random
from array import array
from dataclasses import dataclass, replace

from gilprobe.model.timeline import (
    HOLD,
    NOWHERE,
    WAIT,
    Batch,
    TimelineLockWait,
    TimelinePause,
    TimelineThread,
)
from gilprobe.report import Frame


@dataclass(frozen=True)
class MadeUpTimeline:
    """A :class:`gilprobe.model.timeline.Timeline` of events (kind, thread, place, start_ns, duration_ns)."""

    threads: tuple[TimelineThread, ...]
    places: tuple[tuple[Frame, ...], ...]
    events: tuple[tuple[int, int, int, int, int], ...]
    dropped: int = 0
    batch: int = 1000
    collections: tuple[TimelinePause, ...] = ()
    waits: tuple[TimelineLockWait, ...] = ()

    def batches(self):
        for first in range(0, len(self.events), self.batch):
            columns = zip(*self.events[first : first + self.batch], strict=True)
            yield Batch(*(memoryview(array(code, c)) for code, c in zip("BIIqq", columns, strict=True)))

    def pauses(self):
        return iter(self.collections)

    def lock_waits(self):
        return iter(self.waits)

    def renamed(self, name):
        """Return the same timeline with the foreign `name` wherever a name can stand."""
        return replace(
            self,
            threads=tuple(TimelineThread(t.native_id, name, t.interpreter) for t in self.threads),
            places=tuple(tuple(Frame(name, name, f.line) for f in frames) for frames in self.places),
            waits=tuple(
                w._replace(
                    thread=name,
                    lock=name,
                    holder=name,
                    stack=tuple(Frame(name, name, f.line) for f in w.stack),
                    released=w.released and Frame(name, name, w.released.line),
                )
                for w in self.waits
            ),
        )


def simulated(threads=4, holds=400, *, seed=1, depth=1, dropped=0, interpreters=1):
    """Return the timeline of threads that take the GIL by turns: a queue, with times when nobody holds."""
    random_ = random.Random(seed)
    names = tuple(TimelineThread(5000 + n, f"worker {n}", n % interpreters) for n in range(threads))
    places = tuple(
        tuple(
            Frame(f"outer_{p}.level_{d}", f"/srv/app/module_{p % 3}.py", 10 * p + d + 1) for d in range(depth)
        )
        for p in range(7)
    )
    events = []
    for interpreter in range(interpreters):
        team = [n for n in range(threads) if n % interpreters == interpreter]
        events.append(_turns(team, holds, random_, len(places)))
    return MadeUpTimeline(names, places, tuple(e for part in events for e in part), dropped)


def _turns(team, holds, random_, places):
    """Return holds and the waits before them, ordered by their ends."""
    now, events = 0, []
    free_since = dict.fromkeys(team, 0)
    for _ in range(holds):
        thread = random_.choice(team)
        asked = random_.randint(free_since[thread], max(now, free_since[thread]))
        now = max(now, asked) + random_.choice((0, 0, 30))
        place = random_.choice([*range(places), NOWHERE])
        if now > asked:
            events.append((WAIT, thread, place, asked, now - asked))
        length = random_.choice((0, 1, 900, 5_000_000))
        events.append((HOLD, thread, place, now, length))
        now += length
        free_since[thread] = now
    return sorted(events, key=lambda event: event[3] + event[4])
