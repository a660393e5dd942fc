from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_up_runs import cell_run
from processes import alive, children_of, tied

import gilprobe
from gilprobe import scenarios
from gilprobe.errors import ScenarioError
from gilprobe.measuring.measure import Settings
from gilprobe.results import Fact
from gilprobe.scenarios import Findings, Scenario
from gilprobe.scenarios.support import cells
from gilprobe.scenarios.support.cells import Cell, CellPlan, observe_cells, run_cell, trace_cell

SHORT = Settings(arm_ns=5_000_000, member_ns=0)


@pytest.mark.timing
def test_what_a_cell_prints_is_stamped_as_it_comes():
    run = run_cell(Cell("import time\nprint(WORD)\ntime.sleep(0.2)\nprint('b')\n", {"WORD": "a"}))
    assert (run.text, run.status, run.cut) == ("a\nb\n", 0, False)
    assert 0 < run.at("a") < run.at("a") + 0.1 < run.at("b") <= run.exit_s


def test_the_exit_status_and_standard_error_are_told():
    run = run_cell(Cell("import sys\nprint('x', file=sys.stderr)\nsys.exit(3)\n"))
    assert (run.text, run.status, run.cut) == ("x\n", 3, False)


def test_a_cell_that_hangs_is_killed_with_all_that_it_started():
    run = run_cell(
        Cell(
            "import subprocess, sys, time\n"
            "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
            "print(child.pid)\n"
            "time.sleep(600)\n"
        ),
        timeout_s=1.0,
    )
    assert (run.status, run.cut) == (-9, True)
    assert run.exit_s >= 1.0
    if run.text:  # a slow machine may not have come that far
        assert ended(int(run.text))


def ended(pid):
    """Return whether a process ends within two minutes; it may be left over, unwaited for, by then."""
    for _ in range(6000):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


WATCHER = """
from gilprobe.scenarios.support.cells import Cell, run_cell
run_cell(Cell("import time\\nopen({name!r}, 'w').close()\\ntime.sleep(600)\\n"), timeout_s=600.0)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
def test_a_cell_ends_with_the_process_that_watches_it(tmp_path):
    ready = tmp_path / "ready"
    command = [sys.executable, "-P", "-c", WATCHER.format(name=str(ready))]
    latest = time.monotonic() + 120
    with subprocess.Popen(command) as watcher:
        while not ready.exists() and time.monotonic() < latest:
            time.sleep(0.02)
        (cell,) = children_of(watcher.pid)
        while not tied(cell) and time.monotonic() < latest:
            time.sleep(0.02)
        watcher.kill()
    while alive(cell) and time.monotonic() < latest:
        time.sleep(0.02)
    assert not alive(cell)


def test_a_cell_that_closes_its_output_and_goes_on_is_cut():
    run = run_cell(Cell("import os, time\nos.close(1); os.close(2)\ntime.sleep(600)\n"), timeout_s=0.5)
    assert run.cut


def test_a_message_is_found_where_lines_are_mixed():
    run = cells.CellRun(((0.1, "Thread 1: starting.Ma"), (0.2, "in    : b.\n\n")), 0.5, 0)
    assert run.at("Thread 1: starting.") == 0.1
    assert run.at("Main    : b.") == 0.2
    assert run.in_order("Thread 1", "Main")
    assert not run.in_order("Main", "Thread 1")
    assert not run.in_order("Thread 1", "Thread 2")


def test_messages_that_were_read_at_once_are_a_little_apart():
    run = cell_run((0.1, "start"), (0.1, "end"), (0.4, "later"), exit_s=0.7)
    assert run.between("start", "end") == cells.SHORTEST_S
    assert run.between("start", "later") == pytest.approx(0.3)


def test_a_message_that_never_came_is_dated_at_the_end():
    assert cell_run((0.1, "a"), exit_s=0.7).at("b") == 0.7


@pytest.mark.skipif(gilprobe.capabilities().tracer != "exact", reason="needs the tracer")
def test_a_traced_cell_prints_the_same_and_has_a_report():
    source = (
        "import threading, time\n"
        "t = threading.Thread(target=time.sleep, args=(0.05,), name='sleeper')\nt.start()\nprint('a')\n"
    )
    run, traced = trace_cell(Cell(source))
    assert (run.text, run.status) == ("a\n", 0)
    (sleeper,) = [account for account in traced.report.threads if account.name == "sleeper"]
    assert sleeper.off_s >= 0.05


@pytest.mark.skipif(gilprobe.capabilities().tracer != "exact", reason="needs the tracer")
def test_a_trace_that_was_cut_is_not_complete():
    run, traced = trace_cell(Cell("import time\ntime.sleep(600)\n"), timeout_s=1.0)
    assert run.cut
    assert traced is None or not traced.complete


def of_cell(source, name="cell"):
    """Return a scenario whose only arm is a cell."""

    def measure(request):
        plan = CellPlan(name, 1, Cell(source), {"": "s"}, lambda run: {"": run.exit_s})
        seen = observe_cells(request, [plan])
        facts = (Fact("runs", len(seen.runs[name, 1]), ""),)
        return Findings(seen.measurement.arms, facts, (), seen.traces, seen.warnings)

    return Scenario("mine", "Mine", "lessons", measure)


def test_cells_are_sampled_and_traced():
    steps = []
    result = scenarios.measured(
        of_cell("pass\n"), repeat=2, frame=SHORT, progress=lambda _label, share: steps.append(share)
    )
    assert (result.fact("runs"), len(result.arms[0].samples)) == (2, 2)
    assert len(result.traces) == (1 if gilprobe.capabilities().tracer == "exact" else 0)
    assert steps == sorted(steps)


def test_a_cell_that_fails_is_told_with_its_last_words():
    with pytest.raises(ScenarioError, match=r"must end with status 0, got 1: .*no such luck"):
        scenarios.measured(of_cell("raise SystemExit('no such luck')\n"), repeat=2, frame=SHORT)


def test_a_run_that_was_cut_is_a_doubt(monkeypatch):
    monkeypatch.setattr(cells, "run_cell", lambda _cell: cell_run(exit_s=15.0, status=-9, cut=True))
    monkeypatch.setattr(cells, "trace_cell", lambda _cell: (cell_run(exit_s=15.0, cut=True), None))
    result = scenarios.measured(of_cell("pass\n"), repeat=2, frame=SHORT)
    assert "cut: 2 of 2 runs of cell were killed after 15 s; they would take longer" in result.warnings
    assert result.traces == ()
