"""A timeline for the page's picture: all events if they are few, else a pyramid of cells.

It is read by scripts/process/timeline/model.js. Numbers are unsigned LEB128 varints in base64; the rows are
described in csrc/picture/gp_picture_exact.h and csrc/picture/gp_picture_pyramid.h. The timeline is read
twice, in bounded memory: first to find the important threads and places, then for their events.
"""

from __future__ import annotations

import heapq
from array import array
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gilprobe._native import pyramid as native
from gilprobe.model.locks import WORK
from gilprobe.model.timeline import TimelineThread
from gilprobe.render.html.process.places import name
from gilprobe.render.shared.lanes import lived, lives_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gilprobe.model.timeline import Timeline
    from gilprobe.render.html.process.threads import ThreadRows
    from gilprobe.report import Frame, Report

MOST_EXACT = 120_000
"""Up to so many events, all are in the page."""

MOST_BYTES = 720_000
"""Size limit of all rows, in bytes before base64; rows are made coarser until they fit."""

MOST_ROWS = 200
"""Limit of threads with their own row."""

MOST_GILS = 16
"""Limit of interpreters whose GIL has its own row."""

MOST_LONG = 2_500
"""Number of longest holds that stay exact beside a pyramid, and of waits."""

MOST_CELLS = 32_768
"""Cells of a row at the finest level."""

MOST_PAUSES = 2_000
"""Limit of collections of garbage that are marked; the longest."""

MOST_LOCK_WAITS = 2_000
"""Limit of waits for locks that are marked; the longest."""

_ALL_CELLS = 1 << 20
_LEAST_CELLS = 512
_LEAST_LONG = 100
_MOST_LOOKS = 1 << 30  # holds examined for those during the longest waits: some seconds at most
_COARSEST = 10  # levels: a row keeps at least 1/1024 of its cells
_MOST_NAMES = 200_000  # characters of all places together
_LARGEST_NS = (1 << 53) - 1  # integers that JavaScript represents exactly


def described(
    report: Report, timeline: Timeline, threads: ThreadRows, *, most_bytes: int = MOST_BYTES
) -> dict[str, Any]:
    """Return the data of a timeline's picture, for :mod:`json`.

    Parameters
    ----------
    report : Report
        The accounts of the same trace.
    timeline : Timeline
        Its holds and waits.
    threads : ThreadRows
        The page's threads, to which rows refer.
    most_bytes : int
        Size limit of all rows in bytes; less if several processes share a page.
    """
    survey = _survey(report, timeline)
    cast = _Cast(survey, timeline)
    rows = native.Rows(
        cast.rows,
        cast.gils,
        cast.names,
        row_count=len(cast.shown),
        gil_count=len(cast.interpreters),
        extent_ns=survey.extent_ns,
    )
    packed = _exact(rows, cast, timeline, most_bytes) if survey.events <= MOST_EXACT else None
    return {
        "extent_ns": survey.extent_ns,
        "events": survey.events,
        "dropped": timeline.dropped,
        "threads": _described_threads(report, threads, survey, cast.shown),
        "gils": cast.interpreters,
        "gil_of": [cast.gils[number] for number in cast.shown],
        "places": cast.places,
        "folded": cast.folded(survey),
        "pauses": _pauses(timeline, cast),
        **_lock_waits(timeline, survey, cast),
        **(packed or _pyramid(rows, cast, timeline, most_bytes)),
    }


@dataclass(frozen=True, slots=True)
class _Survey:
    """The result of the first reading."""

    extent_ns: int
    events: int
    cast: tuple[TimelineThread, ...]  # the timeline's threads, and others that only waited for locks
    threads: array[int]  # native.SUMS numbers per thread
    locks: dict[int, _LockSums]  # of those that waited for locks
    places: array[int]  # held nanoseconds per place

    def sums(self, number: int) -> array[int]:
        """Return a thread's hold_ns, wait_ns, events, begin and end."""
        return self.threads[number * native.SUMS : (number + 1) * native.SUMS]

    def begin_and_end(self, number: int) -> tuple[int, int]:
        """Return the first and the last time at which a thread is seen."""
        seen = [tuple(self.sums(number)[3:])] if self.sums(number)[2] else []
        if number in self.locks:
            seen.append((self.locks[number].first_ns, self.locks[number].last_ns))
        return min(first for first, _ in seen), max(last for _, last in seen)


