"""The screen of a watched program: what is shown and what keys change, apart from any terminal.

Names and paths come from the program: each goes through `visible`, and none is read as markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.durations import duration
from gilprobe.live.keyboard import DOWN, ENTER, ESCAPE, UP
from gilprobe.model.plain_data import dataclass
from gilprobe.render.shared import culprit_words
from gilprobe.render.shared.words import clipped, place, plural, share, short_paths, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from gilprobe.model.reading import Reading, ThreadReading
    from gilprobe.report import Stall

SORTS = {"h": "hold", "w": "wait", "o": "off", "n": "name"}
"""What threads are sorted by: the key for it, and its name."""

_LOCKS = "lock waits"
_BAR = 40
_LEAST_ROWS = 3
_LAST_LINES = 3
_OTHER_LINES = 9  # title, GIL, headings, blank lines and the line of keys
_WIDEST_NAME = 60
_WIDEST_TITLE = 40


@dataclass(frozen=True, slots=True)
class Status:
    """What a screen tells beside the reading.

    Attributes
    ----------
    title : str
        The program.
    interval_s : float
        Time between two readings, seconds.
    late_s : float
        For how long an answer is overdue, seconds; 0.0 if none is.
    message : str
        The last message for the user; empty if there is none.
    printed : tuple of str
        The last lines that the program printed.
    ended : str
        How the program ended; empty while it runs.
    last_s : float or None
        How far back a recording goes that can be asked for, seconds.
    """

    title: str
    interval_s: float
    late_s: float = 0.0
    message: str = ""
    printed: tuple[str, ...] = ()
    ended: str = ""
    last_s: float | None = None


class Screen:
    """What the user looks at.

    Attributes
    ----------
    sort : str
        One of the names in :data:`SORTS`.
    frozen : bool
        Whether new readings are not shown.
    opened : bool
        Whether the picked thread is shown alone.
    """

    def __init__(self) -> None:
        self.sort = "hold"
        self.frozen = False
        self.opened = False
        self._picked: tuple[int, int] | None = None
        self._shown: Reading | None = None

    def show(self, reading: Reading) -> None:
        """Show a reading from now on, unless the screen is frozen."""
        if not self.frozen or self._shown is None:
            self._shown = reading

    def press(self, key: str) -> bool:
        """Take a key; return whether it means something here."""
        if key in SORTS:
            self.sort = SORTS[key]
        elif key == " ":
            self.frozen = not self.frozen
        elif key in (UP, DOWN):
            self._move(-1 if key == UP else 1)
        elif key == ENTER:
            self.opened = self._picked is not None and not self.opened
        elif key == ESCAPE:
            self.opened = False
        else:
            return False
        return True

    def _move(self, step: int) -> None:
        rows = [_identity(thread) for thread in self._sorted()]
        if rows:
            at = rows.index(self._picked) + step if self._picked in rows else 0
            self._picked = rows[min(max(at, 0), len(rows) - 1)]

    def _sorted(self) -> list[ThreadReading]:
        threads = list(self._shown.threads) if self._shown is not None else []
        field = {"hold": "hold_ns", "wait": "wait_ns", "off": "off_ns", _LOCKS: "lock_wait_ns"}.get(
            self._by()
        )
        if field is None:
            return sorted(threads, key=lambda one: (one.name, one.native_id))
        return sorted(threads, key=lambda one: (-(getattr(one, field) or 0), one.name, one.native_id))

    def _by(self) -> str:
        """Return what threads are sorted by: without a GIL they neither hold it nor wait for it."""
        without = self._shown is not None and not self._shown.gil and self.sort in ("hold", "wait")
        return _LOCKS if without else self.sort

    # ---- drawing ----

    def drawn(self, status: Status, *, width: int, height: int) -> RenderableType:
        """Return what to draw, at most `height` lines of `width` columns."""
        from rich.console import Group

        reading = self._shown
        lines: list[RenderableType] = [self._title(status)]
        if reading is None:
            lines.append(_text("waiting for the first reading"))
        else:
            lines += [_shares(reading, width), *self._body(reading, _rows(height, len(status.printed)))]
        lines += [_text(""), *(_text(f"| {line}", "dim") for line in status.printed[-_LAST_LINES:])]
        lines.append(self._foot(status))
        return Group(*lines)

    def _title(self, status: Status) -> Text:
        words = ["gilprobe top"]
        if self.frozen:
            words.append("FROZEN")
        if status.ended:
            words.append(status.ended)
        elif status.late_s:
            words.append(f"no answer for {status.late_s:.0f} s: is the GIL held?")
        words.append(clipped(visible(status.title), _WIDEST_TITLE))
        if self._shown is not None:
            words.append(f"{self._shown.elapsed_ns / 1e9:.0f} s")
        words.append(f"every {duration(status.interval_s)}")
        return _text("  ".join(words), "bold")

    def _foot(self, status: Status) -> Text:
        if status.message:
            return _text(status.message, "bold")
        picking = "enter back  arrows another thread  space freeze"
        words = picking if self.opened else "h w o n sort  space freeze  arrows enter thread"
        last = "" if status.last_s is None else f"  d last {duration(status.last_s)}"
        return _text(f"{words}{last}  r report  q quit", "dim")

    def _body(self, reading: Reading, rows: int) -> list[RenderableType]:
        picked = next((one for one in reading.threads if _identity(one) == self._picked), None)
        if self.opened and picked is not None:
            return _one_thread(reading, picked, rows)
        return [
            _text(""),
            self._thread_table(reading, rows),
            _text(""),
            *(_culprits(reading, rows) if reading.gil else _locks(reading, rows)),
            *(_longest(reading, rows) if reading.gil else ()),
        ]

    def _thread_table(self, reading: Reading, rows: int) -> Table:
        threads = self._sorted()  # the picked one is always among those that fit
        at = next((n for n, one in enumerate(threads) if _identity(one) == self._picked), 0)
        first = max(0, at - rows + 1)
        table = _table(" ", f"{plural(len(threads), 'thread')} by {self._by()}", *_columns(reading))
        for thread in threads[first : first + rows]:
            picked = _identity(thread) == self._picked
            table.add_row(
                *map(_text, (">" if picked else " ", _name(thread), *_cells(reading, thread))),
                style="reverse" if picked else "",
            )
        return table


def _rows(height: int, printed: int) -> int:
    """Return how many rows each of the three tables may have."""
    return max(_LEAST_ROWS, (height - _OTHER_LINES - min(printed, _LAST_LINES)) // 3)


def _identity(thread: ThreadReading) -> tuple[int, int]:
    return thread.native_id, thread.interpreter


def _text(text: str, style: str = "") -> Text:
    """Return one line, cut where the screen ends."""
    from rich.text import Text

    return Text(visible(text), style, no_wrap=True, overflow="ellipsis")


def _table(*headings: str) -> Table:
    """Return a table without lines; ``>`` before a heading: right-aligned, and as wide as its cells."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, expand=True, header_style="bold")
    for heading in headings:
        right = heading.startswith(">")
        table.add_column(
            _text(heading.removeprefix(">")),
            justify="right" if right else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=None if right or heading == " " else 1,
            min_width=len(heading) - 1 if right else None,
        )
    return table


