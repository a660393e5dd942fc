"""The programs of all kinds of culprits run and take their truth; what tools tell of them is read right."""

from __future__ import annotations

import importlib
import itertools
import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gilprobe import capabilities
from gilprobe.report import Frame

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

pytestmark = [
    pytest.mark.plain_python,
    pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="tests alone, without the benchmarks"),
]
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
needs_gil = pytest.mark.skipif(
    capabilities().tracer == "none", reason="needs an interpreter that can be traced"
)

if BENCHMARKS.is_dir():
    sys.path.insert(0, str(BENCHMARKS))
    from kinds import KINDS, Kind, base, runs, told, truth

    sys.path.remove(str(BENCHMARKS))
    NAMES = list(KINDS)
else:
    NAMES = []


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(runs.compile_victims(tmp_path_factory.mktemp("kinds")))


def run(name: str, library: str, result: Path, *options: str, seconds: float = 0.05) -> dict[str, Any]:
    program = str(BENCHMARKS / "kinds" / "run.py")
    command = [sys.executable, program, name, str(seconds), library, str(result), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    document: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return document


# ---- the programs


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("name", NAMES)
def test_a_kind_runs_and_takes_its_truth(name: str, library: str, tmp_path: Path) -> None:
    document = run(name, library, tmp_path / "result.json")
    if "missing" in document:
        assert document["missing"].startswith("needs ")
        return
    facts = document["facts"]
    assert facts["worked"] >= 1
    assert 0 <= facts["least"] <= facts["most"] <= 1
    assert facts["hold_share"] is None or 0 < facts["hold_share"] <= 1
    assert "reading" not in document


@pytest.mark.timing
@needs_compiler
@needs_gil
def test_gilprobe_measures_the_waits_that_the_victims_measure(library: str, tmp_path: Path) -> None:
    document = run("gc.collect()", library, tmp_path / "result.json", "--gilprobe", seconds=0.5)
    assert document["facts"]["victims_s"] > 0
    assert document["victims_s"] == pytest.approx(document["facts"]["victims_s"], rel=0.2)
    assert document["reading"]["first"]


@needs_compiler
def test_a_kind_can_run_on_one_cpu(library: str, tmp_path: Path) -> None:
    assert run("sorted", library, tmp_path / "result.json", "--cpus", "1")["facts"]["worked"] >= 1


def test_there_are_kinds_of_all_that_people_run() -> None:
    assert len(KINDS) >= 30
    for kind in KINDS.values():
        assert kind.places or kind.must_name, f"{kind.name}: nothing says what is right"
        assert kind.prepare.__doc__


# ---- the truth

spans = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12)), max_size=8).map(
    lambda pairs: list(truth.merged((begin, begin + length) for begin, length in pairs))
)


def moments(some: list[tuple[int, int]]) -> set[int]:
    return {moment for begin, end in some for moment in range(begin, end)}


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12)), max_size=8))
def test_merged_spans_are_apart_and_cover_the_same(pairs: list[tuple[int, int]]) -> None:
    some = [(begin, begin + length) for begin, length in pairs]
    merged = list(truth.merged(some))
    assert moments(merged) == moments(some)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(merged))


@given(spans, spans)
def test_what_is_left_of_spans_has_nothing_of_the_holes(some: list, holes: list) -> None:
    assert moments(list(truth.without(some, holes))) == moments(some) - moments(holes)


@given(spans, st.integers(0, 80), st.integers(0, 20))
def test_an_overlap_is_as_long_as_its_moments(some: list, begin: int, length: int) -> None:
    assert truth.overlap(some, begin, begin + length) == len(
        moments(some) & set(range(begin, begin + length))
    )


def a_truth(library: str, waits: list) -> Any:
    one = truth.Truth(library)
    one.begin, one.end = 0, 1_000
    one.spans, one.others, one.waits = [(100, 200), (300, 400)], [(200, 250)], waits
    return one


