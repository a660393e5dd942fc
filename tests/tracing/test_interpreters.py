"""Interpreters with a GIL of their own (PEP 684): each has rows of its own; those that share one have not."""

from __future__ import annotations

import sys
import textwrap

import pytest

from gilprobe._native import tracer

pytestmark = [
    pytest.mark.skipif(sys.version_info < (3, 12), reason="interpreters share the GIL before 3.12"),
    pytest.mark.skipif(
        not tracer.support()[0], reason=f"the GIL can't be traced here: {tracer.support()[1]}"
    ),
]

PRELUDE = """
import os, sys, threading, time
import gilprobe
from tracer_checks import check, run_threads, spin
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

def create(own_gil=True):
    if sys.version_info >= (3, 13):
        return interpreters.create("isolated" if own_gil else "legacy")
    return interpreters.create(isolated=own_gil)

def run(interpreter, code):
    assert interpreters.run_string(interpreter, code) is None

def number(interpreter):
    return int(interpreter)

SPIN = '''
import time
def hold(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        sum(range(50))
hold(0.1)
'''

# two threads that take the GIL from each other some 20 times, however long that takes
TEAM = SPIN + '''
import threading
def take_turns(turns):
    me = threading.get_ident()
    while len(turns) < 20:
        if turns[-1:] != [me]:
            turns.append(me)
turns = []
team = [threading.Thread(target=take_turns, args=(turns,)) for _ in range(2)]
for thread in team: thread.start()
for thread in team: thread.join()
'''

# 3.12 hangs at the end of an interpreter that has threads and was begun in another thread than the main one
IN_WORKER = TEAM if sys.version_info >= (3, 13) else SPIN

def rows(report, interpreter):
    return [thread for thread in report.threads if thread.interpreter == interpreter]

def balanced(report):
    check(report)
    assert sum(row.wait_ns for row in report.blame) == sum(thread.wait_ns for thread in report.threads)
    return report
"""


@pytest.fixture
def ends_well(child):
    """Return a function that runs a script and asserts that it ends as it would without a trace."""

    def run(script):
        ended = child(PRELUDE + textwrap.dedent(script))
        if (ended.stderr, ended.stdout, ended.status) != ("", "done\n", 0):
            pytest.fail(f"status {ended.status}, stdout {ended.stdout!r}, stderr:\n{ended.stderr}")

    return run


def test_a_gil_of_its_own_has_rows_of_its_own(ends_well):
    ends_well("""
        with gilprobe.trace() as t:
            other = create()
            run(other, SPIN)
            (row,) = rows(balanced(t.report()), number(other))  # a snapshot, while the interpreter lives
            assert row.hold_ns > 50_000_000, row
            run(other, TEAM)
            interpreters.destroy(other)
        report = balanced(t.report())
        main, first, *team = (
            next(thread for thread in rows(report, 0) if thread.native_id == threading.get_native_id()),
            *rows(report, number(other)),
        )
        assert main.native_id == first.native_id
        assert first.name.endswith(f"(interpreter {number(other)})"), first.name
        assert first.hold_ns > 100_000_000, first
        # meanwhile it was away from the main GIL, and did not want it
        assert main.off_ns > first.hold_ns and main.contended_acquisitions == 0, (first, main)
        assert len(team) == 2
        assert all(thread.wait_ns > 10_000_000 and thread.hold_ns > 10_000_000 for thread in team), team
        (own,) = report.own_gils
        assert own.interpreter == number(other) and own.handoffs > 0, own
        assert own.held_ns == sum(row.hold_ns for row in (first, *team)), own
        assert own.wait_ns == sum(row.wait_ns for row in (first, *team)), own
        assert 0 < own.contended_ns <= own.held_ns <= own.lifetime_ns <= report.elapsed_ns, own
        assert any(site.function == "take_turns" for site in report.sites)
        blamed = {(row.waiter_id, row.holder_id) for row in report.blame if row.function == "take_turns"}
        assert {(team[0].native_id, team[1].native_id), (team[1].native_id, team[0].native_id)} <= blamed
        print("done")
    """)


def test_one_that_shares_the_main_gil_belongs_to_it(ends_well):
    ends_well("""
        with gilprobe.trace() as t:
            other = create(own_gil=False)
            run(other, SPIN)
            interpreters.destroy(other)
        report = balanced(t.report())
        assert {thread.interpreter for thread in report.threads} == {0}
        assert report.held_ns > 50_000_000
        print("done")
    """)


def test_many_interpreters_come_and_go_in_several_threads(ends_well):
    ends_well("""
        created = []
        def come_and_go():
            for _ in range(6):
                other = create()
                created.append(number(other))
                run(other, "import time; time.sleep(0.001)")
                interpreters.destroy(other)
        with gilprobe.trace(stacks=True) as t:
            run_threads(3, come_and_go)
        report = balanced(t.report())
        assert {thread.interpreter for thread in report.threads} == {0, *created}, created
        print("done")
    """)


def test_traces_begin_and_end_while_an_interpreter_runs(ends_well):
    ends_well("""
        other = create()
        read, write = os.pipe()
        script = IN_WORKER + f"import os; os.write({write}, b'!'); hold(0.5)"
        worker = threading.Thread(target=run, args=(other, script))
        with gilprobe.trace() as outer:
            worker.start()
            for n in range(10):
                with gilprobe.trace(sites=False) as inner:
                    if n == 0:
                        os.read(read, 1)
                    time.sleep(0.02)
                check(inner.report())
        balanced(outer.report())
        assert sum(thread.hold_ns for thread in rows(outer.report(), number(other))) > 50_000_000
        with gilprobe.trace() as late:
            time.sleep(0.05)
        check(late.report())
        worker.join()
        interpreters.destroy(other)
        print("done")
    """)


