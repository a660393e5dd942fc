"""The benchmarks run, and their files have all that a reader looks for; the figures themselves are theirs."""

from __future__ import annotations

import importlib
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from gilprobe import capabilities, scenarios
from gilprobe.codec import decode
from gilprobe.environment import Environment

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
TRACED = capabilities().tracer == "exact"
VERDICTS = {"reached", "median only", "missed", "-", "not testable here"}

QUESTIONS = {
    "accuracy": [
        "hold + wait + off against lifetime",
        "control",
        "hold against held_ns",
        "wait against reacquire_ns",
        "pure-Python spinner",
        "sum of all holds against wall time",
    ],
    "audit": [
        "released share of alternate: 10%",
        "released share: hashlib.sha256",
        "released share: json.dumps",
        "least size for which hashlib.sha256 releases",
        "predicted against measured speedup at T = 2: sorted",
    ],
    "culprit": [
        "right thread, function and line",
        "blamed against held",
        "sum of blame against sum of waits",
    ],
    "html": [
        "size of the page",
        "first paint from disk",
        "frames a second",
        "writing the page",
        "gilprobe run",
    ],
    "overhead": [
        "added to one uncontended release + re-acquire: sites",
        "added to one uncontended release + re-acquire: sites + timeline",
        "added to one uncontended release + re-acquire: stacks of 20 frames",
        "slowdown of CPU-bound pure Python",
        "import gilprobe",
        "held-vs-released",
        "fixed memory of a trace",
        "short threads: added memory",
        "short threads: missing in the report",
        "trace: ",
    ],
    "pytest_startup": ["plugin installed, unused", "plugin installed, with --gil"],
    "recording": [
        "events a second: two threads in turns",
        "events a second: two threads, held back",
        "bytes an event on disk",
        "load and summarise",
        "peak memory",
    ],
    "refs": [
        "watch(obj).count against sys.getrefcount(obj)",
        "sys.getrefcount against counts, 10,000 objects as they were made",
        "sys.getrefcount against counts, 10,000 objects in random order",
        "timeline at 1 MHz: slowdown of a program that counts",
        "timeline at 1 MHz: slowdown of a program that works on others",
    ],
    "soak": ["memory of a traced service beyond an untraced one"],
    "server": ["fewer requests answered, 8 connections: sites"],
}
# of these a smaller value is no error
SIGNED = (
    "hold against",
    "wait against",
    "control",
    "added to",
    "slowdown",
    "timeline at 1 MHz",
    "import",
    "fixed",
    "plugin installed",
    "planted holds",
    "memory of a traced service",
    "fewer requests",
    "gilprobe run",
    "released share of alternate",
)

# runs the whole catalogue: quick runs of the others answer every question
NAMES = (*QUESTIONS, "scenario_noise")

pytestmark = [
    pytest.mark.plain_python,
    pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="tests alone, without the benchmarks"),
]


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(BENCHMARKS / f"{name}.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", QUESTIONS)
def test_a_quick_run_answers_every_question(name: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    done = run(name, "--quick", "--json", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(file.read_text(encoding="utf-8"))
    assert (document["schema"], document["benchmark"]) == (1, name)
    assert decode(Environment, document["environment"]).python == sys.version.split()[0]
    assert document["parameters"]["quick"] is True
    assert any(doubt.startswith("quick") for doubt in document["doubts"])
    for question in QUESTIONS[name] if capabilities().tracer == "exact" else ():  # else a row says why not
        assert any(question in row["what"] for row in document["rows"]), question
    for row in document["rows"]:
        assert row["what"] in done.stdout
        check(row)


def check(row: dict) -> None:
    assert row["verdict"] in VERDICTS
    if not row["samples"]:
        assert row["verdict"] == "not testable here"
        assert row["note"]
        return
    assert all(map(math.isfinite, [*row["samples"], row["figure"], *row["interval"]]))
    assert row["lowest"] <= row["interval"][0] <= row["interval"][1] <= row["highest"]
    assert row["farthest_from_zero"] in row["samples"]
    if not row["what"].startswith(SIGNED) and "short threads: added" not in row["what"]:
        assert row["lowest"] >= 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "arguments", [("--repeat", "0"), ("--repeat", "x"), ("--json", "/nowhere/at/all.json"), ("--unknown",)]
)
def test_bad_arguments_are_refused_in_words(name: str, arguments: tuple[str, ...]) -> None:
    done = run(name, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(TRACED, reason="needs an interpreter that can't be traced")
def test_what_can_not_be_measured_says_why(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    assert run("accuracy", "--quick", "--json", str(file)).returncode == 0
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert {row["verdict"] for row in rows} == {"not testable here"}
    assert all(row["note"] for row in rows)


def test_every_scenario_has_a_headline_whose_spread_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    noise = importlib.import_module("scenario_noise")
    assert set(noise.HEADLINES) == {scenario.id for scenario in scenarios.catalogue().scenarios}


def test_the_spread_of_headlines_is_told(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    done = run("scenario_noise", "--quick", "--only", "refcount-lifecycle", "--json", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert row["details"]["spread_percent"] == 0.0
    assert len(row["samples"]) == 2