def _shares(reading: Reading, width: int) -> Text:
    """Return how the interval was spent, with a bar."""
    whole = reading.interval_ns
    if not reading.gil:
        waits = duration((reading.lock_wait_ns or 0) / 1e9)
        return _text(f"no GIL   threads waited {waits} for locks in {duration(whole / 1e9)}")
    contended, held = min(reading.contended_ns, reading.held_ns), reading.held_ns
    told = (
        f"GIL held {share(held, whole)}  contended {share(contended, whole)}  "
        f"free {share(reading.free_ns, whole)}"
    )
    size = min(_BAR, width - len(told) - 4)
    if not whole or size < 10:
        return _text(told)
    hashes = round(size * min(1.0, contended / whole))
    equals = round(size * min(1.0, held / whole)) - hashes
    return _text(f"{told}  [{'#' * hashes}{'=' * equals}{'.' * (size - hashes - equals)}]")


def _columns(reading: Reading) -> Sequence[str]:
    columns = [">hold", ">wait", ">off", ">longest wait"] if reading.gil else [">off"]
    return [*columns, *([] if reading.locks is None else [">lock waits"])]


def _name(thread: ThreadReading) -> str:
    return clipped(thread.name, _WIDEST_NAME) + (" (ended)" if thread.ended and thread.native_id else "")


def _cells(reading: Reading, thread: ThreadReading) -> list[str]:
    whole = reading.interval_ns
    cells = [share(thread.off_ns, whole)]
    if reading.gil:
        longest = duration(thread.longest_wait_ns / 1e9) if thread.longest_wait_ns else "-"
        cells = [share(thread.hold_ns, whole), share(thread.wait_ns, whole), *cells, longest]
    if reading.locks is not None:
        cells.append(duration((thread.lock_wait_ns or 0) / 1e9) if thread.lock_wait_ns else "-")
    return cells


def _span(reading: Reading) -> str:
    return f"the last {max(1, round(reading.window_ns / 1e9))} s"