def test_a_fork_after_another_interpreter_has_ended(ends_well):
    """While one lives CPython itself crashes in the child."""
    ends_well("""
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        with gilprobe.trace() as t:
            other = create()
            run(other, SPIN)
            interpreters.destroy(other)
            pid = os.fork()
            if pid == 0:
                spin(0.01)
                check(t.report())
                t.stop()
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
            another = create()
            run(another, SPIN)
            interpreters.destroy(another)
        for ended in (other, another):
            assert sum(thread.hold_ns for thread in rows(balanced(t.report()), number(ended))) > 50_000_000
        print("done")
    """)


def test_a_recording_holds_every_interpreter(ends_well):
    ends_well("""
        import tempfile
        from gilprobe.tracing.loading import load
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "x.gilprobe")
            with gilprobe.trace(timeline=True, stacks=True, path=path) as t:
                others = [create() for _ in range(2)]
                run_threads(1, run, others[0], IN_WORKER)
                run(others[1], SPIN)
                for other in others:
                    interpreters.destroy(other)
            report, process = t.report(), load(path)
            assert process.complete
            assert [(thread.interpreter, thread.hold_ns) for thread in process.report.threads] == [
                (thread.interpreter, thread.hold_ns) for thread in report.threads
            ]
            assert process.report.blame == report.blame
            held = {}
            for batch in process.timeline.batches():
                for kind, thread, duration_ns in zip(batch.kinds, batch.threads, batch.durations_ns):
                    interpreter = process.timeline.threads[thread].interpreter
                    held[interpreter] = held.get(interpreter, 0) + (duration_ns if kind == 0 else 0)
            for interpreter, held_ns in held.items():
                booked_ns = sum(thread.hold_ns for thread in rows(report, interpreter))
                assert abs(held_ns - booked_ns) <= 0.001 * booked_ns + 1000, (interpreter, held_ns, booked_ns)
        print("done")
    """)


def test_one_made_during_a_trace_begins_when_a_thread_takes_it(ends_well):
    ends_well("""
        with gilprobe.trace() as t:
            time.sleep(0.5)
            other = create()
            run(other, SPIN)
            interpreters.destroy(other)
            time.sleep(0.5)
        report = balanced(t.report())
        (row,) = rows(report, number(other))
        assert row.hold_ns > 50_000_000, row
        assert row.wait_ns < 50_000_000 and row.contended_acquisitions == 0, row
        assert row.lifetime_ns < report.elapsed_ns - 800_000_000, row  # neither before it was there nor after
        print("done")
    """)


def test_those_that_run_when_a_trace_begins_do_not_wait(ends_well):
    ends_well("""
        read, write = os.pipe()
        spinner, sleeper = create(), create()
        scripts = {
            spinner: f"import os; os.write({write}, b'!'); hold(0.6)",
            sleeper: f"import os, time; os.write({write}, b'!'); [time.sleep(0.3) for _ in range(2)]",
        }
        threads = [threading.Thread(target=run, args=(one, SPIN + text)) for one, text in scripts.items()]
        for thread in threads:
            thread.start()
            os.read(read, 1)
        with gilprobe.trace() as t:
            for thread in threads:
                thread.join()
        for row in balanced(t.report()).threads:
            assert row.interpreter == 0 or row.wait_ns < 100_000_000, row
        for one in scripts:
            interpreters.destroy(one)
        print("done")
    """)


def test_overlapping_traces_add_up_while_interpreters_come_and_go(ends_well):
    ends_well("""
        end = time.monotonic() + 2
        def come_and_go():
            while time.monotonic() < end:
                other = create()
                run(other, "import time\\nfor _ in range(30): time.sleep(0)")
                interpreters.destroy(other)
        def trace_briefly():
            while time.monotonic() < end:
                with gilprobe.trace() as inner:
                    time.sleep(0.02)
                check(inner.report())
        with gilprobe.trace() as outer:
            threads = [threading.Thread(target=one) for one in (come_and_go, come_and_go, trace_briefly)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert not balanced(outer.report()).warnings
        print("done")
    """)


def test_any_number_one_after_the_other_is_traced_and_recorded(ends_well):
    """The table of GILs and the recorder's have room for fewer; memory between them keeps addresses apart."""
    ends_well("""
        import random, tempfile
        from gilprobe.tracing.loading import load
        between, dice = [], random.Random(1)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "x.gilprobe")
            with gilprobe.trace(path=path) as t:
                created = set()
                for _ in range(300):
                    other = create()
                    created.add(number(other))
                    run(other, "x = 1")
                    interpreters.destroy(other)
                    between.append(bytearray(dice.randrange(1000, 400_000)))
            report, recorded = balanced(t.report()), load(path).report
        assert {thread.interpreter for thread in report.threads} == {0, *created}
        assert len(recorded.threads) == len(report.threads)
        assert not report.warnings and not recorded.warnings, (report.warnings, recorded.warnings)
        print("done")
    """)


def test_more_at_one_time_than_can_be_traced_are_told(ends_well):
    ends_well("""
        with gilprobe.trace() as t:
            others = [create() for _ in range(130)]
            for other in others:
                run(other, "x = 1")
        assert any("with a GIL of their own are missing" in doubt for doubt in t.report().warnings)
        with gilprobe.trace() as later:
            pass
        assert not later.report().warnings  # what one trace missed is no doubt of the next
        for other in others:
            interpreters.destroy(other)
        print("done")
    """)
