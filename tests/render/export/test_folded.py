"""Folded stacks: each line is frames without a space, one space, and whole nanoseconds."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hostile_names import HOSTILE

from gilprobe.model.traced_process import TracedProcess
from gilprobe.render.export import folded
from gilprobe.report import Frame, Stack

pytestmark = pytest.mark.plain_python

# what flamegraph.pl splits a line by
LINE = re.compile(r"^(.*)\s+?(\d+(?:\.\d*)?)$")


def exported(*processes, weight="hold"):
    text = "".join(folded.export(processes, weight))
    text.encode("utf-8")
    assert not text or text.endswith("\n")
    parsed = []
    for line in text.split("\n")[:-1]:
        frames, nanoseconds = LINE.fullmatch(line).groups()
        assert not re.search(r"\s", frames)
        assert frames.isprintable()
        assert all(frames.split(";"))
        parsed.append((frames.split(";"), int(nanoseconds)))
    return parsed


@pytest.mark.parametrize(("weight", "nanoseconds"), [("hold", 600), ("wait", 300), ("caused", 590)])
def test_a_stack_is_a_line_of_frames_and_nanoseconds(report, weight, nanoseconds):
    assert exported(TracedProcess("", report), weight=weight) == [
        (["main(app.py:3)", "JSONEncoder.iterencode(encoder.py:250)"], nanoseconds * 10**6)
    ]


def test_without_stacks_there_are_the_sites_heaviest_first(report):
    lines = exported(TracedProcess("", dataclasses.replace(report, stacks=())))
    assert lines == [
        (["JSONEncoder.iterencode(encoder.py:250)"], 600_000_000),
        (["(start_or_end_of_a_thread)"], 1_000),
    ]


def test_lines_that_look_alike_become_one(report):
    stacks = tuple(Stack((Frame("f", f"/{folder}/x.py", 1),), 1, 5, 0, 0) for folder in "ab")
    assert exported(TracedProcess("", dataclasses.replace(report, stacks=stacks))) == [(["f(x.py:1)"], 10)]


def test_several_processes_begin_with_their_names(report):
    one = TracedProcess("", report, pid=7, argv=("app.py", "a;b"))
    lines = exported(one, dataclasses.replace(one, pid=8, argv=()))
    assert [frames[0] for frames, _ in lines] == ["process_7:_app.py_a\\x3bb", "process_8"]


def test_nothing_gives_nothing(report):
    assert exported(TracedProcess("", dataclasses.replace(report, stacks=(), sites=()))) == []


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_leave_the_lines_whole(report, name):
    stacks = (Stack((Frame(name, name, 1), Frame(name, "", 0)), 1, 2**62, 0, 0), Stack((), 1, 1, 1, 1))
    (line,) = exported(TracedProcess("", dataclasses.replace(report, stacks=stacks)))
    assert len(line[0]) == 2
    assert line[1] == 2**62


def test_waits_for_locks_are_places_with_the_lock_below(with_locks):
    lock = "Lock_`self._lock`_of_Cache"
    assert exported(TracedProcess("", with_locks), weight="lock") == [
        (["Cache.get(cache.py:12)", lock], 60_000_000),
        (["Cache.put(cache.py:30)", lock], 10_000_000),
        (["Cache.put(cache.py:30)", "stop_the_world"], 5_000_000),
    ]
    assert exported(TracedProcess("", with_locks)) == [
        (["main(app.py:3)", "JSONEncoder.iterencode(encoder.py:250)"], 600_000_000)
    ]
