"""Waits for locks: which lock, who waited, behind whom, where; what is left as it was."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tracer_checks import sleeps

import gilprobe
from gilprobe._native import tracer
from gilprobe.errors import InvalidTypeError, UnsupportedError
from gilprobe.model.locks import WORK
from gilprobe.tracing import loading

ABLE, REASON = tracer.locks_support()
pytestmark = pytest.mark.skipif(not ABLE, reason=f"locks can't be traced here: {REASON}")

FREE_THREADED = not tracer.gil_enabled()


class Cache:
    """Has a lock in an attribute."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock

    def hold(self, begun: threading.Event, end: threading.Event) -> None:
        with self._lock:
            begun.set()
            end.wait()

    def want(self) -> None:
        with self._lock:
            pass


def is_one(waits: int) -> bool:
    """Tell whether a thread waited once. On a busy machine its spin and its sleep may be told as two."""
    return waits == 1 or (FREE_THREADED and waits == 2)


def is_waited_for(running: gilprobe.Trace, name: str, number: int) -> bool:
    """Tell whether a lock has been waited for so often, or is."""
    return sum(lock.waits for lock in running.report().locks if lock.name == name) >= number


def waits_for_work(running: gilprobe.Trace, thread: str) -> bool:
    """Tell whether a thread has slept for work, or does: while it only spins that counts as a spin."""
    report = running.report()
    return any(
        row.waiter == thread and report.locks[row.lock].kind == WORK and row.wait_ns > row.spun_ns
        for row in report.lock_waiters
    )


def wait_behind(cache: Cache, running: gilprobe.Trace, hold_s: float = 0.02, waits: int = 1) -> None:
    """Have a thread `waiter` wait for the lock that a thread `holder` has, the first time in the trace."""
    begun, end = threading.Event(), threading.Event()
    holder = threading.Thread(target=cache.hold, args=(begun, end), name="holder")
    waiter = threading.Thread(target=cache.want, name="waiter")
    holder.start()
    begun.wait()
    waiter.start()
    while not (
        is_waited_for(running, "self._lock", waits) and sleeps(waiter) and waits_for_work(running, "holder")
    ):
        time.sleep(0.001)
    time.sleep(hold_s)
    end.set()
    waiter.join()
    holder.join()


def lock_named(report: gilprobe.Report, name: str) -> tuple[int, Any]:
    found = [(index, lock) for index, lock in enumerate(report.locks) if lock.name == name]
    assert len(found) == 1, [lock.title for lock in report.locks]
    return found[0]


def test_when_a_spinning_thread_looks_at_its_lock_again_is_found_by_trial():
    """By MAX_SPIN_COUNT and RELOAD_SPIN_MASK in Python/lock.c."""
    every = 4 if sys.version_info >= (3, 15) else 0
    assert tracer.lock_spins() == ((every, 40) if sysconfig.get_config_var("Py_GIL_DISABLED") else (0, 0))


@pytest.mark.parametrize("kind", [threading.Lock, threading.RLock])
def test_a_wait_tells_the_lock_and_who_had_it(kind: Any) -> None:
    with gilprobe.trace(locks=True) as running:
        wait_behind(Cache(kind()), running)
    report = running.report()
    index, lock = lock_named(report, "self._lock")
    assert (lock.kind, lock.owner) == ("lock", "Cache")
    assert lock.type == ("_thread.lock" if kind is threading.Lock else "_thread.RLock")
    assert lock.waits >= 1
    assert lock.wait_s >= 0.02
    rows = [row for row in report.lock_waits if row.lock == index]
    assert {row.waiter for row in rows} == {"waiter"}
    assert {row.waiter_function for row in rows} == {"Cache.want"}
    (behind,) = [row for row in rows if row.holder]
    assert (behind.holder, behind.function, behind.filename) == ("holder", "Cache.hold", __file__)
    assert behind.wait_s >= 0.02


def test_off_time_is_told_by_kind_and_adds_up() -> None:
    with gilprobe.trace(locks=True) as running:
        wait_behind(Cache(threading.Lock()), running)
    report = running.report()
    rows = {row.thread: row for row in report.off_times()}
    accounts = {account.name: account for account in report.threads}
    assert len(rows) == len(report.threads)
    for name, row in rows.items():
        parts = (row.lock_ns, row.work_ns, row.stopped_ns, row.spin_ns, row.rest_ns)
        assert sum(parts) == row.off_ns == accounts[name].off_ns
        assert min(parts) >= 0
    waiter, holder = rows["waiter"], rows["holder"]
    assert waiter.lock_s + waiter.spin_s >= 0.02
    assert holder.work_s >= 0.02  # the event that ends its hold
    if not FREE_THREADED:
        assert waiter.spin_ns == 0


