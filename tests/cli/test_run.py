"""`gilprobe run` beyond the catalogue's own: files, several interpreters, failures, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import alive, children_of

import gilprobe
from gilprobe.cli import main
from gilprobe.results import ResultSet
from gilprobe.workers import launch

pytestmark = pytest.mark.plain_python

GILPROBE = [sys.executable, "-P", "-m", "gilprobe"]
DOCS = Path(__file__).parents[2] / "docs"

FILE = """
import os, sys, time
from gilprobe.scenarios import Fact, Findings, Law, Scenario, Trial, observe_trials, verdict

def good(request):
    print("hello \\x1b[2J")
    seen = observe_trials(request, [Trial("nap", 1, {"": "s"}, lambda: {"": 0.5})])
    law = Law("a law", "1", "1", verdict(True))
    return Findings(seen.measurement.arms, (Fact("one", 1.0, ""),), (law,), (), (), "shown\\n")

def bad(request):
    raise KeyError("x")

def slow(request):
    time.sleep(600)

def scenario(name, measure, ceiling_s=60.0):
    return Scenario(id=name, title="Mine", group="lessons", measure=measure, ceiling_s=ceiling_s)

SCENARIOS = ({scenarios})
"""
GOOD, BAD = 'scenario("good", good)', 'scenario("bad", bad)'
SLOW = 'scenario("slow", slow, 0.2)'


@pytest.fixture
def written(tmp_path):
    def write(*scenarios, name="mine.py"):
        path = tmp_path / name
        path.write_text(FILE.replace("{scenarios}", ", ".join(scenarios) + ","))
        return str(path)

    return write


def test_a_file_is_run_shown_and_saved(written, tmp_path, capsys):
    target = tmp_path / "r.json"
    assert main(["run", written(GOOD), "--repeat", "2", "--json", str(target)]) == 0
    shown = capsys.readouterr()
    assert "good: Mine\n\nPrinted\n  shown\n\narm" in shown.out
    assert shown.err == "good printed: hello \\x1b[2J\n"
    (result,) = ResultSet.load(target).scenarios
    assert (result.id, result.printed, len(result.arm("nap", 1).samples)) == ("good", "shown\n", 2)


def test_what_fails_or_is_cut_leaves_the_others_alone(written, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(launch, "GRACE_S", 0.1)
    target = tmp_path / "r.json"
    assert main(["run", written(BAD, SLOW, GOOD), "--quick", "--json", str(target)]) == 1
    shown = capsys.readouterr()
    assert shown.err.splitlines() == [
        "gilprobe: bad failed: KeyError: 'x' (mine.py:12, in bad)",
        "gilprobe: slow was stopped after its limit of 0.2 s, 0% done (starts)",
        "good printed: hello \\x1b[2J",
    ]
    assert "good: Mine" in shown.out
    assert [result.id for result in ResultSet.load(target).scenarios] == ["good"]


def test_nothing_to_show_is_status_three_and_leaves_the_file_alone(written, tmp_path, capsys):
    target = tmp_path / "r.json"
    target.write_text("earlier")
    assert main(["run", written(BAD), "--json", str(target)]) == 3
    assert target.read_text() == "earlier"
    assert capsys.readouterr().out == ""


def test_a_bad_file_is_told_before_anything_is_measured(written, tmp_path, capsys):
    (tmp_path / "broken.py").write_text("import nowhere_at_all")
    assert main(["run", written(GOOD), str(tmp_path / "broken.py")]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.fullmatch(r"gilprobe: error: [^\n]*fails: ModuleNotFoundError[^\n]*\n", shown.err)


def test_the_file_is_not_run_in_this_process(written):
    before = set(sys.modules)
    assert main(["run", written(GOOD), "--quick", "--json", os.devnull]) == 0
    assert not [name for name in set(sys.modules) - before if name.startswith("gilprobe_scenario")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--all", "python-loop"), "--all takes no ID, got 'python-loop'"),
        (("./nowhere.py",), "a scenario's file must exist, got './nowhere.py'"),
        (("--python", "/nowhere/python", "python-lop"), "did you mean python-loop"),
        (("--on", "dask://h:1", "--python", "python3"), "--on takes no --python, got 'python3'"),
        (("--on", "dask://h:1", "./x.py"), "--on measures scenarios of the catalogue, got './x.py'"),
    ],
)
def test_unusable_arguments_are_one_line_and_status_two(capsys, arguments, message):
    assert main(["run", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.fullmatch(r"gilprobe: error: [^\n]+\n", shown.err)
    assert message in shown.err


def test_without_an_id_the_headline_scenarios_are_run_and_with_all_every_one(monkeypatch):
    from gilprobe import scenarios
    from gilprobe.scenarios import own_process

    asked = []

    def noted(order, pythons, ceiling_s, told):
        asked.append((order.scenario, order.quick))
        return (launch.TaskOutcome(pythons[0], None, "not today", ""),)

    monkeypatch.setattr(own_process, "run_side_by_side", noted)
    found = scenarios.catalogue().scenarios
    for arguments, wanted in (
        (["--quick"], [one.id for one in found if one.headline]),
        (["--all"], [one.id for one in found]),
    ):
        asked.clear()
        assert main(["run", *arguments]) == 3
        assert asked == [(name, arguments == ["--quick"]) for name in wanted]


# Several interpreters


def same_interpreter_elsewhere(tmp_path):
    """Return a program that is this interpreter under another path."""
    path = tmp_path / "python-other"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    path.chmod(0o700)
    return str(path)


def test_several_interpreters_stand_side_by_side(written, tmp_path, capsys):
    target = tmp_path / "r.json"
    other = same_interpreter_elsewhere(tmp_path)
    command = ["run", written(GOOD), "--repeat", "2", "--python", other, "--json", str(target)]
    assert main(command) == 0
    shown = capsys.readouterr()
    version = gilprobe.capabilities().python
    assert "name " in shown.out.splitlines()[0]
    assert other in shown.out
    assert len(re.findall(r"^good: Mine$", shown.out, re.MULTILINE)) == 1
    row = next(line for line in shown.out.splitlines() if line.startswith("nap"))
    assert row.split()[3:] == ["0.5000", "±", "0%", "0.5000", "±", "0%", "1.00x"]
    assert [result.id for result in ResultSet.load(target).scenarios] == ["good", "good"]
    assert {result.environment.python for result in ResultSet.load(target).scenarios} == {version}


def test_an_interpreter_that_is_left_out_costs_the_others_nothing(written, tmp_path, capsys):
    path = tmp_path / "python9"
    path.write_text("#!/bin/sh\nexit 4\n")
    path.chmod(0o700)
    command = ["run", written(GOOD), "--quick", "--python", str(path), "--python", sys.executable]
    assert main([*command, "--json", "-"]) == 1
    shown = capsys.readouterr()
    assert len(json.loads(shown.out)["scenarios"]) == 1
    assert shown.err.splitlines()[0] == (
        f"gilprobe: {path}: ended with status 4, before it said hello; left out"
    )


# Ctrl-C

PATIENT = FILE.replace("time.sleep(600)", "open('ready', 'w').close(); time.sleep(600)")


@pytest.mark.parametrize("stubborn", [False, True])
def test_ctrl_c_ends_a_scenario_that_hangs_and_keeps_what_was_done(tmp_path, stubborn):
    """One that does not listen is ended all the same; nothing stays behind."""
    text = PATIENT.replace("{scenarios}", f"{GOOD}, {SLOW.replace('0.2', '600')},")
    if stubborn:
        text = text.replace("time.sleep(600)", "import ctypes; ctypes.PyDLL(None).sleep(600)")
    (tmp_path / "mine.py").write_text(text)
    command = [*GILPROBE, "run", "./mine.py", "--quick", "--json", "r.json"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        latest = time.monotonic() + 120
        while not (tmp_path / "ready").exists() and time.monotonic() < latest:
            time.sleep(0.02)
        workers = children_of(process.pid)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors == (
        "good printed: hello \\x1b[2J\ngilprobe: 1 of 2 scenarios are in r.json\ngilprobe: interrupted\n"
    )
    assert not [worker for worker in workers if alive(worker)]
    assert [result.id for result in ResultSet.load(tmp_path / "r.json").scenarios] == ["good"]


# gilprobe list


def test_the_list_is_grouped_and_says_what_can_be_shown_here(capsys, monkeypatch):
    from gilprobe import scenarios
    from gilprobe.scenarios import Catalogue, Scenario

    def fails(environment):
        raise RuntimeError("no\nmoon")

    def measure(request):
        return None

    made = (
        Scenario("one", "First", "lessons", measure),
        Scenario("two", "Second", "engines", measure, missing=lambda _environment: "no moon"),
        Scenario("three", "Third", "engines", measure, missing=fails),
    )
    monkeypatch.setattr(scenarios, "catalogue", lambda: Catalogue(made, ("x: ImportError: no\x1b",)))
    assert main(["list"]) == 0
    shown = capsys.readouterr()
    assert shown.err == "gilprobe: x: ImportError: no\\x1b\n"
    lines = [line.split() for line in shown.out.splitlines()[2:] if line]
    assert lines[0] == ["lessons"]
    assert lines[1] == ["one", "First", "yes"]
    assert lines[2] == ["engines"]
    assert lines[3] == ["two", "Second", "no:", "no", "moon"]
    assert " ".join(lines[4]) == "three Third no: it fails: RuntimeError: no\\nmoon"
    assert main(["list", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(one["id"], one["group"], one["missing"]) for one in document["scenarios"]][:2] == [
        ("one", "lessons", ""),
        ("two", "engines", "no moon"),
    ]
    assert document["problems"] == ["x: ImportError: no\x1b"]


# The worked example of the documentation


def example(number):
    """Return a fenced block of docs/own-scenarios.md."""
    blocks = re.findall(r"^```\w+\n(.*?)^```$", (DOCS / "own-scenarios.md").read_text(), re.M | re.S)
    return blocks[number]


@pytest.mark.skipif(not DOCS.is_dir(), reason="the documentation is not here")
def test_the_documented_example_runs_and_shows_what_it_promises(tmp_path, capsys):
    path = tmp_path / "sum_of_squares.py"
    path.write_text(example(0))
    target = tmp_path / "r.json"
    assert main(["run", str(path), "--quick", "--threads", "1,2", "--json", str(target)]) == 0
    assert capsys.readouterr().err == ""
    (result,) = ResultSet.load(target).scenarios
    assert result.id == "sum-of-squares"
    assert {arm.name for arm in result.arms} == {"python", "sha256"}
    assert [law.verdict for law in result.laws] != []
    assert result.fact("speedup_sha256_2") > 0


@pytest.mark.skipif(not DOCS.is_dir(), reason="the documentation is not here")
def test_the_documented_entry_point_is_the_one_that_is_looked_for():
    import tomllib

    from gilprobe.scenarios.registry import ENTRY_POINTS

    assert ENTRY_POINTS in tomllib.loads(example(2))["project"]["entry-points"]