@dataclass(slots=True)
class _LockSums:
    first_ns: int
    last_ns: int = 0
    wait_ns: int = 0  # without waits for work


def _survey_locks(timeline: Timeline) -> tuple[tuple[TimelineThread, ...], dict[int, _LockSums]]:
    """Return all threads, and the sums of those that waited for locks."""
    cast = [*timeline.threads]
    numbers = {(thread.native_id, thread.name): number for number, thread in enumerate(cast)}
    found: dict[int, _LockSums] = {}
    for wait in timeline.lock_waits():
        number = numbers.setdefault((wait.thread_id, wait.thread), len(cast))
        if number == len(cast):
            cast.append(TimelineThread(wait.thread_id, wait.thread, 0))
        sums = found.setdefault(number, _LockSums(max(wait.start_ns, 0)))
        sums.first_ns = min(sums.first_ns, max(wait.start_ns, 0))
        sums.last_ns = max(sums.last_ns, min(wait.start_ns + wait.duration_ns, _LARGEST_NS))
        sums.wait_ns += 0 if wait.kind == WORK else wait.duration_ns
    return tuple(cast), found


def _survey(report: Report, timeline: Timeline) -> _Survey:
    cast, locks = _survey_locks(timeline)
    threads = array("Q", bytes(8 * native.SUMS * len(cast)))
    places = array("Q", bytes(8 * len(timeline.places)))
    for batch in timeline.batches():
        native.survey(batch, _LARGEST_NS, threads, places)
    last_ns = max([*threads[4 :: native.SUMS], *(sums.last_ns for sums in locks.values())], default=0)
    return _Survey(
        extent_ns=min(max(report.elapsed_ns, last_ns, 1), _LARGEST_NS),
        events=sum(threads[2 :: native.SUMS]),
        cast=cast,
        threads=threads,
        locks=locks,
        places=places,
    )


class _Cast:
    """Which threads have rows, and the names of places.

    The threads that held and waited longest have rows; without a GIL, those that waited longest for locks.
    Threads and places are sorted by hold, longest first.

    Attributes
    ----------
    shown : list of int
        Numbers of the threads that have a row, in the order of the rows.
    interpreters : list of int
        Interpreters whose GIL has a row.
    all_interpreters : int
        Number of interpreters.
    rows, gils, names : array of uint32
        For each thread its row and its GIL's, for each place its name, as the native core expects.
    places : list of (str, str, int)
        Function, file and line of each name, numbered from 1; 0 is unknown.
    """

    def __init__(self, survey: _Survey, timeline: Timeline) -> None:
        self.busy = [
            number for number in range(len(survey.cast)) if survey.sums(number)[2] or number in survey.locks
        ]
        locks_ns = {number: sums.wait_ns for number, sums in survey.locks.items()}
        busiest = heapq.nlargest(
            MOST_ROWS, self.busy, key=lambda number: (sum(survey.sums(number)[:2]), locks_ns.get(number, 0))
        )
        self.shown = sorted(
            busiest, key=lambda number: (survey.sums(number)[0], locks_ns.get(number, 0)), reverse=True
        )
        self.interpreters = self._largest(survey)
        gil_of = {interpreter: number for number, interpreter in enumerate(self.interpreters)}
        self.rows = array("I", [len(self.shown)]) * len(survey.cast)
        for row, number in enumerate(self.shown):
            self.rows[number] = row
        self.gils = array(
            "I", (gil_of.get(thread.interpreter, len(self.interpreters)) for thread in survey.cast)
        )
        self.places, self.names = _named(timeline.places, survey.places)

    def _largest(self, survey: _Survey) -> list[int]:
        held: dict[int, int] = {}
        for number in self.busy:
            if not survey.sums(number)[2]:
                continue
            interpreter = survey.cast[number].interpreter
            held[interpreter] = held.get(interpreter, 0) + survey.sums(number)[0]
        self.all_interpreters = len(held)
        return sorted(heapq.nlargest(MOST_GILS, held, key=lambda interpreter: held[interpreter]))

    def folded(self, survey: _Survey) -> dict[str, int]:
        """Return the number of GILs without a row, and the sums of threads without one."""
        shown = set(self.shown)
        left = [survey.sums(number) for number in self.busy if number not in shown]
        return {
            "gils": self.all_interpreters - len(self.interpreters),
            "threads": len(left),
            "hold_ns": sum(sums[0] for sums in left),
            "wait_ns": sum(sums[1] for sums in left),
        }


