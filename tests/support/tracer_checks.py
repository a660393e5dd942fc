"""What every report of the tracer promises, for tests and their child processes; and work for threads.

Hundreds of children import this: not pathlib or traceback, which take as long as the rest of a child.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import defaultdict

MAIN = "MainThread"


def check(report, *, lossless=True):
    """Assert what holds for every report, at any moment, of any program; return it."""
    if lossless:
        # What a program does to its own recordings: a fork, and a second start of the same trace.
        told = f"process {os.getpid()} was forked: only process "
        again = " while it was written"
        unexpected = [one for one in report.warnings if not (one.startswith(told) or one.endswith(again))]
        assert unexpected == [], report.warnings
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
    if report.sites and lossless:
        check_sites(report)
        check_blame(report)
        check_stacks(report)
        check_longest_waits(report)
    return report


def check_sites(report):
    """Assert that the sites have all of the holds, and no more of the waits than there is."""
    # each row of the books was rounded down to a nanosecond, and all of them had a release or are under way
    rounding = sum(site.releases for site in report.sites) + len(report.sites) + len(report.threads)
    hold_ns = sum(site.hold_ns for site in report.sites)
    held_ns = sum(thread.hold_ns for thread in report.threads)
    assert abs(hold_ns - held_ns) <= rounding, (hold_ns, held_ns, rounding)
    waits_ns = sum(thread.wait_ns for thread in report.threads)
    assert sum(site.wait_ns for site in report.sites) <= waits_ns + len(report.threads)
    releases = sum(thread.forced_releases + thread.voluntary_releases for thread in report.threads)
    assert sum(site.releases for site in report.sites) == releases
    assert [site.hold_ns for site in report.sites] == sorted((s.hold_ns for s in report.sites), reverse=True)
    assert len({spot(site) for site in report.sites}) == len(report.sites)
    assert all(site.function for site in report.sites)


def check_blame(report):
    """Assert that every wait is charged, to the nanosecond, and that the sites agree with that."""
    waits, caused = defaultdict(int), defaultdict(int)
    for row in report.blame:
        assert row.wait_ns > 0 or row.holder, row
        waits[row.waiter_id] += row.wait_ns
        if row.holder:
            caused[spot(row)] += row.wait_ns
        else:
            assert (row.function, row.filename, row.line, row.stack) == ("(handoff)", "", 0, None)
    expected = defaultdict(int)
    for thread in report.threads:
        expected[thread.native_id] += thread.wait_ns
    assert {key: ns for key, ns in waits.items() if ns} == {key: ns for key, ns in expected.items() if ns}
    assert {spot(s): s.caused_ns for s in report.sites if s.caused_ns} == {
        k: n for k, n in caused.items() if n
    }
    assert [row.wait_ns for row in report.blame] == sorted((b.wait_ns for b in report.blame), reverse=True)


def check_stacks(report):
    """Assert that stacks say the same as the sites in which they end."""
    if not report.stacks:
        assert all(row.stack is None for row in report.blame)
        return
    sites, caused = defaultdict(lambda: [0, 0, 0, 0]), defaultdict(int)
    for stack in report.stacks:
        row = sites[end_of(stack.frames)]
        for n, number in enumerate((stack.releases, stack.hold_ns, stack.wait_ns, stack.caused_ns)):
            row[n] += number
    assert dict(sites) == {spot(s): [s.releases, s.hold_ns, s.wait_ns, s.caused_ns] for s in report.sites}
    for row in report.blame:
        if row.holder:
            caused[row.stack] += row.wait_ns
            assert spot(row) == end_of(report.stacks[row.stack].frames)
    assert dict(caused) == {n: stack.caused_ns for n, stack in enumerate(report.stacks) if n in caused}
    assert all(stack.caused_ns == 0 for n, stack in enumerate(report.stacks) if n not in caused)


def check_longest_waits(report):
    """Assert what holds for every long wait."""
    stalls = report.longest_waits
    assert [stall.wait_ns for stall in stalls] == sorted((stall.wait_ns for stall in stalls), reverse=True)
    names = {thread.name for thread in report.threads}
    for stall in stalls:
        assert 0 < stall.wait_ns <= report.elapsed_ns * 1.001, stall
        assert 0 <= stall.start_ns <= report.elapsed_ns * 1.001, stall
        assert stall.holder_ns <= stall.wait_ns * 1.001 + 1000, stall  # stamps of two cores
        assert stall.waiter in names, stall
        assert (stall.holder in names) == bool(stall.holder_ns), stall
        assert stall.waiter_function, stall
        assert bool(stall.holder_function) == bool(stall.holder), stall
    if stalls:
        assert stalls[0].wait_ns <= max(thread.wait.max_ns for thread in report.threads)


def spot(row):
    """Return what tells a site from others: its place and its callee."""
    return (*place(row), row.callee)


def end_of(frames):
    """Return the site that a stack ends in."""
    *callers, last = frames
    if callers and not last.filename and last.line == 0:
        return (*place(callers[-1]), last.function)
    return (*place(last), "")


def place(row):
    """Return where a row of a report is, for comparisons."""
    return (row.function, row.filename, row.line)


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


def take_turns(times=20, count=2):
    """Have threads take the GIL from each other so many times, however long the machine takes for that.

    Each of them is made to release it, and waits for it a switch interval or longer.
    """
    turns = []

    def work():
        me = threading.get_ident()
        while len(turns) < times:
            if turns[-1:] != [me]:
                turns.append(me)

    run_threads(count, work)


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
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def wait(pid):
    """Return how a forked process ended."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def recorders():
    """Return how many threads of the operating system write recordings."""
    count = 0
    for task in os.listdir("/proc/self/task"):  # noqa: PTH208
        with (
            contextlib.suppress(FileNotFoundError, ProcessLookupError),  # it has ended meanwhile
            open(f"/proc/self/task/{task}/comm", errors="replace") as file,  # noqa: PTH123
        ):
            count += file.read() == "gilprobe\n"
    return count


def await_no_recorder():
    """Assert that no recording is written; a thread that was joined is listed for another moment."""
    end = time.monotonic() + 120
    while recorders() and time.monotonic() < end:
        time.sleep(0.001)
    assert recorders() == 0


def sleeps(thread):
    """Tell whether a thread sleeps: what is released while it only spins is released silently."""
    with open(f"/proc/self/task/{thread.native_id}/stat", encoding="utf-8") as file:  # noqa: PTH123
        return file.read().rpartition(")")[2].split()[0] == "S"
