"""What a recording tells of a hold that has not ended when its process does: who held, where, who waited."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext

import pytest
import recording_chunks
from side_by_side import record_command, start, write_files

from gilprobe._native import tracer
from gilprobe.render.text.trace_text import render_process
from gilprobe.tracing.loading import load

SUPPORTED, REASON = tracer.support()
pytestmark = pytest.mark.skipif(not SUPPORTED, reason=f"the GIL can't be traced here: {REASON}")

# A native call that keeps the GIL and never returns, while another thread wants it.
HUNG = """
    import ctypes, signal, threading, time
    signal.alarm(300)  # should nobody kill it

    def ask():
        while True:
            time.sleep(0.001)

    def hang():
        ctypes.PyDLL(None).pause()

    threading.Thread(target=ask, daemon=True, name="asks").start()
    hang()
"""

# The same without a release between the begin of the trace and the hang.
FROM_THE_BEGINNING = """
    import _thread, ctypes, signal, time
    import gilprobe
    signal.alarm(300)

    def ask():
        while True:
            time.sleep(0.001)

    def hang():
        pause()

    pause = ctypes.PyDLL(None).pause
    trace = gilprobe.trace(path="out.gilprobe", timeline=True)
    trace.start()
    _thread.start_new_thread(ask, ())
    hang()
"""

# The same in an interpreter with a GIL of its own, which the main thread runs; at first nobody else is there.
ELSEWHERE = """
    import signal
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters
    signal.alarm(300)

    interpreters.run_string(interpreters.create(), '''if True:
        import _thread, time
        def ask():
            while True:
                time.sleep(0.001)
        def spin():
            sum(range(10**15))
        _thread.start_new_thread(ask, ())
        spin()
    ''')
"""

BUSY = """
    import signal, threading, time
    signal.alarm(300)

    def ask():
        while True:
            time.sleep(0.001)

    def spin():
        sum(range(10**15))

    threading.Thread(target=ask, daemon=True, name="asks").start()
    spin()
"""

MAY_BE_STOPPED = """
    import ctypes
    ctypes.CDLL(None).prctl(0x59616D61, -1)  # PR_SET_PTRACER, by anybody
"""

# It stops the main thread alone, until its standard input ends.
DEBUGGER = """
import ctypes, os, sys
ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
for request in 0x4206, 0x4207:  # PTRACE_SEIZE, PTRACE_INTERRUPT (linux/ptrace.h)
    if ptrace(request, int(sys.argv[1]), None, None) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
