"""Tables for spreadsheets and data frames, as CSV."""

from __future__ import annotations

import csv
from io import StringIO
from typing import TYPE_CHECKING

from gilprobe.model.timeline import NOWHERE
from gilprobe.render.shared.words import clipped, visible
from gilprobe.report import Frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gilprobe.model.traced_process import TracedProcess

EVENT_COLUMNS = (
    "pid",
    "kind",
    "interpreter",
    "native_id",
    "thread",
    "start_ns",
    "duration_ns",
    "function",
    "filename",
    "line",
)
"""Columns of the table of events."""

SITE_COLUMNS = (
    "pid",
    "function",
    "filename",
    "line",
    "releases",
    "hold_ns",
    "wait_ns",
    "caused_ns",
    "callee",
    "looks",
)
"""Columns of the table of sites."""

LOCK_COLUMNS = (
    *("pid", "lock", "kind", "native_id", "thread", "function", "filename", "line"),
    *("holder_native_id", "holder", "holder_function", "holder_filename", "holder_line", "wait_ns"),
)
"""Columns of the table of waits for locks."""

_ROWS_A_PIECE = 1024
_KINDS = ("hold", "wait")
_NO_PLACE = Frame("", "", 0)
# A spreadsheet reads cells that begin so as formulas; the latter four in some languages.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def export(processes: Sequence[TracedProcess], *, locks: bool = False) -> Iterator[str]:
    """Write one row per hold and wait, or the sites if a process has no timeline; or the waits for locks.

    A text that a spreadsheet would read as a formula gets an apostrophe before it; control characters become
    Python's escapes.

    Yields
    ------
    str
        Pieces of the table; the first line names the columns.
    """
    if locks:
        yield from _table(LOCK_COLUMNS, _lock_waits(processes))
    elif all(process.timeline is not None for process in processes):
        yield from _table(EVENT_COLUMNS, _events(processes))
    else:
        yield from _table(SITE_COLUMNS, _sites(processes))


def _table(columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> Iterator[str]:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for number, row in enumerate(rows, 1):
        writer.writerow(row)
        if number % _ROWS_A_PIECE == 0:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()


def _sites(processes: Sequence[TracedProcess]) -> Iterator[tuple[object, ...]]:
    for process in processes:
        for site in process.report.sites:
            place = _place(Frame(site.function, site.filename, site.line))
            times = (site.releases, site.hold_ns, site.wait_ns, site.caused_ns)
            yield process.pid or "", *place, *times, _text(site.callee), site.looks


def _lock_waits(processes: Sequence[TracedProcess]) -> Iterator[tuple[object, ...]]:
    """Yield what threads waited for, and for work: who, where, and behind whom."""
    for process in processes:
        locks = process.report.locks or ()
        for row in process.report.lock_waits or ():
            lock = locks[row.lock]
            waited = Frame(row.waiter_function, row.waiter_filename, row.waiter_line)
            who = row.waiter_id, _text(row.waiter), *_place(waited)
            behind = row.holder_id or "", _text(row.holder)
            released = _place(Frame(row.function, row.filename, row.line))
            yield process.pid or "", _text(lock.title), lock.kind, *who, *behind, *released, row.wait_ns


def _events(processes: Sequence[TracedProcess]) -> Iterator[tuple[object, ...]]:
    for process in processes:
        timeline = process.timeline
        assert timeline is not None  # the caller has checked  # noqa: S101
        pid = process.pid or ""
        threads = [(one.interpreter, one.native_id, _text(one.name)) for one in timeline.threads]
        places = [_place(frames[-1] if frames else _NO_PLACE) for frames in timeline.places]
        nowhere = ("", "", "")
        for batch in timeline.batches():
            for kind, thread, place, start, duration in zip(*batch, strict=True):
                where = nowhere if place == NOWHERE else places[place]
                yield pid, _KINDS[kind], *threads[thread], start, duration, *where


def _place(frame: Frame) -> tuple[str, str, int | str]:
    return _text(frame.function), _text(frame.filename), frame.line if frame.line > 0 else ""


def _text(text: str) -> str:
    safe = visible(clipped(text, 4096))
    return f"'{safe}" if safe.lstrip().startswith(_FORMULA) else safe
