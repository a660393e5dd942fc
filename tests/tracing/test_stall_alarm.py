"""The stall alarm: what it tells, while threads contend until it has rung."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import warnings

import pytest
from tracer_checks import fork, wait

import gilprobe
from gilprobe import kernels
from gilprobe._native import tracer
from gilprobe.errors import InvalidTypeError, InvalidValueError, UnsupportedError
from gilprobe.tracing.stall_alarm import _messages

SUPPORTED, REASON = tracer.support()
needs_tracer = pytest.mark.skipif(not SUPPORTED, reason=f"the GIL can't be traced here: {REASON}")

SHORT = "2ms"


@contextlib.contextmanager
def somebody_asks():
    """Let a thread want the GIL again and again."""
    over = threading.Event()

    def ask():
        while not over.is_set():
            time.sleep(0)

    thread = threading.Thread(target=ask)
    thread.start()
    yield
    over.set()
    thread.join()


@pytest.fixture
def asking():
    with somebody_asks():
        yield


def hold_until(rung) -> None:
    iterations = 1_000_000
    while not rung():
        kernels.spin(iterations)
        iterations = min(2 * iterations, 100_000_000)


def is_mine(notice) -> bool:
    return any("hold_until (" in level for level in notice.stack)


@needs_tracer
def test_it_rings_once_for_a_hold_with_the_stack_of_the_thread_that_has_the_gil(asking, caplog):
    caplog.set_level(logging.WARNING)  # whatever other tests left
    notices = []
    with gilprobe.alarm(SHORT, notices.append) as bell:
        hold_until(lambda: any(is_mine(notice) for notice in notices))  # others may hold it for long, too
    assert len(notices) <= bell.count  # a message is dropped if nobody reads for long
    mine = next(filter(is_mine, notices))
    assert mine.held_s >= 0.001
    assert "wait" in mine.message
    logged = [record.getMessage() for record in caplog.records if record.name == "gilprobe"]
    assert any(text.startswith(mine.message) and mine.stack[-1] in text for text in logged)


@needs_tracer
def test_a_callback_that_fails_is_logged_and_called_again(asking, caplog):
    caplog.set_level(logging.WARNING)
    calls = []

    def fail(notice):
        calls.append(notice)
        raise ValueError("on purpose")

    logger = logging.getLogger("mine")
    with gilprobe.alarm(SHORT, fail, logger):
        hold_until(lambda: len(calls) >= 2)
    assert sum(record.exc_info is not None for record in caplog.records if record.name == "mine") == len(
        calls
    )


@needs_tracer
def test_it_does_not_ring_for_what_it_does_itself(asking):
    notices = []

    def hold_in_callback(notice):
        notices.append(notice)
        kernels.spin(20_000_000)

    with gilprobe.alarm(SHORT, hold_in_callback):
        hold_until(lambda: len(notices) >= 3)
    assert not [notice for notice in notices if any("hold_in_callback" in level for level in notice.stack)]


@needs_tracer
@pytest.mark.forks_among_threads
def test_a_fork_does_without_its_thread_and_it_goes_on():
    notices = []
    with gilprobe.alarm(SHORT, notices.append) as bell:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # os.fork warns where a process has threads
            assert wait(fork(bell.stop)) == 0  # in the child it has ended
        with somebody_asks():
            hold_until(lambda: any(is_mine(notice) for notice in notices))


@needs_tracer
def test_nothing_is_left_of_it():
    before = tracer.sessions()
    bell = gilprobe.alarm("1s")
    bell.stop()
    bell.stop()
    assert bell.count == 0
    assert tracer.sessions() == before
    assert not [thread for thread in threading.enumerate() if thread.name == "gilprobe-alarm"]


@needs_tracer
def test_arguments_are_checked_and_leave_nothing_running():
    before = tracer.sessions()
    with pytest.raises(InvalidTypeError, match="callback must be callable or None, got 3"):
        gilprobe.alarm("1s", 3)
    with pytest.raises(InvalidTypeError, match="logger must be a Logger or None, got 'x'"):
        gilprobe.alarm("1s", None, "x")
    with pytest.raises(InvalidTypeError, match="after must be a number, got None"):
        gilprobe.alarm(None)
    with pytest.raises(InvalidValueError, match="after must be a time above 0"):
        gilprobe.alarm("soon")
    with pytest.raises(InvalidValueError, match="after must be > 0 and <= 3600, got 7200"):
        gilprobe.alarm("7200s")
    assert tracer.sessions() == before


@pytest.mark.skipif(SUPPORTED, reason="the GIL can be traced here")
def test_it_is_refused_without_a_gil():
    with pytest.raises(UnsupportedError, match="the GIL can't be traced"):
        gilprobe.alarm()


def test_several_messages_of_one_read_are_told_apart():
    text = "gilprobe: GIL held for 9 ms by a\n  f (x.py:1)\n  g (x.py:2)\ngilprobe: GIL let go by a\n"
    assert _messages(text) == [
        ["gilprobe: GIL held for 9 ms by a", "  f (x.py:1)", "  g (x.py:2)"],
        ["gilprobe: GIL let go by a"],
    ]
