"""A program that forks while it is recorded does so as without: no warning, no thread more, no event less."""

from __future__ import annotations

import sys
import textwrap

import pytest

from gilprobe._native import tracer

SUPPORTED, REASON = tracer.support()
pytestmark = pytest.mark.skipif(
    not SUPPORTED and REASON != tracer.NO_GIL, reason=f"the GIL can't be traced here: {REASON}"
)

COUNTED = sys.version_info >= (3, 12)  # the interpreter counts threads
STRICT = ("-W", "error::DeprecationWarning")

PRELUDE = """
import ctypes, os, signal, subprocess, sys, threading, time, warnings
import gilprobe
from gilprobe._native import tracer
import whole_recordings as chunks

def threads():
    return len(os.listdir("/proc/self/task"))

def come_down_to(number):
    \"\"\"Wait until there are so many: one that was joined may be listed for another moment.\"\"\"
    while threads() > number:
        time.sleep(0.001)
    assert threads() == number

def recording(name="recording"):
    return gilprobe.trace(timeline=True, path=name)

def fork(work=lambda: None):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0) == (pid, 0)

def spin():
    for _ in range(1000):
        pass

def looker():
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/comm") as name:
                if name.read() == "gilprobe-looker\\n":
                    return True
        except OSError:  # it has ended meanwhile
            pass
    return False

def run_a_thread():
    \"\"\"From then on a recording has a native thread, too. A looker leaves soon.\"\"\"
    thread = threading.Thread(target=spin)
    thread.start()
    thread.join()  # before 3.13 it may return while the system still has the thread
    while os.path.exists(f"/proc/self/task/{thread.native_id}") or looker():
        time.sleep(0.001)
"""


@pytest.fixture
def ends_well(child):
    """Return a function that runs a script and asserts that it ends well and says only that."""

    def run(script, *, options=STRICT):
        ended = child(PRELUDE + textwrap.dedent(script), options=options)
        if (ended.stderr, ended.stdout, ended.status) != ("", "done\n", 0):
            pytest.fail(f"status {ended.status}, stdout {ended.stdout!r}, stderr:\n{ended.stderr}")

    return run


def test_a_program_that_is_alone_is_not_warned(ends_well):
    ends_well("""
        import multiprocessing, pty
        before = threads()
        with recording() as t:
            run_a_thread()
            come_down_to(before + 1)
            for _ in range(20):
                fork()
            pid, fd = pty.fork()
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)
            process = multiprocessing.get_context("fork").Process(target=spin)
            process.start(); process.join()
            assert process.exitcode == 0
            subprocess.run([sys.executable, "-c", ""], preexec_fn=os.getpid, check=True)
            subprocess.run([sys.executable, "-c", ""], check=True)
            spin()
            come_down_to(before + 1)  # it is resumed, and a looker has left
        come_down_to(before)
        assert t.report().warnings == ()
        assert chunks.done("recording") == {"reason": "stopped"}
        print("done")
    """)


def test_hooks_of_the_program_do_not_resume_the_recorder_too_early(ends_well):
    """Python code that runs inside the fork gives the interpreter the occasion for pending calls."""
    ends_well("""
        seen = []

        def hook():
            spin()
            seen.append(threads())

        before = threads()
        os.register_at_fork(after_in_parent=hook)
        with recording():
            run_a_thread()
            os.register_at_fork(after_in_parent=hook)
            for _ in range(10):
                fork()
            spin()
            come_down_to(before + 1)
        assert set(seen) == {before}, seen
        print("done")
    """)


@pytest.mark.skipif(not COUNTED, reason="this interpreter does not warn")
def test_a_program_with_threads_is_warned_as_without(ends_well):
    ends_well("""
        def warnings_of_a_fork():
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                fork()
            return [str(warning.message) for warning in caught]

        over = threading.Event()
        other = threading.Thread(target=over.wait)
        other.start()
        without = warnings_of_a_fork()
        assert len(without) == 1 and "multi-threaded" in without[0]
        with recording():
            assert warnings_of_a_fork() == without
        over.set()
        other.join()
        print("done")
    """)


def test_a_storm_of_forks_loses_no_event(ends_well):
    ends_well("""
        with recording() as t:
            for _ in range(200):
                fork()
                time.sleep(0)
        report = t.report()
        assert report.warnings == ()
        (holds, waits), dropped = chunks.events("recording")
        assert dropped == 0
        expected = sum(thread.hold.count for thread in report.threads)
        assert expected > 400
        # an interval of no length is counted, but is no event
        assert 0.99 * expected <= holds <= expected, (holds, expected)
        assert chunks.done("recording") == {"reason": "stopped"}
        print("done")
    """)