def _named(
    places: Sequence[Sequence[Frame]], held_ns: Sequence[int]
) -> tuple[list[tuple[str, str, int]], array[int]]:
    """Return names of places by innermost frame, and each place's name; 0 where there is no room."""
    leaves: dict[tuple[str, str, int], int] = {}
    for frames, ns in zip(places, held_ns, strict=True):
        if frames:
            leaf = _leaf(frames)
            leaves[leaf] = leaves.get(leaf, 0) + ns
    names: list[tuple[str, str, int]] = []
    numbers: dict[tuple[str, str, int], int] = {}
    room = _MOST_NAMES
    for leaf in sorted(leaves, key=lambda leaf: leaves[leaf], reverse=True):
        function, file = name(leaf[0]), name(leaf[1], 400)
        room -= len(function) + len(file)
        if room < 0:
            break
        names.append((function, file, max(leaf[2], 0)))
        numbers[leaf] = len(names)
    return names, array("I", (numbers.get(_leaf(frames), 0) if frames else 0 for frames in places))


def _leaf(frames: Sequence[Frame]) -> tuple[str, str, int]:
    frame = frames[-1]
    return frame.function, frame.filename, frame.line


def _described_threads(
    report: Report, threads: ThreadRows, survey: _Survey, shown: Sequence[int]
) -> list[dict[str, Any]]:
    """Return the rows' threads; `thread` is the number in the page, `NOWHERE` if unknown."""
    lives = lives_of(report)
    described = []
    for number in shown:
        thread = survey.cast[number]
        key = thread.native_id, thread.interpreter
        hold_ns, wait_ns, events, *_ = survey.sums(number)
        first_ns, last_ns = lived(*survey.begin_and_end(number), lives.get(key), survey.extent_ns)
        described.append(
            {
                "name": name(thread.name) or "?",
                "interpreter": thread.interpreter,
                "thread": threads.number(thread.name, thread.native_id),
                "hold_ns": hold_ns,
                "wait_ns": wait_ns,
                "lock_ns": survey.locks[number].wait_ns if number in survey.locks else 0,
                "events": events,
                "from_ns": first_ns,
                "to_ns": last_ns,
            }
        )
    return described


def _pauses(timeline: Timeline, cast: _Cast) -> list[tuple[int, int, int, int]]:
    """Return row, start, length and generation of the longest collections of garbage, by start."""
    row_of = {number: row for row, number in enumerate(cast.shown)}
    known = (pause for pause in timeline.pauses() if pause.thread in row_of and pause.start_ns <= _LARGEST_NS)
    longest = heapq.nlargest(MOST_PAUSES, known, key=lambda pause: pause.duration_ns)
    return sorted(
        (
            (row_of[pause.thread], pause.start_ns, min(pause.duration_ns, _LARGEST_NS), pause.generation)
            for pause in longest
        ),
        key=lambda row: row[1],
    )


