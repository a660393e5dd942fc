"""Whom a tool tells to be the culprit: its first row, and the share that it gives to the right one."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from .base import Kind, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gilprobe.report import Callee, Culprit, Frame, Report

NORMAL_95 = 1.96
"""Half of a 95 % interval, in standard errors."""

ROWS = 5
"""So many of a tool's rows are kept."""

SEEN = 0.005
"""What a line called, with a smaller part of all waiting, is not told in the headline."""


@dataclass(frozen=True)
class Told:
    """One row of a tool.

    Attributes
    ----------
    function : str
        Its name.
    place : str
        Its line, as "folder/file:line".
    callee : str
        What it called there, if the tool knows; of several what took most.
    own : str
        The line of the program's own code that led there, if the tool tells it.
    share : float
        Its part of all waiting, 0 to 1.
    error : float
        The standard error of the share; 0 if the tool does not tell it.
    task : str or None
        The asyncio task that ran, "" for none; None if the tool does not tell it.
    parts : tuple of (str, float, float)
        If it called several: each callee with its share and standard error, the largest first.
    """

    function: str
    place: str
    callee: str = ""
    own: str = ""
    share: float = 0.0
    error: float = 0.0
    task: str | None = None
    parts: tuple[tuple[str, float, float], ...] = ()

    def __str__(self) -> str:
        told = f"{self.function} ({self.own or self.place})"
        callees = [f"{callee or 'itself'} {share:.0%}" for callee, share, _ in self.parts if share >= SEEN]
        if len(callees) > 1:
            return f"{told}: {', '.join(callees)}"
        return told + (f" in {self.callee}" if self.callee else "")

    def apart(self) -> Sequence[Told]:
        """Return a row for each callee."""
        return [
            replace(self, callee=callee, share=share, error=error, parts=())
            for callee, share, error in self.parts
        ] or [self]


