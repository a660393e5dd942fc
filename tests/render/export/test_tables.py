"""CSV: one table a file, read back by the csv module as it was, and harmless to a spreadsheet."""

from __future__ import annotations

import csv
import dataclasses
from io import StringIO

import pytest
from hostile_names import HOSTILE
from made_up_timeline import MadeUpTimeline, simulated

from gilprobe.model.timeline import HOLD, NOWHERE, WAIT, TimelineThread
from gilprobe.model.traced_process import TracedProcess
from gilprobe.render.export import tables
from gilprobe.report import Frame, Site

pytestmark = pytest.mark.plain_python


def exported(*processes):
    text = "".join(tables.export(processes))
    text.encode("utf-8")
    rows = list(csv.reader(StringIO(text), strict=True))
    assert len({len(row) for row in rows}) == 1
    for row in rows:
        for cell in row:
            assert not cell.lstrip().startswith(("=", "+", "@", "\uff1d"))
            assert not cell.startswith("-") or cell[1:].isdigit()
            assert cell.isprintable()
    return rows


def test_a_timeline_gives_its_events(report):
    timeline = MadeUpTimeline(
        (TimelineThread(11, "Main, or not", 0), TimelineThread(12, 'a "worker"', 3)),
        ((Frame("outer", "o.py", 1), Frame("encode", "/lib/e.py", 250)), ()),
        ((HOLD, 0, 0, 5, 10), (WAIT, 1, NOWHERE, 7, 8), (HOLD, 1, 1, 15, 1)),
    )
    rows = exported(TracedProcess("", report, timeline, pid=42))
    assert rows == [
        list(tables.EVENT_COLUMNS),
        ["42", "hold", "0", "11", "Main, or not", "5", "10", "encode", "/lib/e.py", "250"],
        ["42", "wait", "3", "12", 'a "worker"', "7", "8", "", "", ""],
        ["42", "hold", "3", "12", 'a "worker"', "15", "1", "", "", ""],
    ]


def test_without_a_timeline_there_are_the_sites(report):
    rows = exported(TracedProcess("", report), TracedProcess("", report, simulated(), pid=3))
    assert rows[0] == list(tables.SITE_COLUMNS)
    assert rows[1] == [
        "",
        "JSONEncoder.iterencode",
        "/lib/encoder.py",
        "250",
        "4",
        "600000000",
        "300000000",
        "590000000",
        "",
        "0",
    ]
    assert rows[2] == ["", "(start or end of a thread)", "", "", "1", "1000", "2000", "0", "", "0"]
    assert [row[0] for row in rows[3:]] == ["3", "3"]


def test_a_site_has_its_callee_and_its_looks(report):
    site = Site("f", "a.py", 3, 1, 1, 1, 1, callee="=sorted", looks=7)
    rows = exported(TracedProcess("", dataclasses.replace(report, sites=(site,))))
    assert dict(zip(*rows, strict=True)) | {"callee": "'=sorted", "looks": "7"} == dict(
        zip(*rows, strict=True)
    )


def test_no_event_is_lost_between_pieces(report):
    timeline = simulated(holds=3000)
    assert len(exported(TracedProcess("", report, timeline))) == len(timeline.events) + 1


def test_nothing_gives_a_heading(report):
    assert exported(TracedProcess("", dataclasses.replace(report, sites=()))) == [list(tables.SITE_COLUMNS)]


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_are_cells_and_not_formulas(report, name):
    site = Site(name, name, 1, 1, 2**62, -3, 0)
    exported(TracedProcess("", dataclasses.replace(report, sites=(site,))))
    exported(TracedProcess("", report, simulated(holds=20).renamed(name)))


def test_what_is_no_formula_is_left_as_it_is(report):
    site = Site("a=b", "/x -y@z.py", 1, 1, 1, 1, 1)
    rows = exported(TracedProcess("", dataclasses.replace(report, sites=(site,))))
    assert rows[1][1:3] == ["a=b", "/x -y@z.py"]
