"""What a leaked object brings with it is told under it, by what it reaches."""

from __future__ import annotations

import gc
import itertools

import pytest

from gilprobe.refs import LeakReport, find_leaks
from gilprobe.render.text.leaks_text import render_leaks

pytestmark = pytest.mark.lengthy

kept = []
also_kept = []
numbers = itertools.count(10_000)


class Line:
    def __init__(self, session):
        self.session = session


class Session:
    def __init__(self):
        self.settings = {"names": [], "places": []}
        self.key = f"session {next(numbers)}"
        self.line = Line(self)


def leaves_session():
    kept.append(Session())


def leaves_line():
    kept.append(Session().line)


def leaves_two_apart():
    kept.append({"a": []})
    also_kept.extend(({1}, {2}, {3}))


def leaves_more_lists():
    kept.append(Session())
    also_kept.extend(([], [], [], []))


def leaves_chain():
    kept[:] = [(Session(), kept[0] if kept else None)]


@pytest.fixture(autouse=True)
def _kept_no_longer():
    yield
    kept.clear()
    also_kept.clear()
    gc.collect()


def hunted(function):
    """Return the roots of the findings by what they are about, and the report."""
    report = find_leaks(function, repeats=5, calls=20)
    assert report.leaking
    return {one.what: one.root for one in report.findings if one.kind == "objects"}, report


SESSION, LINE = f"{__name__}.Session objects", f"{__name__}.Line objects"


def test_what_a_leaked_object_holds_is_explained_by_it():
    roots, report = hunted(leaves_session)
    assert roots[SESSION] is None
    assert roots["list objects"] == roots[LINE] == SESSION
    assert all(one == SESSION for what, one in roots.items() if what != SESSION)
    whats = [one.what for one in report.findings]
    assert whats.index(SESSION) < whats.index("list objects")
    (told,) = [one for one in report.findings[0].evidence if one.startswith("with each: ")]
    assert "2 list" in told
    assert "1 str" in told
    assert f"1 {__name__}.Line" in told


def test_of_objects_that_refer_to_each_other_the_root_is_the_one_that_is_held():
    roots, _ = hunted(leaves_line)
    assert roots[LINE] is None
    assert roots[SESSION] == LINE


def test_what_is_left_by_itself_has_no_root():
    roots, report = hunted(leaves_two_apart)
    assert roots["set objects"] is None
    assert roots["list objects"] == "dict objects"
    assert not any("set" in text for one in report.findings for text in one.evidence if "with each" in text)


def test_what_is_left_in_part_by_itself_has_no_root():
    roots, _ = hunted(leaves_more_lists)
    assert roots[LINE] == SESSION
    assert roots["list objects"] is None


def test_objects_of_one_type_in_a_chain_are_counted_once():
    _, report = hunted(leaves_chain)
    (told,) = [text for one in report.findings for text in one.evidence if text.startswith("with each: ")]
    assert "2 list" in told


def test_the_text_tells_the_root_first_and_its_own_under_it():
    _, report = hunted(leaves_session)
    lines = render_leaks(report).splitlines()
    root = next(at for at, line in enumerate(lines) if line.startswith(SESSION))
    assert any(line.startswith("  list objects") for line in lines[root + 1 :])
    assert "list objects" not in lines  # no paragraph of its own


def test_the_root_is_saved_and_a_report_without_it_loads(tmp_path):
    _, report = hunted(leaves_session)
    report.save(tmp_path / "report.json")
    assert LeakReport.load(tmp_path / "report.json") == report
    document = report.to_dict()
    for finding in document["findings"]:
        finding.pop("root", None)
    assert {one.root for one in LeakReport.from_dict(document).findings} == {None}
