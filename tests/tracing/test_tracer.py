"""The exact tracer, as its users see it: what a trace records, and that it leaves no trace."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import itertools
import json
import platform
import random
import stat
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from tracer_checks import MAIN, busy, check, doze, run_threads, spin, take_turns

import gilprobe
from gilprobe._native import tracer
from gilprobe.errors import TracerStateError, UnsupportedError

DELETE = threading.Thread.__dict__["_delete"]
SUPPORTED, REASON = tracer.support()

needs_tracer = pytest.mark.skipif(not SUPPORTED, reason=f"the GIL can't be traced here: {REASON}")


@pytest.fixture(autouse=True)
def interpreter_as_found():
    """Every test here leaves the interpreter as it found it."""
    interval = sys.getswitchinterval()
    yield
    sys.setswitchinterval(interval)
    gc.collect()
    assert tracer.sessions() == 0
    assert threading.Thread.__dict__["_delete"] is DELETE


def account_of(report, name):
    (account,) = [thread for thread in report.threads if thread.name == name]
    return account


def active(trace):
    """Names of the threads that had the GIL; one that was joined may live for some more steps without it."""
    return {thread.name for thread in check(trace.report()).threads if thread.hold.count}


def run_named(name, target, *args):
    thread = threading.Thread(target=target, args=args, name=name)
    thread.start()
    thread.join()


# ---- where the GIL can't be traced


@pytest.mark.skipif(SUPPORTED, reason="the GIL can be traced here")
def test_an_unsupported_interpreter_is_refused_with_the_reason():
    with pytest.raises(UnsupportedError, match=r"can't be traced: .*there is no GIL to trace"):
        gilprobe.trace(locks=False).start()
    with pytest.raises(UnsupportedError), gilprobe.trace(locks=False):
        pytest.fail("the body must not run")
    assert gilprobe.capabilities().tracer == "none"
    assert gilprobe.capabilities().tracer_reason == REASON != ""


def test_a_trace_works_in_a_process_of_its_own_wherever_the_gil_is_on(child):
    """Also on a free-threaded build, which runs its children here with the GIL on."""
    ended = child("""
        import gilprobe
        from tracer_checks import check, take_turns

        with gilprobe.trace() as t:
            take_turns()
        assert sum(thread.forced_releases for thread in check(t.report()).threads) > 0
        print(gilprobe.capabilities().tracer)
    """)
    assert ended.stderr == ""
    assert ended.stdout == "exact\n"
    assert ended.status == 0


# ---- starting and stopping


@needs_tracer
def test_a_with_statement_traces_its_body():
    trace = gilprobe.trace()
    assert not trace.running
    with trace as entered:
        assert entered is trace
        assert trace.running
        spin()
    assert not trace.running
    report = check(trace.report())
    main = account_of(report, MAIN)
    assert main.native_id == threading.get_native_id()
    assert not main.ended
    assert main.lifetime_ns == report.elapsed_ns
    assert main.hold_s > 0.01
    assert main.hold.max_s <= main.hold_s


@needs_tracer
def test_the_body_of_a_with_statement_may_raise():
    trace = gilprobe.trace()
    with pytest.raises(ZeroDivisionError), trace:
        raise ZeroDivisionError
    check(trace.report())


@needs_tracer
def test_start_returns_the_trace_and_stop_the_report():
    trace = gilprobe.trace()
    assert trace.start() is trace
    report = trace.stop()
    assert check(report) == trace.report() == trace.stop()


@needs_tracer
def test_what_was_never_started_can_neither_report_nor_stop():
    trace = gilprobe.trace()
    with pytest.raises(TracerStateError, match="must be started"):
        trace.report()
    with pytest.raises(TracerStateError, match="must be started"):
        trace.stop()


@needs_tracer
def test_a_running_trace_cannot_be_started_and_goes_on():
    with gilprobe.trace() as trace:
        with pytest.raises(TracerStateError, match="must be stopped"):
            trace.start()
        assert trace.running
    check(trace.report())


@needs_tracer
def test_a_trace_starts_only_once_when_many_threads_start_it():
    trace = gilprobe.trace()
    refused = []
    barrier = threading.Barrier(8)
    sys.setswitchinterval(1e-6)

    def start():
        barrier.wait()
        try:
            trace.start()
        except TracerStateError:
            refused.append(True)

    run_threads(8, start)
    assert len(refused) == 7
    assert tracer.sessions() == 1
    run_threads(8, trace.stop)
    check(trace.report())


@needs_tracer
def test_a_restarted_trace_records_anew():
    trace = gilprobe.trace()
    with trace:
        run_named("first", spin)
    first, before = trace.report(), active(trace)
    with trace:
        assert trace.report().elapsed_ns < first.elapsed_ns
        run_named("second", doze)
    assert "first" in before
    assert "first" not in active(trace)
    assert "second" in active(trace)


@needs_tracer
def test_traces_can_be_repeated():
    for _ in range(200):
        with gilprobe.trace() as trace:
            pass
        check(trace.report())


@needs_tracer
def test_nested_traces_see_their_own_part():
    with gilprobe.trace() as outer:
        run_named("before", spin)
        with gilprobe.trace() as inner:
            run_named("within", spin)
        run_named("after", spin)
    names = [active(trace) for trace in (outer, inner)]
    assert {"before", "within", "after"} <= names[0]
    assert "within" in names[1]
    assert not {"before", "after"} & names[1]
    within = [account_of(t.report(), "within") for t in (outer, inner)]
    assert within[0].acquisitions == within[1].acquisitions
    assert inner.report().elapsed_ns < outer.report().elapsed_ns


@needs_tracer
def test_overlapping_traces_see_their_own_part():
    one, other = gilprobe.trace(), gilprobe.trace()
    one.start()
    run_named("one", spin)
    other.start()
    run_named("both", spin)
    one.stop()
    run_named("other", spin)
    other.stop()
    names = [active(trace) for trace in (one, other)]
    assert {"one", "both"} <= names[0]
    assert "other" not in names[0]
    assert {"both", "other"} <= names[1]
    assert "one" not in names[1]


@needs_tracer
def test_a_worker_can_trace_and_another_thread_can_stop_it():
    trace = gilprobe.trace()
    run_named("starts", trace.start)
    spin()
    run_named("stops", trace.stop)
    report = check(trace.report())
    assert account_of(report, MAIN).hold_s > 0.01
    assert not account_of(report, "stops").ended  # it was the one that stopped


@needs_tracer
def test_whoever_starts_a_trace_comes_first_in_its_report():
    """Also before threads that ask for the GIL while it holds it."""
    with gilprobe.trace() as trace:
        run_threads(3, spin, 0.02)
    assert trace.report().threads[0].name == MAIN


@pytest.mark.parametrize("deed", ["stop", "close"])
def test_of_two_threads_that_stop_a_trace_at_once_one_ends_it(deed):
    class Crossed(gilprobe.Trace):
        ends = 0

        def _end(self):
            Crossed.ends += 1
            if Crossed.ends == 1:  # as if the other thread got the GIL here
                run_threads(1, getattr(self, deed))
            return super()._end()

    for _ in range(2):  # also if it is started again
        t = Crossed().start()
        getattr(t, deed)()
        assert not t.running
        assert Crossed.ends == 1
        Crossed.ends = 0
    assert tracer.sessions() == 0


def test_what_could_not_be_ended_can_be_stopped_again():
    class Interrupted(gilprobe.Trace):
        ends = 0

        def _end(self):
            Interrupted.ends += 1
            if Interrupted.ends == 1:
                raise KeyboardInterrupt
            return super()._end()

    t = Interrupted().start()
    with pytest.raises(KeyboardInterrupt):
        t.stop()
    assert t.running
    assert check(t.stop()).threads
    assert tracer.sessions() == 0


@pytest.mark.lengthy
@needs_tracer
def test_a_trace_starts_and_stops_while_others_fight_for_the_gil():
    with busy(3) as threads:
        for _ in range(10):
            with gilprobe.trace() as trace:
                spin(0.03)
            report = check(trace.report())
            assert {thread.native_id for thread in threads} <= {thread.native_id for thread in report.threads}


@needs_tracer
def test_a_trace_that_nobody_stops_ends_with_its_last_reference():
    gilprobe.trace().start()
    gc.collect()
    assert tracer.sessions() == 0
    assert threading.Thread.__dict__["_delete"] is DELETE


@needs_tracer
def test_a_recursion_error_anywhere_in_a_trace_leaves_nothing_behind():
    def descend(levels):
        if levels:
            return descend(levels - 1)
        with gilprobe.trace() as trace:
            pass
        return trace.report()

    failed = succeeded = 0
    frames = len(list(_frames()))
    for spare in range(1, 80):
        try:
            check(descend(sys.getrecursionlimit() - frames - spare))
            succeeded += 1
        except RecursionError:
            failed += 1
    assert failed
    assert succeeded
    gc.collect()
    assert tracer.sessions() == 0
    assert threading.Thread.__dict__["_delete"] is DELETE


def _frames():
    frame = sys._getframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


# ---- what is recorded


@pytest.mark.lengthy
@pytest.mark.timing
@needs_tracer
def test_two_that_compute_hold_or_wait_all_their_life():
    with gilprobe.trace() as trace:
        take_turns(40)
    report = check(trace.report())
    workers = [thread for thread in report.threads if thread.name != MAIN]
    assert len(workers) == 2
    for worker in workers:
        assert worker.forced_releases > 0
        assert worker.contended_acquisitions > 0
        assert worker.hold_ns + worker.wait_ns >= 0.9 * worker.lifetime_ns
        assert worker.ended
    assert report.handoffs > 0
    assert 0 < report.contended_ns <= report.held_ns


@pytest.mark.timing
@needs_tracer
def test_a_sleeper_lets_go_of_its_own_accord_and_is_off():
    sys.setswitchinterval(30)  # nobody is made to release, however long the machine suspends a holder
    with gilprobe.trace() as trace:
        run_named("sleeper", doze, 50)
    sleeper = account_of(check(trace.report()), "sleeper")
    assert sleeper.forced_releases == 0
    assert sleeper.voluntary_releases >= 50
    assert sleeper.off_ns > sleeper.lifetime_ns / 2
    assert account_of(trace.report(), MAIN).forced_releases == 0


@pytest.mark.timing
@needs_tracer
def test_waiting_for_a_lock_is_a_voluntary_release_and_off():
    sys.setswitchinterval(30)
    lock, ready = threading.Lock(), threading.Lock()
    ready.acquire()

    def work():
        for _ in range(5):
            ready.release()
            lock.acquire()  # gives up the GIL, so that the other comes back from waiting until this is ready

    lock.acquire()
    with gilprobe.trace() as trace:
        thread = threading.Thread(target=work, name="waiter")
        thread.start()
        for _ in range(5):
            ready.acquire()
            time.sleep(0.02)
            lock.release()
        thread.join()
    waiter = account_of(check(trace.report()), "waiter")
    assert waiter.voluntary_releases >= 5
    assert waiter.forced_releases == 0
    assert waiter.off_ns > waiter.lifetime_ns / 2


@needs_tracer
def test_a_held_c_call_is_one_hold_and_a_released_one_none():
    with gilprobe.trace() as trace:
        gilprobe.kernels.sleep(100_000_000)
        held = account_of(trace.report(), MAIN).hold.max_s
        gilprobe.kernels.sleep(100_000_000, release_gil=True)
    main = account_of(check(trace.report()), MAIN)
    assert held >= 0.099
    assert main.off_s >= 0.099


@pytest.mark.timing
@needs_tracer
def test_a_thread_that_waits_for_a_held_c_call_waits_as_long():
    sys.setswitchinterval(30)  # nobody is made to release
    gate, at_gate = threading.Lock(), []
    gate.acquire()
    hold = gilprobe.kernels.sleep  # imported now: that lets the GIL go

    def work():
        at_gate.append(True)
        gate.acquire()  # opened by one who goes on holding

    with gilprobe.trace() as trace:
        thread = threading.Thread(target=work, name="waiter")
        thread.start()
        while not at_gate:
            time.sleep(0.001)
        gate.release()
        hold(200_000_000)
        thread.join()
    report = check(trace.report())
    waiter = account_of(report, "waiter")
    assert waiter.contended_acquisitions >= 1
    assert waiter.wait.max_s > 0.02
    assert report.contended_s > 0.02


@needs_tracer
@pytest.mark.parametrize("seed", range(2))
def test_every_account_adds_up_whatever_the_threads_do(seed):
    choice = random.Random(seed)
    lock = threading.Lock()

    def contend():
        for _ in range(20):
            with lock:
                time.sleep(0.0002)

    deeds = [spin, doze, contend, lambda: gilprobe.kernels.spin(200_000, release_gil=True), gc.collect]
    plans = [[choice.choice(deeds) for _ in range(6)] for _ in range(6)]

    def work(plan):
        for deed in plan:
            deed()

    with gilprobe.trace() as trace:
        threads = [threading.Thread(target=work, args=(plan,)) for plan in plans]
        for thread in threads:
            thread.start()
        reports = []
        for thread in threads:
            reports.append(trace.report())
            thread.join()
    for report in [*reports, trace.report()]:
        check(report)
    ended = [thread for thread in trace.report().threads if thread.ended]
    assert len(ended) == len(plans)


@pytest.mark.lengthy
@needs_tracer
def test_snapshots_grow():
    with gilprobe.trace() as trace, busy(2):
        snapshots = []
        for _ in range(40):
            snapshots.append(trace.report())
            time.sleep(0.002)
    snapshots.append(trace.report())
    for earlier, later in itertools.pairwise(snapshots):
        check(later)
        assert earlier.elapsed_ns <= later.elapsed_ns
        assert earlier.held_ns <= later.held_ns * 1.001
        assert earlier.handoffs <= later.handoffs
        after = {thread.native_id: thread for thread in later.threads}
        for before in earlier.threads:
            now = after[before.native_id]
            for field in (
                "lifetime_ns",
                "hold_ns",
                "wait_ns",
                "acquisitions",
                "contended_acquisitions",
                "forced_releases",
                "voluntary_releases",
            ):
                # the clock's rate becomes more exact with time
                assert getattr(before, field) <= getattr(now, field) * 1.001, field


@needs_tracer
def test_a_snapshot_at_once_adds_up_too():
    with busy(3), gilprobe.trace() as trace:
        for _ in range(20):
            check(trace.report())


# ---- names


@needs_tracer
def test_the_names_of_ended_renamed_and_foreign_threads_are_kept():
    def rename(name):
        threading.current_thread().name = name

    with gilprobe.trace() as trace:
        run_named("plain", doze)
        run_named("Wörker-线程 🧵", doze)
        run_named("old", rename, "new")
        run_named("twice", doze)
        run_named("twice", doze)
    names = [thread.name for thread in check(trace.report()).threads]
    assert sorted(names) == sorted([MAIN, "plain", "Wörker-线程 🧵", "new", "twice", "twice"])


@needs_tracer
def test_a_thread_that_was_renamed_while_alive_has_its_last_name():
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="before")
    thread.start()
    with gilprobe.trace() as trace:
        thread.name = "afterwards"
    end.set()
    thread.join()
    assert account_of(check(trace.report()), "afterwards").native_id == thread.native_id


@needs_tracer
def test_a_thread_that_slept_all_along_is_off_all_along():
    sys.setswitchinterval(30)  # nobody is made to release
    end, awake = threading.Event(), []

    def sleep():
        awake.append(True)
        end.wait()  # lets the GIL go when it sleeps, no earlier

    thread = threading.Thread(target=sleep, name="bystander")
    thread.start()
    while not awake:
        time.sleep(0.001)
    with gilprobe.trace() as trace:
        spin()
    end.set()
    thread.join()
    report = check(trace.report())
    bystander = account_of(report, "bystander")
    assert bystander.off_ns == bystander.lifetime_ns == report.elapsed_ns
    assert bystander.hold.count == bystander.wait.count == 0


@needs_tracer
def test_a_native_thread_has_its_operating_system_name():
    libc = ctypes.CDLL(None)
    callback = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
    handle, ids = ctypes.c_ulong(), []

    @callback
    def native(_):
        ids.append(threading.get_native_id())
        return 0

    with gilprobe.trace() as trace:
        assert libc.pthread_create(ctypes.byref(handle), None, native, None) == 0
        assert libc.pthread_join(handle, None) == 0
    (account,) = [thread for thread in check(trace.report()).threads if thread.native_id == ids[0]]
    # a new thread inherits the name of the one that creates it
    assert account.name == Path("/proc/self/comm").read_text(encoding="utf-8").strip()
    assert account.ended


@needs_tracer
@pytest.mark.parametrize("alive", [False, True], ids=["ended", "alive"])
def test_a_native_thread_may_get_its_name_after_its_first_event(alive):
    libc = ctypes.CDLL(None)
    callback = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
    handle, ids = ctypes.c_ulong(), []
    named = threading.Event()

    @callback
    def native(_):
        ids.append(threading.get_native_id())
        named.wait()
        return 0

    trace = gilprobe.trace().start()
    assert libc.pthread_create(ctypes.byref(handle), None, native, None) == 0
    while not ids:
        time.sleep(0.001)
    assert libc.pthread_setname_np(handle, b"named late") == 0
    if alive:
        names = {thread.native_id: thread.name for thread in trace.report().threads}
    named.set()
    assert libc.pthread_join(handle, None) == 0
    trace.stop()
    if not alive:
        names = {thread.native_id: thread.name for thread in check(trace.report()).threads}
    assert names[ids[0]] == "named late"


# ---- the report


@needs_tracer
def test_a_report_says_what_it_was_measured_on():
    with gilprobe.trace() as trace:
        pass
    environment = trace.report().environment
    assert environment.python == platform.python_version()
    assert environment.gil_enabled
    assert environment.clock == tracer.clock_name()
    assert environment.switch_interval_s == sys.getswitchinterval()


@needs_tracer
def test_a_report_is_saved_for_its_owner_only_and_loaded_as_it_was(tmp_path):
    with gilprobe.trace() as trace:
        run_threads(2, spin, 0.1)
        run_named("odd \ud800 \0 \n name", doze)
    report = check(trace.report())
    path = tmp_path / "report.json"
    report.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert gilprobe.Report.load(path) == report
    assert gilprobe.Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report


# ---- nothing is left behind


@needs_tracer
def test_the_import_slots_are_as_before(second_library):
    second = ctypes.CDLL(str(second_library))
    second.second_slot.restype = ctypes.c_size_t
    address = ctypes.cast(ctypes.pythonapi.PyEval_SaveThread, ctypes.c_void_p)
    count = second.second_find(address)
    assert count >= 5
    run_threads(3, spin, 0.05)  # every slot that is filled at its first call has been called through

    def slots():
        return [second.second_slot(n) for n in range(count)]

    before = slots()
    with contextlib.ExitStack() as traces:
        for _ in range(3):
            traces.enter_context(gilprobe.trace())
            assert sum(now != then for now, then in zip(slots(), before, strict=True)) >= 3
    assert slots() == before


@needs_tracer
def test_takings_that_found_no_room_are_told(child):
    """The reader gets no memory and a thread no room: what it can't note is off time, and a doubt."""
    ended = child(
        textwrap.dedent("""
        import resource, gilprobe
        from gilprobe._native import kernels
        def cycle(count):
            kernels.cycle(count)

        limits = resource.getrlimit(resource.RLIMIT_AS)
        size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        with gilprobe.trace() as trace:
            cycle(10)  # its place is known, but nothing is read yet
            resource.setrlimit(resource.RLIMIT_AS, (size, limits[1]))
            cycle(2000)
            resource.setrlimit(resource.RLIMIT_AS, limits)
            cycle(2000)
        report = trace.report()
        thread = next(one for one in report.threads if one.name == "MainThread")
        (doubt,) = report.warnings  # and not that the thread's time does not add up
        lost, why = doubt.split(maxsplit=1)
        assert why == "intervals were not counted: no memory for their threads' accounts or notes"
        lost = int(lost)
        assert 1000 < lost < 2000, lost
        assert 4010 <= thread.acquisitions + lost < 4100, (thread.acquisitions, lost)
        print("done")
    """)
    )
    assert (ended.stderr, ended.stdout, ended.status) == ("", "done\n", 0)


