"""The comparison with other tools: what foreign tools print is read right, and the tables hide nothing."""

from __future__ import annotations

import importlib
import json
import math
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gilprobe import capabilities

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"

pytestmark = [
    pytest.mark.plain_python,
    pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="tests alone, without the benchmarks"),
]

QUESTIONS = {
    ("accuracy", "held share"),
    ("accuracy", "wait share"),
    ("accuracy", "worst wait"),
    ("accuracy", "culprit function"),
    ("accuracy", "culprit line"),
    ("accuracy", "threads seen"),
    ("turns", "slowdown"),
    ("turns", "fewer requests"),
    ("cost", "slowdown"),
    ("cost", "CPU of all processes"),
    ("cost", "fewer requests"),
    ("cost", "99th percentile"),
    ("cost", "start-up"),
    ("cost", "peak memory"),
    ("scale", "added to each release"),
    ("scale", "slowdown"),
    ("counts", "error"),
    ("counts", "time a read"),
    ("counts", "time"),
    ("leaks", "leak or not"),
    ("audit", "released share"),
}


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that imports a module of the comparison."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return lambda name: importlib.import_module(f"peers.{name}")


def run(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "benchmarks.peers", *arguments]
    found = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}  # `-m` needs it
    return subprocess.run(
        command, capture_output=True, text=True, timeout=280, check=False, cwd=folder, env=found
    )


# ---- the whole


