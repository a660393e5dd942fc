"""What a notebook shows of the model says what the terminal says, and escapes what it shows."""

from __future__ import annotations

import dataclasses
from html.parser import HTMLParser

import pytest
from hostile_names import HOSTILE

from gilprobe.model.codec import encode
from gilprobe.model.leak_report import LeakFinding, LeakReport
from gilprobe.render.notebook.bundle import bundle
from gilprobe.render.terminal import render_result
from gilprobe.render.text.leaks_text import render_leaks
from gilprobe.render.text.trace_text import render_report
from gilprobe.results import ResultSet

pytestmark = pytest.mark.plain_python


class Read(HTMLParser):
    """Collects the elements and the text of a piece of HTML, and checks that it is balanced."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.tags.append((tag, tuple(name for name, _ in attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def words(text):
    return [word for word in text.split() if word.strip("─ ")]


def test_a_report_is_shown_with_all_that_the_terminal_shows(report):
    read = Read(report._repr_html_())
    assert sorted(words(" ".join(read.text))) == sorted(words(render_report(report)))
    assert "a doubt about the trace" in " ".join(read.text)


def test_a_result_is_shown_with_all_that_the_terminal_shows(result):
    read = Read(result._repr_html_())
    assert sorted(words(" ".join(read.text))) == sorted(words(render_result(result)))


def test_a_set_of_results_shows_each(result, environment):
    both = ResultSet(environment, (result, dataclasses.replace(result, id="another")))
    text = Read(both._repr_html_()).text
    assert text.count("held-vs-released: The same loop twice") == 1
    assert text.count("another: The same loop twice") == 1


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_names_are_shown_and_not_obeyed(report, name):
    threads = tuple(dataclasses.replace(thread, name=name) for thread in report.threads)
    sites = tuple(dataclasses.replace(site, function=name, filename=name) for site in report.sites)
    hostile = dataclasses.replace(report, threads=threads, sites=sites, warnings=(name,))
    read = Read(hostile._repr_html_())
    assert {tag for tag, _ in read.tags} <= {"div", "table", "thead", "tbody", "tr", "th", "td", "strong"}
    assert {name for _, names in read.tags for name in names} <= {"class", "dir", "scope", "style"}
    text = "".join(read.text)
    assert text.replace("\n", "").isprintable()
    assert text.count("\n") == "".join(Read(report._repr_html_()).text).count("\n")  # those of headings


def test_a_bundle_offers_text_and_leaves_out_what_is_not_wanted(report):
    assert report._repr_mimebundle_()["text/plain"] == render_report(report)
    assert set(report._repr_mimebundle_()) == {"text/html", "text/plain"}
    assert set(report._repr_mimebundle_(include={"text/html"})) == {"text/html"}
    assert set(report._repr_mimebundle_(exclude={"text/html"})) == {"text/plain"}


def test_being_shown_is_no_field_of_the_model(report):
    assert "_repr_html_" not in encode(report)
    assert not hasattr(report, "__dict__")


def test_what_is_not_of_the_model_is_refused():
    with pytest.raises(TypeError, match="got int"):
        bundle(3)


def test_a_hunt_for_leaks_is_shown_with_its_evidence(environment):
    finding = LeakFinding("objects", "<list> objects", 1.0, 0.9, 1.1, True, ("held by a list of <lists>",))
    report = LeakReport(
        "app.load", True, (finding,), 300, 5, 3, 0, "", 0.25, environment, ("a doubt about the hunt",)
    )
    read = Read(report._repr_html_())
    assert sorted(words(" ".join(read.text))) == sorted(words(render_leaks(report)))
    assert "- held by a list of <lists>" in read.text