@needs_compiler
def test_a_wait_counts_for_the_culprit_while_it_is_at_work(library: str) -> None:
    wait = truth.Wait(wanted=150, had=250, left=260, late_least=0, late_most=0)
    facts = a_truth(library, [wait]).facts(nobody_ns=None, unclocked=False)
    assert (facts.least, facts.most, facts.other_share) == (0.5, 0.5, 0.5)
    assert facts.hold_share == 200 / 260
    assert (facts.worked, facts.preempted, facts.victims_s) == (2, 0, 100 / 1e9)


@needs_compiler
def test_time_in_which_the_gil_was_free_is_not_the_culprits(library: str) -> None:
    wait = truth.Wait(wanted=100, had=200, left=201, late_least=0, late_most=40)
    one = a_truth(library, [wait])
    unknown = one.facts(nobody_ns=None, unclocked=True)
    assert (unknown.least, unknown.most, unknown.hold_share) == (0.6, 1.0, None)
    known = one.facts(nobody_ns=10, unclocked=True)
    assert known.least == known.most == 0.9
    one.spans = [(100, 170), (190, 300)]
    assert (one.facts(nobody_ns=10, unclocked=True).least, one.facts(nobody_ns=10, unclocked=True).most) == (
        0.7,
        0.9,
    )
    assert unknown.error(0.5) == pytest.approx(-0.1)
    assert unknown.error(0.7) == 0


@needs_compiler
def test_who_lets_go_where_no_clock_sees_it_is_not_to_blame_for_the_time_in_which_the_gil_was_free(
    library: str,
) -> None:
    wait = truth.Wait(wanted=100, had=200, left=201, late_least=0, late_most=10)
    facts = a_truth(library, [wait]).facts(nobody_ns=40, unclocked=True, lets_go=True)
    assert facts.least == facts.most == 0.6


@needs_compiler
def test_of_noted_holds_it_is_known_between_which_times_they_began_and_ended(library: str) -> None:
    one = a_truth(library, [truth.Wait(wanted=500, had=600, left=601, late_least=0, late_most=0)])
    one.logs = [[498, 505, 525, 528, 540, 545, 555, 555]]
    facts = one.facts(nobody_ns=None, unclocked=False)
    assert (facts.least, facts.most) == (0.3, 0.43)


@needs_compiler
def test_who_lets_go_by_itself_is_known_to_have_done_so_where_its_span_ended(library: str) -> None:
    wait = truth.Wait(wanted=150, had=280, left=281, late_least=0, late_most=130)
    facts = a_truth(library, [wait]).facts(nobody_ns=None, unclocked=True)
    assert facts.least == facts.most == pytest.approx(50 / 130)
    assert facts.other_share == pytest.approx(50 / 130)


@needs_compiler
def test_a_victims_turn_is_not_the_culprits(library: str) -> None:
    first = truth.Wait(wanted=100, had=120, left=150, late_least=0, late_most=0)
    second = truth.Wait(wanted=110, had=160, left=161, late_least=0, late_most=0)
    facts = a_truth(library, [first, second]).facts(nobody_ns=None, unclocked=False)
    assert facts.least == (20 + 10 + 10) / (20 + 50)
    assert facts.preempted == 2


# ---- what is told


def a_kind(**more: Any) -> Kind:
    def prepare(_: Any) -> Any:
        """Have one line."""
        return sorted  # culprit

    return Kind("a kind", prepare, **more)


def here(kind: Kind) -> str:
    (place,) = kind.places
    return place


def test_the_marked_line_is_the_right_place() -> None:
    kind = a_kind()
    assert here(kind).startswith("benchmarks/test_benchmark_kinds.py:")
    assert told.names(kind, told.Told("act", here(kind)), kind.places)
    assert not told.names(kind, told.Told("act", here(kind) + "0"), kind.places)
    assert told.names(kind, told.Told("act", here(kind).rpartition("/")[2]), kind.places)


@pytest.mark.parametrize(
    ("callee", "must_name", "right"),
    [("sorted", True, True), ("", False, True), ("", True, False), ("max", False, False)],
)
def test_a_callee_must_be_the_right_one(callee: str, must_name: bool, right: bool) -> None:
    kind = a_kind(callee=r"\bsorted\b", must_name=must_name)
    row = told.Told("act", here(kind), callee)
    assert told.names(kind, row, kind.places) is right


