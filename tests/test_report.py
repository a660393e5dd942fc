"""The model of a trace: units, and a saved form that gives back what it was given."""

from __future__ import annotations

import dataclasses
import json

import pytest

from gilprobe.errors import FormatError, InvalidValueError
from gilprobe.report import Report
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
    for law in document["scenarios"][0]["laws"]:
        law.pop("claim", None)
    (loaded,) = ResultSet.from_dict(document).scenarios
    assert all(law.claim is None for law in loaded.laws)
    assert [law.text for law in loaded.laws] == [law.text for law in result.laws]


def test_numbers_of_a_law_that_contradict_each_other_are_refused_in_a_file(result, environment):
    document = ResultSet(environment, (result,)).to_dict()
    document["scenarios"][0]["laws"][0]["claim"] |= {"low": 2.0, "high": 1.0}
    with pytest.raises(FormatError, match=r"laws\[0\].claim: low must be <= high, got 2.0 and 1.0"):
        ResultSet.from_dict(document)


def test_public_times_are_seconds(report):
    assert (report.elapsed_s, report.held_s, report.contended_s) == (1.0, 0.9, 0.3)
    worker = report.threads[1]
    assert (worker.lifetime_s, worker.hold_s, worker.wait_s, worker.off_s) == (1.0, 0.6, 0.3, 0.1)


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
