"""A recording is complete also when a signal ends the process, and the process ends as it would have."""

from __future__ import annotations

import json
import signal
import sys
import textwrap
from pathlib import Path

import pytest

from gilprobe._native import recording, tracer

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))
import whole_recordings as chunks

SUPPORTED, REASON = tracer.support()
pytestmark = pytest.mark.skipif(
    not SUPPORTED and REASON != tracer.NO_GIL, reason=f"the GIL can't be traced here: {REASON}"
)

PRELUDE = """
import ctypes, os, signal, subprocess, sys, threading, time
import gilprobe
from gilprobe._native import tracer

before, after = [], []  # called inside a fork, as long as the recorder is paused
os.register_at_fork(before=lambda: [call() for call in before])
t = gilprobe.trace(timeline=True, path="recording").start()
os.register_at_fork(after_in_parent=lambda: [call() for call in after])
recorder = t._writer.recorder

def guarded():
    lines = open("/proc/self/status").read().split("\\n")
    caught = int(next(line for line in lines if line.startswith("SigCgt")).split()[1], 16)
    return [number for number in (signal.SIGTERM, signal.SIGHUP) if caught >> number - 1 & 1]

def in_thread(work, *arguments):
    threading.Thread(target=work, args=arguments, daemon=True).start()
"""


