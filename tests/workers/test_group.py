"""Process groups: told, watched and ended as a whole, and never left behind by those who started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import alive, gone, running

from gilprobe.workers.group import ProcessGroup, see_off

pytestmark = pytest.mark.plain_python

LONG_S = 120.0


@pytest.fixture
def start():
    """Return a function that starts Python code in a group of its own, which is ended with the test."""
    groups = []

    def start(code, **options):
        groups.append(ProcessGroup([sys.executable, "-P", "-c", code], **options))
        return groups[-1]

    yield start
    for group in groups:
        group.end()


def line_of(group, output="stdout"):
    text = b""
    while not text.endswith(b"\n"):
        piece = group.take_next(output, LONG_S)
        assert piece, f"nothing came after {text!r}"
        text += piece
    return text.decode()


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_it_is_told_and_tells(start):
    group = start("import sys; print(input()); print('x', file=sys.stderr)")
    assert group.take("stdout") is None
    assert group.take_next("stdout", 0.01) is None
    group.say(b"word\n")
    assert line_of(group) == "word\n"
    assert line_of(group, "stderr") == "x\n"
    assert group.take_next("stdout", LONG_S) == b""
    group.say(b"nobody reads this\n")
    assert group.take("stdout") == b""


@pytest.mark.parametrize(
    ("code", "how", "status"),
    [
        ("raise SystemExit(3)", "ended with status 3", 3),
        ("import os; os.kill(os.getpid(), 9)", "was killed by SIGKILL", -9),
    ],
)
def test_how_it_ended_is_told_before_it_is_reaped_and_its_status_after(start, code, how, status):
    group = start(code)
    assert group.wait(LONG_S)
    assert group.how_ended() == how
    assert Path(f"/proc/{group.pid}").exists()
    assert group.end() == group.end() == status
    assert group.how_ended() == "has ended"


def test_waiting_ends_with_the_time_and_at_once_with_the_program(start, monkeypatch):
    for _ in range(2):  # the second time where the kernel can't tell
        group = start("input()")
        assert not group.wait(0.01)
        assert group.how_ended() == ""
        group.close_input()
        begun = time.monotonic()
        assert group.wait(LONG_S)
        assert time.monotonic() - begun < LONG_S / 2
        monkeypatch.delattr(os, "pidfd_open", raising=False)


def test_nothing_is_left_of_a_group_that_was_ended(start):
    before = open_files()
    group = start("import subprocess; print(subprocess.Popen(['sleep', '621.75']).pid); input()")
    line_of(group)
    assert group.end() == -signal.SIGKILL
    assert not alive(group.pid)
    assert gone("621.75")
    assert open_files() == before


def test_a_group_is_seen_off_with_a_word_first_and_then_by_force(start):
    polite = (
        "import signal\ntry:\n print('up', flush=True)\n signal.pause()\nexcept KeyboardInterrupt: exit(4)"
    )
    deaf = "import signal\nsignal.signal(2, signal.SIG_IGN)\nprint('up', flush=True)\nsignal.pause()"
    groups = [start(polite), start(deaf)]
    assert [line_of(group) for group in groups] == ["up\n"] * 2
    see_off(groups[:1], ProcessGroup.interrupt, LONG_S)
    see_off(groups[1:], ProcessGroup.interrupt, 0.1)
    assert [group.end() for group in groups] == [4, -signal.SIGKILL]


def test_one_that_can_not_be_started_leaves_no_descriptor(tmp_path):
    before = open_files()
    with pytest.raises(OSError, match="No such file"):
        ProcessGroup([str(tmp_path / "nowhere")])
    assert open_files() == before


OWNER = """
import os, sys, time
from gilprobe.workers.group import ProcessGroup
group = ProcessGroup([sys.executable, "-P", "-c", {code!r}], stderr=2)
print(group.pid, flush=True)
time.sleep(600)
"""
HANGS = "import ctypes, subprocess; subprocess.Popen(['sleep', '622.75']); ctypes.PyDLL(None).sleep(600)"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
def test_when_its_owner_is_killed_a_group_that_knows_nothing_of_it_ends_whatever_it_does():
    """The GIL is held in C, by a program that has never heard of gilprobe, and its child is a stranger."""
    command = [sys.executable, "-P", "-c", OWNER.format(code=HANGS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as owner:
        pid = int(owner.stdout.readline())
        latest = time.monotonic() + LONG_S
        while not running("622.75") and time.monotonic() < latest:
            time.sleep(0.02)
        assert running("622.75")
        owner.kill()
    while alive(pid) and time.monotonic() < latest:
        time.sleep(0.02)
    assert not alive(pid)
    assert gone("622.75")


def test_what_is_said_to_a_group_does_not_end_it_and_the_end_of_its_lifeline_does(start):
    group = start("import sys\nfor line in sys.stdin: print(line, end='', flush=True)\nwhile True: pass\n")
    for _ in range(3):
        group.say(b"go on\n")
        assert line_of(group) == "go on\n"
    group.say(b"too much\n")
    group.close_input()
    assert not group.wait(0.1)
    os.close(group._lifeline)
    assert group.wait(LONG_S)
    assert group.how_ended() == "was killed by SIGKILL"
    group._lifeline = os.open(os.devnull, os.O_RDONLY)  # for the end to close