def test_cpu_time_is_told_apart_from_the_rest_of_off_time() -> None:
    begin, spent_ns, spin = threading.Event(), [], gilprobe.kernels.spin

    def spend() -> None:
        begin.wait()
        before_ns = time.thread_time_ns()
        while time.thread_time_ns() < before_ns + 5_000_000:
            spin(100_000, release_gil=True)
        spent_ns.append(time.thread_time_ns() - before_ns)

    with gilprobe.trace(locks=True, cpu_time=True) as running:
        spender = threading.Thread(target=spend, name="spender")
        spender.start()
        while not sleeps(spender):
            time.sleep(0.001)
        begin.set()
        spender.join()
        alive = running.report()
    (account,) = [one for one in running.report().threads if one.name == "spender"]
    (row,) = [one for one in running.report().off_times() if one.thread == "spender"]
    assert account.off_cpu_ns + (account.hold_cpu_ns or 0) >= spent_ns[0]
    assert account.off_cpu_ns >= spent_ns[0] // 2
    assert row.cpu_ns + row.blocked_ns == row.rest_ns
    (main,) = [one for one in alive.threads if one.name == threading.main_thread().name]
    assert main.off_cpu_ns is not None  # it lives, and was there before


def test_rows_add_up_to_the_nanosecond() -> None:
    lock = threading.Lock()

    def work() -> None:
        for _ in range(20):
            with lock:
                time.sleep(0.0005)

    with gilprobe.trace(locks=True) as running:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        check(running.report())
        for thread in threads:
            thread.join()
    check(running.report())
    assert running.report() == running.report()


def check(report: gilprobe.Report) -> None:
    for index, lock in enumerate(report.locks):
        rows = [row.wait_ns for row in report.lock_waits if row.lock == index]
        assert sum(rows) == lock.wait_ns, lock.title
        assert lock.spun_ns <= lock.wait_ns
        assert lock.wait.max_ns <= lock.wait_ns
        assert sum(number for _, number in lock.wait.buckets) == lock.waits
    assert [lock.wait_ns for lock in report.locks] == sorted(
        (lock.wait_ns for lock in report.locks), reverse=True
    )


def test_waits_for_work_are_told_apart() -> None:
    jobs: queue.Queue[int | None] = queue.Queue()
    condition = threading.Condition()

    def consume() -> None:
        while jobs.get() is not None:
            pass

    def be_told() -> None:
        with condition:
            condition.wait()

    with gilprobe.trace(locks=True) as running:
        threads = [threading.Thread(target=target) for target in (consume, be_told)]
        for thread in threads:
            thread.start()
        while not all(waits_for_work(running, thread.name) and sleeps(thread) for thread in threads):
            time.sleep(0.001)
        time.sleep(0.05)
        with condition:
            condition.notify()
        jobs.put(None)
        for thread in threads:
            thread.join()
    work = {lock.name: lock for lock in running.report().locks if lock.kind == WORK}
    assert {"Queue.get", "Condition.wait"} <= work.keys()
    assert work["Queue.get"].wait_s >= 0.04
    sites = {
        row.waiter_function
        for row in running.report().lock_waits
        if running.report().locks[row.lock].kind == WORK
    }
    assert any(site.endswith("consume") for site in sites)
    assert any(site.endswith("be_told") for site in sites)
    assert not any(row.waiter_filename.endswith("queue.py") for row in running.report().lock_waits)


def test_a_wait_under_way_is_in_a_snapshot_and_at_the_end() -> None:
    cache, begun, end = Cache(threading.Lock()), threading.Event(), threading.Event()
    holder = threading.Thread(target=cache.hold, args=(begun, end))
    waiter = threading.Thread(target=cache.want, name="waiter")
    running = gilprobe.trace(locks=True).start()
    try:
        holder.start()
        begun.wait()
        waiter.start()
        lengths = []
        while len(lengths) < 2:
            time.sleep(0.01)
            found = [lock for lock in running.report().locks if lock.name == "self._lock"]
            lengths += [lock.wait_ns for lock in found]
        assert 0 < lengths[0] < lengths[1]
    finally:
        report = running.stop()
        end.set()
        holder.join()
        waiter.join()
    index, lock = lock_named(report, "self._lock")
    assert is_one(lock.waits)
    assert lock.wait_ns >= lengths[1]
    assert {row.function for row in report.lock_waits if row.lock == index} == {"(not seen)"}
    assert running.report() == report


