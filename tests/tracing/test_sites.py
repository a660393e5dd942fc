"""Sites, stacks, blame and stalls, as users see them: the right place, culprit and amount."""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import itertools
import json
import sys
import sysconfig
import threading
import time
import weakref
from collections import Counter

import pytest
from tracer_checks import MAIN, busy, check, doze, end_of, place, run_threads, spin

import gilprobe
from gilprobe import kernels
from gilprobe._native import tracer
from gilprobe.errors import InvalidTypeError, InvalidValueError
from gilprobe.tracing.assembling import HANDOFF, UNSEEN

SUPPORTED, REASON = tracer.support()

pytestmark = pytest.mark.skipif(not SUPPORTED, reason=f"the GIL can't be traced here: {REASON}")

HERE = __file__
MS = 1_000_000
usleep = ctypes.PyDLL(None).usleep  # keeps the GIL, unlike one of ctypes.CDLL


@pytest.fixture(autouse=True)
def interpreter_as_found():
    """Every test here leaves the interpreter as it found it."""
    interval = sys.getswitchinterval()
    yield
    sys.setswitchinterval(interval)
    gc.collect()
    assert tracer.sessions() == 0


def run_named(name, target, *args):
    thread = threading.Thread(target=target, args=args, name=name)
    thread.start()
    thread.join()


def line_of(function, offset):
    return function.__code__.co_firstlineno + offset


def site_of(report, function):
    """Return the site in a function of this name, with the sums of all its lines and callees."""
    sites = [site for site in report.sites if site.function == function]
    first = max(sites, key=lambda site: (site.releases, site.hold_ns))
    assert {site.filename for site in sites} == {first.filename}
    sums = {
        name: sum(getattr(site, name) for site in sites)
        for name in ("releases", "hold_ns", "wait_ns", "caused_ns")
    }
    return dataclasses.replace(first, **sums)


def place_releases():
    """Trace where threads let go by themselves: nobody makes them, and no look adds a place of a hold."""
    sys.setswitchinterval(30)
    return gilprobe.trace(stacks=True, looks=False)


def names_of(report):
    return {site.function for site in report.sites}


def stacks_ending_in(report, function):
    return [stack for stack in report.stacks if stack.frames[-1].function == function]


# ---- a planted culprit


def hold_in_ctypes():
    for _ in range(4):
        usleep(50_000)


def hold_by_sleeping():
    for _ in range(4):
        kernels.sleep(50 * MS)


def hold_by_alternating():
    for _ in range(4):
        kernels.alternate(1, held_ns=50 * MS, released_ns=0, release_gil=False)


def place_of_culprit(deed):
    """Where the GIL is let go after a native function has kept it: where that was called."""
    if deed is hold_in_ctypes:
        return ("hold_in_ctypes", HERE, line_of(deed, 2))
    function = kernels.sleep if deed is hold_by_sleeping else kernels.alternate
    return (function.__qualname__, kernels.__file__, None)


def stalls_behind(report, function):
    """Return the site in a function, and the long waits for holds that ended at its line.

    A victim that does not run for long asks for the GIL late: that hold ends at a line below.
    """
    site = site_of(report, function)
    long = [stall for stall in report.stalls(0.045) if stall.holder_function == function]
    return site, [stall for stall in long if stall.holder_line == site.line]


