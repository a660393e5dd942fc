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
libc = ctypes.PyDLL(None)  # its functions keep the GIL
hold_gil = libc.usleep
stderr = os.dup(2)
read, write = os.pipe()  # for what a watch says
said = ctypes.create_string_buffer(1 << 16)
sys.setswitchinterval(1000)  # nobody is made to release

def encode(microseconds):
    hold_gil(microseconds)
    os.write(stderr, b"the call is over\\n")

def encode_until_told():
    told = b""
    while b" encode_until_told (" not in told: told += said[: libc.read(read, said, 65536)]; hold_gil(200000)
    os.write(stderr, told + b"the call is over\\n")

def pass_on_the_rest():
    os.close(write)
    while text := os.read(read, len(said)):  # to the end: nobody else has it
        os.write(stderr, text)

def ask():
    while not over:
        time.sleep(0.001)

def stop(*threads):
    global over
    over = True
    for thread in threads:
        thread.join()
"""
ENCODE = next(number for number, line in enumerate(PRELUDE.split("\n"), 1) if "_until_told (" in line)


@pytest.fixture
def lines_of(child):
    """Return a function that runs a script, asserts that it ends well, and returns the lines on stderr."""

    def run(script):
        ended = child(PRELUDE + textwrap.dedent(script))
        assert (ended.status, ended.stdout) == (0, "done\n"), ended.stderr
        return ended.stderr.splitlines()

    return run


def stalls_in(lines):
    """Return where the watch tells of one in `encode_until_told`: a busy machine adds some elsewhere.

    What it runs in C comes first, if that has a name.
    """
    ends = [n for n, line in enumerate(lines) if line.startswith("  encode_until_told (")]
    return [n - 1 - (not lines[n - 1].startswith("gilprobe: ")) for n in ends]


def test_a_stall_is_told_while_it_lasts_and_once(lines_of):
    lines = lines_of("""
        def serve():
            encode_until_told()

        thread = threading.Thread(target=ask, name="asks\\033[2J")
        os.dup2(write, 2)
        with gilprobe.trace(), watch_stalls(0.1) as watch:
            thread.start()
            serve()
            stop(thread)
            reported = watch.reported
        assert watch.reported >= reported >= 1
        os.dup2(stderr, 2)
        pass_on_the_rest()
        print("done")
    """)
    (start,) = stalls_in(lines)
    held, *levels = lines[start:]
    inner, outer, module, *_ = [level for level in levels if ".py:" in level]
    found = re.fullmatch(
        r"gilprobe: GIL held for (\d+) ms by MainThread \(thread \d+\) while 1 thread waits "
        r"\(asks\\x1b\[2J\), in:",
        held,
    )
    assert found, held
    assert int(found[1]) >= 100
    assert re.fullmatch(rf"  encode_until_told \(\S+child.py:{ENCODE}\)", inner)
    assert re.fullmatch(r"  serve \(\S+child.py:\d+\)", outer)
    assert re.fullmatch(r"  <module> \(\S+child.py:\d+\)", module)
    over = lines.index("the call is over")
    assert over > start
    let_go = next(line for line in lines[over:] if line.startswith("gilprobe: GIL let go"))
    found = re.fullmatch(
        r"gilprobe: GIL let go by MainThread \(thread \d+\) after (at most )?(\d+) ms", let_go
    )
    assert found, let_go
    assert int(found[2]) >= 300


def test_every_stall_is_told_of_whichever_thread(lines_of):
    lines = lines_of("""
        def work():
            for _ in range(3):
                encode_until_told()
                time.sleep(0.01)

        threads = [threading.Thread(target=work, name="encoder"), threading.Thread(target=ask)]
        with gilprobe.trace(), watch_stalls(0.02, write) as watch:
            for thread in threads: thread.start()
            threads[0].join()
            stop(threads[1])
        os.write(stderr, b"%d\\n" % watch.reported)
        pass_on_the_rest()
        print("done")
    """)
    told = stalls_in(lines)
    ends = [n for n, line in enumerate(lines) if line == "the call is over"]
    assert len(told) == len(ends) == 3
    assert all(held < end for held, end in zip(told, ends, strict=True))
    assert all(" by encoder (thread " in lines[n] for n in told)
    reported = len([line for line in lines if line.startswith("gilprobe: GIL held")])
    assert str(reported) in lines
    assert len([line for line in lines if line.startswith("gilprobe: GIL let go")]) == reported


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
        drain = subprocess.Popen(["cat"], stdin=read, stdout=subprocess.DEVNULL, close_fds=True)
        os.close(read)

        def short():
            hold_gil(2500)

        with gilprobe.trace(), watch_stalls(0.001, write) as watch:
            rounds = 0
            while rounds < 40 or watch.reported <= 20:
                rounds += 1
                threads = [threading.Thread(target=short) for _ in range(5)]
                for thread in threads: thread.start()
                for thread in threads: thread.join()
            for _ in range(50):
                watch_stalls(0.001, write).stop()
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
            encode_until_told()
            stop(thread)
        while text := os.read(read, len(said)):  # to the end: nobody else has it
            os.write(stderr, text)
        print("done")
    """)
    assert len(stalls_in(lines)) == 1


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
            while len(os.listdir("/proc/self/task")) > 1:  # joined, but still listed for a moment
                time.sleep(0.001)
        print("done")
    """)
