"""Teams on every engine: at the same time, by one clock; what goes wrong is one clear error, never a hang."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from gilprobe.engines import NAMES, named
from gilprobe.engines.memory_use import proportional_bytes
from gilprobe.engines.team import Work
from gilprobe.errors import InvalidTypeError, InvalidValueError, UnsupportedError, WorkerError

PROCESSES = ("fork", "forkserver", "spawn")
NAPS = Work("engine_work", "sleep", {"seconds": 0.01}, chunk=1)


@pytest.fixture(params=NAMES)
def engine(request):
    """Return each engine that there is here."""
    found = named(request.param)
    if reason := found.unavailable():
        pytest.skip(reason)
    return found


@pytest.fixture
def process_engine(engine):
    if engine.name not in PROCESSES:
        pytest.skip("not processes")
    return engine


def wait_until(condition, limit_s=120.0):
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def overlap(run):
    """Tell whether all members of a run worked at the same time."""
    return max(member.start_ns for member in run.members) < min(member.end_ns for member in run.members)


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def lives(pid):
    """Tell whether a process runs: one that has ended and waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")


def test_workers_work_at_the_same_time_by_one_clock(engine):
    before = time.perf_counter_ns()
    with engine.start(3, NAPS) as team:
        ready = time.perf_counter_ns()
        runs = [team.run(20), team.run(1)]
        while not overlap(runs[0]) and len(runs) < 20:  # a busy machine may run one after the other
            runs.insert(0, team.run(20))
        memory = team.memory_per_worker()
    assert team.engine == engine.name
    assert [run.operations for run in runs] == [60] * (len(runs) - 1) + [3]
    assert 0 < max(team.startup_each_ns) <= team.startup_ns <= ready - before
    assert len(team.startup_each_ns) == 3
    for run in runs:
        assert len(run.members) == 3
        assert len({member.native_id for member in run.members}) == 3
        assert all(ready < run.opened_ns <= member.start_ns < member.end_ns for member in run.members)
        assert run.elapsed_ns == max(member.end_ns for member in run.members) - run.opened_ns
        assert run.cpu_ns >= 0
    assert runs[0].elapsed_ns > 20 * 10_000_000
    assert overlap(runs[0])
    if proportional_bytes() is not None:
        assert memory is not None
        assert engine.name not in PROCESSES or 100_000 < memory < 1_000_000_000


def test_nothing_stays_behind(engine):
    threads, files = set(threading.enumerate()), open_files()
    with engine.start(2, NAPS) as team:
        pids = set(team._pids)
    assert set(threading.enumerate()) == threads
    assert open_files() == files
    assert [pid for pid in pids if pid != os.getpid() and lives(pid)] == []


def test_what_a_worker_raises_is_one_error_that_says_where(engine):
    with engine.start(2, Work("engine_work", "fail", {"message": "no\udc80 way"}, chunk=1)) as team:
        with pytest.raises(WorkerError) as caught:
            team.run(1)
        assert str(caught.value).startswith(f"{engine.name}: worker ")
        assert "failed: ValueError: no\\udc80 way (engine_work.py:" in str(caught.value)
        with pytest.raises(WorkerError, match="failed: ValueError"):
            team.run(1)


@pytest.mark.plain_python
@pytest.mark.parametrize(
    ("work", "message"),
    [
        (
            Work("no_such_module_at_all", "f", chunk=1),
            "ModuleNotFoundError: No module named 'no_such_module_at_all'",
        ),
        (
            Work("engine_work", "no.such", chunk=1),
            "AttributeError: module 'engine_work' has no attribute 'no'",
        ),
    ],
)
def test_work_that_is_not_there_is_said_before_the_start(engine, work, message):
    with (
        pytest.raises(WorkerError, match=f"^{engine.name}: worker . failed: {message}"),
        engine.start(2, work),
    ):
        pytest.fail("it started")


@pytest.mark.plain_python
def test_a_run_that_takes_too_long_is_called_off(engine):
    """In a moment, since chunked work looks at the flag: none of the 600 s are waited for."""
    begun = time.monotonic()
    with engine.start(2, NAPS) as team:
        with pytest.raises(WorkerError, match=r"must finish within 0.3 s, 2 of 2 did not"):
            team.run(60_000, limit_s=0.3)
        with pytest.raises(WorkerError, match="must finish within"):
            team.run(1)
    assert time.monotonic() - begun < 300


@pytest.mark.plain_python
def test_a_process_that_dies_is_an_error_at_once(process_engine):
    work = Work("engine_work", "die", {"status": 3})
    with (
        process_engine.start(2, work) as team,
        pytest.raises(WorkerError, match=r"worker . ended with status 3$"),
    ):
        team.run(1)
    with process_engine.start(2, NAPS) as team:
        os.kill(team._pids[1], signal.SIGKILL)
        # A fork server does not tell what has killed a process.
        with pytest.raises(WorkerError, match=r"worker 2 (was killed by signal SIGKILL|ended with status )"):
            team.run(60_000)


@pytest.mark.plain_python
def test_a_spawner_that_dies_takes_all_with_it():
    with named("spawn").start(2, NAPS) as team:
        os.kill(team._crew._spawner.pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match="the process that starts the workers ended"):
            team.run(60_000)
        pids = team._pids
    wait_until(lambda: not any(map(lives, pids)))


UNGUARDED = """
import sys, threading
print("main", __name__, flush=True)
from gilprobe.engines import named
from gilprobe.engines.team import Work
threading.Thread(target=threading.Event().wait, daemon=True).start()
for name in ("fork", "forkserver", "spawn"):
    with named(name).start(2, Work("engine_work", "sleep", {"seconds": 0.01})) as team:
        print(name, len(team.run(1, limit_s=100).members), flush=True)
"""


