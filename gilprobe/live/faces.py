"""Where readings are told: lines of JSON, or a screen with a keyboard."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

from gilprobe.live.kept_files import keep_report
from gilprobe.live.keyboard import Keyboard
from gilprobe.live.screen import Screen, Status
from gilprobe.render.shared.words import visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.live import Live

    from gilprobe.model.reading import Reading
    from gilprobe.report import Report

_KEPT_OUTPUT = 1 << 14
_LAST_LINES = 20


class JsonLines:
    """Writes each reading as a line.

    Parameters
    ----------
    write : callable
        Takes a line.
    closed : callable
        Returns whether the reader has left.
    tell : callable
        Takes a message, which is no line.
    """

    def __init__(
        self, write: Callable[[str], None], closed: Callable[[], bool], tell: Callable[[str], None]
    ) -> None:
        self._write, self._closed, self._tell = write, closed, tell

    def show(self, reading: Reading, report: Report) -> None:  # noqa: ARG002  # for other faces
        """Write a reading."""
        self._write(json.dumps(reading.to_dict()) + "\n")

    def printed(self, data: bytes) -> None:
        """Do nothing: the program has standard error."""

    def tick(self, late_s: float) -> None:
        """Do nothing: lines are written when there is something new."""

    def keyboard(self) -> int | None:
        """Return None: nothing is typed."""
        return None

    def typed(self) -> bool:
        """Return False: nothing is typed."""
        return False

    def kept(self, message: str) -> None:
        """Tell that a file was written, or why not."""
        self._tell(message)

    def left(self) -> bool:
        """Return whether the reader has left."""
        return self._closed()


class Terminal:
    """A screen in a terminal. A context manager: at its end the terminal is as before, with the last screen.

    Parameters
    ----------
    console : rich.console.Console
        The terminal.
    descriptor : int
        Where keys come from.
    title : str
        The program.
    pid : int
        The program, for names of reports.
    interval_s : float
        Time between two readings, seconds.
    last_s : float or None
        How far back the program keeps what happened, seconds; None: it does not.
    """

    def __init__(
        self,
        console: Console,
        descriptor: int,
        *,
        title: str,
        pid: int,
        interval_s: float,
        last_s: float | None = None,
    ) -> None:
        self._console = console
        self._keyboard = Keyboard(descriptor)
        self._title, self._interval_s, self._last_s = title, interval_s, last_s
        self._pid, self._kept = pid, ""
        self._screen = Screen()
        self._report: Report | None = None
        self._output = bytearray()
        self._message, self._late_s = "", 0.0
        self._left = False
        self._live: Live | None = None
        self._stack = ExitStack()
        self._ended = ""

    def __enter__(self) -> Terminal:
        from rich.live import Live

        live = Live(
            console=self._console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with ExitStack() as stack:
            stack.enter_context(self._keyboard)
            self._live = stack.enter_context(live)
            self._draw()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stack.close()

    def leave_last(self, words: str, *, ended: bool) -> None:
        """Print the last screen where it stays, and what the program printed last. Call it after the end.

        `words` say what the program did: "ended with status 7".
        """
        self._screen.frozen = False
        self._ended = words if ended else ""
        self._message = f"the program {words}"
        self._console.print(self._drawn(printed=()))
        if self._kept:
            self._console.print(self._kept, markup=False, highlight=False, soft_wrap=True)
        lines = self._lines(_LAST_LINES)
        if lines:
            self._console.print("It printed last:", style="bold", highlight=False)
            for line in lines:
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show(self, reading: Reading, report: Report) -> None:
        """Draw a reading."""
        self._report, self._late_s = report, 0.0
        self._screen.show(reading)
        self._draw()

    def printed(self, data: bytes) -> None:
        """Keep the end of what the program printed."""
        self._output += data
        del self._output[:-_KEPT_OUTPUT]

    def tick(self, late_s: float) -> None:
        """Draw anew: the terminal may have another size."""
        self._late_s = late_s
        self._draw()

    def keyboard(self) -> int | None:
        """Return the keyboard's descriptor."""
        return None if self._left else self._keyboard.fileno()

    def typed(self) -> bool:
        """Do what the keys say; return whether a recording of the last seconds is asked for."""
        keys = self._keyboard.keys()
        if keys is None:
            self._left = True
            return False
        asked = False
        for key in keys:
            self._message = ""
            if key == "q":
                self._left = True
            elif key == "r":
                self._message = keep_report(self._pid, self._report)
            elif key == "d":
                asked = self._last_s is not None
                self._message = "asked for a recording" if asked else "no recording: start with --last 30s"
            else:
                self._screen.press(key)
        self._draw()
        return asked

    def kept(self, message: str) -> None:
        """Tell that a file was written, or why not."""
        self._message = self._kept = message
        self._draw()

    def left(self) -> bool:
        """Return whether the user wants to leave."""
        return self._left

    def _lines(self, most: int) -> tuple[str, ...]:
        text = self._output.decode("utf-8", "replace").rstrip("\n")
        return tuple(visible(line.expandtabs()) for line in text.split("\n")[-most:]) if text else ()

    def _drawn(self, printed: tuple[str, ...]) -> object:
        status = Status(
            self._title, self._interval_s, self._late_s, self._message, printed, self._ended, self._last_s
        )
        size = self._console.size
        return self._screen.drawn(status, width=size.width, height=size.height)

    def _draw(self) -> None:
        if self._live is not None:
            self._live.update(self._drawn(self._lines(3)), refresh=True)  # type: ignore[arg-type]