def test_a_child_has_nothing_of_the_recorder_and_goes_on(ends_well):
    ends_well("""
        def ours():
            links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
            return [os.readlink(link) for link in links if os.path.lexists(link)]

        def work():
            assert threads() == 1
            assert not [name for name in ours() if name.endswith("/recording")]
            size = os.path.getsize("recording")
            for _ in range(1000):
                time.sleep(0)
            report = t.stop()
            assert report.threads[0].hold_ns > 0
            assert "forked" in report.warnings[0]
            with recording("child") as own:
                fork()
                time.sleep(0)
            assert chunks.done("child") == {"reason": "stopped"}
            assert own.report().warnings == ()

        t = recording().start()
        assert not [name for name in ours() if name.endswith("/recording")]
        with open("recording", "rb"):
            assert [name for name in ours() if name.endswith("/recording")]
        fork(work)
        t.stop()
        assert chunks.done("recording") == {"reason": "stopped"}
        print("done")
    """)


def test_the_end_may_come_while_the_recorder_is_paused(ends_well):
    ends_well("""
        t = recording().start()
        def hook():
            if t.running:
                t.stop()
        os.register_at_fork(after_in_parent=hook)
        time.sleep(0)
        fork()
        assert t.report().warnings == ()
        assert chunks.events("recording")[0][0] > 0
        assert chunks.done("recording") == {"reason": "stopped"}
        print("done")
    """)


def test_a_flush_while_the_recorder_is_paused_does_not_wait(ends_well):
    ends_well("""
        before = threads()
        with recording() as t:
            run_a_thread()
            recorder = t._writer.recorder
            flushed = []
            os.register_at_fork(after_in_parent=lambda: flushed.append(recorder.flush(3600)))
            fork()
            assert flushed == [False]
            spin()
            assert recorder.flush(60)
        come_down_to(before)
        print("done")
    """)


def test_a_program_of_one_thread_has_no_other(ends_well):
    """Some calls of the system want that: unshare and setns. Everything is written all the same."""
    ends_well("""
        before = threads()
        with recording() as t:
            for _ in range(3):
                fork()
                time.sleep(0.06)
                assert threads() == before
            assert os.stat("recording").st_size > 1000, "written meanwhile"
            assert t._writer.recorder.flush(60)
            assert threads() == before
            for _ in range(70_000):
                time.sleep(0)
        assert t.report().warnings == ()
        assert t.report().dropped_events == 0
        assert chunks.done("recording") == {"reason": "stopped"}
        print("done")
    """)


def test_a_recording_without_a_timeline_and_looks_has_no_thread_at_all(ends_well):
    ends_well("""
        before = threads()
        with gilprobe.trace(path="recording", looks=False) as t:
            run_a_thread()
            assert threads() == before
            time.sleep(0.06)
            over = threading.Event()
            others = [threading.Thread(target=over.wait) for _ in range(3)]
            [other.start() for other in others]
            assert threads() == before + 3
            assert t._writer.recorder.flush(60)
            over.set()
            [other.join() for other in others]
        assert t.report().warnings == ()
        assert chunks.done("recording") == {"reason": "stopped"}
        print("done")
    """)


@pytest.mark.forks_among_threads
def test_traces_end_while_another_thread_forks(ends_well):
    """Also of a fork that Python knows nothing of, from a thread that it knows nothing of."""
    ends_well(
        """
        libc = ctypes.CDLL(None)
        thread, child = ctypes.c_ulong(), ctypes.c_void_p()

        def fork_natively():
            # the thread's function is fork itself: in the child it returns, and the process ends with it
            assert libc.pthread_create(ctypes.byref(thread), None, libc.fork, None) == 0
            assert libc.pthread_join(thread, ctypes.byref(child)) == 0
            assert os.waitpid(child.value, 0) == (child.value, 0)

        def forks():
            while not over:
                fork()
                fork_natively()

        over = False
        other = threading.Thread(target=forks)
        other.start()
        for n in range(30):
            with recording():
                time.sleep(0.002)
            assert chunks.done("recording") == {"reason": "stopped"}
        over = True
        other.join()
        print("done")
        """,
        options=("-W", "ignore::DeprecationWarning"),
    )


def test_a_fork_in_a_signal_handler(ends_well):
    ends_well("""
        forks = []
        def handler(number, frame):
            fork()
            forks.append(number)
            signal.setitimer(signal.ITIMER_REAL, 0.002)
        signal.signal(signal.SIGALRM, handler)
        with recording() as t:
            signal.setitimer(signal.ITIMER_REAL, 0.002)
            while len(forks) < 20:
                time.sleep(0)
            signal.setitimer(signal.ITIMER_REAL, 0)
        assert t.report().warnings == ()
        assert chunks.done("recording") == {"reason": "stopped"}
        print("done")
    """)
