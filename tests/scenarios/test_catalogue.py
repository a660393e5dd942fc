"""What `gilprobe.run` accepts, refuses, and hands back."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gilprobe
from gilprobe import scenarios
from gilprobe.errors import (
    InvalidTypeError,
    InvalidValueError,
    ScenarioError,
    TimeLimitError,
    UnknownScenarioError,
)
from gilprobe.measuring.measure import Settings
from gilprobe.results import ResultSet
from gilprobe.scenarios import Scenario, registry

pytestmark = pytest.mark.plain_python

PUBLISHED = Path(__file__).parents[2] / "docs" / "published-experiments.md"
LIST = Path(__file__).parents[2] / "docs" / "commands" / "list.md"
QUICK = Settings(arm_ns=2_000_000, member_ns=0)


def test_identifiers_are_unique_and_every_scenario_has_a_title_and_a_group():
    found = scenarios.catalogue()
    ids = [scenario.id for scenario in found.scenarios]
    assert len(ids) == len(set(ids))
    assert all(scenario.title and scenario.group for scenario in found.scenarios)
    assert found.problems == ()


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("held-vs-relased", "did you mean held-vs-released"),
        ("zzz", "see gilprobe list"),
        ("\x1b[2J", "see gilprobe list"),
    ],
)
def test_an_unknown_scenario_names_its_likes(wrong, hint):
    with pytest.raises(UnknownScenarioError) as caught:
        gilprobe.run(wrong)
    assert hint in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("threads", "error", "message"),
    [
        ((), InvalidValueError, "at least one number"),
        ((0,), InvalidValueError, "between 1 and 1024, got 0"),
        ((1, -2), InvalidValueError, "got -2"),
        ((1025,), InvalidValueError, "got 1025"),
        ((2.0,), InvalidTypeError, "must be integers, got 2.0"),
        ((True,), InvalidTypeError, "must be integers, got True"),
        (("2",), InvalidTypeError, "must be integers"),
        ("12", InvalidTypeError, "must be a sequence of integers"),
        (2, InvalidTypeError, "must be a sequence of integers"),
    ],
)
def test_unusable_threads_are_refused_with_rule_and_value(threads, error, message):
    with pytest.raises(error, match=message):
        gilprobe.run("python-loop", threads=threads)


def test_unusable_repeats_are_refused_before_anything_runs():
    with pytest.raises(InvalidValueError, match="between 2 and 1000, got 1"):
        gilprobe.run("python-loop", repeat=1)
    with pytest.raises(InvalidTypeError):
        gilprobe.run("python-loop", repeat="5")


@given(st.sets(st.integers(1, 1024), min_size=1))
def test_threads_are_sorted_with_the_single_thread_first(sizes):
    checked = scenarios.check_threads(sizes)
    assert set(checked) == sizes | {1}
    assert list(checked) == sorted(checked)


@given(st.integers(1, 5000))
def test_default_threads_double_up_to_twice_the_cores_and_stay_few(cores):
    sizes = scenarios.default_threads(cores)
    assert sizes[0] == 1
    assert sizes[1] == 2
    assert sizes[-1] == min(2 * cores, 128)
    assert len(sizes) <= 6
    assert list(sizes) == sorted(set(sizes))


def test_default_threads_on_small_machines():
    assert [scenarios.default_threads(cores) for cores in (1, 2, 3, 4)] == [
        (1, 2),
        (1, 2, 4),
        (1, 2, 4, 6),
        (1, 2, 4, 8),
    ]


@pytest.mark.parametrize("name", ["held-vs-released", "python-loop", "gil-mutex"])
def test_a_real_run_has_the_promised_shape(name):
    steps = []
    result = scenarios.run(
        name, threads=(1, 2), repeat=2, frame=QUICK, progress=lambda _label, share: steps.append(share)
    )
    assert result.id == name
    assert {arm.threads for arm in result.arms} == {1, 2}
    for arm in result.arms:
        assert len(arm.samples) == 2
        assert arm.low <= arm.median <= arm.high
        assert min(arm.samples) <= arm.low
    assert result.laws
    assert {law.verdict for law in result.laws} <= {"holds", "does not hold", "not testable here"}
    assert steps == sorted(steps)
    assert steps[-1] == 1.0
    tracer = gilprobe.capabilities().tracer
    assert len(result.traces) == (len(result.arms) if tracer == "exact" else 0)
    results = ResultSet(result.environment, (result,))
    assert ResultSet.from_dict(results.to_dict() | {"scenarios": results.to_dict()["scenarios"]}) == results


def test_held_vs_released_has_the_contracts_arms_and_facts():
    result = scenarios.run("held-vs-released", threads=(1, 2), repeat=2, frame=QUICK)
    assert {(arm.name, arm.threads) for arm in result.arms} == {
        (name, threads) for name in ("held", "released") for threads in (1, 2)
    }
    assert {arm.unit for arm in result.arms} == {"operations/s"}
    for name in ("held", "released"):
        for threads in (1, 2):
            speedup = result.fact(f"speedup_{name}_{threads}")
            assert speedup == result.arm(name, threads).median / result.arm(name, 1).median
            assert result.fact(f"efficiency_{name}_{threads}") == speedup / threads


@pytest.mark.skipif(gilprobe.capabilities().tracer == "none", reason="no tracer here")
def test_every_worker_of_a_traced_run_is_in_its_trace():
    result = scenarios.run("gil-mutex", threads=(1, 3), repeat=2, frame=QUICK)
    for traced in result.traces:
        names = [account.name for account in traced.report.threads]
        for number in range(traced.threads):
            assert f"worker {number + 1}" in names
        for account in traced.report.threads:
            assert account.hold_ns + account.wait_ns + account.off_ns == account.lifetime_ns


def test_the_catalogue_does_not_load_what_only_rendering_needs():
    code = "import sys, gilprobe.scenarios as s; s.catalogue(); raise SystemExit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0


def test_to_find_one_of_ours_no_other_is_loaded():
    code = (
        "import sys; from gilprobe.scenarios import find; (one,) = find('python-loop');"
        "loaded = 'gilprobe.scenarios.contention.held_vs_released' in sys.modules;"
        "raise SystemExit(loaded or one.id != 'python-loop')"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0


# Scenarios of other people

MINE = """
from gilprobe.scenarios import Fact, Findings, Law, Scenario, Trial, observe_trials, verdict