def _culprits(reading: Reading, rows: int) -> list[RenderableType]:
    waited_ns = reading.waited_ns
    heading = f"What made threads wait in {_span(reading)}, {duration(waited_ns / 1e9)} in all"
    if not waited_ns:
        return [_text(heading, "bold"), _text("  nothing")]
    free_ns = sum(row.wait_ns for row in reading.blame if not row.holder)
    short = short_paths(row.filename for row in reading.culprits if row.filename)
    lines = [
        f"{share(row.caused_ns, waited_ns):>4}  {culprit_words.thread(row).removeprefix('thread ')}: "
        f"{culprit_words.call(row, short, waited_ns)}"
        for row in reading.culprits[: rows - 1]
    ]
    if free_ns:
        lines.append(f"{share(free_ns, waited_ns):>4}  nobody: the GIL was free, the thread did not run yet")
    return [_text(heading, "bold"), *map(_text, lines)]


def _longest(reading: Reading, rows: int) -> list[RenderableType]:
    heading = f"Longest waits that ended in {_span(reading)}"
    waits = reading.longest_waits[:rows]
    if not waits:
        return [_text(""), _text(heading, "bold"), _text("  none")]
    short = short_paths(wait.seen_at[1] for wait in waits if wait.seen_at[1])
    return [_text(""), _text(heading, "bold"), *(_text(_wait(reading, wait, short)) for wait in waits)]


def _wait(reading: Reading, wait: Stall, short: dict[str, str]) -> str:
    ago = max(0.0, (reading.elapsed_ns - wait.start_ns - wait.wait_ns) / 1e9)
    told = f"{duration(wait.wait_s):>7}  {ago:.0f} s ago  {clipped(wait.waiter, 30)}"
    if not wait.holder:
        return told
    function, filename, line, callee = wait.seen_at
    return f"{told} behind {clipped(wait.holder, 30)}: {_where(function, filename, line, callee, short)}"


def _where(function: str, filename: str, line: int, callee: str, short: dict[str, str]) -> str:
    return place(function, short.get(filename, filename), line, callee)


def _locks(reading: Reading, rows: int) -> list[RenderableType]:
    found = reading.locks or ()
    waited_ns = sum(row.wait_ns for row in found)
    heading = f"Locks that threads waited for in {_span(reading)}, {duration(waited_ns / 1e9)} in all"
    if not found:
        return [_text(heading, "bold"), _text("  none")]
    short = short_paths(name for row in found for name in (row.filename, row.waiter_filename) if name)
    lines = []
    for row in found[: 2 * rows]:
        told = f"{share(row.wait_ns, waited_ns):>4}  {clipped(row.lock, 60)}: {clipped(row.waiter, 30)} in "
        told += _where(row.waiter_function, row.waiter_filename, row.waiter_line, "", short)
        if row.holder:
            told += f" behind {clipped(row.holder, 30)} in {place(row.function, '', 0)}"
        lines.append(told)
    return [_text(heading, "bold"), *map(_text, lines)]


# ---- one thread ----


def _one_thread(reading: Reading, thread: ThreadReading, rows: int) -> list[RenderableType]:
    """Return where a thread held the GIL while others waited, and behind whom it waited."""
    table = _table(f"thread {thread.native_id}", *_columns(reading))
    table.add_row(*map(_text, (_name(thread), *_cells(reading, thread))))
    held = [row for row in reading.blame if row.holder and row.holder_id == thread.native_id]
    waited = [row for row in reading.blame if row.waiter_id == thread.native_id]
    short = short_paths(row.filename for row in (*held, *waited) if row.filename)
    sums: dict[str, int] = {}
    for row in held:
        where = _where(row.function, row.filename, row.line, row.callee, short)
        sums[where] = sums.get(where, 0) + row.wait_ns
    behind: dict[str, int] = {}
    for row in waited:
        where = _where(row.function, row.filename, row.line, row.callee, short)
        told = f"{clipped(row.holder, 30)}: {where}" if row.holder else "nobody: the GIL was free"
        behind[told] = behind.get(told, 0) + row.wait_ns
    locks: dict[str, int] = {}
    for lock in reading.locks or ():
        if lock.waiter_id == thread.native_id:
            locks[lock.lock] = locks.get(lock.lock, 0) + lock.wait_ns
    tables = (
        [("It held the GIL while others waited", sums), ("It waited behind", behind)] if reading.gil else []
    )
    if reading.locks is not None:
        tables.append(("It waited for locks", locks))
    lines: list[RenderableType] = [_text(""), table]
    for heading, found in tables:
        lines += [_text(""), _text(f"{heading}, in {_span(reading)}", "bold"), *_ranked(found, rows)]
    return lines


def _ranked(sums: dict[str, int], rows: int) -> Iterable[Text]:
    if not sums:
        return [_text("  nothing")]
    ranked = sorted(sums.items(), key=lambda row: (-row[1], row[0]))[:rows]
    return [_text(f"{duration(ns / 1e9):>7}  {told}") for told, ns in ranked]