def test_a_wait_that_times_out_ends_behind_nobody_that_was_seen() -> None:
    lock = threading.Lock()
    with lock, gilprobe.trace(locks=True) as running:
        assert not lock.acquire(timeout=0.05)
        assert not lock.acquire(blocking=False)
    index, found = lock_named(running.report(), "lock")
    assert is_one(found.waits)
    assert found.wait_s >= 0.04
    assert {row.holder for row in running.report().lock_waits if row.lock == index} == {""}


def test_an_uncontended_lock_is_no_wait() -> None:
    lock = threading.RLock()
    with gilprobe.trace(locks=True) as running:
        for _ in range(1000):
            with lock:
                pass
    assert [found for found in running.report().locks if found.name == "lock"] == []


def test_traces_may_nest_and_follow_each_other() -> None:
    cache = Cache(threading.Lock())
    outer = gilprobe.trace(locks=True).start()
    wait_behind(cache, outer)
    with gilprobe.trace(locks=True) as inner:
        wait_behind(cache, inner)
    (_, first), (_, both) = (lock_named(trace.stop(), "self._lock") for trace in (inner, outer))
    assert is_one(first.waits)
    assert both.waits > first.waits
    assert both.wait_ns > first.wait_ns
    with gilprobe.trace(locks=True) as later:
        pass
    # nothing of before; the threads above may still wait for each other to end
    assert "self._lock" not in {lock.name for lock in later.report().locks}
    assert tracer.lock_sessions() == 0


@pytest.mark.skipif(FREE_THREADED, reason="there locks are traced by default")
def test_locks_are_not_traced_unless_asked_for() -> None:
    with gilprobe.trace() as running:
        pass
    assert running.report().locks is None
    assert running.report().lock_waits is None


@pytest.mark.skipif(not FREE_THREADED, reason="needs an interpreter without a GIL")
def test_without_a_gil_a_trace_is_about_locks() -> None:
    with gilprobe.trace() as running:
        wait_behind(Cache(threading.Lock()), running)
    report = running.report()
    lock_named(report, "self._lock")
    assert report.held_ns == report.contended_ns == 0
    assert {"holder", "waiter", "MainThread"} <= {account.name for account in report.threads}
    assert all(account.off_ns == account.lifetime_ns == report.elapsed_ns for account in report.threads)
    with pytest.raises(UnsupportedError, match="there is no GIL to trace"):
        gilprobe.trace(locks=False).start()


@pytest.mark.skipif(not FREE_THREADED, reason="needs an interpreter without a GIL")
def test_without_a_gil_a_thread_may_wait_behind_itself() -> None:
    """To read a whole file enters the critical section of its reader twice."""
    with gilprobe.trace() as running:
        for _ in range(50):
            with Path(__file__).open("rb") as file:
                file.read()
    report = running.report()
    readers = {index for index, lock in enumerate(report.locks) if lock.type == "_io.BufferedReader"}
    rows = [row for row in report.lock_waits if row.lock in readers]
    if not rows:
        pytest.skip("this interpreter does not spin for a lock that its own thread has")
    assert {(row.holder, row.holder_id) for row in rows} == {("MainThread", threading.get_native_id())}
    assert {(row.function, row.line) for row in rows} == {
        (row.waiter_function, row.waiter_line) for row in rows
    }


@pytest.mark.skipif(not FREE_THREADED, reason="needs an interpreter without a GIL")
def test_what_only_the_library_has_is_called_as_there() -> None:
    with gilprobe.trace() as running:
        for _ in range(50):
            Path(__file__).read_bytes()
    names = {lock.name for lock in running.report().locks if lock.type == "_io.BufferedReader"}
    if not names:
        pytest.skip("this interpreter does not spin for a lock that its own thread has")
    assert names == {"f"}