@pytest.mark.timing
@pytest.mark.parametrize("stacks", [False, True])
@pytest.mark.parametrize("deed", [hold_in_ctypes, hold_by_sleeping, hold_by_alternating])
def test_a_culprit_is_found_by_thread_function_and_line(deed, stacks):
    """Who keeps the GIL for 4 times 50 ms is charged with that by each of its three victims.

    It does so until a long wait of each is its fault: on a busy machine a victim may wait longer for another.
    Without looks, which share holds out by chance: one of 14 may see how a thread begins.
    """
    function, filename, line = place_of_culprit(deed)
    rounds, waiting = 0, set()
    with gilprobe.trace(stacks=stacks, looks=False) as trace, busy(3) as victims:
        while not {victim.name for victim in victims} <= waiting:
            rounds += 1
            run_named("culprit", deed)
            _, stalls = stalls_behind(trace.report(), function)
            waiting = {stall.waiter for stall in stalls if stall.holder_ns > 40 * MS}
    report = check(trace.report())
    site, stalls = stalls_behind(report, function)
    held_ns = sum(thread.hold.total_ns for thread in report.threads if thread.name == "culprit")
    assert site.filename == filename
    assert line in (None, site.line)
    assert rounds * 200 * MS <= held_ns < rounds * 2000 * MS
    assert rounds * 100 * MS < site.hold_ns <= held_ns
    assert rounds * 3 * 100 * MS < site.caused_ns <= 4 * site.hold_ns  # a victim may ask late
    for victim in victims:
        rows = [row for row in report.blame if row.waiter_id == victim.native_id and row.holder == "culprit"]
        charged = [row for row in rows if (row.function, row.filename) == (function, filename)]
        assert len({row.holder_id for row in charged}) == rounds  # each time it is another thread
        assert rounds * 100 * MS < sum(row.wait_ns for row in charged) <= site.hold_ns
        assert {row.waiter for row in charged} == {victim.name}
    assert len(stalls) >= 3
    for stall in stalls:  # some begin while another victim holds, and have less of the culprit's
        assert (stall.holder, stall.holder_filename) == ("culprit", filename)
        assert stall.holder_ns <= stall.wait_ns + 1000
    assert len([stall for stall in stalls if stall.holder_ns > 40 * MS]) >= 3
    waiting = {(stall.waiter, stall.waiter_function) for stall in stalls}
    assert {(victim.name, "busy.<locals>.work") for victim in victims} <= waiting
    if stacks:
        stacks = [report.stacks[row.stack].frames for row in charged]
        assert all(end_of(frames)[:2] == (function, filename) for frames in stacks)
        for frames in stacks:
            assert [frame.function for frame in frames if frame.filename == HERE] == [deed.__name__]
    else:
        assert report.stacks == ()


def test_a_wait_that_nobody_caused_is_a_handoff():
    with gilprobe.trace() as trace, busy(2):
        doze(20)
    report = check(trace.report())
    handoffs = [row for row in report.blame if row.function == HANDOFF]
    assert handoffs
    assert all((row.holder, row.holder_id, row.filename) == ("", 0, "") for row in handoffs)


def test_nobody_is_blamed_in_a_program_of_one_thread():
    """A trace of a process of its own, in which nothing else can want the GIL."""
    with gilprobe.trace() as trace:
        spin(0.02)
        doze(3)
    report = check(trace.report())
    assert [row for row in report.blame if row.holder] == []
    assert site_of(report, "doze").releases == 3


@pytest.mark.timing
def test_a_wait_belongs_to_where_its_thread_had_let_go():
    sys.setswitchinterval(30)  # nobody is made to release
    gate, at_gate = threading.Lock(), []
    gate.acquire()

    def passer():
        at_gate.append(True)
        gate.acquire()  # opened by one who goes on holding

    with gilprobe.trace() as trace:
        thread = threading.Thread(target=passer, name="passer")
        thread.start()
        while not at_gate:
            time.sleep(0.001)
        gate.release()  # it holds the GIL from its note until it waits here
        kernels.sleep(100 * MS)
        thread.join()
    report = check(trace.report())
    site = site_of(report, "test_a_wait_belongs_to_where_its_thread_had_let_go.<locals>.passer")
    assert site.line == line_of(passer, 2)
    assert site.wait_ns > 50 * MS


# ---- at any moment