def test_a_function_or_file_that_has_only_the_culprits_code_is_right_too() -> None:
    kind = a_kind(functions=("findall",), files=("<rules>",))
    assert told.names(kind, told.Told("findall", "re/__init__.py:216"), kind.places)
    assert told.names(kind, told.Told("Pattern.findall", "re/__init__.py:216"), kind.places)
    assert told.names(kind, told.Told("<module>", "<rules>:3"), kind.places)
    assert not told.names(kind, told.Told("search", "re/__init__.py:176"), kind.places)


def test_all_that_the_culprits_line_does_is_its_own_but_it_must_be_named_first() -> None:
    kind = a_kind(callee=r"\bsorted\b")
    freed = told.Told("act", here(kind), "freeing")
    assert told.belongs(kind, freed, kind.places)
    assert not told.names(kind, freed, kind.places)
    asked = a_kind(callee="garbage collection", must_name=True)
    assert not told.belongs(asked, told.Told("act", here(asked), "list"), asked.places)


def test_a_line_that_called_several_is_right_with_any_of_them() -> None:
    """Unless the line alone is the wrong answer; and a callee of which nothing is told names nothing."""
    parts = (("freeing", 0.3, 0.02), ("sorted", 0.2, 0.01), ("max", 0.001, 0.0))
    kind = a_kind(callee=r"\bsorted\b")
    row = told.Told("act", here(kind), "freeing", share=0.501, error=0.03, parts=parts)
    assert str(row) == f"act ({here(kind)}): freeing 30%, sorted 20%"
    assert told.names(kind, row, kind.places)
    hidden = a_kind(callee=r"\bmax\b")
    assert not told.names(hidden, row, hidden.places)
    first = a_kind(callee=r"\bsorted\b", must_name=True)
    assert not told.names(first, row, first.places)
    assert (told.read_rows(kind, [row]).share, told.read_rows(kind, [row]).error) == (0.501, 0.03)
    reading = told.read_rows(first, [row])
    assert (reading.share, reading.error) == (0.2, 0.01)
    assert told.reading_of(json.loads(json.dumps(reading.to_dict()))) == reading


def test_rows_are_summed_up_for_the_culprit() -> None:
    kind = a_kind()
    rows = [
        told.Told("note", "kinds/base.py:1", share=0.5),
        told.Told("act", here(kind), share=0.3, error=0.03),
        told.Told("act", here(kind), "freeing", share=0.1, error=0.04),
    ]
    reading = told.read_rows(kind, rows, 0.25, 4)
    assert (reading.first, reading.right) == ("note (kinds/base.py:1)", False)
    assert (reading.share, reading.caused_s, reading.hold_share) == (0.4, 4, 0.25)
    assert reading.error == pytest.approx(0.05)
    assert told.read_rows(kind, rows[1:]).right
    assert told.reading_of(json.loads(json.dumps(reading.to_dict()))) == reading
    assert told.read_rows(kind, []).first == ""


def test_all_stacks_with_the_culprits_line_are_its_own() -> None:
    kind = a_kind(callee=r"\bsorted\b")
    file, _, line = here(kind).rpartition(":")
    act = Frame("act", f"/home/me/{file}", int(line))
    called = Frame("sorted", "", 0)
    other = Frame("note", "/home/me/kinds/base.py", 9)
    stacks = [((act, called), 30), ((act, other), 20), ((other, called), 40), ((called,), 10)]
    blame = [("victim 0", 0, 3.0), ("victim 1", 1, 2.0), ("MainThread", 0, 9.0), ("victim 0", 2, 4.0)]
    report = SimpleNamespace(
        held_ns=100,
        stacks=[SimpleNamespace(frames=frames, hold_ns=ns) for frames, ns in stacks],
        blame=[SimpleNamespace(holder="culprit", waiter=who, stack=at, wait_s=s) for who, at, s in blame],
    )
    assert told.hold_share_of(kind, report) == 0.5
    assert told.caused_s_of(kind, report, "victim") == 5.0
    assert [level.callee for level in told.levels((act, called))] == ["sorted", ""]


