"""Keys of a terminal, one by one, as they are pressed."""

from __future__ import annotations

import os
import termios
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

UP, DOWN, ENTER, ESCAPE = "up", "down", "enter", "escape"

_NAMED = {
    b"\x1b[A": UP,
    b"\x1bOA": UP,
    b"\x1b[B": DOWN,
    b"\x1bOB": DOWN,
    b"\r": ENTER,
    b"\n": ENTER,
    b"\x1b": ESCAPE,
    b"\x7f": ESCAPE,
}
_READ = 1024


class Keyboard:
    """A terminal that gives each key at once and does not show it. A context manager, which restores it.

    Ctrl-C still interrupts. Ctrl-Z does nothing: a shell could not restore what is drawn.

    Parameters
    ----------
    descriptor : int
        Of the terminal.

    Raises
    ------
    OSError
        If it is no terminal.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        try:
            self._before = termios.tcgetattr(descriptor)
        except termios.error as error:
            raise OSError(*error.args) from None

    def __enter__(self) -> Keyboard:
        changed = termios.tcgetattr(self._descriptor)
        changed[3] &= ~(termios.ICANON | termios.ECHO)  # termios(3): local modes
        changed[6][termios.VMIN], changed[6][termios.VTIME] = 1, 0
        changed[6][termios.VSUSP] = b"\x00"  # no character: _POSIX_VDISABLE
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, changed)
        return self

    def __exit__(self, *_exception: object) -> None:
        # What was typed and not read is not for the shell.
        termios.tcsetattr(self._descriptor, termios.TCSAFLUSH, self._before)

    def fileno(self) -> int:
        """Return the terminal's descriptor, which is readable when keys were pressed."""
        return self._descriptor

    def keys(self) -> list[str] | None:
        """Return the keys that were pressed: a character, or a name; None if the terminal is gone.

        Call it when there are some.
        """
        try:
            data = os.read(self._descriptor, _READ)
        except OSError:  # the terminal was closed
            return None
        return list(keys_in(data)) if data else None


def keys_in(data: bytes) -> Iterator[str]:
    """Yield the keys that a terminal's bytes stand for; leave out what is none of ours."""
    while data:
        size = 1
        if data[:2] in (b"\x1b[", b"\x1bO"):  # ECMA-48: up to a final byte
            size = 3
            while size < len(data) and not 0x40 <= data[size - 1] <= 0x7E:
                size += 1
        key, data = data[:size], data[size:]
        if key in _NAMED:
            yield _NAMED[key]
        elif size == 1 and key.isascii() and key.decode("ascii").isprintable():
            yield key.decode("ascii")