@pytest.mark.lengthy
@pytest.mark.parametrize("stacks", [False, True])
def test_snapshots_add_up_at_any_moment(stacks):
    def churn():
        for n in range(12):
            (doze, spin, gc.collect)[n % 3](*((2,), (0.002,), ())[n % 3])

    with gilprobe.trace(stacks=stacks) as trace:
        threads = [threading.Thread(target=churn) for _ in range(4)]
        for thread in threads:
            thread.start()
        reports = [check(trace.report()) for _ in range(30)]
        for thread in threads:
            thread.join()
    reports.append(check(trace.report()))
    assert reports[-1].sites
    for earlier, later in itertools.pairwise(reports):
        caused = [sum(site.caused_ns for site in report.sites) for report in (earlier, later)]
        assert caused[0] <= caused[1] * 1.001 + 1000  # the clock's rate becomes more exact with time


@pytest.mark.timing
def test_a_snapshot_shows_what_is_under_way():
    """The hold of who asks, and the waits behind it, though neither has ended."""
    sys.setswitchinterval(30)  # nobody is made to release
    gates = [threading.Lock() for _ in range(2)]
    threads = [threading.Thread(target=gate.acquire, name=f"wakes {n}") for n, gate in enumerate(gates)]
    for gate, thread in zip(gates, threads, strict=True):
        gate.acquire()
        thread.start()  # back when it waits at its gate
    with gilprobe.trace() as trace:
        for gate in gates:
            gate.release()  # opened by one who goes on holding
        usleep(100_000)
        report = check(trace.report())
    for thread in threads:
        thread.join()
    mine = site_of(report, "test_a_snapshot_shows_what_is_under_way")
    report_line = line_of(test_a_snapshot_shows_what_is_under_way, 13)
    assert report_line - 1 <= mine.line <= report_line  # where it is now, or was seen: in the call before
    assert mine.releases == 0
    assert mine.hold_ns >= 99 * MS
    waits = Counter()
    for row in report.blame:
        if row.holder == MAIN:
            waits[row.waiter] += row.wait_ns
    assert waits.keys() == {thread.name for thread in threads}
    assert all(10 * MS < wait_ns <= mine.hold_ns for wait_ns in waits.values())
    assert {stall.waiter for stall in report.stalls(0.01)} == {thread.name for thread in threads}
    assert {stall.holder_line for stall in report.stalls(0.01)} == {report_line}


@pytest.mark.lengthy
def test_a_trace_starts_while_threads_sleep_wait_and_hold():
    """The places of what came before are found later, or said to be unseen; nothing is counted twice."""
    stop = threading.Event()
    reports = []

    def sleeper():
        while not stop.is_set():
            time.sleep(0.001)

    def tracer():
        with gilprobe.trace(stacks=True) as trace:
            usleep(50_000)
            reports.append(check(trace.report()))
        reports.append(check(trace.report()))

    threads = [threading.Thread(target=sleeper, name="sleeper") for _ in range(2)]
    for thread in threads:
        thread.start()
    with busy(2):
        for _ in range(5):
            run_named("tracer", tracer)
    stop.set()
    for thread in threads:
        thread.join()
    assert len(reports) == 10
    for report in reports:
        waiters = {stall.waiter_function for stall in report.longest_waits}
        assert waiters <= names_of(report) | {UNSEEN}


def test_nested_and_overlapping_traces_with_other_options_agree():
    options = [{"sites": False}, {}, {"stacks": True}, {"timeline": True}, {"stacks": True, "timeline": True}]
    with busy(2):
        traces = [gilprobe.trace(**chosen).start() for chosen in options]
        run_named("culprit", hold_in_ctypes)
        for trace in traces[::2]:
            trace.stop()
        spin(0.02)
        for trace in traces[1::2]:
            trace.stop()
    reports = [check(trace.report()) for trace in traces]
    plain, *located = reports
    assert (plain.sites, plain.stacks, plain.blame, plain.longest_waits) == ((), (), (), ())
    holds = [site_of(report, "hold_in_ctypes").hold_ns for report in located]
    assert max(holds) <= min(holds) * 1.01
    assert [bool(report.stacks) for report in located] == [False, True, False, True]