def measure(request):
    trial = Trial("one", 1, {"": "s"}, lambda: {"": 1.0})
    seen = observe_trials(request, [trial])
    law = Law("one is one", "1", "1", verdict(seen.measurement.arms[0].median == 1.0))
    return Findings(seen.measurement.arms, (Fact("one", 1.0, ""),), (law,), seen.traces, printed="hello\\n")

SCENARIO = Scenario(id="mine", title="One is one", group="lessons", measure=measure)
"""


def written(tmp_path, text):
    path = tmp_path / "my_scenario.py"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_file_can_be_run(tmp_path):
    before = list(sys.path)
    result = gilprobe.run(written(tmp_path, MINE), repeat=2)
    assert (result.id, result.printed) == ("mine", "hello\n")
    assert [law.verdict for law in result.laws] == ["holds"]
    assert len(result.arm("one", 1).samples) == 2
    assert sys.path == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have SCENARIO or a tuple SCENARIOS, got None"),
        ("SCENARIOS = ()", "must have SCENARIO or a tuple SCENARIOS, got ()"),
        ("SCENARIO = 3", "must have SCENARIO = gilprobe.scenarios.Scenario(...), got 3"),
        ("import nowhere_at_all", "fails: ModuleNotFoundError"),
        ("raise RuntimeError('a\\nb')", "fails: RuntimeError: a\\nb"),
        ("x = (", "fails: SyntaxError"),
        (MINE.replace('"mine"', '"My Own"'), "id must be lower-case letters, digits and hyphens"),
        (MINE.replace('"lessons"', '"mine"'), "group must be one of lessons, contention"),
    ],
)
def test_a_file_without_a_scenario_is_told_in_one_line(tmp_path, text, message):
    with pytest.raises(ScenarioError) as caught:
        gilprobe.run(written(tmp_path, text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_told():
    with pytest.raises(ScenarioError, match=r"must exist, got '\./nowhere\.py'"):
        gilprobe.run("./nowhere.py")


def test_a_package_registers_its_scenarios(monkeypatch, tmp_path):
    good = registry.load_file(written(tmp_path, MINE))[0]
    entries = [
        made_entry("good", good),
        made_entry("again", good),
        made_entry("broken", ImportError("no such\nmodule")),
        made_entry("other", 3),
    ]
    monkeypatch.setattr(registry, "_entry_points", lambda: entries)
    found = registry.catalogue.__wrapped__()
    assert good in found.scenarios
    assert found.problems == (
        "again: there is another scenario 'mine'",
        "broken: ImportError: no such\\nmodule",
        "other: ScenarioError: entry point 'other' must have SCENARIO or a tuple SCENARIOS, got None",
    )


def made_entry(name, value):
    def load():
        if isinstance(value, Exception):
            raise value
        return value

    return SimpleNamespace(name=name, value=name, load=load)


def test_what_can_not_be_shown_here_is_a_result_with_the_reason():
    scenario = Scenario(
        "none", "Nothing", "engines", lambda _request: None, missing=lambda _environment: "no moon"
    )
    result = scenarios.measured(scenario)
    assert result.arms == ()
    (law,) = result.laws
    assert (law.verdict, law.measured) == ("not testable here", "no moon")


def test_a_scenario_is_cut_at_its_ceiling():
    now = iter([100.0, 101.0, 110.0, 112.5]).__next__  # nine seconds were not its own
    scenario = Scenario("slow", "Slow", "lessons", lambda _request: None, ceiling_s=3.0)
    told = []
    progress = scenarios.limited(scenario, lambda label, share: told.append((label, share)), now)
    progress("a", 0.1)
    with pytest.raises(TimeLimitError, match=r"slow was stopped after its limit of 3 s, 57% done"):
        progress("b", 0.571)
    assert told == [("a", 0.1)]


@pytest.mark.skipif(not LIST.exists(), reason="tests alone, without the documents")
def test_every_scenario_has_its_law_in_the_documents():
    text = LIST.read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([a-z][a-z-]+)` \| ", text, re.MULTILINE)
    assert listed == [scenario.id for scenario in scenarios.catalogue().scenarios]


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="the documentation is not here")
def test_figures_beside_published_ones_name_the_scenarios_that_give_them():
    known = {scenario.id for scenario in scenarios.catalogue().scenarios}
    commands = re.findall(r"`gilprobe run ([^`]*)`", PUBLISHED.read_text(encoding="utf-8"))
    named = {word for command in commands for word in command.partition(" --")[0].split()}
    assert named == known & named
    assert named >= {"python-loop", "convoy", "switch-interval", "engines", "shared-objects"}
