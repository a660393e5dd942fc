"""What all tests share: the package under test, made-up data, processes and libraries of their own."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The tests are about the package that is installed. `python -m pytest` puts the checkout first on sys.path,
# where gilprobe has no compiled core, and so would a child process that a test starts from there.
_CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != _CHECKOUT]
os.environ["PYTHONSAFEPATH"] = "1"

# How long an example takes, or its making, is the machine's affair, which may be a busy one.
settings.register_profile(
    "unhurried", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")

# A shell starts what it runs in the background with SIGINT ignored, which programs inherit: those that the
# tests interrupt would go on for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from gilprobe.model.distribution import EMPTY, Distribution  # noqa: E402
from gilprobe.model.environment import Environment  # noqa: E402
from gilprobe.model.locks import Lock, LockWait, LockWaiter  # noqa: E402
from gilprobe.report import Blame, Frame, Report, Site, Stack, Stall, ThreadAccount  # noqa: E402
from gilprobe.results import Arm, Claim, Fact, Law, ScenarioResult, TracedArm  # noqa: E402


def _builds_on_import():
    """Return whether the package is an editable install that is compiled when it is imported."""
    finders = (finder for finder in sys.meta_path if hasattr(finder, "rebuild_flag"))
    return any(finder.rebuild_flag and "gilprobe" in finder.pkgs for finder in finders)


def _reruns(item):
    """Return how often a test is tried again if an assertion fails.

    A busy machine breaks comparisons of durations. In CI, which runs 17,000 tests on six interpreters, any
    other is tried once more: it is told as shaky, and is to be mended. Crashes and hostile programs count at
    once.
    """
    if item.get_closest_marker("timing"):
        return 2
    must_pass = any(word in item.path.name for word in ("hostile", "guard"))
    return 0 if must_pass or not os.environ.get("CI") else 1


def pytest_collection_modifyitems(config, items):
    """Give the project's own marks their meaning."""
    builds = _builds_on_import()
    able = config.pluginmanager.hasplugin("rerunfailures")
    for item in items:
        if able and (reruns := _reruns(item)):
            item.add_marker(pytest.mark.flaky(reruns=reruns, reruns_delay=1, only_rerun="AssertionError"))
        if builds and item.get_closest_marker("spawns_nothing"):
            item.add_marker(pytest.mark.skip(reason="editable.rebuild starts a build in each process"))


@pytest.fixture
def environment():
    return Environment(
        gilprobe="0.1.0",
        python="3.13.0",
        implementation="CPython",
        build="gil",
        gil_enabled=True,
        compiler="GCC 12",
        platform="Linux",
        machine="x86_64",
        cpu="A processor",
        cores=2,
        cores_online=4,
        switch_interval_s=0.005,
        load_average=0.25,
        clock="tsc",
        started="2025-01-02T03:04:05Z",
    )


@pytest.fixture
def account():
    """Return a function that makes a thread's account."""

    def make(name="worker 1", hold_ms=600, wait_ms=300, off_ms=100, **changes):
        whole = ThreadAccount(
            native_id=4711,
            name=name,
            ended=True,
            interpreter=0,
            merged=1,
            lifetime_ns=(hold_ms + wait_ms + off_ms) * 1_000_000,
            hold_ns=hold_ms * 1_000_000,
            wait_ns=wait_ms * 1_000_000,
            off_ns=off_ms * 1_000_000,
            acquisitions=9,
            contended_acquisitions=5,
            forced_releases=3,
            voluntary_releases=6,
            hold=EMPTY,
            wait=EMPTY,
        )
        return dataclasses.replace(whole, **changes)

    return make


@pytest.fixture
def report(environment, account):
    return Report(
        elapsed_ns=1_000_000_000,
        held_ns=900_000_000,
        contended_ns=300_000_000,
        handoffs=5,
        threads=(account("MainThread", 5, 0, 995), account("worker 1"), account("worker 2", 300, 600, 100)),
        sites=(
            Site("JSONEncoder.iterencode", "/lib/encoder.py", 250, 4, 600_000_000, 300_000_000, 590_000_000),
            Site("(start or end of a thread)", "", 0, 1, 1_000, 2_000, 0),
        ),
        stacks=(
            Stack(
                (Frame("main", "app.py", 3), Frame("JSONEncoder.iterencode", "/lib/encoder.py", 250)),
                4,
                600_000_000,
                300_000_000,
                590_000_000,
            ),
        ),
        blame=(
            Blame(
                "worker 2",
                4712,
                "worker 1",
                4711,
                "JSONEncoder.iterencode",
                "/lib/encoder.py",
                250,
                0,
                590_000_000,
            ),
            Blame("worker 2", 4712, "", 0, "(handoff)", "", 0, None, 10_000_000),
        ),
        longest_waits=(
            Stall(
                "worker 2",
                "recv",
                "server.py",
                40,
                "worker 1",
                "JSONEncoder.iterencode",
                "/lib/encoder.py",
                250,
                200_000_000,
                212_000_000,
                210_000_000,
            ),
        ),
        dropped_events=0,
        warnings=("a doubt about the trace",),
        environment=environment,
    )


def _waited(count, total_ms, max_ms, bucket):
    return Distribution(count, total_ms * 1_000_000, max_ms * 1_000_000, ((bucket, count),))