def test_sites_can_be_switched_off():
    with gilprobe.trace(sites=False) as trace, busy(2):
        spin(0.02)
        assert trace.report().sites == ()
    report = check(trace.report())
    assert (report.sites, report.stacks, report.blame, report.longest_waits) == ((), (), (), ())
    assert report.stalls() == ()
    assert sum(thread.wait_ns for thread in report.threads) > 0


def test_stacks_imply_sites():
    with gilprobe.trace(sites=False, stacks=True) as trace:
        doze(1)
    report = check(trace.report())
    assert report.sites
    assert report.stacks


@pytest.mark.parametrize("stacks", [False, True])
def test_an_import_is_told_by_the_line_that_imports(child, stacks):
    """Without other people's finders, such as pytest has, in between."""
    script = """
        import gilprobe, sys
        from tracer_checks import check
        open("imported.py", "w").close()
        sys.path.insert(0, "")
        def importing():
            import imported  # which lets the GIL go to read the file
        with gilprobe.trace(stacks=stacks) as trace:
            importing()
        report = check(trace.report())
        system = "<frozen importlib._bootstrap"
        assert not [site for site in report.sites if site.filename.startswith(system)]
        frames = [frame for stack in report.stacks for frame in stack.frames]
        assert not [frame for frame in frames if frame.filename.startswith(system)]
        sites = [site for site in report.sites if site.function == "importing"]  # one for each callee
        assert {site.line for site in sites} == {importing.__code__.co_firstlineno + 1}
        assert sum(site.releases for site in sites) > 0
        print("done")
    """
    ended = child(script.replace("stacks=stacks", f"stacks={stacks}"))
    assert (ended.stderr, ended.stdout) == ("", "done\n")


@pytest.mark.plain_python
@pytest.mark.parametrize("option", ["sites", "stacks", "timeline"])
@pytest.mark.parametrize("value", ["x", 1, None])
def test_an_option_is_true_or_false(option, value):
    with pytest.raises(InvalidTypeError, match=f"^{option} must be True or False, got {value!r}$"):
        gilprobe.trace(**{option: value})


# ---- stalls