@dataclass(frozen=True)
class Reading:
    """A tool's answer about one run.

    Attributes
    ----------
    first : str
        Its first row, in words; "" if it has none.
    right : bool
        Whether that is the culprit.
    share, hold_share : float or None
        What it gives to the culprit of all waiting and of all holding; None if it does not measure this.
    caused_s : float or None
        The victims' waits that it gives to the culprit, in seconds.
    error : float or None
        The standard error of the share, if the tool tells it.
    rows : tuple of Told
        Its first rows.
    """

    first: str = ""
    right: bool = False
    share: float | None = None
    hold_share: float | None = None
    caused_s: float | None = None
    error: float | None = None
    rows: tuple[Told, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def reading_of(values: dict[str, Any]) -> Reading:
    """Return a reading from JSON."""
    rows = [{**row, "parts": tuple(map(tuple, row.get("parts", ())))} for row in values["rows"]]
    return Reading(**{**values, "rows": tuple(Told(**row) for row in rows)})


def _is_in(place: str, places: set[str]) -> bool:
    """Whether a place is one of these. Some tools tell files without their folder."""
    return place in places or (
        bool(place) and "/" not in place and any(one.endswith(f"/{place}") for one in places)
    )


def is_placed(kind: Kind, told: Told, places: set[str]) -> bool:
    """Whether a row is about the culprit's line, or about code that nobody else calls."""
    bare = told.function.rpartition(".")[2]
    return (
        not places
        or any(_is_in(place, places) for place in (told.place, told.own))
        or bare in kind.functions
        or any(told.place.rpartition(":")[0].endswith(file) for file in kind.files)
    )


def names(kind: Kind, told: Told, places: set[str]) -> bool:
    """Whether a row names the culprit: the place, and the callee if the tool knows that.

    A line that called several is told with all of them. The right one must be the first of them only if the
    line alone is the wrong answer.
    """
    callees = [callee for callee, share, _ in told.parts if share >= SEEN or callee == told.callee]
    named = any(
        _is_named(kind, callee) for callee in callees[: 1 if kind.must_name else None] or [told.callee]
    )
    if None not in (kind.task, told.task):
        named &= kind.task == told.task
    return named and is_placed(kind, told, places)


def _is_named(kind: Kind, callee: str) -> bool:
    return bool(re.search(kind.callee, callee)) if callee else not kind.must_name


def belongs(kind: Kind, told: Told, places: set[str]) -> bool:
    """Whether a row's time is the culprit's: whatever its line does, freeing included."""
    return names(kind, told, places) or (not kind.must_name and is_placed(kind, told, places))


def verdict_of(report: Report) -> list[Told]:
    """Return the rows of the verdict of gilprobe's report, most waiting first."""
    return [
        Told(
            row.function,
            f"{short(row.filename)}:{row.line}" if row.filename else "",
            row.called,
            share=row.share,
            error=_error(row),
            task=row.task,
            parts=tuple((part.called, part.share, _error(part)) for part in row.callees),
        )
        for row in report.culprits()
    ]


def _error(row: Culprit | Callee) -> float:
    return 0.0 if row.low is None or row.high is None else (row.high - row.low) / (2 * NORMAL_95)


def hold_share_of(kind: Kind, report: Report) -> float:
    """Return the share of all holding that the flame graph gives to the culprit."""
    places = kind.places
    held_ns = sum(stack.hold_ns for stack in report.stacks if _has(kind, stack.frames, places))
    return held_ns / max(1, report.held_ns)


def caused_s_of(kind: Kind, report: Report, waiters: str) -> float:
    """Return how long threads with names that begin so waited behind the culprit.

    The verdict is about all threads. A thread that started another one may wait, too, and no clock sees that.
    """
    places = kind.places
    found = [_has(kind, stack.frames, places) for stack in report.stacks]
    rows = [row for row in report.blame if row.holder and row.waiter.startswith(waiters)]
    return sum(row.wait_s for row in rows if row.stack is not None and found[row.stack])


def _has(kind: Kind, frames: Sequence[Frame], places: set[str]) -> bool:
    return any(belongs(kind, told, places) for told in levels(frames))


def levels(frames: Sequence[Frame]) -> Iterator[Told]:
    """Yield the levels of a stack; the callee is the last one, without a file."""
    for frame, inner in itertools.zip_longest(frames, frames[1:]):
        callee = inner.function if inner is not None and not inner.filename and frame.filename else ""
        yield Told(frame.function, f"{short(frame.filename)}:{frame.line}" if frame.filename else "", callee)


def read_rows(
    kind: Kind, rows: Sequence[Told], hold_share: float | None = None, caused_s: float | None = None
) -> Reading:
    """Read rows of which the first is the verdict, and all together are the whole."""
    places = kind.places
    given: list[Told] = []
    for row in rows:
        parts = row.apart()
        found = [part for part in parts if belongs(kind, part, places)]
        given += [row] if len(found) == len(parts) else found
    return Reading(
        first=str(rows[0]) if rows else "",
        right=bool(rows) and names(kind, rows[0], places),
        share=sum(row.share for row in given),
        hold_share=hold_share,
        caused_s=caused_s,
        error=math.hypot(*(row.error for row in given)) if given else None,
        rows=tuple(rows[:ROWS]),
    )


def read_stacks(kind: Kind, stacks: Iterable[tuple[Sequence[Told], int]]) -> Reading:
    """Read what a sampler counted while a thread had the GIL, outermost frame first.

    Its first row is the line with the most samples of its own. To the culprit it gives each sample that has
    the culprit's line anywhere in the stack. It knows no waits: its share of holding is its best answer.
    """
    places, counts, given, total = kind.places, dict[Told, int](), 0, 0
    for frames, count in stacks:
        total += count
        given += count * any(belongs(kind, frame, places) for frame in frames)
        for frame in frames[-1:]:
            counts[frame] = counts.get(frame, 0) + count
    order = sorted(counts, key=lambda frame: -counts[frame])
    share = given / total if total else None
    return Reading(
        first=str(order[0]) if order else "",
        right=bool(order) and names(kind, order[0], places),
        share=share,
        hold_share=share,
        rows=tuple(order[:ROWS]),
    )
