"""Scenarios in processes of their own: what hangs, crashes or lies costs one clear line, and no more."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from processes import alive, children_of, gone, running, shell_program

import gilprobe
from gilprobe.errors import ScenarioError
from gilprobe.results import Fact
from gilprobe.scenarios import own_process
from gilprobe.scenarios.own_process import ScenarioOrder
from gilprobe.workers import launch, protocol
from gilprobe.workers.pythons import Python, this_python

pytestmark = pytest.mark.plain_python

HEAD = """
import ctypes, os, signal, subprocess, sys, threading, time
from gilprobe.scenarios import Arm, Fact, Findings, Scenario

def measure(request):
    request.progress("begins", 0.25)
"""
TAIL = """
    return Findings((), (Fact("one", 1.0, ""),), ())

SCENARIO = Scenario(id="mine", title="Mine", group="lessons", measure=measure, ceiling_s={ceiling})
"""


@pytest.fixture
def run(tmp_path):
    """Return a function that runs a scenario whose body is given, on one interpreter unless told."""

    def run(body, *, ceiling=30.0, pythons=None, told=lambda *_: None, **order):
        path = tmp_path / "mine.py"
        path.write_text(HEAD + textwrap.indent(textwrap.dedent(body), "    ") + TAIL.format(ceiling=ceiling))
        whole = ScenarioOrder(str(path), "mine", **order)
        return own_process.run_side_by_side(whole, pythons or [this_python()], ceiling, told)

    return run


def workers():
    """Return the workers that this process has started and that are still there."""
    return set(children_of(os.getpid())) & set(running("worker import main"))


def test_a_result_comes_back_whole_and_what_was_printed_apart(run):
    told = []
    (outcome,) = run(
        """
        print("to stdout")
        os.write(1, b"raw\\n")
        subprocess.run(["echo", "from a child"])
        assert sys.stdin.read() == ""
        print("to stderr", file=sys.stderr)
        """,
        told=lambda _interpreter, label, share: told.append((label, share)),
    )
    assert outcome.complaint == ""
    assert outcome.answer.facts == (Fact("one", 1.0, ""),)
    assert outcome.answer.environment.python == gilprobe.capabilities().python
    assert sorted(outcome.output.splitlines()) == ["from a child", "raw", "to stderr", "to stdout"]
    assert told == [("starts", 0.0), ("begins", 0.25), ("done", 1.0)]


def test_a_task_reaches_the_scenario_as_it_was_given(run):
    (outcome,) = run(
        "print(request.threads, request.frame.repeat, request.quick)", threads=(1, 3), repeat=7, quick=True
    )
    assert outcome.output == "(1, 3) 7 True\n"


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("1 / 0", r"mine failed: ZeroDivisionError: division by zero (mine.py:7, in measure)"),
        ("sys.exit('enough')", "mine failed: SystemExit: enough (mine.py:7, in measure)"),
        ("raise RuntimeError('a\\nb')", "mine failed: RuntimeError: a b (mine.py:7, in measure)"),
        ("os._exit(3)", "mine failed: its process ended with status 3"),
        (
            "os.write(2, b'last words\\n\\n'); os.kill(os.getpid(), signal.SIGKILL)",
            "mine failed: its process was killed by SIGKILL: last words",
        ),
        ("os.abort()", "mine failed: its process was killed by SIGABRT"),
        ("return 3", "mine failed: AttributeError: 'int' object has no attribute 'arms'"),
        (
            "return Findings((), (Fact('x', float('inf'), ''),), ())",
            "mine failed: a result must be finite numbers and text: Out of range float values",
        ),
        (
            "return Findings((), (Fact('x', 'many', ''),), ())",
            "mine failed: result.facts[0].value must be a float, got 'many'",
        ),
        ("request.progress('x', 'y')", "mine failed: ValueError: could not convert string to float: 'y'"),
    ],
)
def test_what_fails_is_told_in_one_line(run, body, complaint):
    (outcome,) = run(body)
    assert outcome.answer is None
    assert outcome.complaint.startswith(complaint)
    assert "\n" not in outcome.complaint


@pytest.mark.parametrize(
    "body",
    [
        "time.sleep(600)",
        "ctypes.PyDLL(None).sleep(600)",  # with the GIL held: nothing in the worker can end it
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\nwhile True: pass",
        "while True:\n    try:\n        time.sleep(600)\n    except BaseException:\n        pass",
    ],
)
def test_what_hangs_is_cut_at_its_ceiling(run, body, monkeypatch):
    monkeypatch.setattr(launch, "GRACE_S", 0.1)
    (outcome,) = run(body, ceiling=0.7)
    assert outcome.complaint == "mine was stopped after its limit of 0.7 s, 25% done (begins)"
    assert not workers()


def test_a_ceiling_may_be_longer_than_any_clock_counts(run):
    (outcome,) = run("", ceiling=1e300)
    assert outcome.answer is not None


def test_between_its_runs_a_scenario_is_cut_by_itself(run):
    (outcome,) = run("time.sleep(0.6); request.progress('next', 0.5)", ceiling=0.5)
    assert outcome.complaint == "mine was stopped after its limit of 0.5 s, 50% done"


def test_what_a_scenario_has_started_is_ended_with_it(run):
    """A grandchild that keeps the pipes open neither keeps the parent waiting nor stays."""
    (outcome,) = run(
        """
        subprocess.Popen(["sleep", "611.75"])
        if os.fork() == 0:
            time.sleep(600)
        """
    )
    assert outcome.answer is not None
    assert gone("611.75")
    (outcome,) = run("subprocess.Popen(['sleep', '612.75']); os._exit(9)")
    assert outcome.complaint == "mine failed: its process ended with status 9"
    assert gone("612.75")
    (outcome,) = run("subprocess.Popen(['yes', '615.75']); os._exit(9)")
    assert outcome.complaint.startswith("mine failed: its process ended with status 9")
    assert gone("615.75")


def test_a_fork_that_falls_out_of_a_scenario_tells_nothing(run):
    (outcome,) = run("if os.fork() == 0: request.progress('the child', 0.9)\nos.wait()")
    assert outcome.complaint == ""
    assert outcome.answer is not None


def test_threads_that_are_left_do_not_keep_the_worker(run, monkeypatch):
    monkeypatch.setattr(launch, "FAREWELL_S", 0.2)
    (outcome,) = run("threading.Thread(target=time.sleep, args=(600,)).start()")
    assert outcome.answer is not None
    assert not workers()


def test_a_scenario_that_prints_without_end_neither_blocks_nor_fills_the_memory(run):
    (outcome,) = run("for n in range(300_000): print(n)")
    assert outcome.answer is not None
    assert outcome.output.endswith("299999\n")
    assert len(outcome.output) < 20_000


def test_exactly_one_of_several_computes_and_they_take_turns(run, tmp_path):
    """Each turn notes when it begins and ends; no two overlap, and they alternate."""
    log = tmp_path / "log"
    body = f"""
        for step in range(4):
            begun = time.monotonic_ns()
            time.sleep(0.02)
            with open({str(log)!r}, "a") as file:
                file.write(f"{{begun}} {{time.monotonic_ns()}} {{os.getpid()}}\\n")
            request.progress("next", 0.3 + step / 10)
    """
    shares = []
    outcomes = run(
        body,
        pythons=[this_python()] * 3,
        told=lambda _interpreter, _label, share: shares.append(share),
    )
    assert [outcome.complaint for outcome in outcomes] == ["", "", ""]
    rows = sorted(tuple(map(int, line.split())) for line in log.read_text().splitlines())
    assert len(rows) == 12
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(rows))
    for number in range(0, 12, 3):
        assert len({pid for _, _, pid in rows[number : number + 3]}) == 3
    assert shares == sorted(shares)


def test_the_turns_of_others_do_not_count_against_the_ceiling_or_as_other_load(run):
    body = """
        before = request.frame.cpu_times()
        end = time.monotonic() + 0.2
        for step in range(4):
            end = time.monotonic() + 0.1
            while time.monotonic() < end: pass
            request.progress("next", 0.5)
        after = request.frame.cpu_times()
        print(after and after.total_s - before.total_s)
    """
    outcomes = run(body, ceiling=1.2, pythons=[this_python()] * 4)
    assert [outcome.complaint for outcome in outcomes] == [""] * 4
    if outcomes[0].output != "None\n":
        cores = len(os.sched_getaffinity(0))
        for outcome in outcomes:
            assert float(outcome.output) / cores < 1.2, "more than its own 0.4 s and some noise"


def test_one_that_dies_costs_the_others_nothing(run):
    other = Python(this_python().path, "other", (*this_python().flags, "-Xdying=1"))
    outcomes = run("if 'dying' in sys._xoptions: os._exit(5)", pythons=[other, this_python()])
    assert outcomes[0].complaint == "mine failed: its process ended with status 5"
    assert outcomes[1].answer is not None


# What the file of a user may be


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have SCENARIO"),
        ("import nowhere_at_all", "fails: ModuleNotFoundError"),
        ("import os; os._exit(4)", "failed: its process ended with status 4"),
        ("raise SystemExit(5)", "SystemExit: 5"),
    ],
)
def test_a_bad_file_is_told_in_one_line_and_not_run_here(tmp_path, text, message):
    path = tmp_path / "bad.py"
    path.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        own_process.look_into(str(path), this_python())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_hangs_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "BEGIN_S", 0.5)
    path = tmp_path / "bad.py"
    path.write_text("import time; time.sleep(600)")
    with pytest.raises(ScenarioError, match=r"bad\.py was stopped: it must list its scenarios within 0\.5 s"):
        own_process.look_into(str(path), this_python())


# Workers that break the rules

HOSTILE = """#!{python}
import sys, time
from gilprobe import __version__; from gilprobe.measuring import host as machine
from gilprobe.results import ScenarioResult
from gilprobe.scenarios.own_process import Offer
from gilprobe.workers import protocol as p
environment = machine.read_environment()
def say(line):
    sys.stdout.buffer.write(line if isinstance(line, bytes) else p.write(line))
    sys.stdout.flush()