def test_stalls_of_a_length_come_longest_first():
    def mine(report):
        name = "test_stalls_of_a_length_come_longest_first"
        stalls = [one for one in report.stalls(0.009) if (one.holder, one.holder_function) == (MAIN, name)]
        return [stall.holder_ns for stall in stalls]

    with gilprobe.trace() as trace, busy(1):
        while max(mine(trace.report()), default=0) < 39 * MS:  # on a busy machine the other may ask late
            for milliseconds in (10, 40, 20):
                usleep(milliseconds * 1000)
                doze(1)
    report = check(trace.report())
    stalls = report.stalls()
    assert stalls == report.longest_waits
    assert len(stalls) > 3
    middle = stalls[len(stalls) // 2].wait_s
    assert report.stalls(middle) == tuple(stall for stall in stalls if stall.wait_s >= middle)
    assert report.stalls(1e6) == ()
    assert max(mine(report)) >= 39 * MS


@pytest.mark.parametrize("threshold", [-1, -1e-9, float("nan"), float("inf")])
def test_a_threshold_is_a_length_of_time(report, threshold):
    with pytest.raises(InvalidValueError, match=r"^threshold_s must be >= 0 and finite, got "):
        report.stalls(threshold)


@pytest.mark.parametrize("threshold", ["0.1", None, True])
def test_a_threshold_is_a_number(report, threshold):
    with pytest.raises(InvalidTypeError, match=r"^threshold_s must be a number of seconds, got "):
        report.stalls(threshold)


@pytest.mark.timing
def test_more_waits_than_are_remembered_leave_the_longest():
    """And still every wait is in the sums, which `check` compares."""
    sys.setswitchinterval(1e-5)

    def take_turns():
        for _ in range(1500):
            time.sleep(0)

    with gilprobe.trace() as trace, busy(1):
        run_threads(2, take_turns)
        usleep(100_000)
        doze(1)
    report = check(trace.report())
    assert len(report.longest_waits) <= 1024
    assert sum(thread.wait.count for thread in report.threads) > 1024
    assert max(stall.holder_ns for stall in report.longest_waits) >= 50 * MS


# ---- stacks


def test_stacks_are_outermost_first():
    def outer():
        middle()

    def middle():
        inner()

    def inner():
        time.sleep(0.001)

    with place_releases() as trace:
        run_named("descends", outer)
    name = "test_stacks_are_outermost_first.<locals>."
    (stack,) = stacks_ending_in(check(trace.report()), name + "inner")
    functions = [frame.function for frame in stack.frames]
    assert functions[0] == "Thread._bootstrap"
    assert functions[-3:] == [name + "outer", name + "middle", name + "inner"]
    assert [frame.line for frame in stack.frames[-3:]] == [line_of(f, 1) for f in (outer, middle, inner)]
    assert stack.releases == 1


def test_the_same_function_is_another_stack_from_elsewhere_and_one_site():
    def sleep():
        time.sleep(0.001)

    def one():
        sleep()

    def other():
        for _ in range(3):
            sleep()

    with gilprobe.trace(stacks=True) as trace:
        one()
        other()
    report = check(trace.report())
    name = "test_the_same_function_is_another_stack_from_elsewhere_and_one_site.<locals>."
    by_caller = {s.frames[-2].function: s.releases for s in stacks_ending_in(report, name + "sleep")}
    assert by_caller == {name + "one": 1, name + "other": 3}
    assert site_of(report, name + "sleep").releases == 4


DEPTHS = [100, 127, 128, 129, 400]


def descend(levels):
    if levels > 1:
        descend(levels - 1)
    else:
        time.sleep(0.001)


def test_a_stack_that_is_too_deep_begins_with_a_frame_that_says_so():
    with gilprobe.trace(stacks=True) as trace:
        for depth in DEPTHS:
            run_named(str(depth), descend, depth)
    stacks = [
        [frame.function for frame in stack.frames]
        for stack in stacks_ending_in(check(trace.report()), "descend")
    ]
    cut = [functions for functions in stacks if functions[0] == "(deeper frames were not recorded)"]
    whole = [functions for functions in stacks if functions[0] == "Thread._bootstrap"]
    assert len(cut) + len(whole) == len(stacks)
    assert all(len(functions) == 129 for functions in cut)
    assert all(len(functions) <= 128 for functions in whole)
    assert any(functions.count("descend") == 100 for functions in whole)
    assert any(functions.count("descend") == 128 for functions in cut)


def test_frames_of_generators_and_callbacks_are_in_the_stack():
    def key(_):
        time.sleep(0.001)
        return 0

    def generate():
        yield sorted([0], key=key)

    def consume():
        return [*generate()]

    with gilprobe.trace(stacks=True) as trace:
        consume()
    report = check(trace.report())
    name = "test_frames_of_generators_and_callbacks_are_in_the_stack"
    (stack,) = stacks_ending_in(report, f"{name}.<locals>.key")
    assert [frame.function for frame in stack.frames if frame.function.startswith(name)] == [
        name,
        f"{name}.<locals>.consume",
        f"{name}.<locals>.generate",
        f"{name}.<locals>.key",
    ]


def test_coroutines_are_in_the_stack():
    import asyncio

    async def inner():
        time.sleep(0.001)

    async def outer():
        await inner()

    with gilprobe.trace(stacks=True) as trace:
        asyncio.run(outer())
    name = "test_coroutines_are_in_the_stack.<locals>."
    (stack,) = stacks_ending_in(check(trace.report()), name + "inner")
    assert stack.frames[-2].function == name + "outer"


def test_a_callback_from_c_has_its_callers_below_it():
    compare_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)

    def compare(*_):
        time.sleep(0.001)
        return 0

    def call():
        numbers = (ctypes.c_int * 2)()
        ctypes.CDLL(None).qsort(numbers, 2, 4, compare_type(compare))

    with gilprobe.trace(stacks=True) as trace:
        call()
    name = "test_a_callback_from_c_has_its_callers_below_it.<locals>."
    (stack,) = stacks_ending_in(check(trace.report()), name + "compare")
    assert name + "call" in [frame.function for frame in stack.frames]
    assert place(stack.frames[-1]) == (name + "compare", HERE, line_of(compare, 1))


