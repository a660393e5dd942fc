"""The picture of a timeline: well-formed, alone, bounded, and only of what happened."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET

import pytest
from hostile_names import HOSTILE
from made_up_timeline import MadeUpTimeline, simulated

from gilprobe.errors import GilProbeError
from gilprobe.model.timeline import HOLD, WAIT, TimelineThread
from gilprobe.model.traced_process import TracedProcess
from gilprobe.render.shared.lanes import MOST_EXACT
from gilprobe.render.svg import COLORS, render_timeline

pytestmark = pytest.mark.plain_python

SVG = "{http://www.w3.org/2000/svg}"
TWO = (TimelineThread(11, "MainThread", 0), TimelineThread(12, "worker", 0))
FEW = MadeUpTimeline(
    TWO,
    (),
    ((HOLD, 1, 0, 0, 500_000_000), (WAIT, 0, 0, 250_000_000, 250_000_000), (HOLD, 0, 0, 500_000_000, 10)),
)


@pytest.fixture
def drawn(report):
    """Return a function that draws a timeline and parses the picture."""

    def draw(timeline, *, warnings=(), **options):
        elapsed = max([10**9, *(start + length for _, _, _, start, length in timeline.events)])
        whole = dataclasses.replace(report, elapsed_ns=elapsed, warnings=warnings)
        return ET.fromstring(render_timeline(TracedProcess("", whole, timeline), **options))

    return draw


def outlines(picture, kind):
    return [path.get("d") for path in picture.iter(f"{SVG}path") if path.get("fill") == COLORS[kind]]


def test_holds_and_waits_stand_where_and_as_long_as_they_happened(drawn):
    picture = drawn(FEW)
    (wait,) = outlines(picture, WAIT)
    left, width = map(float, re.fullmatch(r"M([\d.]+) .*?h([\d.]+)v10z", wait).groups())
    first, _ = outlines(picture, HOLD)[::-1]
    start, length = map(float, re.fullmatch(r"M([\d.]+) .*?h([\d.]+)v16z", first).groups())
    assert (width, length) == (pytest.approx(180), pytest.approx(360))
    assert left - start == pytest.approx(180)


def test_it_is_named_and_described_for_who_does_not_see_it(drawn):
    picture = drawn(FEW)
    assert picture.get("role") == "img"
    assert picture[0].text == "Timeline of 2 threads over 1 s"
    assert picture[1].text.endswith("; worker: hold 500 ms (50%), wait 0 ns (0%)")


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_names_are_shown_and_not_obeyed(drawn, name):
    harmless, picture = drawn(FEW), drawn(FEW.renamed(name), warnings=(name,))
    kinds = [element.tag for element in harmless.iter()]
    assert [element.tag for element in picture.iter() if "text" not in element.tag] == [
        tag for tag in kinds if "text" not in tag
    ]
    text = "".join(picture.itertext())
    assert text.isprintable()
    assert len(text) < 2_000


def test_it_needs_nothing_from_elsewhere_and_shares_a_page_with_others(drawn):
    tags = {element.tag.removeprefix(SVG) for element in drawn(FEW).iter()}
    assert tags <= {"svg", "title", "desc", "rect", "path", "text", "g"}
    names = {name for element in drawn(FEW).iter() for name in element.attrib}
    assert not names & {"id", "class", "style", "href", "onload"}


def test_a_long_timeline_of_many_threads_stays_small(drawn, report):
    few = drawn(simulated(threads=200, holds=MOST_EXACT // 4), rows=10)
    timeline = simulated(threads=200, holds=20_000)
    many = drawn(timeline, rows=10)
    assert len(list(many.iter())) <= len(list(few.iter())) + 4
    assert len(ET.tostring(many)) < 10 * 2 * 720 * 40
    text = "".join(many.itertext())
    assert "190 threads with shorter holds and waits not shown" in text
    assert "a pixel shows the shares of its time" in text


def test_doubts_are_shown(drawn):
    assert "5 events are missing" in "".join(drawn(dataclasses.replace(FEW, dropped=5)).itertext())


def test_a_timeline_without_events_is_an_empty_picture(drawn):
    assert "Timeline of 0 threads" in drawn(MadeUpTimeline(TWO, (), ()))[0].text


@pytest.mark.parametrize("rows", [0, -1, True, 2.5, "3"])
def test_rows_are_a_positive_number(drawn, rows):
    with pytest.raises(GilProbeError, match="rows must be"):
        drawn(FEW, rows=rows)


def test_a_trace_without_a_timeline_is_refused(report):
    with pytest.raises(GilProbeError, match="timeline=True"):
        render_timeline(TracedProcess("", report))
