"""The flight recorder: what its files have, when it writes them, and that nothing is left of it."""

from __future__ import annotations

import logging
import os
import signal
import stat
import threading
import time
import warnings

import pytest
from tracer_checks import check, fork, take_turns, wait

import gilprobe
from gilprobe._native import tracer
from gilprobe.errors import InvalidTypeError, InvalidValueError, TracerStateError
from gilprobe.tracing.flight_recorder import FILES
from gilprobe.tracing.loading import load

SUPPORTED, REASON = tracer.support()
needs_tracer = pytest.mark.skipif(not SUPPORTED, reason=f"the GIL can't be traced here: {REASON}")
LIMIT_S = 120  # there only so that a hang ends


@pytest.fixture(autouse=True)
def nothing_stays():
    yield
    assert tracer.sessions() == tracer.lock_sessions() == 0
    assert "gilprobe-flight" not in [thread.name for thread in threading.enumerate()]


def wait_for(happened):
    until = time.monotonic() + LIMIT_S
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.01)


def names(report):
    return {thread.name for thread in report.threads}


def run_named(name):
    thread = threading.Thread(target=take_turns, name=name)
    thread.start()
    thread.join()


@needs_tracer
def test_a_file_has_what_happened_since_it_began_to_be_kept_and_nothing_from_before(tmp_path):
    path = tmp_path / "flight.gilprobe"
    with gilprobe.flight_recorder(1) as flight:
        run_named("before")
        assert "before" in names(flight.report())
        wait_for(lambda: "before" not in names(flight.report()))
        run_named("after")
        flight.dump(path)
    found = load(path)
    check(found.report)
    assert "after" in names(found.report)
    assert "before" not in names(found.report)
    assert found.report.elapsed_s >= 1
    assert (found.complete, found.pid) == (True, os.getpid())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_mtime > found.started_unix_ns / 1e9


@needs_tracer
def test_a_file_and_a_report_of_the_same_time_agree(tmp_path):
    path = tmp_path / "flight.gilprobe"
    with gilprobe.flight_recorder(3600, looks=False) as flight:
        take_turns()
        before = flight.report()
        flight.dump(path)
        after = flight.report()
    dumped = load(path).report
    for number in ("elapsed_ns", "held_ns", "contended_ns", "handoffs"):
        # times are converted with a rate that is measured anew for each report
        assert getattr(before, number) * 0.999 <= getattr(dumped, number) <= getattr(after, number) * 1.001
    assert names(dumped) >= names(before)


@needs_tracer
def test_an_earlier_file_stays_whole_when_the_next_one_can_t_be_written(tmp_path):
    with gilprobe.flight_recorder(5) as flight:
        flight.dump(tmp_path / "flight.gilprobe")
        with pytest.raises(OSError, match="missing"):
            flight.dump(tmp_path / "missing" / "flight.gilprobe")
        (tmp_path / "folder").mkdir()
        with pytest.raises(OSError, match="folder"):
            flight.dump(tmp_path / "folder")
    assert load(tmp_path / "flight.gilprobe").complete
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flight.gilprobe", "folder"]


@needs_tracer
def test_an_alarm_has_a_file_written(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    path, over = tmp_path / "flight-1.gilprobe", threading.Event()

    def ask():
        while not over.is_set():
            time.sleep(0)

    asking = threading.Thread(target=ask)
    asking.start()
    with gilprobe.flight_recorder(3600, alarm="2ms", path=tmp_path / "flight.gilprobe"):
        iterations = 1_000_000
        until = time.monotonic() + LIMIT_S
        while not path.exists():
            assert time.monotonic() < until
            gilprobe.kernels.spin(iterations)
            iterations = min(2 * iterations, 1 << 28)
        over.set()
        asking.join()
    check(load(path).report)
    assert any(str(path) in record.getMessage() for record in caplog.records if record.name == "gilprobe")


@needs_tracer
def test_what_alarms_ask_for_within_the_time_is_in_one_file(tmp_path):
    with gilprobe.flight_recorder(3600, path=tmp_path / "flight.gilprobe") as flight:
        flight._ask()
        wait_for((tmp_path / "flight-1.gilprobe").exists)
        for _ in range(5):
            flight._ask()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flight-1.gilprobe", "flight-2.gilprobe"]


@needs_tracer
def test_files_are_bounded_in_number(tmp_path):
    flight = gilprobe.flight_recorder(3600, path=tmp_path / "flight.gilprobe")
    paths = [flight._next_path() for _ in range(FILES + 1)]
    assert len(set(paths)) == FILES
    assert paths[-1] == paths[0] == str(tmp_path / "flight-1.gilprobe")


@needs_tracer
def test_a_signal_has_a_file_written_each_time(tmp_path):
    with gilprobe.flight_recorder(3600, signal=signal.SIGUSR2, path=tmp_path / "flight.gilprobe"):
        for number in (1, 2):
            os.kill(os.getpid(), signal.SIGUSR2)
            wait_for((tmp_path / f"flight-{number}.gilprobe").exists)
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
    assert load(tmp_path / "flight-2.gilprobe").complete


@needs_tracer
def test_a_signal_that_has_a_handler_is_left_alone():
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(InvalidValueError, match="signal must be one without a handler, got 2"):
        gilprobe.flight_recorder(5, signal=signal.SIGINT).start()
    assert signal.getsignal(signal.SIGINT) is handler


@needs_tracer
@pytest.mark.forks_among_threads
def test_a_forked_child_has_none(tmp_path):
    with gilprobe.flight_recorder(5) as flight:

        def child():
            assert not flight.running
            with pytest.raises(TracerStateError, match="in this process"):
                flight.dump(tmp_path / "flight.gilprobe")

        with warnings.catch_warnings():
            warnings.simplefilter("error")  # os.fork warns where a process has threads
            wait(fork(child))
        assert flight.running
        assert "gilprobe-flight" in [thread.name for thread in threading.enumerate()]
    assert not list(tmp_path.iterdir())


@needs_tracer
def test_it_starts_and_stops_as_a_trace_does():
    flight = gilprobe.flight_recorder(5)
    for call in (flight.report, lambda: flight.dump("x")):
        with pytest.raises(TracerStateError, match="must be running"):
            call()
    assert flight.start() is flight
    with pytest.raises(TracerStateError, match="must be stopped before"):
        flight.start()
    flight.stop()
    flight.stop()
    with flight:
        assert flight.running
    assert not flight.running


def test_arguments_are_checked():
    for wrong in (None, True, [1]):
        with pytest.raises(InvalidTypeError, match="last must be a time"):
            gilprobe.flight_recorder(wrong)
    for wrong in (0.5, 3601, float("nan"), "1ms", "x"):
        with pytest.raises(InvalidValueError, match="last must be"):
            gilprobe.flight_recorder(wrong)
    with pytest.raises(InvalidTypeError, match="signal must be an integer or None, got 'USR1'"):
        gilprobe.flight_recorder(signal="USR1")
    with pytest.raises(InvalidTypeError, match="path must be a path or None, got 3"):
        gilprobe.flight_recorder(path=3)
    with pytest.raises(InvalidTypeError, match="stacks must be True or False, got 1"):
        gilprobe.flight_recorder(stacks=1)


@pytest.mark.skipif(SUPPORTED or not tracer.locks_support()[0], reason="a GIL, or no locks to trace")
def test_without_a_gil_it_keeps_locks(tmp_path):
    with gilprobe.flight_recorder(5) as flight:
        take_turns()
        flight.dump(tmp_path / "flight.gilprobe")
    found = load(tmp_path / "flight.gilprobe")
    assert found.complete
    assert found.report.locks is not None