@pytest.mark.slow
@pytest.mark.skipif(capabilities().tracer == "none", reason="needs an interpreter that can be traced")
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_a_quick_run_answers_every_question_without_installing_anything(tmp_path: Path) -> None:
    file = tmp_path / "cells.json"
    done = run("--quick", "--only", "gilprobe,sys.getrefcount,py-spy top", "--seed", "7", "--json", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(file.read_text(encoding="utf-8"))
    assert (document["schema"], document["benchmark"]) == (1, "peers")
    assert document["parameters"]["seed"] == 7
    assert any(doubt.startswith("quick") for doubt in document["doubts"])
    ours = [cell for cell in document["cells"] if cell["tool"] == "gilprobe"]
    assert {(cell["table"], cell["measure"]) for cell in ours} >= QUESTIONS
    for cell in document["cells"]:
        assert cell["samples"] or cell["reason"], cell
        assert all(map(math.isfinite, cell["samples"]))
        assert cell["workload"] in done.stdout
        assert cell["tool"] in done.stdout
    (top,) = (tool for tool in document["tools"] if tool["name"] == "py-spy top")
    assert "terminal" in top["reason"]
    assert run("page", str(file)).stdout.startswith("# gilprobe beside the other tools\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("--only", "nosuchtool"),
        ("--parts", "accuracy,beauty"),
        ("--repeat", "0"),
        ("--minutes", "soon"),
        ("--json", "/nowhere/at/all.json"),
        ("--page", "/nowhere/at/all.md"),
        ("--environments", __file__),
        ("--environments", "/nowhere/at/all"),
        ("page", "/nowhere/at/all.json"),
    ],
)
def test_bad_arguments_are_refused_in_words(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback (most recent call last)" not in done.stderr


def test_a_foreign_file_makes_no_page(tmp_path: Path) -> None:
    file = tmp_path / "foreign.json"
    for text in ("[]", "{}", '{"cells": [{"table": 1}]}', "no JSON"):
        file.write_text(text)
        done = run("page", str(file))
        assert (done.returncode, done.stdout) == (2, "")
        assert len(done.stderr.splitlines()) == 1


# ---- what other tools print


def test_py_spys_stacks_are_read(peers: Any) -> None:
    text = (
        "Thread.run (threading.py:982);spin (programs/threads.py:67) 226\n"
        "Thread.run (threading.py:982);sleep (programs/threads.py:138) 9\n"
        "Thread.run (threading.py:982);spin (programs/threads.py:66) 239\n"
        " 26\n"
    )
    reading = peers("tools.py_spy").read_raw(text, 1000)
    assert reading.held == pytest.approx(0.5)  # a thread that has no frame yet holds the GIL, too
    assert reading.culprit == ("spin", 66)
    assert peers("tools.py_spy").read_raw("", 1000).held == 0


def test_py_spys_dumps_are_read(peers: Any) -> None:
    def thread(name: str, line: int, *, owns: bool) -> dict[str, Any]:
        return {"owns_gil": owns, "frames": [{"name": name, "line": line}]}

    only_main = [thread("main", 1, owns=True)]
    dumps = [
        [thread("wait", 3, owns=False), thread("hold", 9, owns=owns)] for owns in (True, False, True, False)
    ]
    reading = peers("tools.py_spy").read_dumps([only_main, *dumps])
    assert (reading.held, reading.culprit) == (0.5, ("hold", 9))


def test_cpythons_collapsed_stacks_are_read(peers: Any) -> None:
    sampling = peers("tools.cpython_sampling")
    text = (
        "tid:3291;threading.py:Thread.run:1161;threads.py:spin:66 427\n"
        "tid:3293;threading.py:Thread.run:1161;threads.py:sleep:139 3\n"
    )
    reading = sampling.read_collapsed(text, sampling.taken("Captured 1,000 samples in 1.00 seconds\n"))
    assert (reading.held, reading.culprit) == (0.43, ("spin", 66))


def test_gil_loads_dictionaries_are_read(peers: Any) -> None:
    reading = peers("tools.base").Reading()
    threads = {11: {"held": 0.2, "wait": 0.6}, 12: {"held": 0.0, "wait": 0.1}}
    peers("tools.gil_load").fill(reading, {"held": 0.2, "wait": 0.7}, threads, {11: "spinner-0"})
    assert (reading.held, reading.waits) == (0.2, {"spinner-0": 0.6})


PERF = """\
 4131 100.000000000:         gilpeers_9:want: 
 4131 100.000000100: gilpeers_9:have__return: 
 4132 100.001000000:         gilpeers_9:want: 
 4131 100.004000000:         gilpeers_9:drop: 
 4132 100.004000500: gilpeers_9:have__return: 
 4131 100.004000700: gilpeers_9:gone__return: 
 4131 100.004000900:         gilpeers_9:want: 
 4132 100.006000500:         gilpeers_9:drop: 
 4132 100.006000600: gilpeers_9:gone__return: 
 4131 100.006000900: gilpeers_9:have__return: 
"""  # noqa: W291 (as perf prints it)


def test_probes_of_the_interpreter_are_added_up(peers: Any) -> None:
    second = 1_000_000_000
    lives = {"begin_ns": 100 * second, "end_ns": 100 * second + 10_000_000}
    truth = {
        **lives,
        "threads": [{"name": "a", "native_id": 4131, **lives}, {"name": "b", "native_id": 4132, **lives}],
    }
    lines = PERF.splitlines()
    reading = peers("tools.uprobes").read_script([*lines[5:], *lines[:5]], truth)  # a core after the other
    held_ns = (4_000_000 - 100) + 2_000_000 + (10_000_000 - 6_000_900)
    assert reading.held == pytest.approx(held_ns / 10_000_000)
    # "a" waits as it gets the GIL, as it hands it over, and until it has it again
    assert reading.waits["a"] == pytest.approx((100 + 700 + 2_000_000) / 10_000_000)
    assert reading.waits["b"] == pytest.approx((3_000_500 + 100) / 10_000_000)
    # asked for again at once, it is one wait
    assert reading.worst_s == {"a": pytest.approx(0.0020007), "b": pytest.approx(0.0030005)}
    assert reading.threads == 2


@pytest.mark.parametrize(
    ("module", "function", "arguments"),
    [
        ("py_spy", "read_raw", ("spin (threads.py:1) many\n", 10)),
        ("py_spy", "read_raw", ("no frame 3\n", 10)),
        ("py_spy", "read_dumps", ([],)),
        ("cpython_sampling", "read_collapsed", ("tid:1;spin 3\n", 10)),
        ("cpython_sampling", "taken", ("Error: no samples\n",)),
        ("uprobes", "read_script", (["4131 soon: want:"], {"begin_ns": 0, "end_ns": 1, "threads": []})),
    ],
)
def test_what_is_not_understood_is_said(
    peers: Any, module: str, function: str, arguments: tuple[Any, ...]
) -> None:
    with pytest.raises(peers("tools.base").UnreadableError):
        getattr(peers(f"tools.{module}"), function)(*arguments)


# ---- the truth


def test_spinners_tell_waits_from_preemptions(peers: Any) -> None:
    known = peers("programs.known")
    one = known.Known("one", begin_ns=0, end_ns=1000, runs=[(0, 100), (210, 400), (500, 1000)])
    two = known.Known("two", begin_ns=0, end_ns=1000, runs=[(110, 200)])
    known.settle([one, two])
    # the first gap has a run of the other's in it, the second has not: then it was preempted with the GIL
    assert one.waited_ns == (90, 110)
    assert one.worst_ns == (90, 110)
    assert one.held_ns == (100 + 190 + 500 + 100, 1000 - 90)


def test_what_is_within_the_truths_interval_is_no_error(peers: Any) -> None:
    distance = peers("truth").distance
    assert [distance(said, 10, 20) for said in (7, 10, 15, 20, 24)] == [-3, 0, 0, 0, 4]


def document(**thread: Any) -> dict[str, Any]:
    values = {"name": "holder", "begin_ns": 0, "end_ns": 1000, "held_ns": [300, 310], "waited_ns": [100, 100]}
    values |= {"worst_ns": [50, 50], "function": "hold", "lines": [7, 7], **thread}
    return {"begin_ns": 0, "end_ns": 1000, "threads": [values]}


def test_readings_are_judged(peers: Any) -> None:
    judge, base = peers("truth").judge, peers("tools.base")
    reading = base.Reading(
        held=0.36, waits={"holder": 0.05}, worst_s={"holder": 60e-9}, culprit=("C.hold", 8), threads=3
    )
    assert judge(base.HELD, document(), reading).error == pytest.approx(5.0)
    assert judge(base.WAIT, document(), reading).error == pytest.approx(-5.0)
    assert judge(base.WORST, document(), reading).error == pytest.approx(10e-6)
    assert judge(base.FUNCTION, document(), reading).error == 0
    assert judge(base.LINE, document(), reading).error == 1
    assert judge(base.THREADS, document(), reading).error == 1
    assert judge(base.HELD, document(), base.Reading()) is None
    assert judge(base.LINE, document(), base.Reading()).error == 1  # names none


def test_grains_follow_from_the_seed(peers: Any) -> None:
    accuracy = peers("workloads").accuracy
    names = [[one.name for one in accuracy(seed, seconds=1.0, quick=False)] for seed in (1, 1, 2)]
    assert names[0] == names[1] != names[2]
    assert all(len(set(some)) == len(some) for some in names)


# ---- processes


def started(peers: Any, folder: Path, code: str, limit_s: float) -> Any:
    return peers("processes").Process([sys.executable, "-I", "-c", code], folder, "log", {}, limit_s)


def test_a_hang_is_ended_with_all_its_children(peers: Any, tmp_path: Path) -> None:
    code = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-I", "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""
    process = started(peers, tmp_path, code, 600.0)
    assert process.says("\n", 60)
    process.give_up()
    ended = process.wait()
    assert ended.hung
    assert peers("processes").why(ended, process.log).startswith("hung: killed after")
    child = int(process.log)
    end = time.monotonic() + 120
    while _alive(child) and time.monotonic() < end:
        time.sleep(0.01)
    assert not _alive(child)


def test_what_takes_too_long_is_a_hang(peers: Any, tmp_path: Path) -> None:
    ended = started(peers, tmp_path, "import time; time.sleep(600)", 0.1).wait()
    assert (ended.hung, ended.status) == (True, -9)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_crash_and_a_failure_have_their_reasons(peers: Any, tmp_path: Path) -> None:
    why = peers("processes").why
    for code, reason in (
        ("import os; os.abort()", "crashed: SIGABRT"),
        ("raise SystemExit('ERROR: no such thing')", "failed with status 1: ERROR: no such thing"),
        ("print('fine')", ""),
    ):
        process = started(peers, tmp_path, code, 60.0)
        assert why(process.wait(), process.log) == reason


def test_a_tool_that_can_not_be_had_is_a_reason(peers: Any, tmp_path: Path) -> None:
    environments = peers("environments")
    nowhere = environments.Environments(tmp_path, python315=str(tmp_path / "python3.15"))
    with pytest.raises(environments.UnavailableError, match="does not start"):
        nowhere.get("", "3.15")
    tool = peers("tools.tried").Tried(
        "x", "", "-", [Path(sys.executable).name, "-c", "raise ValueError('no')"], ""
    )
    with pytest.raises(peers("tools.base").UnreadableError, match="fails: ValueError: no"):
        tool.prepare(peers("tools.base").Place(sys.executable, tmp_path, 1.0))


# ---- tables and the page


def cells(peers: Any) -> list[Any]:
    cell = peers("cells").Cell
    return [
        cell("accuracy", "holder 30 %", "held share", "gilprobe", "points", [-0.30]),
        cell("accuracy", "holder 30 %", "held share", "close", "points", [0.2]),
        cell("accuracy", "holder 30 %", "held share", "far", "points", [52.0]),
        cell("accuracy", "holder 30 %", "held share", "silent", reason="n/a"),
        cell("accuracy", "holder 30 %", "held share", "hung", reason="1 of 1 runs: hung: killed after 8.0 s"),
        cell("cost", "reads | tiny", "slowdown", "gilprobe", "%", [2.0, 3.0, 4.0]),
        cell(
            "cost",
            "reads | tiny",
            "slowdown",
            "close",
            "%",
            [2.5, 2.5, 5.0],
            reason="1 of 4 runs: see /a/b/c",
        ),
        cell("leaks", "nothing", "leak or not", "gilprobe", "", [0.0], "right: no leak"),
        cell("leaks", "nothing", "leak or not", "far", "", [1.0], "wrong: leaks"),
    ]


def test_only_what_beats_gilprobe_is_marked(peers: Any) -> None:
    tables = peers("tables")
    accuracy, cost, leaks = tables.grids(cells(peers))
    ((_, _, shown),) = accuracy.rows
    assert dict(zip(accuracy.tools, shown, strict=True)) == {
        "gilprobe": tables.Shown("-0.30"),
        "close": tables.Shown("+0.20", wins=True),
        "far": tables.Shown("+52.0"),
        "silent": tables.Shown("n/a"),
        "hung": tables.Shown("fails [1]"),
    }
    assert accuracy.notes == ["1 of 1 runs: hung: killed after 8.0 s"]
    assert "**+0.20**" in tables.markdown_of(accuracy)
    assert "*+0.20" in tables.text_of(accuracy)
    assert "**+2.50 ±0.62 [1]**" in tables.markdown_of(cost)
    assert "reads \\| tiny" in tables.markdown_of(cost)
    assert not any(cell.wins for _, _, row in leaks.rows for cell in row)


def test_lost_cells_are_listed_with_the_best_peer(peers: Any) -> None:
    module = peers("cells")
    lost = module.losses(cells(peers))
    assert [(ours.measure, best.tool) for ours, best in lost] == [
        ("held share", "close"),
        ("slowdown", "close"),
    ]
    assert module.pairs_lost(*lost[1]) == "1 of 3"


def test_cells_survive_json(peers: Any) -> None:
    module = peers("cells")
    for cell in cells(peers):
        read = module.cell_of(json.loads(json.dumps(cell.to_dict())))
        assert (read.question, read.tool, read.shown) == (cell.question, cell.tool, cell.shown)


def page(peers: Any, *later: dict[str, Any]) -> str:
    tool = {
        "name": "close",
        "settings": "close --all",
        "versions": "close==1",
        "reason": "",
        "silence": "at /x/y/z (host='there.example')",
    }
    return peers("page").page(
        {
            "machine": {"date": "2026-01-01", "python": "3.11.7", "cpu": "CPU", "cores": 2, "kernel": "6.1"},
            "parameters": {"seed": 5, "repeat": 3, "accuracy_repeat": 1},
            "tools": [tool],
            "cells": [cell.to_dict() for cell in cells(peers)],
            "doubts": ["the load average was 9"],
            "took_s": 12.3,
        },
        *later,
    )


def test_the_page_has_all_and_names_no_place_of_this_machine(peers: Any) -> None:
    text = page(peers)
    for part in (
        "Measured 2026-01-01: CPython 3.11.7, CPU, 2 cores",
        "Seed 5",
        "3 pairs",
        "Doubt: the load average was 9.",
        "close --all",
        "| accuracy | holder 30 % | held share, points | -0.30 (one run) | close +0.20 (one run) | one run |",
        "../benchmarks/peers/programs/holds.c",
        "- cost, slowdown: A sampler",
    ):
        assert part in text
    assert "/a/b/c" not in text
    assert "/x/y/z" not in text
    assert "http" not in text
    assert "there" not in text.partition("close --all")[2]


def test_a_part_that_was_measured_again_is_shown_as_it_was_found_then(peers: Any) -> None:
    cost = [cell for cell in cells(peers) if cell.table == "cost"]
    for cell in cost:
        cell.samples[:] = [70.0 + sample for sample in cell.samples]
    again = {
        "machine": {"date": "2026-01-02"},
        "parameters": {"seed": 6},
        "cells": [cell.to_dict() for cell in cost],
        "doubts": ["it was late"],
        "took_s": 3.2,
    }
    text = page(peers, again)
    assert "Measured again 2026-01-02, in a run of its own: cost; seed 6, 3 s. Doubt: it was late." in text
    assert "+72.5" in text
    assert "+2.50" not in text
    assert "| accuracy | holder 30 % | held share, points | -0.30 (one run) |" in text


def test_targets_are_judged_by_the_worst_cell(peers: Any) -> None:
    found = {target.what: target for target in peers("targets").targets(cells(peers))}
    assert (found["held share"].verdict, found["held share"].found) == (
        "reached",
        "-0.30 points (holder 30 %)",
    )
    assert found["worst wait"].verdict == "not measured"


def test_a_tool_that_never_works_does_not_take_time(peers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cost, runs, base = peers("cost"), peers("runs"), peers("tools.base")
    tool = base.Tool()
    tool.name = "broken"
    ran: list[str] = []

    def run(tool: Any, *_: object) -> Any:
        ran.append(tool.name)
        if tool.name == "broken":
            return runs.Outcome(reason="hung")
        return runs.Outcome({"figures": {}}, elapsed_s=1.0, cpu_s=1.0)

    workload = peers("workloads").Workload("cpu", "cpu", {}, 1.0)
    taken = list(
        cost.measure(
            SimpleNamespace(run=run),
            [tool],
            [workload],
            table="cost",
            repeat=9,
            until_s=math.inf,
            seed=1,
            progress=os.fspath,
        )
    )
    assert (ran.count("broken"), ran.count("")) == (cost.LEAST, 9)
    assert {(cell.tool, cell.reason) for cell in taken} == {("broken", "2 of 2 runs: hung")}
    assert not any(cell.samples for cell in taken)


def test_turns_are_of_tools_that_can_begin_and_end_in_one_process(peers: Any) -> None:
    cost, runs, base = peers("cost"), peers("runs"), peers("tools.base")
    again, once = base.Tool(), base.Tool()
    again.name, again.restarts, once.name = "again", True, "once"
    figures = {"off": [1.0, 2.0, 4.0], "on": [1.1, 2.0, 5.0]}
    runner = SimpleNamespace(run=lambda *_: runs.Outcome({"figures": figures}))
    make = peers("workloads").Workload
    works = [make("cpu", "cpu", {}, 1.0), make("echo server", "echo", {}, 1.0)]
    slower, fewer = cost.measure_in_turns(runner, [again, once], works, os.fspath)
    assert (slower.tool, slower.measure, slower.samples) == ("again", "slowdown", pytest.approx([10, 0, 25]))
    assert (fewer.measure, fewer.samples) == ("fewer requests", pytest.approx([100 / 11, 0, 20]))
    assert slower.shown == "+10.0 ±6.25"


def test_each_of_a_pair_begins_every_other_pair(peers: Any) -> None:
    diary: list[str] = []

    @contextmanager
    def inside() -> Iterator[None]:
        diary.append("begin")
        yield
        diary.append("end")

    def measured() -> float:
        diary.append("work")
        return float(len(diary))

    found = peers("programs.turns").in_turns(inside, measured, 2)
    on = ["begin", "work", "end"]
    assert diary == [*on, "work", *on, *on, "work"]
    assert found == {"off": [4.0, 11.0], "on": [6.0, 9.0]}
