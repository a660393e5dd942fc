"""Looks: what the thread that has the GIL runs, seen at random times while it runs."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from recording_chunks import chunks
from report_twin import Recorded, read_places, read_snapshot

import gilprobe
from gilprobe._native import tracer
from gilprobe.tracing.loading import load

pytestmark = pytest.mark.skipif(
    not tracer.support()[0] or tracer.frames_differ() is not None, reason="no sites here"
)

LOOKER = "gilprobe-looker"
BIG = list(range(200_000))


def lookers():
    """Return how many threads of the operating system are lookers."""
    names = []
    for task in Path("/proc/self/task").iterdir():
        try:
            names.append((task / "comm").read_text(errors="replace").strip())
        except OSError:  # it has ended meanwhile
            continue
    return names.count(LOOKER)


def read(trace):
    """Return the snapshot of a running or ended trace by the format's text alone."""
    places, snapshot = trace._session.read(None)[0]
    return read_snapshot(snapshot, read_places(places))


def looks_by_level(snapshot):
    """Return how many looks saw each function, at any level of a place, and how many threads waited then."""
    looks, waiting = Counter(), Counter()
    for (_, _, looked), (count, waits, *_) in snapshot["looks"].items():
        for function in {frame[0] for frame in looked}:
            looks[function] += count
            waiting[function] += waits
    return looks, waiting


class Waiter:
    """A thread that wants the GIL all the time."""

    def __enter__(self):
        self.over = False
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self.over:
            len(BIG)
            if sys.version_info[:2] == (3, 12):
                # There a waiter asks only threads of its own interpreter to let the GIL go, not those that
                # share it (Python/ceval_gil.c, SET_GIL_DROP_REQUEST).
                time.sleep(0)

    def __exit__(self, *_):
        self.over = True
        self.thread.join()


def until(trace, enough, work):
    """Work until what was booked is enough; return it."""
    with Waiter():
        while True:
            for _ in range(20):
                work()
            snapshot = read(trace)
            if enough(snapshot):
                return snapshot


def many(snapshot, number=60):
    return sum(count for count, *_ in snapshot["looks"].values()) >= number


def short():
    sum(BIG)


def long():
    for _ in range(8):
        sum(BIG)


def both():
    short()
    long()


@pytest.mark.lengthy
def test_of_two_functions_in_one_hold_both_are_seen_in_the_order_of_their_times():

    def enough(snapshot):
        looks, _ = looks_by_level(snapshot)
        return many(snapshot, 150) and looks["long"] > 2 * looks["short"] > 0

    with gilprobe.trace(stacks=True) as t:  # 8 to 1, but for a processor that others want, too
        _, waiting = looks_by_level(until(t, enough, both))
    assert waiting["long"] > waiting["short"]


def test_what_a_line_runs_in_c_is_a_level_of_its_own():
    with gilprobe.trace() as t:
        snapshot = until(t, many, both)
    callees = {looked for _, _, looked in snapshot["looks"] if looked[-1][1:] == ("", 0)}
    assert any(looked[-1][0] == "sum" and looked[-2][0] in ("short", "long") for looked in callees)


def until_looked(trace):
    """Work until there is a looker, while somebody waits."""
    with Waiter():
        while lookers() == 0:
            both()
        with gilprobe.trace(looks=False):
            pass
        assert lookers() == 1
        return until(trace, many, both)


def generated(levels):
    """Yield through so many generators."""
    if levels:
        yield from generated(levels - 1)
    else:
        yield from range(5000)


def resuming():
    list(generated(30))


@pytest.mark.lengthy
@pytest.mark.timing
def test_a_generator_is_seen_with_what_resumes_it():
    """While it is suspended its frame has no caller, and it is so again and again under the looker's eyes.

    If the system suspends the thread just then, it stays so for many looks. A sanitizer makes it longer, too.
    """
    with gilprobe.trace(stacks=True) as t:
        snapshot = until(t, lambda snapshot: many(snapshot, 300), resuming)
    looks, _ = looks_by_level(snapshot)
    lost = Counter()
    for (_, _, looked), (count, *_) in snapshot["looks"].items():
        functions = {frame[0] for frame in looked}
        if "generated" in functions and "resuming" not in functions:
            lost[looked] += count
    assert looks["generated"] > 0
    assert lost.total() * 4 < looks["generated"], lost