def _lock_waits(timeline: Timeline, survey: _Survey, cast: _Cast) -> dict[str, Any]:
    """Return the longest waits for locks by start (row, start, length, number of the lock), and the locks.

    `work` has the numbers of those that are work.
    """
    row_of = {
        (survey.cast[number].native_id, survey.cast[number].name): row
        for row, number in enumerate(cast.shown)
    }
    known = (
        (wait.duration_ns, wait.start_ns, row_of[wait.thread_id, wait.thread], wait.lock, wait.kind == WORK)
        for wait in timeline.lock_waits()
        if (wait.thread_id, wait.thread) in row_of and wait.start_ns + wait.duration_ns <= _LARGEST_NS
    )
    longest = heapq.nlargest(MOST_LOCK_WAITS, known)
    locks: dict[tuple[str, bool], int] = {}
    rows = [
        (row, start_ns, duration_ns, locks.setdefault((name(lock), work), len(locks)))
        for duration_ns, start_ns, row, lock, work in sorted(longest, key=lambda wait: wait[1])
    ]
    return {
        "lock_waits": rows,
        "locks": [lock for lock, _ in locks],
        "work": [number for (_, work), number in locks.items() if work],
    }


def _exact(rows: native.Rows, cast: _Cast, timeline: Timeline, most_bytes: int) -> dict[str, Any] | None:
    """Return all events; None if they are too large."""
    exact = native.Exact(rows)
    for batch in timeline.batches():
        exact.add(batch)
    packed = [exact.row(number) for number in range(len(cast.shown) + len(cast.interpreters))]
    if sum(map(len, packed)) > most_bytes:
        return None
    return {"exact": True, "rows": [_base64(row) for row in packed]}


def _pyramid(rows: native.Rows, cast: _Cast, timeline: Timeline, most_bytes: int) -> dict[str, Any]:
    count = len(cast.shown) + len(cast.interpreters)
    pyramid = native.Pyramid(rows, _cells(count))
    keep = max(_LEAST_LONG, min(MOST_LONG, MOST_LONG * most_bytes // MOST_BYTES))
    longest = native.Longest(rows, keep, _MOST_LOOKS)
    for batch in timeline.batches():
        pyramid.add(batch)
        longest.add(batch)
    packed = _fitting(pyramid, count, most_bytes)
    return {
        "exact": False,
        "cell_ns": pyramid.cell_ns,
        "levels": [level for level, _ in packed],
        "rows": [_base64(row) for _, row in packed],
        "holds": _base64(_varints(_flat(longest.holds()))),
        "waits": _base64(_varints(_flat(longest.waits()))),
    }


def _cells(rows: int) -> int:
    """Return the first number of cells of a row: a power of two, fewer if there are many rows."""
    cells = MOST_CELLS
    while cells > _LEAST_CELLS and cells * rows > _ALL_CELLS:
        cells //= 2
    return cells


def _fitting(pyramid: native.Pyramid, count: int, most_bytes: int) -> list[tuple[int, bytes]]:
    """Return the level and the bytes of each row; the largest rows are made coarser until all fit."""
    packed = [(0, pyramid.row(number, 0)) for number in range(count)]
    sizes = [(-len(row), number) for number, (_, row) in enumerate(packed)]
    heapq.heapify(sizes)
    excess = -sum(size for size, _ in sizes) - most_bytes
    while excess > 0 and packed[sizes[0][1]][0] < _COARSEST:
        size, number = sizes[0]
        level = packed[number][0] + 1
        packed[number] = level, pyramid.row(number, level)
        heapq.heapreplace(sizes, (-len(packed[number][1]), number))
        excess += size + len(packed[number][1])
    return packed


def _flat(longest: Iterable[tuple[int, int, int, int, list[tuple[int, int, int]], int]]) -> Iterable[int]:
    """Yield the numbers of the longest, by start; each start is relative to the previous one."""
    before = 0
    for begin, end, row, place, holders, others_ns in sorted(longest):
        yield from (begin - before, end - begin, row, place, len(holders))
        for holder in holders:
            yield from holder
        yield others_ns
        before = begin


def _varints(numbers: Iterable[int]) -> bytes:
    out = bytearray()
    for number in numbers:
        left = number
        while left >= 0x80:
            out.append(left & 0x7F | 0x80)
            left >>= 7
        out.append(left)
    return bytes(out)


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")