@pytest.fixture
def with_locks(report):
    """Return a report with waits for locks: 70 ms, 10 of them in spins; 5 ms stopped; 200 ms for work."""
    ms = 1_000_000
    get, put, main = (
        ("Cache.get", "/app/cache.py", 12),
        ("Cache.put", "/app/cache.py", 30),
        ("main", "/app.py", 3),
    )
    return dataclasses.replace(
        report,
        locks=(
            Lock("work", "", "Queue.get", "", 0, _waited(1, 200, 200, 1600)),
            Lock("lock", "_thread.lock", "self._lock", "Cache", 0, _waited(3, 70, 40, 1500), 10 * ms),
            Lock("stop the world", "", "", "", 0, _waited(1, 5, 5, 1400)),
        ),
        lock_waits=(
            LockWait(0, "MainThread", 4711, *main, "worker 1", 4711, *get, 200 * ms),
            LockWait(1, "worker 1", 4711, *get, "worker 2", 4711, *put, 50 * ms),
            LockWait(1, "worker 1", 4711, *get, "", 0, "(handoff)", "", 0, 10 * ms),
            LockWait(1, "worker 2", 4711, *put, "worker 1", 4711, *get, 10 * ms),
            LockWait(2, "worker 2", 4711, *put, "", 0, "(not seen)", "", 0, 5 * ms),
        ),
        lock_waiters=(
            LockWaiter(0, "MainThread", 4711, *main, 1, 200 * ms, 200 * ms),
            LockWaiter(1, "worker 1", 4711, *get, 2, 60 * ms, 40 * ms, 10 * ms),
            LockWaiter(1, "worker 2", 4711, *put, 1, 10 * ms, 10 * ms),
            LockWaiter(2, "worker 2", 4711, *put, 1, 5 * ms, 5 * ms),
        ),
    )


@pytest.fixture
def without_gil(with_locks, account):
    """Return the same of a Python without a GIL: threads are off all their lives."""
    threads = tuple(account(one.name, 0, 0, 1000) for one in with_locks.threads)
    bare = {"threads": threads, "sites": (), "stacks": (), "blame": (), "longest_waits": ()}
    none = {"held_ns": 0, "contended_ns": 0, "handoffs": 0}
    environment = dataclasses.replace(with_locks.environment, build="free-threaded", gil_enabled=False)
    return dataclasses.replace(with_locks, **bare, **none, environment=environment)


@pytest.fixture
def result(environment, report):
    return ScenarioResult(
        id="held-vs-released",
        title="The same loop twice",
        arms=(
            Arm("held", 1, "operations/s", 5e8, 4.9e8, 5.1e8, (4.9e8, 5e8, 5.1e8)),
            Arm("held", 2, "operations/s", 4.9e8, 4.8e8, 5.0e8, (4.8e8, 4.9e8, 5.0e8)),
        ),
        facts=(
            Fact("speedup_held_2", 0.98, ""),
            Fact("efficiency_held_2", 0.49, ""),
            Fact("handoffs_2", 200.0, "1/s"),
        ),
        laws=(
            Law(
                "as fast as one",
                "0.90x to 1.05x",
                "0.98x",
                "holds",
                Claim("speedup", "x", "interval", 0.98, 0.96, 0.99, "held", 2, 0.9, 1.05),
            ),
            Law("twice as fast", "1.90x", "1.00x", "does not hold"),
            Law("free", "off >= 95%", "no tracer", "not testable here"),
        ),
        printed="",
        traces=(TracedArm("held", 2, report),),
        environment=environment,
        warnings=("unstable: it spreads",),
    )


SUPPORT = Path(__file__).parent / "support"
CSRC = Path(__file__).parent.parent / "csrc"


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a child process ended."""

    status: int
    stdout: str
    stderr: str


def _end(process):
    """Have a child that hangs show where, then end it with all that it started."""
    process.send_signal(signal.SIGABRT)  # faulthandler answers with the stacks of all threads
    try:
        return process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        return "", "it did not answer SIGABRT"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def child(tmp_path):
    """Return a function that runs a script in a process of its own: a crash or a hang is only a failure.

    The script starts outside the checkout, whose package has no compiled modules. A free-threaded interpreter
    runs it with its GIL on. What it writes is returned to the letter.
    """

    def run(script, *, env=None, timeout=120, options=("-W", "ignore::DeprecationWarning")):
        path = tmp_path / "child.py"
        path.write_text(textwrap.dedent(script), encoding="utf-8")
        variables = os.environ | {"PYTHONPATH": str(SUPPORT), "PYTHONFAULTHANDLER": "1"}
        if sysconfig.get_config_var("Py_GIL_DISABLED"):
            variables["PYTHON_GIL"] = "1"
        process = subprocess.Popen(
            [sys.executable, "-P", *options, str(path)],
            cwd=tmp_path,
            env=variables | (env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            stdout, stderr = _end(process)
            pytest.fail(f"hung for {timeout} s; it wrote {stdout!r} and\n{stderr}")
        return Ended(process.returncode, stdout, stderr)

    return run


@pytest.fixture(scope="session")
def second_library(tmp_path_factory):
    """Return the path of a shared library that swaps the interpreter's import slots too, built now."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("no C compiler to build the second library with")
    if not CSRC.is_dir():
        pytest.skip("the C sources to build the second library from are not here")
    path = tmp_path_factory.mktemp("second") / "libsecond.so"
    sources = [str(SUPPORT / "second_library.c"), str(CSRC / "hooks" / "gp_hooks.c")]
    command = [compiler, "-shared", "-fPIC", "-O1", "-pthread", f"-I{CSRC}", *sources, "-o", str(path)]
    subprocess.run(command, check=True)
    return path