# ---- what is no Python code


def start_native(function):
    libc = ctypes.CDLL(None)
    handle = ctypes.c_ulong()
    assert libc.pthread_create(ctypes.byref(handle), None, function, None) == 0
    return lambda: libc.pthread_join(handle, None)


def test_a_native_thread_is_named_as_one():
    ids = []

    def called_back(_):
        ids.append(threading.get_native_id())
        time.sleep(0.001)
        return 0

    native = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(called_back)
    with place_releases() as trace:
        start_native(native)()
    report = check(trace.report())
    assert ids[0] in [thread.native_id for thread in report.threads]
    name = "test_a_native_thread_is_named_as_one.<locals>.called_back"
    (stack,) = stacks_ending_in(report, name)
    assert [frame.function for frame in stack.frames] == [name]
    told = [name for name in names_of(report) if name.startswith("(native code of ")]
    assert told, names_of(report)
    assert not [function for function in names_of(report) if "start or end" in function]


def test_the_start_and_the_end_of_a_thread_are_named_so():
    with gilprobe.trace() as trace:
        for n in range(3):
            run_named(f"short {n}", sum, ())
    report = check(trace.report())
    site = site_of(report, "(start or end of a thread)")  # one for all of them
    assert (site.filename, site.line) == ("", 0)
    assert site.releases >= 3
    assert not [function for function in names_of(report) if "native code" in function]
    assert not [thread for thread in report.threads if thread.name == UNSEEN]


# ---- names of code


def test_lambdas_class_bodies_and_modules_have_their_names():
    def make():
        class Body:
            time.sleep(0.001)

        (lambda: time.sleep(0.001))()
        exec(compile("import time\ntime.sleep(0.001)", "made up.py", "exec"), {})
        return Body

    with gilprobe.trace() as trace:
        make()
    report = check(trace.report())
    name = "test_lambdas_class_bodies_and_modules_have_their_names.<locals>.make"
    places = {place(site) for site in report.sites}
    assert (f"{name}.<locals>.<lambda>", HERE, line_of(make, 4)) in places
    assert ("<module>", "made up.py", 2) in places
    bodies = [site for site in report.sites if site.function.endswith("Body") and site.filename == HERE]
    assert [body.line for body in bodies] == [line_of(make, 2)]


ODD_NAMES = [
    "caf\xe9.py",
    "\u4e2d\u6587/\U0001f40d.py",
    "lone \ud800 surrogate.py",
    "not UTF-8 \udcff.py",
    "two\nlines\r.py",
    "zero\0byte.py",
    "\x1b[31m<b>&amp;'\"",
    "",
]


@pytest.mark.parametrize("filename", ODD_NAMES)
def test_odd_names_of_code_are_kept_saved_and_loaded(filename, tmp_path):
    code = compile("import time\ntime.sleep(0.001)", "replaced", "exec")
    code = code.replace(co_filename=filename, co_qualname=f"odd {filename}", co_name="odd")
    with gilprobe.trace(stacks=True) as trace:
        exec(code, {})
    report = check(trace.report())
    assert (f"odd {filename}", filename, 2) in {place(site) for site in report.sites}
    report.save(tmp_path / "report.json")
    assert gilprobe.Report.load(tmp_path / "report.json") == report


