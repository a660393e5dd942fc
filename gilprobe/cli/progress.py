"""Progress on standard error: a bar, or a line where the end is unknown."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from gilprobe.render.shared.words import visible

if TYPE_CHECKING:
    from rich.progress import Progress

PATIENCE_S = 2.0
"""Anything shorter gets no bar."""

_REDRAW_S = 0.2
_COLUMNS = 80  # if the terminal doesn't tell
_ERASE = "\x1b[K"


class ProgressBar:
    """Shows the progress of a job in several parts; nothing if standard error is not a terminal.

    It draws only when told, between measurements: a bar's own thread would want the GIL.

    Parameters
    ----------
    parts : int
        How many parts the job has.
    """

    def __init__(self, parts: int) -> None:
        self._parts = parts
        self._part = 0
        self._name = ""
        self._begun = time.monotonic()
        self._wanted = _is_terminal()
        self._bar: Progress | None = None

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.hide()

    def begin(self, name: str) -> None:
        """Go on to the next part."""
        self._name = name
        self._part += 1

    def update(self, label: str, share: float) -> None:
        """Show the current step and the completed share (0 to 1) of this part."""
        if not self._wanted or time.monotonic() - self._begun < PATIENCE_S:
            return
        if self._bar is None:
            self._bar = _new_bar()
            self._bar.add_task("", total=float(self._parts))
        done = self._part - 1 + share
        self._bar.update(self._bar.task_ids[0], completed=done, description=f"{self._name}: {label}")
        if not self._bar.live.is_started:
            self._bar.start()
        self._bar.refresh()

    def hide(self) -> None:
        """Erase the bar until the next update."""
        if self._bar is not None:
            self._bar.stop()


class StatusLine:
    """A line that is rewritten in place, and erased at the end; nothing if standard error is not a terminal.

    The cursor stays at its beginning, so that a program's own output overwrites it.

    Parameters
    ----------
    patience_s : float
        Anything shorter gets no line, seconds.
    """

    def __init__(self, patience_s: float = 1.0) -> None:
        self._wanted = _is_terminal()
        self._first = self._next = time.monotonic() + patience_s

    def show(self, text: str) -> None:
        """Show a text, at most a few times a second."""
        if not self._wanted or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _REDRAW_S
        with suppress(OSError):
            columns = os.get_terminal_size(sys.stderr.fileno()).columns or _COLUMNS
            _write(f"\r{visible(text)[: columns - 1]}{_ERASE}\r")

    def erase(self) -> None:
        """Empty the line, also if another process with the same terminal wrote it."""
        if self._wanted and time.monotonic() >= self._first:
            with suppress(OSError):
                _write(f"\r{_ERASE}")


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _new_bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        console=Console(file=sys.stderr),
        auto_refresh=False,
        transient=True,
    )