print("stopped", flush=True)
sys.stdin.read()
"""


def seen_in(path):
    """Return how many SEEN a recording has that is still written."""
    return sum(kind == "SEEN" for kind, _ in recording_chunks.chunks(path, cut=True)) if path.exists() else 0


def wait_for(process, condition):
    while not condition():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


def killed(folder, program, *, number=signal.SIGKILL, options=(), command=None, meanwhile=None):
    """Record a program until it has been seen holding the GIL; kill it, and return its report."""
    write_files(folder, {"app.py": program})
    path = folder / "out.gilprobe"
    command = command or record_command("app.py", options=options, target=path.name)
    with start(command, folder) as process:
        wait_for(process, lambda: seen_in(path) >= 2)
        with meanwhile(process) if meanwhile is not None else nullcontext():
            count = seen_in(path)
            wait_for(process, lambda: meanwhile is None or seen_in(path) >= count + 2)
            process.send_signal(number)
        process.wait()
    return load(path)


def waited_behind(report, thread, function):
    whole = sum(row.wait_ns for row in report.blame)
    rows = [row for row in report.blame if (row.holder, row.function) == (thread, function)]
    return sum(row.wait_ns for row in rows) / whole


@pytest.mark.parametrize(("number", "options"), [(signal.SIGKILL, ()), (signal.SIGTERM, ("--no-stacks",))])
def test_a_process_that_hung_with_the_gil_blames_the_call_that_never_returned(tmp_path, number, options):
    process = killed(tmp_path, HUNG, number=number, options=options)
    report = process.report
    assert waited_behind(report, "MainThread", "hang") > 0.5
    (hold,) = report.still_held
    assert (hold.thread, hold.seen_at[0]) == ("MainThread", "hang")
    if number == signal.SIGKILL:  # else it runs the handler
        assert hold.state == "blocked in the kernel"
    assert report.held_ns <= report.elapsed_ns
    assert all(thread.lifetime_ns <= report.elapsed_ns for thread in report.threads)
    waits = {thread.native_id: thread.wait_ns for thread in report.threads}
    blamed = dict.fromkeys(waits, 0)
    for row in report.blame:
        blamed[row.waiter_id] += row.wait_ns
    assert blamed == waits
    assert max(site.hold_ns for site in report.sites) == next(
        site.hold_ns for site in report.sites if site.function == "hang"
    )
    (stall, *_) = [stall for stall in report.longest_waits if stall.holder_function == "hang"]
    told = [frame.function for frame in stall.holder_stack if frame.filename]
    assert told[-2:] == ["<module>", "hang"] if options == () else told[-1] == "hang"
    text = render_process(process)
    assert re.search(r"Still held at the end: by MainThread, for .* in hang \(.*app\.py:10\)", text)


def test_a_thread_that_has_the_gil_since_before_the_trace_is_told_too(tmp_path):
    report = killed(
        tmp_path, FROM_THE_BEGINNING, number=signal.SIGKILL, command=[sys.executable, "app.py"]
    ).report
    assert waited_behind(report, "MainThread", "hang") > 0.5
    (hold,) = report.still_held
    assert (hold.thread, hold.seen_at[0]) == ("MainThread", "hang")
    assert report.held_ns > 0.5 * report.elapsed_ns


@pytest.mark.skipif(sys.version_info < (3, 12), reason="interpreters share the GIL before 3.12")
def test_a_hang_in_an_interpreter_with_its_own_gil_is_told(tmp_path):
    report = killed(tmp_path, ELSEWHERE).report
    (hold,) = report.still_held
    assert (hold.thread, hold.seen_at[0]) == ("MainThread (interpreter 1)", "spin")
    assert waited_behind(report, hold.thread, "spin") > 0.5


@pytest.mark.lengthy
@pytest.mark.parametrize(("program", "busy"), [(HUNG, False), (BUSY, True)])
def test_a_hold_that_computes_is_told_from_one_that_is_blocked(tmp_path, program, busy):
    report = killed(tmp_path, program, options=("--cpu-time",)).report
    (hold,) = report.still_held
    (thread,) = [thread for thread in report.threads if thread.name == "MainThread"]
    assert hold.state == ("running" if busy else "blocked in the kernel")
    assert thread.hold_cpu_ns <= thread.hold_ns
    sites = [site for site in report.sites if site.function == ("spin" if busy else "hang")]
    assert all(site.hold_cpu_ns <= site.hold_ns for site in sites)
    used_ns, held_ns = sum(site.hold_cpu_ns for site in sites), sum(site.hold_ns for site in sites)
    assert used_ns > 5_000_000 if busy else used_ns < 0.02 * held_ns  # others may want the core, too


def test_what_a_stall_shows_is_in_the_recording(tmp_path):
    write_files(tmp_path, {"app.py": HUNG})
    path = tmp_path / "out.gilprobe"
    command = record_command("app.py", options=["--stall", "20ms"], target=path.name)
    with start(command, tmp_path) as process:
        told = [process.stderr.readline().decode()]
        while not told[-1].startswith("  hang ("):  # on a busy machine there may be others before
            told.append(process.stderr.readline().decode())
            assert told[-1], told
        wait_for(process, lambda: seen_in(path) >= 2)
        process.kill()
        process.wait()
    assert told[0].startswith("gilprobe: GIL held for")
    recorded = [payload for kind, payload in recording_chunks.chunks(path, cut=True) if kind == "SEEN"]
    reasons = [recording_chunks.Payload(payload[1:]).number() for payload in recorded]
    assert 1 in reasons
    (stall, *_) = [stall for stall in load(path).report.longest_waits if stall.holder_stack]
    assert stall.seen_at[0] == "hang"


@contextmanager
def stopped(process):
    """Have a debugger stop the main thread; if it may not, end the process."""
    command = [sys.executable, "-c", DEBUGGER, str(process.pid)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as debugger:
        told = debugger.stdout.readline()
        if told != "stopped\n":
            process.kill()
            pytest.skip(f"no thread may be stopped here: {told}")
        yield
        debugger.communicate()


@pytest.mark.lengthy
def test_a_holder_that_a_debugger_has_stopped_is_told_from_a_busy_one(tmp_path):
    report = killed(tmp_path, MAY_BE_STOPPED + BUSY, meanwhile=stopped).report
    (hold,) = report.still_held
    assert (hold.state, hold.seen_at[0], hold.seen_at[3]) == ("stopped by a debugger", "spin", "sum")