def test_names_that_are_too_long_are_cut_and_say_so():
    code = compile("import time\ntime.sleep(0.001)", "\xe9" * 5000 + "/end.py", "exec")
    with gilprobe.trace() as trace:
        exec(code.replace(co_qualname="\u4e2d" * 5000), {})
    (site,) = [site for site in check(trace.report()).sites if site.filename.endswith("/end.py")]
    assert site.filename.startswith("...\xe9")
    assert site.function.startswith("\u4e2d")
    assert site.function.endswith("\u4e2d...")


# ---- code objects


def skip_where_code_is_immortal():
    """Free-threaded CPython 3.13 keeps code for good once a second thread has been started."""
    function = make_releasing("unseen")
    code = weakref.ref(function.__code__)
    del function
    gc.collect()
    if code() is not None:
        pytest.skip("this interpreter never lets go of code, traced or not")


def make_releasing(name):
    room = {}
    exec(compile(f"import time\ndef {name}(): time.sleep(0)", f"{name}.py", "exec"), room)
    return room[name]


@pytest.mark.lengthy
@pytest.mark.parametrize("stacks", [False, True])
def test_code_that_was_seen_lives_no_longer_than_without_a_trace(stacks):
    skip_where_code_is_immortal()
    function = make_releasing("short_lived")
    code = weakref.ref(function.__code__)
    with gilprobe.trace(stacks=stacks) as trace, gilprobe.trace(sites=False), gilprobe.trace():
        function()
        del function
        gc.collect()
        assert code() is None
        assert "short_lived" in {site.function for site in check(trace.report()).sites}
    assert "short_lived" in names_of(trace.report())


def test_finalizers_run_as_soon_as_code_that_was_seen_goes():
    skip_where_code_is_immortal()
    code = compile("import time\ntime.sleep(0)", "finalized.py", "exec")
    seen = []
    with gilprobe.trace():
        exec(code, {})
        weakref.finalize(code, seen.append, "code")
        assert seen == []
        del code
        if sysconfig.get_config_var("Py_GIL_DISABLED"):
            gc.collect()  # frees code on such builds, traced or not
        assert seen == ["code"]


@pytest.mark.parametrize("stacks", [False, True])
def test_code_made_again_and_again_is_one_place(stacks):
    """A place is its description: a template compiled for each request must not cost memory each time."""
    session = tracer.Session(sites=True, stacks=stacks)
    text = "import time\ndef filled_in():\n    data = {n:06d}\n    time.sleep(0)\nfilled_in()"
    sizes = []
    for n in range(300):
        exec(compile(text.format(n=10**6 + n), "<template>", "exec"), {})
        sizes.append(len(session.read()[0][0]))
    session.stop()
    assert sizes[-1] < sizes[9] + 1000  # 290 places more would be ten times as much


def test_the_type_of_code_is_as_it_was_once_no_trace_runs():
    """Its destructor tells the tracer what goes, while one runs."""
    pointer = ctypes.sizeof(ctypes.c_void_p)
    # Include/cpython/object.h: before it stand ob_size, the name and two sizes
    offset = object.__basicsize__ + 4 * pointer
    destructor = ctypes.c_void_p.from_address(id(type(make_releasing.__code__)) + offset)
    before = destructor.value
    with gilprobe.trace():
        during = destructor.value
        with gilprobe.trace():
            pass
        assert destructor.value == during != before
    assert destructor.value == before


def test_5000_functions_that_come_and_go_keep_their_names():
    """Memory of a code object that has gone is used for the next: an address alone would confuse them."""
    with gilprobe.trace() as trace:
        for n in range(5000):
            make_releasing(f"made_{n}")()
    report = check(trace.report())
    made = {place(site): site.releases for site in report.sites if site.function.startswith("made_")}
    assert made == {(f"made_{n}", f"made_{n}.py", 2): 1 for n in range(5000)}


# ---- saved and loaded