@pytest.fixture(autouse=True)
def hangups_end_processes():
    """Undo for the children what nohup has done: they would inherit that SIGHUP is ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def dies(child, tmp_path):
    """Return a function that runs a script with a guarded recording, and asserts by which signal it ends.

    It returns the last snapshot. The script says "alive" last, and nothing after that.
    """

    def run(script, number, stderr=""):
        ended = child(PRELUDE + "assert recorder.guard_signals()\n" + textwrap.dedent(script))
        assert (ended.status, ended.stdout, ended.stderr) == (-number, "alive\n", stderr)
        assert chunks.done(tmp_path / "recording") == {"reason": "signal", "signal": number}
        return recording.decode_snapshot(chunks.last_snapshot(tmp_path / "recording"))

    return run


@pytest.fixture
def ends_well(child):
    def run(script):
        ended = child(PRELUDE + textwrap.dedent(script))
        if (ended.stderr, ended.stdout, ended.status) != ("", "done\n", 0):
            pytest.fail(f"status {ended.status}, stdout {ended.stdout!r}, stderr:\n{ended.stderr}")

    return run


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_thread_that_sleeps(dies, number):
    snapshot = dies(
        f"""
        assert signal.getsignal({number:d}) is signal.SIG_DFL
        def kill():
            time.sleep(0.3)
            os.kill(os.getpid(), {number:d})
        in_thread(kill)
        print("alive", flush=True)
        time.sleep(600)
        print("not reached", flush=True)
        """,
        number,
    )
    # far more than what is between two regular rounds of the recorder
    assert snapshot["totals"]["elapsed_ns"] > 250_000_000
    assert max(account["off_ns"] for account in snapshot["accounts"]) > 250_000_000


def test_a_thread_that_holds_the_gil_in_native_code(dies):
    snapshot = dies(
        """
        command = ["sh", "-c", f"read word; sleep 0.3; kill {os.getpid()}"]
        killer = subprocess.Popen(command, stdin=subprocess.PIPE)
        print("alive", flush=True)
        libc = ctypes.PyDLL(None)
        libc.write(killer.stdin.fileno(), b"now\\n", 4)
        libc.sleep(600)
        print("not reached", flush=True)
        """,
        signal.SIGTERM,
    )
    assert max(account["hold_ns"] for account in snapshot["accounts"]) > 200_000_000


@pytest.mark.parametrize("attempt", range(4))
def test_threads_that_are_inside_the_gils_mutex(dies, attempt):
    """Some of them when the signal arrives: the handler must step aside for the recorder to get it."""
    dies(
        f"""
        def hammer():
            while True:
                time.sleep(0)
        for _ in range(3):
            in_thread(hammer)
        print("alive", flush=True)
        time.sleep(0.05 + {attempt} * 0.013)
        os.kill(os.getpid(), signal.SIGTERM)
        hammer()
        """,
        signal.SIGTERM,
    )


@pytest.mark.parametrize("attempt", range(5))
def test_a_program_of_one_thread_that_is_inside_the_gils_mutex(dies, attempt):
    """Nobody else is there to write: what the signal has interrupted goes on first."""
    dies(
        f"""
        assert len(os.listdir("/proc/self/task")) == 1
        print("alive", flush=True)
        subprocess.Popen(["sh", "-c", "sleep 0.0{attempt + 3}; kill -TERM " + str(os.getpid())])
        while True:
            time.sleep(0)
        """,
        signal.SIGTERM,
    )


def test_a_program_of_one_thread_that_waits_dies_at_once(dies):
    dies(
        """
        print("alive", flush=True)
        subprocess.Popen(["sh", "-c", "sleep 0.1; kill -TERM " + str(os.getpid())])
        time.sleep(600)
        """,
        signal.SIGTERM,
    )


def test_two_signals_at_once(dies):
    dies(
        """
        def kill():
            barrier.wait()
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGTERM)
        barrier = threading.Barrier(3)
        print("alive", flush=True)
        in_thread(kill)
        in_thread(kill)
        barrier.wait()
        time.sleep(600)
        """,
        signal.SIGTERM,
    )


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_signal_inside_a_fork(dies, where):
    """The recorder is paused, where forks pause it; the signal is answered when the fork is over."""
    dies(
        f"""
        {where}.append(lambda: os.kill(os.getpid(), signal.SIGTERM))
        print("alive", flush=True)
        if os.fork() == 0:
            os._exit(0)
        while True:
            time.sleep(0.01)
        """,
        signal.SIGTERM,
    )


def test_the_end_of_the_trace_inside_a_fork_with_a_signal(dies):
    dies(
        """
        after.append(lambda: os.kill(os.getpid(), signal.SIGTERM))
        after.append(lambda: t.stop())
        print("alive", flush=True)
        if os.fork() == 0:
            os._exit(0)
        print("not reached", flush=True)
        """,
        signal.SIGTERM,
    )


def test_two_signals_inside_a_fork_do_not_wait(ends_well):
    ends_well("""
        if os.fork() == 0:
            with gilprobe.trace(timeline=True, path="child") as own:
                assert own._writer.recorder.guard_signals()
                thread = threading.Thread(target=int)
                thread.start()  # else there is no recorder that could be paused
                thread.join()  # before 3.13 it may return while the system still has the thread
                while os.path.exists(f"/proc/self/task/{thread.native_id}"):
                    time.sleep(0.001)
                after.append(lambda: os.kill(os.getpid(), signal.SIGTERM))
                after.append(lambda: os.kill(os.getpid(), signal.SIGHUP))
                if os.fork() == 0:
                    os._exit(0)
                time.sleep(600)
        status = os.wait()[1]
        assert os.WIFSIGNALED(status)
        assert os.WTERMSIG(status) == signal.SIGHUP, status
        t.stop()
        print("done")
    """)


def test_the_programs_own_handler_replaces_ours(ends_well):
    ends_well("""
        assert recorder.guard_signals()
        seen = []
        handler = lambda number, frame: seen.append(number)
        assert signal.signal(signal.SIGTERM, handler) is signal.SIG_DFL
        os.kill(os.getpid(), signal.SIGTERM)
        assert seen == [signal.SIGTERM]
        assert guarded() == [signal.SIGTERM, signal.SIGHUP]
        t.stop()
        assert guarded() == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is handler
        os.kill(os.getpid(), signal.SIGTERM)
        assert len(seen) == 2
        print("done")
    """)


def test_only_the_default_action_is_guarded_and_comes_back(ends_well):
    ends_well("""
        assert guarded() == []
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        assert recorder.guard_signals()
        assert guarded() == [signal.SIGTERM]
        other = tracer.Recorder(b"other")
        assert not other.guard_signals()
        other.finish()
        assert guarded() == [signal.SIGTERM]
        t.stop()
        assert guarded() == []
        print("done")
    """)


def test_children_die_by_the_signal_and_leave_the_recording_alone(ends_well, tmp_path):
    ends_well("""
        assert recorder.guard_signals()
        pid = os.fork()
        if pid == 0:
            assert guarded() == []
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(1)
        status = os.waitpid(pid, 0)[1]
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGTERM
        code = "import os; os.kill(os.getpid(), 15)"
        for settings in ({}, {"close_fds": False, "restore_signals": False}):
            assert subprocess.run([sys.executable, "-c", code], **settings).returncode == -signal.SIGTERM
        assert guarded() == [signal.SIGTERM, signal.SIGHUP]
        t.stop()
        print("done")
    """)
    assert [kind for kind, _ in chunks.read(tmp_path / "recording")].count("DONE") == 1
    assert json.loads(chunks.read(tmp_path / "recording")[-1][1]) == {"reason": "stopped"}