def shared_interpreter():
    """Return a function that runs code in a new interpreter that has no GIL of its own."""
    if sys.version_info >= (3, 13):
        import _interpreters as interpreters

        number = interpreters.create("legacy")
    else:
        import _xxsubinterpreters as interpreters

        number = interpreters.create(**{"isolated": False} if sys.version_info >= (3, 12) else {})
    return (
        lambda code: interpreters.run_string(number, code),
        lambda: interpreters.destroy(number),
    )


def test_what_runs_in_an_interpreter_that_shares_the_gil_is_seen():
    run, destroy = shared_interpreter()
    run("numbers = [number * 7919 % 20_011 for number in range(20_000)]")
    try:
        with gilprobe.trace(stacks=True) as t:
            snapshot = until(t, many, lambda: run("sorted(numbers)"))
    finally:
        destroy()
    callers = {looked[-2][:2] for _, _, looked in snapshot["looks"] if looked[-1][0] == "sorted"}
    assert callers & {("<module>", "<string>"), ("<module>", "<script>")}
    assert not any(function.startswith("test_what_runs_in") for function, _ in callers)


def test_there_is_no_looker_before_anybody_has_waited_and_none_after_the_trace():
    assert lookers() == 0
    with gilprobe.trace() as t:
        both()
        assert lookers() == 0
        until_looked(t)
    assert lookers() == 0


ALONE = """
import ctypes, os, threading, time, gilprobe

libc, CLONE_THREAD = ctypes.CDLL(None), 0x10000  # unshare(2): only in a process of one thread

def work():
    sum(range(3_000_000))

def be_alone():
    while len(os.listdir("/proc/self/task")) > 1:  # the looker's end is not waited for by anybody
        time.sleep(0.001)
    assert libc.unshare(CLONE_THREAD) == 0

with gilprobe.trace() as t:
    be_alone()
    for _ in range(3):
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        be_alone()
        child = os.fork()
        if child == 0:
            be_alone()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
assert t.report().looks > 0
"""


