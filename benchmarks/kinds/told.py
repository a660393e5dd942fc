"""Whom a tool tells to be the culprit: its first row, and the share that it gives to the right one."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from .base import Kind, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gilprobe.report import Report

ROWS = 5
"""So many of a tool's rows are kept."""


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
        What it called there, if the tool knows.
    own : str
        The line of the program's own code that led there, if the tool tells it.
    share, hold_share : float
        Its part of all waiting and of all holding, 0 to 1.
    caused_s : float
        The waiting, in seconds.
    """

    function: str
    place: str
    callee: str = ""
    own: str = ""
    share: float = 0.0
    hold_share: float = 0.0
    caused_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.function} ({self.own or self.place})" + (f" in {self.callee}" if self.callee else "")


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
        The waiting, in seconds.
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
    return Reading(**{**values, "rows": tuple(Told(**row) for row in values["rows"])})


def names(kind: Kind, told: Told, places: set[str]) -> bool:
    """Whether a row names the culprit."""
    named = bool(re.search(kind.callee, told.callee)) if told.callee else not kind.must_name
    bare = told.function.rpartition(".")[2]
    return named and (
        not places
        or bool(places & {told.place, told.own})
        or bare in kind.functions
        or any(told.place.rpartition(":")[0].endswith(file) for file in kind.files)
    )


def verdict_of(report: Report) -> list[Told]:
    """Return the rows of the verdict of gilprobe's report, most waiting first."""
    waited_ns = max(1, sum(thread.wait_ns for thread in report.threads))
    return [
        Told(
            site.function,
            f"{short(site.filename)}:{site.line}" if site.filename else "",
            getattr(site, "callee", ""),
            "",
            site.caused_ns / waited_ns,
            site.hold_ns / max(1, report.held_ns),
            site.caused_ns / 1e9,
        )
        for site in sorted(report.sites, key=lambda site: -site.caused_ns)
    ]


def read_rows(kind: Kind, rows: Sequence[Told]) -> Reading:
    """Read rows of which the first is the verdict, and all together are the whole."""
    places = kind.places
    right = [row for row in rows if names(kind, row, places)]
    return Reading(
        first=str(rows[0]) if rows else "",
        right=bool(rows) and rows[0] in right,
        share=sum(row.share for row in right),
        hold_share=sum(row.hold_share for row in right),
        caused_s=sum(row.caused_s for row in right),
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
        given += count * any(names(kind, frame, places) for frame in frames)
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
