"""A process whose GIL is kept in native code: who keeps it is told; it is left alone until it is let go."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from side_by_side import FREE_THREADED

from gilprobe.attaching import inject
from gilprobe.errors import TimeLimitError

LIMIT_S = 120  # there only so that a hang ends
KEEPS = """
import ctypes
library = ctypes.PyDLL(None)
def keep():
    library.read(0, ctypes.create_string_buffer(2), 2)
def call():
    keep()
keep.__code__ = keep.__code__.replace(co_name='pr\\u00fcfe', co_qualname='pr\\u00fcfe')
call.__code__ = call.__code__.replace(co_name='\\u68c0', co_qualname='\\u68c0')
print('ready', flush=True)
call()
print('done', sys.stdin.readline() == '\\n', flush=True)
"""

pytestmark = pytest.mark.skipif(FREE_THREADED, reason="about the GIL")


@pytest.fixture
def keeper(start):
    """Return a process whose only thread waits in read(0) and has the GIL."""
    process = start(KEEPS)
    until = time.monotonic() + LIMIT_S
    while not Path(f"/proc/{process.pid}/syscall").read_text().startswith("0 0x0 "):
        assert time.monotonic() < until
    return process


def traces(process):
    """Return what an attachment would leave: threads, and the files in memory."""
    threads = os.listdir(f"/proc/{process.pid}/task")  # noqa: PTH208
    lines = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
    return threads, {line.split(maxsplit=5)[5] for line in lines if "/" in line}


def test_who_keeps_the_gil_is_told_and_the_process_attached_to_when_it_lets_go(keeper):
    before, told = traces(keeper), []

    def tell(seen):
        told.append((seen, traces(keeper)))
        keeper.tell("x")

    with inject(keeper.pid, "os", "getpid", {}, LIMIT_S, tell=tell) as injected:
        assert injected.result(LIMIT_S) == keeper.pid
    [(seen, meanwhile)] = told
    assert meanwhile == before
    assert seen.thread == keeper.pid
    assert "libc" in seen.symbol
    assert [(each.function, each.filename, each.line) for each in seen.levels] == [
        ("pr\u00fcfe", "<string>", 6),
        ("\u68c0", "<string>", 8),
        ("<module>", "<string>", 12),
    ]
    assert keeper.end() == (0, "done True\n", "")


def test_after_the_time_out_it_is_said_and_nothing_is_changed(keeper):
    before = traces(keeper)
    with pytest.raises(TimeLimitError, match=r"thread \d+ keeps the GIL in .*libc.*, called from pr\u00fcfe"):
        inject(keeper.pid, "os", "getpid", {}, 0.01)
    assert traces(keeper) == before
    keeper.tell("x")
    assert keeper.end() == (0, "done True\n", "")


def test_a_loop_of_one_instruction_is_no_call(start):
    process = start("print('ready', flush=True)\nwhile True: pass")
    told = []
    with inject(process.pid, "os", "getpid", {}, LIMIT_S, tell=told.append) as injected:
        assert injected.result(LIMIT_S) == process.pid
    assert told == []
