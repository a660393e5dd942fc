"""Keys come one by one, and the terminal is as it was, whatever happens meanwhile."""

from __future__ import annotations

import os
import pty
import termios

import pytest

from gilprobe.live.keyboard import DOWN, ENTER, ESCAPE, UP, Keyboard, keys_in

pytestmark = pytest.mark.plain_python


@pytest.fixture
def terminal():
    """Return both ends of a terminal: ours, and the program's."""
    ours, its = pty.openpty()
    yield ours, its
    os.close(ours)
    os.close(its)


def pressed(keyboard, number):
    """Return so many keys, which may come in several parts."""
    keys = []
    while len(keys) < number:
        keys += keyboard.keys()
    return keys


def test_keys_come_without_a_line_end_and_are_not_shown(terminal):
    ours, its = terminal
    with Keyboard(its) as keyboard:
        os.write(ours, b"hq \x1b[A")
        assert pressed(keyboard, 4) == ["h", "q", " ", UP]
        changed = termios.tcgetattr(its)
        assert not changed[3] & (termios.ECHO | termios.ICANON)
        assert changed[3] & termios.ISIG  # Ctrl-C still interrupts


def test_the_terminal_is_restored_also_after_an_error(terminal):
    _, its = terminal
    before = termios.tcgetattr(its)
    with pytest.raises(KeyboardInterrupt), Keyboard(its):
        raise KeyboardInterrupt
    assert termios.tcgetattr(its) == before


def test_what_is_no_terminal_is_refused(tmp_path):
    with (tmp_path / "file").open("w") as file, pytest.raises(OSError, match="ioctl"):
        Keyboard(file.fileno())


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"\x1b[A\x1b[B\x1bOA\x1bOB", [UP, DOWN, UP, DOWN]),
        (b"\r\n\x1b", [ENTER, ENTER, ESCAPE]),
        (b"\x1b[1;5Ah", ["h"]),  # Ctrl and an arrow are nothing here
        (b"\x1b[3~q", ["q"]),
        (b"\xc3\xa9\x00\x07h", ["h"]),
        (b"\x1b[", []),
        (b"", []),
    ],
)
def test_bytes_of_a_terminal_are_taken_apart(data, keys):
    assert list(keys_in(data)) == keys
