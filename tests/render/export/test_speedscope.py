"""Profiles for speedscope: valid by its published schema, and adding up to what was recorded."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import fastjsonschema
import pytest
from hostile_names import HOSTILE
from made_up_timeline import simulated

from gilprobe.model.timeline import HOLD
from gilprobe.model.traced_process import TracedProcess
from gilprobe.render.export import speedscope
from gilprobe.report import Frame, Site, Stack

pytestmark = pytest.mark.plain_python

SCHEMA = Path(__file__).parents[2] / "data" / "speedscope" / "file-format-schema.json"


@pytest.fixture(scope="module")
def valid():
    return fastjsonschema.compile(json.loads(SCHEMA.read_text()))


@pytest.fixture
def exported(valid):
    """Return a function that exports processes and checks what any profile must hold to."""

    def export(*processes, weight="hold"):
        text = "".join(speedscope.export(processes, weight))
        assert text.isascii()
        document = json.loads(text)
        valid(document)
        json.dumps(document, ensure_ascii=False).encode("utf-8")
        frames = document["shared"]["frames"]
        assert len({json.dumps(frame) for frame in frames}) == len(frames)
        for profile in document["profiles"]:
            assert len(profile["samples"]) == len(profile["weights"])
            assert sum(profile["weights"]) == profile["endValue"]
            assert all(weight > 0 for weight in profile["weights"])
            assert all(0 <= frame < len(frames) for sample in profile["samples"] for frame in sample)
            assert all(profile["samples"])
        return document

    return export


def named(document, name):
    (profile,) = [profile for profile in document["profiles"] if profile["name"] == name]
    return profile


def test_the_schema_is_no_formality(valid):
    with pytest.raises(fastjsonschema.JsonSchemaException):
        valid(
            {"$schema": "https://www.speedscope.app/file-format-schema.json", "profiles": [{}], "shared": {}}
        )


def test_stacks_are_weighted_by_holds_waits_and_the_waits_they_caused(exported, report):
    document = exported(TracedProcess("r.json", report), weight="caused")
    assert document["activeProfileIndex"] == 2
    assert "a doubt about the trace" in document["name"]
    frames = document["shared"]["frames"]
    for name, nanoseconds in (
        ("all threads: GIL held", 600_000_000),
        ("all threads: waiting for the GIL", 300_000_000),
        ("all threads: waits caused in other threads", 590_000_000),
    ):
        profile = named(document, name)
        assert profile["unit"] == "nanoseconds"
        assert profile["weights"] == [nanoseconds]
        (sample,) = profile["samples"]
        assert [frames[frame] for frame in sample] == [
            {"name": "main", "file": "app.py", "line": 3},
            {"name": "JSONEncoder.iterencode", "file": "/lib/encoder.py", "line": 250},
        ]


def test_without_stacks_the_sites_are_stacks_of_one_frame(exported, report):
    document = exported(TracedProcess("r.json", dataclasses.replace(report, stacks=())))
    profile = named(document, "all threads: GIL held")
    assert [len(sample) for sample in profile["samples"]] == [1, 1]
    assert profile["weights"] == [600_000_000, 1_000]
    assert {"name": "(start or end of a thread)"} in document["shared"]["frames"]


def test_a_timeline_gives_each_thread_its_profiles(exported, report):
    timeline = simulated(threads=3, depth=2, dropped=5)
    document = exported(TracedProcess("r.gilprobe", report, timeline))
    for thread in range(3):
        held = sum(e[4] for e in timeline.events if e[0] == HOLD and e[1] == thread)
        waited = sum(e[4] for e in timeline.events if e[0] != HOLD and e[1] == thread)
        dropped = "(5 events dropped)"
        assert named(document, f"worker {thread}: GIL held {dropped}")["endValue"] == held
        assert named(document, f"worker {thread}: waiting for the GIL {dropped}")["endValue"] == waited


def test_of_thousands_of_threads_the_busiest_are_shown_and_nothing_is_lost(exported, report):
    timeline = simulated(threads=5000, holds=6000)
    document = exported(TracedProcess("r.gilprobe", report, timeline))
    assert len(document["profiles"]) == 3 + 2 * 65
    profiles = [p for p in document["profiles"] if not p["name"].startswith("all")]
    assert sum(p["endValue"] for p in profiles) == sum(event[4] for event in timeline.events)
    assert any(p["name"].startswith("4936 more threads") for p in profiles)


def test_processes_are_told_apart(exported, report):
    one = TracedProcess("a.gilprobe", report, pid=7, argv=("app.py", "x"))
    document = exported(one, dataclasses.replace(one, pid=8))
    assert document["profiles"][3]["name"] == "process 8: app.py x, all threads: GIL held"
    assert document["name"].startswith("process 7: app.py x and 1 more")


def test_an_empty_report_is_valid(exported, report):
    document = exported(TracedProcess("", dataclasses.replace(report, sites=(), stacks=(), warnings=())))
    assert [profile["endValue"] for profile in document["profiles"]] == [0, 0, 0]


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_leave_the_document_valid(exported, report, name):
    stack = Stack((Frame(name, name, 2**62), Frame(name, name, -1)), 1, 2**62, -5, 0)
    nasty = dataclasses.replace(report, stacks=(stack, Stack((), 1, 1, 1, 1)), warnings=(name,))
    exported(TracedProcess(name, nasty, simulated(holds=20).renamed(name), pid=3, argv=(name,)))


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_sites_leave_the_document_valid(exported, report, name):
    exported(
        TracedProcess(name, dataclasses.replace(report, stacks=(), sites=(Site(name, name, 0, 1, 1, 1, 1),)))
    )


def test_waits_for_locks_have_a_profile_where_they_were_recorded(exported, report, with_locks):
    processes = TracedProcess("a.json", report, pid=1), TracedProcess("b.json", with_locks, pid=2)
    document = exported(*processes, weight="lock")
    names = [profile["name"] for profile in document["profiles"]]
    assert len(names) == 3 + 4
    active = document["profiles"][document["activeProfileIndex"]]
    assert active["name"].endswith("all threads: waiting for locks")
    assert active["endValue"] == 75_000_000
    assert exported(*processes, weight="wait")["activeProfileIndex"] == 1