def test_a_process_that_is_single_threaded_again_has_no_looker(tmp_path):
    script = tmp_path / "alone.py"
    script.write_text(ALONE)
    command = [sys.executable, "-W", "error", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("options", [{"looks": False}, {"sites": False}])
def test_nobody_looks_if_that_is_not_wanted(options):
    with gilprobe.trace(**options) as t:
        snapshot = until(t, lambda snapshot: snapshot["contended"] > 0, both)
        assert lookers() == 0
        assert not snapshot["looks"]


def test_a_report_live_and_one_from_the_recording_have_the_same_looks(tmp_path):
    path = tmp_path / "recording"
    with gilprobe.trace(path=path, stacks=True) as t:
        until(t, many, both)
        session = t._session
    places, content = session.read(None)[0]
    recorded = Recorded(chunks(path))
    assert recorded.described == places
    assert recorded.snapshots[-1] == content
    live = read_snapshot(content, read_places(places))
    assert many(live)
    names = {place for _, ended, looked in live["looks"] for place in (ended, looked)}
    assert all(place is None or place[-1] for place in names)


@pytest.mark.lengthy
def test_two_traces_have_each_the_looks_of_its_time():
    with gilprobe.trace() as outer:
        before = until(outer, many, both)
        with gilprobe.trace(stacks=True) as inner:
            assert not read(inner)["looks"]
            inside = until(inner, many, both)
        after = read(outer)
    count = lambda snapshot: sum(looks for looks, *_ in snapshot["looks"].values())  # noqa: E731
    assert count(after) >= count(before) + count(inside) // 2


@pytest.mark.filterwarnings("ignore:.*is multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_has_no_looker_until_somebody_waits_there():
    with gilprobe.trace() as t, Waiter():
        until_looked(t)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                assert lookers() == 0
                before = sum(looks for looks, *_ in read(t)["looks"].values())
                until_looked(t)
                until(t, lambda snapshot: many(snapshot, before + 20), both)
                t.stop()
                assert lookers() == 0
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        until_looked(t)


def spend():
    sum(range(5_000_000))


def note():
    time.sleep(0)


@pytest.mark.parametrize("stacks", [False, True])
def test_a_long_wait_names_what_ran_and_not_where_the_hold_ended(stacks, tmp_path):
    with gilprobe.trace(path=tmp_path / "recording", stacks=stacks) as t, Waiter():
        told = set()
        while ("spend", "sum") not in told:
            spend()
            note()
            waits = [stall for stall in t.report().longest_waits if stall.holder == "MainThread"]
            told = {(stall.seen_at[0], stall.seen_at[3]) for stall in waits if stall.holder_ns > 5_000_000}
    live, recorded = t.report().longest_waits, load(tmp_path / "recording").report.longest_waits
    assert len(live) == len(recorded)
    for one, other in zip(live, recorded, strict=True):  # a recorder has looked, too
        assert one.holder_stack in (None, other.holder_stack)


HANGS = """
import collections, itertools, sys, threading, gilprobe

def hang():
    collections.deque(itertools.repeat(None), maxlen=0)  # for ever, with the GIL

def wait():
    while True:
        pass

with gilprobe.trace(path=sys.argv[1], timeline=True):
    threading.Thread(target=wait, daemon=True).start()
    hang()
"""


def test_a_process_that_is_killed_in_a_hold_leaves_what_ran(tmp_path):
    script, path = tmp_path / "hangs.py", tmp_path / "recording"
    script.write_text(HANGS)
    with subprocess.Popen([sys.executable, str(script), str(path)]) as process:
        try:
            functions = set()
            while "hang" not in functions:
                assert process.poll() is None
                time.sleep(0.05)
                recorded = Recorded(chunks(path, cut=True)) if path.exists() else None
                if recorded is None or not recorded.snapshots:
                    continue
                looks = read_snapshot(recorded.snapshots[-1], recorded.places)["looks"]
                under_way = [
                    looked for _, seen, looked in looks if "hang" in {frame[0] for frame in seen or ()}
                ]
                functions = {frame[0] for looked in under_way for frame in looked}
        finally:
            process.kill()


HOSTILE = """
import gc, os, sys, threading, time
import gilprobe

def deep(levels):
    return levels if levels == 0 else deep(levels - 1)

def generated(number):
    space = {}
    text = f"def f{number}(x):\\n" + "\\n" * (number % 50) + "    return sum(x)"
    exec(compile(text, "made up", "exec"), space)
    return space[f"f{number}"](range(3000))

def generators(levels):
    if levels:
        yield from generators(levels - 1)
    yield levels

class Finalized:
    def __del__(self):
        deep(20)

over = False

def work(number):
    while not over:
        number += 1
        deep(number % 700)
        generated(number)
        list(generators(number % 40))
        cycle = [Finalized()]
        cycle.append(cycle)
        if number % 7 == 0:
            gc.collect()
        thread = threading.Thread(target=deep, args=(100,))
        thread.start()
        thread.join()

begin = time.monotonic()
with gilprobe.trace(stacks=True) as t:
    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    while time.monotonic() < begin + 3:
        if "forks" in sys.argv:
            child = os.fork()
            if child == 0:
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        time.sleep(0.01)
    over = True
    for thread in threads:
        thread.join()
for row in t.report().threads:
    assert row.hold_ns + row.wait_ns + row.off_ns == row.lifetime_ns
print("done")
"""


@pytest.mark.lengthy
@pytest.mark.parametrize("forks", [False, pytest.param(True, marks=pytest.mark.forks_among_threads)])
def test_a_program_that_does_its_worst_goes_on(tmp_path, forks):
    """Code made and freed, deep recursion, generators, collections, ends of threads, forks: under looks."""
    script = tmp_path / "hostile.py"
    script.write_text(textwrap.dedent(HOSTILE))
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(script), *(["forks"] if forks else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
