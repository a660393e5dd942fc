"""The benchmarks run, and their files have all that a reader looks for; the figures themselves are theirs."""

from __future__ import annotations

import importlib
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gilprobe import capabilities, scenarios
from gilprobe.model.codec import decode
from gilprobe.model.environment import Environment

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
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
    "collector": ["a collection of nothing", "added to a collection: stacks and timeline"],
    "culprit": [
        "right thread, function and line",
        "blamed against held",
        "sum of blame against sum of waits",
        "kind: x in list",
        "kind: ThreadPoolExecutor",
        "kinds in all: gilprobe: the culprit is first",
        "kinds in all: gilprobe: share of all holding",
    ],
    "cycles": [
        "added to a cycle, warm: bare clock reads",
        "added to a cycle, warm: sites + timeline",
        "added to a cycle, 4 MiB touched: stacks of 20 frames",
        "a cycle, warm: sites over bare clock reads",
        "os.read of a byte: sites over bare clock reads",
    ],
    "html": [
        "size of the page",
        "first paint from disk",
        "frames a second",
        "writing the page",
        "gilprobe run",
    ],
    "labels": ["label, enter and exit, with a monitor", "thread_times()"],
    "leaks_released": [
        "property.getter(None)",
        "a pickled state that is refused",
        "writing an empty text",
        "multidict 6.7.1: iterating over the keys",
        "multidict 7.2.1: iterating over the keys",
    ],
    "looks": ["looks at a process that does its worst, until it ends well"],
    "merge": ["merge 8 recordings", "peak memory"],
    "overhead": [
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
    "sharing": ["objects of known cases"],
    "start": [
        "first start, stop and report",
        "python -c pass",
        "gilprobe record -c pass",
        "followed child: added",
        "memory with 20 threads: sites",
        "memory with 20 threads: stacks, with the report",
    ],
    "server": [
        "echo server, threads free to move, sites: time a request",
        "echo server, threads free to move, stacks + timeline: CPU time a request",
    ],
    "top": [
        "echo server, a trace with stacks: CPU time a request",
        "echo server, top: CPU time a request",
        "one answer: time with the GIL",
    ],
}
# of these a smaller value is no error
SIGNED = (
    "hold against",
    "wait against",
    "control",
    "added to",
    "a cycle, ",
    "os.read",
    "echo server",
    "slowdown",
    "timeline at 1 MHz",
    "import",
    "fixed",
    "plugin installed",
    "planted holds",
    "kind",
    "memory of a traced service",
    "gilprobe run",
    "followed child: added",
    "memory with 20 threads",
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
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        # all have their options from common.py
        *((name, ("--json", "/nowhere/at/all.json")) for name in NAMES),
        *((NAMES[0], bad) for bad in (("--repeat", "0"), ("--repeat", "x"), ("--unknown",))),
    ],
)
def test_bad_arguments_are_refused_in_words(name: str, arguments: tuple[str, ...]) -> None:
    done = run(name, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback (most recent call last)" not in done.stderr


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


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("leaks_released")


def test_every_released_function_is_pinned_reported_and_can_be_called(released: Any) -> None:
    cases = list(released.cases())
    names = [case.name for case in cases]
    assert len(names) == len(set(names))
    for case in cases:
        assert case.expected in {"found", "clean"}
        assert case.known.startswith("https://") or case.expected == "clean", case.name
        assert all("==" in one for one in case.requires if not one.startswith(("--", ":"))), case.name
        code = compile(case.code, case.name, "exec")
        assert "call" in code.co_names, case.name


def test_a_released_leak_is_hunted_before_and_after_its_mend(released: Any) -> None:
    versions: dict[str, set[str]] = {}
    for case in released.cases():
        versions.setdefault(f"{case.package}: {case.what}", set()).add(case.expected)
    assert sum(expected == {"found", "clean"} for expected in versions.values()) >= 12
    assert sum(expected == {"clean"} for expected in versions.values()) >= 15


@pytest.mark.parametrize(
    ("version", "expected"), [("3.11.8", "found"), ("3.11.9", "clean"), ("3.12.0", "clean")]
)
def test_what_is_known_of_cpython_depends_on_its_version(
    released: Any, monkeypatch: pytest.MonkeyPatch, version: str, expected: str
) -> None:
    monkeypatch.setattr(sys, "version_info", tuple(map(int, version.split("."))))
    cases = {case.what: case for case in released.cases()}
    assert cases["property.getter(None)"].expected == expected


def test_a_row_of_cpython_is_hunted_without_a_network(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    done = run("leaks_released", "--quick", "--only", "a pickled state", "--json", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert row["verdict"] == "reached"
    assert row["details"]["told"] == row["details"]["expected"] == row["target"]


def test_a_hunt_that_was_wrong_is_told_as_missed(released: Any) -> None:
    (case, *_) = (case for case in released.cases() if case.expected == "found")
    right = {"told": "found", "elapsed_s": 0.5, "calls": 9, "findings": [{"what": "lists", "per_call": 1.0}]}
    wrong = {"told": "clean", "elapsed_s": 0.1, "calls": 7, "findings": []}
    assert released.row(case, [right]).verdict == "reached"
    assert released.row(case, [right]).note == "found: lists +1"
    missed = released.row(case, [wrong, wrong, right])
    assert (missed.verdict, missed.note, missed.details["calls"]) == ("missed", "clean", 7)
    broken = released.row(case, [{"told": "gilprobe: error: no such function"}])
    assert (broken.verdict, broken.note) == ("missed", "gilprobe: error: no such function")