def test_a_report_with_sites_and_stacks_is_saved_and_loaded_as_it_was(tmp_path):
    with gilprobe.trace(stacks=True) as trace, busy(2):
        run_named("culprit", hold_in_ctypes)
    report = check(trace.report())
    assert report.stacks
    assert report.longest_waits
    report.save(tmp_path / "report.json")
    assert gilprobe.Report.load(tmp_path / "report.json") == report
    assert gilprobe.Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report


# ---- an interpreter of another layout

OTHER_LAYOUT = """
    import ctypes, mmap, os, sys, threading
    import gilprobe, gilprobe.tracing.assembling, gilprobe.tracing.tracer
    from gilprobe._native import frames, tracer
    from tracer_checks import busy, check, doze

    version = ctypes.c_ulong.in_dll(ctypes.pythonapi, "Py_Version")  # of the running interpreter, a constant
    page = ctypes.addressof(version) & -mmap.PAGESIZE
    writable = mmap.PROT_READ | mmap.PROT_WRITE
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(page), mmap.PAGESIZE, writable) == 0
    version.value += 1 << 16
    assert frames.check() is not None
"""


def test_on_another_layout_sites_are_off_and_the_report_says_so(child):
    """No frame is read then, whatever is asked for; all that needs none goes on."""
    ended = child(
        OTHER_LAYOUT
        + """
    everything = {"stacks": True, "timeline": True, "path": "x.rec"}
    for options in ({}, {"stacks": True}, everything, {"sites": False}):
        with gilprobe.trace(**options) as t, busy(2):
            doze()
            t.report()
        report = check(t.report(), lossless=False)
        assert (report.sites, report.stacks, report.blame, report.longest_waits) == ((), (), (), ())
        assert sum(thread.wait_ns for thread in report.threads) > 0
        print(report.warnings)
    assert tracer.Session(stacks=True).running
    version.value -= 1 << 16
    with gilprobe.trace() as t: doze()
    assert check(t.report()).sites
    print("done")
    """
    )
    major, minor = sys.version_info[:2]
    doubt = (f"sites and stacks are off: compiled for CPython {major}.{minor}, run by {major}.{minor + 1}",)
    assert ended.stderr == ""
    assert ended.stdout == f"{doubt}\n{doubt}\n{doubt}\n()\ndone\n"
    assert ended.status == 0


def innocent(found):
    return found


def search(items):
    for _ in range(20):
        innocent(0.5 in items)


def emit():
    while True:
        yield


def search_between(items):
    emitted = emit()
    next(emitted)
    for _ in range(20):
        0.5 in items or next(emitted)


@pytest.mark.lengthy
@pytest.mark.parametrize("stacks", [False, True])
@pytest.mark.parametrize(("culprit", "offset"), [(search, 2), (search_between, 4)])
def test_what_ran_before_a_function_was_called_is_not_blamed_on_it(stacks, culprit, offset):
    """An operator does not let go: the interpreter looks at the next function's entry whether it has to.

    Without looks, of which one could come while the thread stands there and waits for a core.
    """

    def blamed(report):
        return {(site.function, site.line) for site in report.sites if site.caused_s}

    def work(items):
        names = set()
        while not names & {culprit.__name__, "innocent", "emit"}:  # on a busy machine the other may ask late
            culprit(items)
            names = {function for function, _ in blamed(session.report())}
        done.set()

    def wait():
        while not done.is_set():
            time.sleep(0.001)

    done = threading.Event()
    items = [object() for _ in range(500_000)]
    with gilprobe.trace(stacks=stacks, looks=False) as session:
        threads = [threading.Thread(target=wait), threading.Thread(target=work, args=(items,))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    report = check(session.report())
    assert (culprit.__name__, line_of(culprit, offset)) in blamed(report)
    assert not {"innocent", "emit"} & {function for function, _ in blamed(report)}
    innermost = {stack.frames[-1].function for stack in report.stacks}
    assert not stacks or (culprit.__name__ in innermost and not {"innocent", "emit"} & innermost)