hello = p.Hello(__version__)
result = ScenarioResult("other", "", (), (), (), "", (), environment, ())
progress = p.Progressed("x", 0.5)
say(hello)
sys.stdin.readline()
{lines}
time.sleep(600)
"""


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("say(b'garbage\\n')", "a message must be JSON: Expecting value"),
        ("say(b'\\xff\\n')", "a message must be JSON: 'utf-8' codec"),
        ('say(b\'{"result": {"id": 3}}\\n\')', "result lacks the key 'title'"),
        ("say(hello)", "a worker sent an unexpected Hello"),
        ("say(p.Done(result))", "a worker sent an unexpected result of 'other'"),
        ("say(p.Done(Offer(())))", "result lacks the key 'id'"),
        ("say(p.write(progress) * 2)", "a worker that is waiting sent Progressed"),
        ("say(b'x' * (3 << 20))", "a message of more than 1 MiB"),
    ],
)
def test_a_worker_that_breaks_the_rules_is_ended_with_a_line(tmp_path, monkeypatch, lines, complaint):
    monkeypatch.setattr(protocol, "LONGEST_LINE", 1 << 20)
    path = shell_program(tmp_path, "python9", "")
    Path(path).write_text(HOSTILE.format(python=sys.executable, lines=lines))
    order = ScenarioOrder("mine", "mine")
    (outcome,) = own_process.run_side_by_side(order, [Python(path, path)], 30.0, lambda *_: None)
    assert outcome.answer is None
    assert outcome.complaint.startswith(f"mine failed: {complaint}")


def test_a_module_in_the_current_folder_does_not_shadow_what_is_measured(run, tmp_path, monkeypatch):
    (tmp_path / "gilprobe").mkdir()
    (tmp_path / "gilprobe" / "__init__.py").write_text("raise ImportError('shadowed')")
    monkeypatch.chdir(tmp_path)
    (outcome,) = run("")
    assert outcome.complaint == ""


# The end of those that started it

PARENT = """
import sys
from gilprobe.scenarios import own_process
from gilprobe.workers.pythons import this_python
order = own_process.ScenarioOrder(sys.argv[1], "mine")
interpreters = [this_python()] * 2
own_process.run_side_by_side(order, interpreters, 100.0, lambda *told: print("told", flush=True))
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
@pytest.mark.parametrize(
    "body", ["time.sleep(600)", "subprocess.Popen(['sleep', '614.75'])\n    ctypes.PyDLL(None).sleep(600)"]
)
def test_when_the_parent_is_killed_the_workers_end_with_all_they_have_started(tmp_path, body):
    path = tmp_path / "killed.py"
    path.write_text(HEAD + "    open('ready', 'w').close()\n    " + body + TAIL.format(ceiling=100))
    parent = tmp_path / "parent.py"
    parent.write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, "-P", str(parent), str(path)], cwd=tmp_path, stdout=subprocess.PIPE
    ) as process:
        latest = time.monotonic() + 120
        while not (tmp_path / "ready").exists() and time.monotonic() < latest:
            time.sleep(0.02)
        workers = children_of(process.pid)
        assert len(workers) == 2
        os.kill(process.pid, signal.SIGKILL)
    while any(map(alive, workers)) and time.monotonic() < latest:
        time.sleep(0.05)
    assert not [worker for worker in workers if alive(worker)]
    assert gone("614.75")
