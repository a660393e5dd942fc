"""No lock of others is waited for with the GIL: what the core calls is compared with docs/locks.md."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gilprobe._native import tracer

SUPPORTED, REASON = tracer.support()
PAGE = Path(__file__).parents[2] / "docs" / "locks.md"
WITNESS = Path(__file__).parent.parent / "support" / "lock_witness.c"
STATES = ("nothing", "GIL", "mutex")

pytestmark = pytest.mark.skipif(not SUPPORTED, reason=f"the GIL can't be traced here: {REASON}")

# All that a trace can be made to do, in a process that ends with what the witness saw.
EVERYTHING = """
import ctypes, gc, os, signal, sys, threading, time
import gilprobe
from gilprobe._native import tracer
from tracer_checks import busy, run_threads, spin

witness = ctypes.CDLL(os.environ["LD_PRELOAD"])
nowhere = os.open(os.devnull, os.O_WRONLY)

def fork(child=lambda: None):
    if (pid := os.fork()) == 0:
        child()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    spin(0.02)  # for the threads that were paused

def trace_anew():
    with gilprobe.trace() as t:
        run_threads(2, spin, 0.02)
    t.report()

def trace(**options):
    with gilprobe.trace(**options) as t:
        t.guard_signals()
        fork()  # alone but for native threads of ours
        with gilprobe.watch_stalls(0.001, nowhere):
            run_threads(3, spin, 0.03)
            fork(trace_anew)
            t.report()
    t.report()

for _ in range(2):
    trace(sites=False)
    trace(path="recording")
    trace(stacks=True, timeline=True, cpu_time=True)
if sys.version_info >= (3, 13):  # one with a GIL of its own
    import _interpreters
    with gilprobe.trace(path="recording") as t:
        other = _interpreters.create()
        thread = threading.Thread(target=_interpreters.exec, args=(other, "import time; time.sleep(0.05)"))
        thread.start()
        spin(0.02)
        t.report()
        thread.join()
    t.report()
    _interpreters.destroy(other)
with busy(3):
    trace_anew()  # of threads that are met while they wait
left = gilprobe.trace(timeline=True).start()
run_threads(2, spin, 0.02)
del left
session = tracer.Session(recorder=tracer.Recorder(b"session", True))
del session  # as the collector finds one that nobody stopped
gc.collect()
try:
    gilprobe.trace(path="/nowhere/at/all").start()
except FileNotFoundError:
    pass
sampler = tracer.Sampler(object(), 1_000_000, 10)
sampler.start()
time.sleep(0.01)
sampler.stop()
gilprobe.capabilities()

text = ctypes.create_string_buffer(1 << 16)
witness.witness_report(text, ctypes.c_size_t(len(text)))
print(text.value.decode(), end="")
"""


def listed() -> list[tuple[str, str]]:
    """Return the calls of the page's first table, each with what is held."""
    page = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)`( \([^|`]*\))? \| (\w+) \|", page, re.MULTILINE)
    return [(name + kind, held) for name, kind, held in rows if held in STATES]


@pytest.fixture(scope="session")
def witness(tmp_path_factory):
    """Return the path of the library that sees the core's calls, built now."""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("the witness knows the functions of glibc")
    if any(name in os.environ.get("LD_PRELOAD", "") for name in ("asan", "tsan")):
        pytest.skip("a sanitizer stands in front of the same functions")
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("no C compiler to build the witness with")
    path = tmp_path_factory.mktemp("witness") / "libwitness.so"
    options = ["-shared", "-fPIC", "-O2", "-pthread", "-Wl,--no-as-needed"]
    subprocess.run([compiler, *options, str(WITNESS), "-o", str(path), "-lgcc_s", "-ldl"], check=True)
    return path


@pytest.fixture(scope="session")
def seen(witness, tmp_path_factory):
    """Return the calls that the core made, each with what was held."""
    ended = subprocess.run(
        [sys.executable, "-P", "-W", "ignore::DeprecationWarning", "-c", EVERYTHING],
        cwd=tmp_path_factory.mktemp("witnessed"),
        env=os.environ
        | {"LD_PRELOAD": str(witness), "PYTHONPATH": str(WITNESS.parent), "PYTHONFAULTHANDLER": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    return {tuple(line.split("\t")) for line in ended.stdout.splitlines()}


@pytest.mark.lengthy
def test_every_call_that_may_wait_is_on_the_page(seen):
    assert seen - set(listed()) == set()


def test_what_may_wait_for_the_loader_is_called_without_the_gil(seen):
    """So it is called: the witness sees what there is to see."""
    for name in ("dl_iterate_phdr", "dlsym", "__register_atfork", "pthread_create", "pthread_once"):
        assert {held for call, held in seen if call == name} == {"nothing"}, name


def test_hooks_wait_for_locks_of_gils_and_of_ours_only(seen):
    """So it is seen what they do at the first event of a thread that is met while it waits."""
    under_the_mutex = {call for call, held in seen if held == "mutex"}
    assert {"pthread_setspecific", "pthread_mutex_lock (ours)"} <= under_the_mutex
    assert under_the_mutex <= {
        *(["_Unwind_Backtrace"] if platform.machine() == "aarch64" else []),
        "pthread_setspecific",
        "pthread_mutex_lock (ours)",
        "pthread_mutex_lock (others)",
    }


def test_the_page_lists_each_call_once_and_no_stream():
    calls = listed()
    assert len(set(calls)) == len(calls) > len(STATES)
    assert not {name for name, _ in calls} & {"fopen", "fclose", "fflush", "fputs", "syslog", "dlopen"}


@pytest.mark.parametrize("options", ["", "stacks=True, timeline=True, cpu_time=True", "path='recording'"])
def test_start_report_and_stop_load_nothing(child, options):
    """An import asks the loader with the GIL, and takes locks of modules."""
    ended = child(f"""
        import sys, gilprobe
        t = gilprobe.trace({options})
        before = set(sys.modules)
        t.start()
        t.report()
        t.stop()
        t.report()
        print(sorted(set(sys.modules) - before))
    """)
    assert (ended.status, ended.stdout, ended.stderr) == (0, "[]\n", "")


def test_a_trace_waits_for_no_lock_of_threading(child):
    ended = child("""
        import threading, gilprobe
        taken, over = threading.Event(), threading.Event()

        def hold():
            with threading._active_limbo_lock:
                taken.set()
                over.wait()

        holder = threading.Thread(target=hold)
        holder.start()
        taken.wait()
        t = gilprobe.trace().start()
        names = {thread.name for thread in t.report().threads}
        t.stop()
        over.set()
        holder.join()
        print("MainThread" in names)
    """)
    assert (ended.status, ended.stdout, ended.stderr) == (0, "True\n", "")