STACKS = {
    "py-spy": ("main (a/run.py:3);act ({place}) 6", "act ({place});note (a/b.py:9) 2", "x (a/b.py:1) 2"),
    "profiling.sampling": (
        "tid:1;a/run.py:main:3;{file}:act:{line} 6",
        "tid:1;{file}:act:{line};a/b.py:note:9 2",
        "tid:1;a/b.py:x:1 2",
    ),
}


@pytest.mark.parametrize("tool", STACKS)
def test_a_sampler_gives_the_culprit_all_samples_below_it(tool: str, tmp_path: Path) -> None:
    kind = a_kind()
    file, _, line = here(kind).rpartition(":")
    output = tmp_path / "output"
    text = "".join(f"{stack}\n" for stack in STACKS[tool])
    output.write_text(text.format(place=here(kind), file=f"/home/me/{file}", line=line), encoding="utf-8")
    reading = told.read_stacks(kind, runs.read_lines(output, runs.PEERS[tool].frame))
    assert (reading.right, reading.share, reading.hold_share) == (True, 0.8, 0.8)
    assert reading.first == f"act ({here(kind)})"


def test_a_line_that_is_not_understood_is_an_error(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.write_text("main (a.py:1) many\n", encoding="utf-8")
    with pytest.raises(runs.UnreadableError, match="not understood"):
        list(runs.read_lines(output, runs.PEERS["py-spy"].frame))


def test_a_sampler_without_samples_tells_nothing() -> None:
    reading = told.read_stacks(a_kind(), [])
    assert (reading.first, reading.right, reading.share) == ("", False, None)


# ---- the answers


@pytest.fixture
def culprit(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("culprit")


def an_outcome(*, share: float, right: bool, caused_s: float | None = None) -> Any:
    facts = truth.Facts(0.5, 0.5, 0.1, 0.6, victims_s=2.0, worked=9, preempted=0)
    reading = told.Reading("act (a.py:1)", right, share, 0.6, caused_s)
    return runs.Outcome(facts, reading, "", {"facts": asdict(facts)})


def test_an_answer_is_as_far_off_as_its_share(culprit: Any) -> None:
    near = culprit.answer_of("gilprobe", an_outcome(share=0.1, right=True, caused_s=1.04))
    assert near.error == pytest.approx(2)
    assert near.near
    assert near.right
    far = culprit.answer_of("py-spy", an_outcome(share=0.46, right=False))
    assert far.error == pytest.approx(-4)
    assert not far.near
    assert culprit.answer_of("py-spy", runs.Outcome(None, None, "it crashed", {})) is None


def test_more_may_be_wrong_where_few_looks_tell(culprit: Any) -> None:
    outcome = an_outcome(share=0.56, right=True)
    outcome = runs.Outcome(outcome.facts, told.Reading("", True, 0.56, None, None, error=0.03), "", {})
    assert culprit.answer_of("gilprobe", outcome).near


def test_unknown_peers_and_numbers_are_refused(culprit: Any) -> None:
    assert culprit.cpu_counts("1,2") == [1, 2]
    assert culprit.peer_names("py-spy,uprobes") == ["py-spy", "uprobes"]
    with pytest.raises(Exception, match="must be of py-spy"):
        culprit.peer_names("nothing")
    with pytest.raises(Exception, match=">= 1"):
        culprit.cpu_counts("0")


def a_row(culprit: Any, tmp_path: Path, tool: str, *outcomes: Any) -> dict[str, Any]:
    about = {"kind": "x | y", "cpus": 0, "tool": tool}
    row: dict[str, Any] = culprit.Kinds(tmp_path)._row(f"kind: x | y: {tool}", about, outcomes).to_dict()
    return row


def test_the_pages_section_has_a_row_for_each_kind_and_a_column_for_each_tool(
    culprit: Any, tmp_path: Path
) -> None:
    ours = [an_outcome(share=0.1, right=True, caused_s=1.04), an_outcome(share=0.1, right=False, caused_s=1)]
    rows = [
        a_row(culprit, tmp_path, "gilprobe", *ours),
        a_row(culprit, tmp_path, "py-spy", an_outcome(share=0.25, right=False)),
        a_row(culprit, tmp_path, "uprobes", runs.Outcome(None, None, "knows threads, but no code", {})),
    ]
    document = a_document([*rows, culprit.Row("kinds in all", "", "%", [100.0]).to_dict()], runs=2)
    text = importlib.import_module("peers.page").page(document)
    assert "| kind | truth | gilprobe | py-spy | uprobes |" in text
    assert "| **in all: first** | | 1 of 2 runs | 0 of 1 runs | - |" in text
    assert (
        r"| x \| y | 50% | first in 1 of 2, +1.00 | not first, -25.0 | knows threads, but no code |" in text
    )
    assert "Doubt: other load." in text
    assert "2 runs of 4 s a kind" in text


def a_document(rows: list[dict[str, Any]], **differing: Any) -> dict[str, Any]:
    given = {"python": "3.11.7", "runs": 1, "doubts": ["other load"], **differing}
    return {
        "benchmark": "culprit",
        "environment": {
            "started": "2026-11-29T20:00",
            "python": given["python"],
            "cpu": "a CPU",
            "cores": 2,
        },
        "parameters": {"runs": given["runs"], "seconds": 4.0},
        "doubts": given["doubts"],
        "rows": rows,
    }


def test_all_runs_of_gilprobe_are_one_table_with_a_column_for_each_interpreter(
    culprit: Any, tmp_path: Path
) -> None:
    first, second = (
        [a_row(culprit, tmp_path, "gilprobe", an_outcome(share=0.1, right=right, caused_s=caused_s))]
        for right, caused_s in ((True, 1.04), (False, 1.08))
    )
    beside = [*first, a_row(culprit, tmp_path, "py-spy", an_outcome(share=0.25, right=False))]
    text = importlib.import_module("peers.page").page(
        a_document(beside, doubts=["a load of 2.5 before"]),
        a_document(second, doubts=["a load of 10.0 before"]),
        a_document(first, python="3.12.1", doubts=[]),
    )
    assert "| kind | 3.11.7, 4 s | 3.12.1, 4 s |" in text
    assert "| **in all: first** | 1 of 2 runs | 1 of 1 runs |" in text
    assert r"| x \| y | 1 of 2, +3.00 | 1 of 1, +2.00 |" in text
    assert text.count("\n- 3.11.7, x | y: the truth is 50% to 50% in 9 acts") == 1
    assert (
        "CPython 3.11.7, a CPU, 2 cores; 2 runs of 4 s a kind.\nDoubt: a load of 2.5 to 10.0 before." in text
    )


# ---- real programs


@pytest.mark.slow
@needs_gil
def test_a_real_program_is_shown_with_its_headline_and_its_own_clocks(tmp_path: Path) -> None:
    file = tmp_path / "shown.json"
    command = [
        sys.executable,
        str(BENCHMARKS / "programs" / "run.py"),
        "--only",
        "suite",
        "--json",
        str(file),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (shown,) = json.loads(file.read_text(encoding="utf-8"))
    assert shown["spent"][0].partition(" s in ")[2].startswith("copy.deepcopy (suite.py:")
    assert shown["headline"][0].startswith("Traced ")
    assert all(line in done.stdout for line in [*shown["spent"], *shown["headline"]])


def test_a_kind_without_its_module_or_version_says_so() -> None:
    assert a_kind(needs="no_such_module").missing() == "needs no_such_module, which is not installed"
    assert a_kind(since=(9, 1)).missing() == "needs CPython 9.1"
    assert a_kind().missing() == ""


def test_a_places_name_has_its_folder() -> None:
    assert base.short("/home/me/kinds/operators.py") == "kinds/operators.py"
