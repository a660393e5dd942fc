"""The model of a trace: units, and a saved form that gives back what it was given."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter

import pytest

from gilprobe.errors import FormatError, InvalidValueError
from gilprobe.report import Blame, Report
from gilprobe.results import ResultSet

pytestmark = pytest.mark.plain_python


def test_a_saved_report_is_loaded_as_it_was(report, tmp_path):
    report.save(tmp_path / "r.json")
    assert Report.load(tmp_path / "r.json") == report
    assert Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report


def test_saved_results_are_loaded_as_they_were(result, environment, tmp_path):
    results = ResultSet(environment, (result, result))
    results.save(tmp_path / "r.json")
    assert ResultSet.load(tmp_path / "r.json") == results


def test_results_that_were_saved_before_laws_had_numbers_are_loaded(result, environment):
    document = ResultSet(environment, (result,)).to_dict()
    assert len(document["scenarios"][0].pop("claims")) == len(result.laws)
    (loaded,) = ResultSet.from_dict(document).scenarios
    assert all(law.claim is None for law in loaded.laws)
    assert [law.text for law in loaded.laws] == [law.text for law in result.laws]


def test_numbers_of_a_law_that_contradict_each_other_are_refused_in_a_file(result, environment):
    document = ResultSet(environment, (result,)).to_dict()
    document["scenarios"][0]["claims"][0] |= {"low": 2.0, "high": 1.0}
    with pytest.raises(FormatError, match=r"laws\[0\].claim: low must be <= high, got 2.0 and 1.0"):
        ResultSet.from_dict(document)


@pytest.mark.parametrize("claims", [None, 3, [], [None] * 7])
def test_claims_are_one_for_each_law(result, environment, claims):
    document = ResultSet(environment, (result,)).to_dict()
    document["scenarios"][0]["claims"] = claims
    with pytest.raises(FormatError, match="claims must be a list with an entry for each law"):
        ResultSet.from_dict(document)


def test_public_times_are_seconds(report):
    assert (report.elapsed_s, report.held_s, report.contended_s) == (1.0, 0.9, 0.3)
    worker = report.threads[1]
    assert (worker.lifetime_s, worker.hold_s, worker.wait_s, worker.off_s) == (1.0, 0.6, 0.3, 0.1)


def test_an_abridged_report_still_adds_up(report):
    """Whatever is summed up: each waiter's rows, and what passed while nobody held."""
    rows = [
        Blame(f"w{n % 3}", n % 3, "" if n % 10 == 0 else f"h{n}", n, f"f{n}", "m.py", n, n % 2, 1000 - n)
        for n in range(100)
    ]
    stalls = tuple(dataclasses.replace(report.longest_waits[0], wait_ns=9_000_000 - n) for n in range(50))
    long = dataclasses.replace(report, blame=tuple(rows), longest_waits=stalls)
    short = long.abridged(20)
    assert waits(short) == waits(long)
    assert sum(1 for row in short.blame if row.holder not in ("", "(others)")) == 20
    assert [row for row in short.blame if not row.holder] == [row for row in rows if not row.holder]
    assert [row.wait_ns for row in short.blame] == sorted((row.wait_ns for row in short.blame), reverse=True)
    assert short.longest_waits == stalls[:20]
    assert Report.from_dict(short.to_dict()) == short
    assert long.abridged(100) == long


def waits(report):
    total = Counter()
    for row in report.blame:
        total[row.waiter, bool(row.holder)] += row.wait_ns
    return total


@pytest.mark.parametrize("name", ["elapsed_ns", "held_ns", "contended_ns", "handoffs"])
def test_a_negative_amount_is_refused(report, name):
    with pytest.raises(InvalidValueError, match=f"{name} must be >= 0, got -1"):
        dataclasses.replace(report, **{name: -1})


@pytest.mark.parametrize("kind", [Report, ResultSet])
@pytest.mark.parametrize("document", [None, [], "x", 3, {}, {"kind": "gilprobe.report"}, {"schema": 1}])
def test_a_foreign_document_is_refused(kind, document):
    with pytest.raises(FormatError):
        kind.from_dict(document)


@pytest.mark.parametrize("schema", [0, 3, "1", 1.5, True, None, [1]])
def test_another_schema_is_refused(report, result, environment, schema):
    with pytest.raises(FormatError, match="must have schema 2"):
        Report.from_dict(report.to_dict() | {"schema": schema})
    with pytest.raises(FormatError, match="must have schema 1"):
        ResultSet.from_dict(ResultSet(environment, (result,)).to_dict() | {"schema": schema})


def test_results_know_their_facts_and_arms_by_name(result):
    assert result.fact("speedup_held_2") == 0.98
    assert result.arm("held", 2).median == 4.9e8
    with pytest.raises(KeyError):
        result.fact("speedup")
    with pytest.raises(KeyError):
        result.arm("held", 3)