@pytest.mark.skipif(not FREE_THREADED, reason="needs an interpreter without a GIL")
def test_without_a_gil_the_lock_of_an_object_is_named() -> None:
    """A key that compares for long keeps the lock of its dict, and another thread waits for it."""
    shared: dict[Any, int] = {1: 1}
    inside = threading.Event()

    class Slow:
        def __hash__(self) -> int:
            return hash(1)

        def __eq__(self, other: object) -> bool:
            inside.set()
            until = time.perf_counter() + 0.05
            while time.perf_counter() < until:  # nothing here that would let go of the lock
                pass
            return False

    def change() -> None:
        shared[Slow()] = 2

    found = {}
    for _ in range(50):
        inside.clear()
        with gilprobe.trace() as running:
            thread = threading.Thread(target=change)
            thread.start()
            inside.wait()
            shared[2] = 2
            thread.join()
        found = {lock.type: lock for lock in running.report().locks if lock.kind == "object"}
        if "dict" in found:
            break
    assert found["dict"].name == "shared"


@pytest.mark.parametrize("value", [1, "yes", []])
def test_the_option_is_a_bool(value: Any) -> None:
    with pytest.raises(InvalidTypeError, match="locks must be True, False or None, got "):
        gilprobe.trace(locks=value)


def test_recordings_have_the_locks(tmp_path: Any) -> None:
    path = tmp_path / "x.gilprobe"
    with gilprobe.trace(locks=True, path=path) as running:
        wait_behind(Cache(threading.Lock()), running)
    report, loaded = running.report(), loading.load(path).report
    assert loaded.locks == report.locks
    assert loaded.lock_waits == report.lock_waits
    saved = tmp_path / "x.json"
    report.save(saved)
    assert gilprobe.Report.load(saved) == report


@pytest.mark.filterwarnings("ignore:.*is multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_while_a_thread_waits_goes_on_in_parent_and_child() -> None:
    cache, begun, end = Cache(threading.Lock()), threading.Event(), threading.Event()
    with gilprobe.trace(locks=True) as running:
        holder = threading.Thread(target=cache.hold, args=(begun, end))
        waiter = threading.Thread(target=cache.want)
        holder.start()
        begun.wait()
        waiter.start()
        while not is_waited_for(running, "self._lock", 1):
            time.sleep(0.001)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                wait_behind(Cache(threading.Lock()), running)
                status = 0 if any(lock.name == "self._lock" for lock in running.stop().locks) else 2
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        end.set()
        holder.join()
        waiter.join()
    assert os.waitstatus_to_exitcode(status) == 0
    assert is_one(lock_named(running.report(), "self._lock")[1].waits)


def test_a_signal_interrupts_a_wait_as_ever() -> None:
    lock, handled = threading.Lock(), []

    def handle(*_arguments: object) -> None:
        handled.append(time.monotonic())
        lock.release()

    def interrupt() -> None:  # a signal that comes before the sleep, in a spin say, would not end it
        while not (is_waited_for(running, "lock", 1) and sleeps(threading.main_thread())):
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with gilprobe.trace(locks=True) as running:
            lock.acquire()
            other = threading.Thread(target=interrupt)
            other.start()
            lock.acquire()  # ends when the handler has released it
            other.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(handled) == 1
    assert is_one(lock_named(running.report(), "lock")[1].waits)


def test_many_threads_and_traces_that_come_and_go() -> None:
    lock, stop = threading.Lock(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            with lock:
                time.sleep(0)

    def try_once() -> None:
        if lock.acquire(timeout=0.001):
            lock.release()

    def begin_threads() -> None:
        while not stop.is_set():
            short = [threading.Thread(target=try_once) for _ in range(3)]
            for thread in short:
                thread.start()
            for thread in short:
                thread.join()

    threads = [threading.Thread(target=target) for target in (work, work, begin_threads)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(60):
            with gilprobe.trace(locks=True, sites=False) as running:
                check(running.report())
            check(running.report())
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)


DAEMONS = """
import threading, time, gilprobe
lock = threading.Lock()
lock.acquire()
trace = gilprobe.trace(locks=True).start()
for _ in range(8):
    threading.Thread(target=lock.acquire, daemon=True).start()
time.sleep(0.05)
print("end")
"""


def test_daemon_threads_that_wait_at_the_end_do_no_harm() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DAEMONS], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_capabilities_tell_of_locks() -> None:
    able = gilprobe.capabilities()
    assert (able.locks, able.locks_reason) == ("exact", "")