@needs_tracer
def test_the_method_that_keeps_names_is_put_back_by_the_last_trace_to_end():
    one, other = gilprobe.trace().start(), gilprobe.trace().start()
    one.stop()
    assert threading.Thread.__dict__["_delete"] is not DELETE
    other.stop()
    assert threading.Thread.__dict__["_delete"] is DELETE


@needs_tracer
def test_another_library_may_wrap_the_method_that_keeps_names():
    trace = gilprobe.trace().start()
    ours = threading.Thread.__dict__["_delete"]

    def theirs(self):
        return ours(self)

    threading.Thread._delete = theirs
    try:
        trace.stop()
        assert threading.Thread.__dict__["_delete"] is theirs
        with trace:
            run_named("kept", doze)
        assert account_of(check(trace.report()), "kept").ended
        assert threading.Thread.__dict__["_delete"] is theirs
        threading.Thread._delete = ours
        with trace:
            run_named("kept", doze)
        assert account_of(check(trace.report()), "kept").ended
        assert threading.Thread.__dict__["_delete"] is DELETE
    finally:
        threading.Thread._delete = DELETE


@needs_tracer
def test_built_in_functions_let_go_of_their_own_accord(child):
    """Also where a compiler has put the release of the GIL into the function itself."""
    ended = child("""
        import bz2, fcntl, hashlib, os, select, socket, time, zlib
        import gilprobe

        zero, (near, far), data = os.open("/dev/zero", 0), socket.socketpair(), bytes(20_000)
        read, write = os.pipe()
        calls = {
            "os.stat": lambda: os.stat("."),
            "os.lstat": lambda: os.lstat("."),
            "os.listdir": lambda: os.listdir("."),
            "os.read": lambda: os.read(zero, 8),
            "os.pread": lambda: os.pread(zero, 8, 0),
            "os.write": lambda: (os.write(write, b"x"), os.read(read, 1)),
            "os.open": lambda: os.close(os.open(".", 0)),
            "os.access": lambda: os.access(".", 4),
            "socket": lambda: (near.send(b"x"), far.recv(1)),
            "select": lambda: select.select([], [], [], 0),
            "sleep": lambda: time.sleep(0),
            "zlib": lambda: zlib.compress(data),
            "bz2": lambda: bz2.compress(data[:500]),
            "hashlib": lambda: hashlib.sha256(data),
            "flock": lambda: fcntl.flock(zero, fcntl.LOCK_UN),
            "file": lambda: open("/dev/null").close(),
        }
        for name, call in calls.items():
            with gilprobe.trace() as t:
                for _ in range(100):
                    call()
            (account,) = t.report().threads
            assert account.voluntary_releases >= 100, (name, account)
            # nobody else is there who could have forced one
            assert account.forced_releases == 0, (name, account)
        print("done")
        """)
    assert (ended.stderr, ended.stdout, ended.status) == ("", "done\n", 0)
