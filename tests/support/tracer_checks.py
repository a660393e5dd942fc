"""What every report of the tracer promises, for tests and their child processes; and work for threads."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import traceback

MAIN = "MainThread"


def check(report, *, lossless=True):
    """Assert what holds for every report, at any moment, of any program; return it."""
    if lossless:
        assert report.warnings == (), report.warnings
    assert report.elapsed_ns > 0
    held_ns = sum(thread.hold_ns for thread in report.threads if thread.interpreter == 0)
    assert report.held_ns == held_ns
    for interpreter in {thread.interpreter for thread in report.threads}:
        held = sum(thread.hold_ns for thread in report.threads if thread.interpreter == interpreter)
        assert held <= report.elapsed_ns * 1.001, (interpreter, held, report.elapsed_ns)
    # stamps of two cores may disagree by some nanoseconds at each handoff: hence the tolerance
    assert held_ns <= report.elapsed_ns * 1.001, (held_ns, report.elapsed_ns)
    assert report.contended_ns <= report.held_ns * 1.001, (report.contended_ns, report.held_ns)
    for thread in report.threads:
        check_thread(thread, report)
    return report


def check_thread(thread, report):
    """Assert what holds for every thread's account."""
    assert min(thread.hold_ns, thread.wait_ns, thread.off_ns) >= 0, thread
    assert thread.hold_ns + thread.wait_ns + thread.off_ns == thread.lifetime_ns, thread
    assert thread.lifetime_ns <= thread.merged * report.elapsed_ns * 1.001, (thread, report.elapsed_ns)
    assert thread.hold.total_ns == thread.hold_ns
    assert thread.wait.total_ns == thread.wait_ns
    assert thread.contended_acquisitions <= thread.acquisitions
    releases = thread.forced_releases + thread.voluntary_releases
    # a hold ends with a release, or is under way; one that the trace's start cut began with no acquisition
    assert releases <= thread.hold.count <= releases + thread.merged, thread
    assert abs(releases - thread.acquisitions) <= thread.merged, thread
    # one wait, if only of no length, for each acquisition; and perhaps one that is under way
    assert thread.acquisitions <= thread.wait.count <= thread.acquisitions + thread.merged, thread
    assert thread.name


def spin(seconds=0.05):
    """Hold the GIL for as long as it is given: pure Python, no call that releases it."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        sum(range(50))


def forever():
    """Spin on one line, where whatever ends it is reported."""
    while True:
        pass


def doze(times=5):
    """Give the GIL up of one's own accord."""
    for _ in range(times):
        time.sleep(0.001)


def run_threads(count, target, *args, **settings):
    """Run `target` in `count` threads at once, to their end."""
    threads = [threading.Thread(target=target, args=args, **settings) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextlib.contextmanager
def busy(count=2):
    """Have `count` threads spin meanwhile."""
    stop = []

    def work():
        while not stop:
            sum(range(200))

    threads = [threading.Thread(target=work, name=f"busy {n}", daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        stop.append(True)
        for thread in threads:
            thread.join()


def fork(child):
    """Run `child` in a forked process that ends without cleaning up; return its identifier."""
    pid = os.fork()
    if pid != 0:
        return pid
    status = 1
    try:
        child()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def wait(pid):
    """Return how a forked process ended."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