def test_a_program_without_a_guard_and_with_threads_runs_once_and_hears_no_warning(child):
    ended = child(UNGUARDED, options=("-W", "error"))
    assert ended.stderr == ""
    assert ended.stdout.split("\n") == ["main __main__", "fork 2", "forkserver 2", "spawn 2", ""]


def test_a_program_without_standard_streams_has_teams_too(engine, child):
    ended = child(f"""
        import os
        from gilprobe.engines import named
        from gilprobe.engines.team import Work
        for stream in (0, 1, 2):
            os.close(stream)
        # One worker: two interpreters that begin at the same time without streams may fail, in CPython, when
        # one of them takes a file that the other is reading for its stdin.
        work = Work("engine_work", "sleep", {{"seconds": 0.01}}, chunk=1)
        with named({engine.name!r}).start(1, work) as team:
            turns = team.run(1, limit_s=100).members
        os._exit(40 + len(turns))
    """)
    assert ended.status == 41


LONG = """
import sys
sys.path.insert(0, {support!r})
from gilprobe.engines import named
from gilprobe.engines.team import Work
work = Work("engine_work", "write_pid", {{"folder": {folder!r}}}, chunk={chunk!r})
with named({name!r}).start(2, work) as team:
    team.run(60_000)
"""


@pytest.fixture
def long_run(tmp_path):
    """Return a function that has a program run a team for long, and returns the processes at work."""
    programs = []

    def start(name):
        folder = tmp_path / name
        folder.mkdir()
        support = str(Path(__file__).parent.parent / "support")
        in_process = name in ("threads", "interpreters")
        chunk = 100 if in_process else None  # a process can be killed
        script = LONG.format(support=support, name=name, folder=str(folder), chunk=chunk)
        # Ctrl-C at a terminal reaches every process of the foreground's group.
        program = subprocess.Popen(
            [sys.executable, "-P", "-c", textwrap.dedent(script)],
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        programs.append(program)
        wait_until(lambda: len(list(folder.iterdir())) == (1 if in_process else 2))
        return program, [int(path.name) for path in folder.iterdir()]

    yield start
    for program in programs:
        program.kill()
        program.communicate()


@pytest.mark.plain_python
def test_ctrl_c_ends_a_team_and_leaves_no_process(engine, long_run):
    program, pids = long_run(engine.name)
    os.killpg(program.pid, signal.SIGINT)
    _, message = program.communicate(timeout=120)
    assert message.splitlines()[-1] == "KeyboardInterrupt"
    assert message.count("Traceback (most recent call last)") == 1
    assert program.returncode == -signal.SIGINT
    assert not any(map(lives, pids))


@pytest.mark.plain_python
def test_a_killed_program_leaves_no_process(process_engine, long_run):
    program, pids = long_run(process_engine.name)
    program.kill()
    wait_until(lambda: not any(map(lives, pids)))


def test_an_interpreter_says_which_module_it_is_from():
    interpreters = named("interpreters")
    if sys.version_info < (3, 12):
        assert interpreters.unavailable().startswith("interpreters share one GIL before CPython 3.12")
        with pytest.raises(UnsupportedError, match="share one GIL"), interpreters.start(1, NAPS):
            pytest.fail("it started")
    else:
        assert interpreters.unavailable() == ""
        assert interpreters.module in ("_xxsubinterpreters", "_interpreters", "concurrent.interpreters")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="interpreters share the GIL before 3.12")
def test_interpreters_begin_and_end_over_and_over(child):
    ended = child("""
        from gilprobe.engines import named
        from gilprobe.engines.team import Work
        work = Work("engine_work", "countdown", chunk=1000)
        for _ in range(8):
            with named("interpreters").start(3, work) as team:
                assert len(team.run(20_000).members) == 3
        with named("fork").start(2, work) as team:  # after their end
            assert len(team.run(20_000).members) == 2
        print("done")
    """)
    assert (ended.stderr, ended.stdout, ended.status) == ("", "done\n", 0)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Work("__main__", "f"), InvalidValueError, "importable by other processes"),
        (lambda: Work("a b", "f"), InvalidValueError, "module must be a dotted name, got 'a b'"),
        (lambda: Work("m", "<lambda>"), InvalidValueError, "function must be a dotted name"),
        (lambda: Work("m", "f", {"x": []}), InvalidTypeError, "argument x must be a plain value, got list"),
        (lambda: Work("m", "f", {"x": float("nan")}), InvalidValueError, "argument x must be finite"),
        (lambda: Work("m", "f", chunk=0), InvalidValueError, "chunk must be between 1 and"),
        (lambda: named("interpreters").start(1, Work("m", "f")), InvalidValueError, "chunk must be a number"),
        (lambda: named("threads").start(0, NAPS).__enter__(), InvalidValueError, "workers must be between 1"),
        (lambda: named("threads").start(True, NAPS).__enter__(), InvalidTypeError, "workers must be an int"),
        (
            lambda: named("threads").start(9999, NAPS).__enter__(),
            InvalidValueError,
            "workers must be between",
        ),
        (lambda: named("fibers"), InvalidValueError, "engine must be one of threads, interpreters, fork"),
    ],
)
def test_bad_input_is_refused_with_the_rule_and_the_value(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_memory_is_the_proportional_set_size(tmp_path):
    (tmp_path / "proc/7").mkdir(parents=True)
    assert proportional_bytes(7, tmp_path) is None
    (tmp_path / "proc/7/smaps_rollup").write_text(
        "5581-7ffd ---p 0 00:00 0 [rollup]\nRss: 900 kB\nPss: 12 kB\n"
    )
    assert proportional_bytes(7, tmp_path) == 12 * 1024
