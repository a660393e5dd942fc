"""Stalls are told while they last: once, with the line that holds the GIL, and only if somebody waits."""

from __future__ import annotations

import re
import textwrap

import pytest

from gilprobe._native import tracer

SUPPORTED, REASON = tracer.support()
pytestmark = pytest.mark.skipif(
    not SUPPORTED and REASON != tracer.NO_GIL, reason=f"the GIL can't be traced here: {REASON}"
)

PRELUDE = """
import ctypes, os, subprocess, sys, threading, time
import gilprobe
from gilprobe.errors import InvalidTypeError, InvalidValueError, TracerStateError
from gilprobe.tracing.stall_watch import watch_stalls

over = False
hold_gil = ctypes.PyDLL(None).usleep

def encode(microseconds):
    hold_gil(microseconds)
    os.write(2, b"the call is over\\n")

def ask():
    while not over:
        time.sleep(0.001)

def stop(*threads):
    global over
    over = True
    for thread in threads:
        thread.join()
"""
ENCODE = next(
    number for number, line in enumerate(PRELUDE.split("\n"), 1) if line.strip() == "hold_gil(microseconds)"
)


@pytest.fixture
def lines_of(child):
    """Return a function that runs a script, asserts that it ends well, and returns the lines on stderr."""

    def run(script):
        ended = child(PRELUDE + textwrap.dedent(script))
        assert (ended.status, ended.stdout) == (0, "done\n"), ended.stderr
        return ended.stderr.splitlines()

    return run


def test_a_stall_is_told_while_it_lasts_and_once(lines_of):
    lines = lines_of("""
        def serve():
            encode(600000)

        thread = threading.Thread(target=ask, name="asks\\033[2J")
        with gilprobe.trace(), watch_stalls(0.1) as watch:
            thread.start()
            time.sleep(0.02)
            serve()
            stop(thread)
            assert watch.reported == 1
        assert watch.reported == 1
        print("done")
    """)
    held, *rest = lines
    found = re.fullmatch(
        r"gilprobe: GIL held for (\d+) ms by MainThread \(thread \d+\) while 1 thread waits "
        r"\(asks\\x1b\[2J\), in:",
        held,
    )
    assert found, held
    assert 100 <= int(found[1]) < 600
    inner, outer, module, *last = rest
    assert re.fullmatch(rf"  encode \(\S+child.py:{ENCODE}\)", inner)
    assert re.fullmatch(r"  serve \(\S+child.py:\d+\)", outer)
    assert re.fullmatch(r"  <module> \(\S+child.py:\d+\)", module)
    let_go, over = sorted(last)  # the call gives the GIL up to say that it is over
    assert over == "the call is over"
    assert re.fullmatch(r"gilprobe: GIL let go by MainThread \(thread \d+\) after (at most )?\d+ ms", let_go)


def test_every_stall_is_told_of_whichever_thread(lines_of):
    lines = lines_of("""
        def work():
            for _ in range(3):
                encode(100000)
                time.sleep(0.01)

        threads = [threading.Thread(target=work, name="encoder"), threading.Thread(target=ask)]
        with gilprobe.trace(), watch_stalls(0.02) as watch:
            for thread in threads: thread.start()
            threads[0].join()
            stop(threads[1])
            assert watch.reported == 3, watch.reported
        print("done")
    """)
    assert len([line for line in lines if line.startswith("gilprobe: GIL held")]) == 3
    assert len([line for line in lines if line.startswith("gilprobe: GIL let go")]) == 3
    assert all(" by encoder (thread " in line for line in lines if line.startswith("gilprobe: "))
    assert lines.count("the call is over") == 3
    told = [n for n, line in enumerate(lines) if line.startswith("gilprobe: GIL held")]
    ends = [n for n, line in enumerate(lines) if line == "the call is over"]
    assert all(held < end for held, end in zip(told, ends, strict=True))


def test_nobody_waits(lines_of):
    assert lines_of("""
        with gilprobe.trace(), watch_stalls(0.02) as watch:
            encode(200000)
            assert watch.reported == 0
        print("done")
    """) == ["the call is over"]


def test_waits_shorter_than_the_limit(lines_of):
    assert lines_of("""
        thread = threading.Thread(target=ask)
        with gilprobe.trace(), watch_stalls(30) as watch:
            thread.start()
            encode(50000)
            stop(thread)
            assert watch.reported == 0
        print("done")
    """) == ["the call is over"]


def test_threads_that_come_and_go_while_they_are_looked_at(lines_of):
    lines = lines_of("""
        read, write = os.pipe()
        drain = subprocess.Popen(["cat"], stdin=read, stdout=subprocess.DEVNULL, close_fds=True)
        os.close(read)

        def short():
            hold_gil(2500)

        with gilprobe.trace(), watch_stalls(0.001, write) as watch:
            for _ in range(40):
                threads = [threading.Thread(target=short) for _ in range(5)]
                for thread in threads: thread.start()
                for thread in threads: thread.join()
            for _ in range(50):
                watch_stalls(0.001, write).stop()
            assert watch.reported > 20
        os.close(write)
        assert drain.wait() == 0
        print("done")
    """)
    assert lines == []


def test_a_fork_while_watching(lines_of):
    """The parent is watched on, without a warning of threads; nothing of the watch is left in the child."""
    lines = lines_of("""
        import warnings
        warnings.simplefilter("error")
        read, write = os.pipe()
        with gilprobe.trace(), watch_stalls(0.05, write) as watch:
            os.close(write)
            pid = os.fork()
            if pid == 0:
                assert len(os.listdir("/proc/self/task")) == 1
                watch.stop()
                watch_stalls(0.05).stop()
                os._exit(0)
            assert os.waitpid(pid, 0) == (pid, 0)
            thread = threading.Thread(target=ask)
            thread.start()
            encode(400000)
            assert watch.reported == 1
            stop(thread)
        text = b""
        while part := os.read(read, 65536): # to the end: nobody else has it
            text += part
        assert text.startswith(b"gilprobe: GIL held for "), text
        print("done")
    """)
    assert lines == ["the call is over"]


def test_limits_and_conditions(lines_of):
    assert not lines_of("""
        def fails(error, message, *arguments):
            try:
                watch_stalls(*arguments)
            except error as raised:
                assert str(raised) == message, str(raised)
            else:
                assert False, arguments

        fails(TracerStateError, "a trace must be running to watch for stalls", 0.1)
        with gilprobe.trace():
            for wrong in 0, -1, 3601, float("nan"), float("inf"):
                fails(InvalidValueError, f"limit_s must be > 0 and <= 3600, got {wrong!r}", wrong)
            for wrong in "1", None, True:
                fails(InvalidTypeError, f"limit_s must be a number, got {wrong!r}", wrong)
            fails(OSError, "[Errno 9] Bad file descriptor", 0.1, 999)
            watch = watch_stalls(3600)
            watch.stop()
            watch.stop()
            assert watch.reported == 0
            watch_stalls(1)  # ends with its last reference
            assert len(os.listdir("/proc/self/task")) == 1
        print("done")
    """)
