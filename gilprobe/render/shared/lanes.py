"""A timeline as lanes, one per thread: all holds and waits if few, else shares of equal slices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilprobe.model.timeline import HOLD, WAIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilprobe.model.timeline import Timeline
    from gilprobe.report import Report

SLICES = 720
"""Slices of the whole time, one per pixel."""

MOST_EXACT = 1500
"""Up to so many intervals, all are kept."""


@dataclass(frozen=True, slots=True)
class Lane:
    """The activity of one thread.

    Attributes
    ----------
    name : str
        The thread's name: foreign, to be escaped.
    first_ns, last_ns : int
        When the thread lived.
    hold_ns, wait_ns : int
        Sums of its holds and of its waits.
    events : tuple of (int, int, int)
        Kind, start and end of each hold and wait, nanoseconds; empty if there are too many.
    shares : tuple of (float, float)
        Each slice's shares of hold and wait; empty if `events` are kept.
    """

    name: str
    first_ns: int
    last_ns: int
    hold_ns: int
    wait_ns: int
    events: tuple[tuple[int, int, int], ...]
    shares: tuple[tuple[float, float], ...]


class _Collected:
    """A thread while the events are read: slices always, intervals while few."""

    def __init__(self, elapsed_ns: int) -> None:
        self.elapsed_ns = elapsed_ns
        self.sums = [0, 0]
        self.slices = ([0.0] * SLICES, [0.0] * SLICES)
        self.events: list[tuple[int, int, int]] = []
        self.first_ns, self.last_ns = elapsed_ns, 0

    def add(self, kind: int, start: int, end: int) -> None:
        self.sums[kind] += end - start
        self.first_ns, self.last_ns = min(self.first_ns, start), max(self.last_ns, end)
        for number, part in _parts(start, end, self.elapsed_ns):
            self.slices[kind][number] += part


def _parts(start: int, end: int, elapsed_ns: int) -> Iterator[tuple[int, float]]:
    """Yield the slices that an event touches, and its share of each."""
    width = elapsed_ns / SLICES
    first = min(int(start / width), SLICES - 1)
    last = min(int(end / width), SLICES - 1)
    for number in range(first, last + 1):
        left, right = max(start, number * width), min(end, (number + 1) * width)
        if right > left:
            yield number, (right - left) / width


def lanes_of(report: Report, timeline: Timeline, *, rows: int) -> tuple[list[Lane], int]:
    """Read a timeline once, in bounded memory; return the lanes, and how many threads were left out.

    Parameters
    ----------
    report : Report
        The accounts of the same trace.
    timeline : Timeline
        Its holds and waits.
    rows : int
        Limit of lanes: the threads that held and waited longest are kept, in the timeline's order.

    Returns
    -------
    list of Lane, int
        The lanes, and how many threads were left out.
    """
    elapsed_ns = max(report.elapsed_ns, 1)
    collected: dict[int, _Collected] = {}
    left = MOST_EXACT
    for batch in timeline.batches():
        for kind, thread, start, duration in zip(
            batch.kinds, batch.threads, batch.starts_ns, batch.durations_ns, strict=True
        ):
            begin, end = max(start, 0), min(start + duration, elapsed_ns)
            if end <= begin:
                continue
            one = collected.setdefault(thread, _Collected(elapsed_ns))
            one.add(kind, begin, end)
            if left > 0:
                one.events.append((kind, begin, end))
            left -= 1
    shown = sorted(collected, key=lambda number: sum(collected[number].sums), reverse=True)[:rows]
    lives = lives_of(report)
    lanes = [
        _lane(timeline.threads[number].name, collected[number], lives.get(_key(timeline, number)), left >= 0)
        for number in sorted(shown)
    ]
    return lanes, len(collected) - len(shown)


def _key(timeline: Timeline, number: int) -> tuple[int, int]:
    thread = timeline.threads[number]
    return thread.native_id, thread.interpreter


def lives_of(report: Report) -> dict[tuple[int, int], int]:
    """Return each thread's lifetime, by native identifier and interpreter.

    An identifier that the system reused is left out.
    """
    lives: dict[tuple[int, int], int] = {}
    twice: set[tuple[int, int]] = set()
    for thread in report.threads:
        key = thread.native_id, thread.interpreter
        if key in lives or thread.merged > 1:
            twice.add(key)
        lives[key] = thread.lifetime_ns
    return {key: life for key, life in lives.items() if key not in twice}


def lived(first_ns: int, last_ns: int, life_ns: int | None, elapsed_ns: int) -> tuple[int, int]:
    """Return when a thread lived, from its first and last event and its lifetime."""
    if life_ns is None:
        return first_ns, last_ns
    first_ns = max(0, min(first_ns, elapsed_ns - life_ns))
    return first_ns, max(last_ns, min(elapsed_ns, first_ns + life_ns))


def _lane(name: str, one: _Collected, life_ns: int | None, exact: bool) -> Lane:
    first, last = lived(one.first_ns, one.last_ns, life_ns, one.elapsed_ns)
    return Lane(
        name=name,
        first_ns=first,
        last_ns=last,
        hold_ns=one.sums[HOLD],
        wait_ns=one.sums[WAIT],
        events=tuple(one.events) if exact else (),
        shares=() if exact else tuple(zip(*one.slices, strict=True)),
    )
