"""A report is made of the tracer's rows: looks move holds and waits to the places they saw; sums stay."""

from __future__ import annotations

import gc
import weakref

import pytest

from gilprobe.report import Frame
from gilprobe.tracing.assembling import TracePart, assemble
from gilprobe.tracing.places import Naming

pytestmark = pytest.mark.plain_python

NAMES = ("MainThread", "exporter", "victim")
PYTHON, UNSEEN = 0, 3
# parent, kind, line, function, file
MAIN, EXPORT, DUMPS, SCANNER, NOTE, NOT_SEEN = range(6)
PLACES = [
    (None, PYTHON, 3, "main", "app.py"),
    (MAIN, PYTHON, 9, "export", "app.py"),
    (EXPORT, PYTHON, 231, "dumps", "/usr/lib/python3.11/json/__init__.py"),
    (DUMPS, PYTHON, 0, "json.Encoder", ""),
    (MAIN, PYTHON, 20, "note", "app.py"),
    (None, UNSEEN, 0, "", ""),
]
EXPORTER, VICTIM = 1, 2


def alike(holder, ended, looked, looks, waiting):
    """Return a row of looks that stand for the same time, at which as many threads waited."""
    return holder, ended, looked, looks, waiting, looks, waiting, waiting * waiting // looks


def account(number, hold_ns, wait_ns):
    return {
        "number": number, "native_id": 100 + number, "os_name": "", "label": 0, "ended": True, "merged": 1,
        "first_ns": 0, "lifetime_ns": 1000, "hold_ns": hold_ns, "wait_ns": wait_ns,
        "off_ns": 1000 - hold_ns - wait_ns, "longest_hold_ns": hold_ns, "longest_wait_ns": wait_ns,
        "blamed_ns": 0, "imbalance_ticks": 0, "acquisitions": 1, "contended_acquisitions": 1, "releases": 1,
        "forced_releases": 0, "hold_cpu_ns": None, "holds": [], "waits": [],
    }  # fmt: skip


def part(looks=None, *, stacks=True, places=PLACES, **changes):
    """Return a part whose holds all ended in `note`, with the looks that fell into them."""
    totals = {
        "final": True, "hooks_lost": False, "releases_told_apart": True, "sites": True, "stacks": stacks,
        "timeline": False, "cpu_time": False, "others_missed": False, "interpreter": 0, "factor": 1 << 32,
        "elapsed_ns": 1000, "contended_ns": 600, "handoffs": 1, "lost": 0, "sites_lost_ns": 0,
        "dropped_events": 0,
    }  # fmt: skip
    snapshot = {
        "totals": totals,
        "accounts": [account(0, 0, 0), account(EXPORTER, 700, 0), account(VICTIM, 100, 610)],
        "sites": [(NOTE, 5, 700, 0, 0), (EXPORT, 1, 100, 610, 0)],
        "blame": [(VICTIM, EXPORTER, NOTE, 600)],
        "stalls": [],
    }
    if looks is not None:
        snapshot["looks"] = [alike(*row) for row in looks]
    return TracePart(places, snapshot | changes)


def assembled(environment, *parts):
    return assemble(parts, lambda account: Naming(NAMES[account["number"]], True), environment, bystanders={})


def by_place(report):
    return {(site.function, site.callee): (site.hold_ns, site.caused_ns, site.looks) for site in report.sites}


LOOKS = [
    (EXPORTER, NOTE, SCANNER, 40, 60),
    (EXPORTER, NOTE, DUMPS, 20, 20),
    (EXPORTER, NOTE, NOTE, 10, 10),
    (EXPORTER, NOTE, NOT_SEEN, 5, 10),
]


COLLECTOR = "garbage collection (generation 2)"
# two pauses at the call in `export`, and a short one of the main thread
PAUSES = {
    "lost": 0,
    "sums": [
        (EXPORTER, NOTE, EXPORT, 2, 400, 300, 2, 400, 250, 5, 1),
        (0, None, MAIN, 0, 0, 0, 1, 30, 30, 0, 0),
    ],
    "longest": [(EXPORTER, EXPORT, 2, 500, 250, 250, 200, 5, 1), (0, MAIN, 0, 10, 30, 0, 0, 0, 0)],
    "looks": [],
}


@pytest.mark.parametrize("stacks", [True, False])
def test_pauses_are_known_without_looks(environment, stacks):
    report = assembled(environment, part([], stacks=stacks, pauses=PAUSES))
    assert by_place(report) == {
        ("export", COLLECTOR): (400, 300, 0),
        ("note", ""): (300, 300, 0),
        ("export", ""): (100, 0, 0),
    }
    assert report.unshared_wait_ns == 0, "nobody looked"
    (worst, _) = report.culprits("line")[:2]
    assert {COLLECTOR} >= {row.called for row in report.culprits("line") if row.line == 9}
    assert worst.caused_ns == 300


def test_looks_tell_of_the_rest(environment):
    report = assembled(environment, part(LOOKS, pauses=PAUSES))
    assert by_place(report) == {
        ("export", COLLECTOR): (400, 300, 0),
        ("dumps", "json.Encoder"): (160, 180, 40),
        ("dumps", ""): (80, 60, 20),
        ("note", ""): (40, 30, 10),
        ("export", ""): (100, 0, 0),
        ("(not seen)", ""): (20, 30, 5),
    }


def test_looks_in_pauses_tell_finalizers_from_the_collector(environment):
    places = [*PLACES, (EXPORT, PYTHON, 0, COLLECTOR, "")]
    looks = [(EXPORTER, NOTE, 6, 3, 3), (EXPORTER, NOTE, DUMPS, 1, 1), (0, NOTE, DUMPS, 1, 0)]
    pauses = PAUSES | {"looks": [alike(*row) for row in looks]}
    report = assembled(environment, part([], places=places, pauses=pauses))
    assert report.looks == 5
    assert by_place(report)["export", COLLECTOR][:2] == (300, 225)
    assert by_place(report)["dumps", ""][1] == 75, "the finalizer, which is `dumps` here"
    assert sum(site.hold_ns for site in report.sites) == 800
    assert sum(row.wait_ns for row in report.blame if row.holder) == 600


def test_a_look_at_a_pauses_edge_tells_nothing(environment):
    places = [*PLACES, (EXPORT, PYTHON, 0, COLLECTOR, ""), (MAIN, PYTHON, 0, COLLECTOR, "")]
    looks = [(EXPORTER, NOTE, 6, 1, 1), (EXPORTER, NOTE, 7, 1, 1)]
    report = assembled(environment, part(looks, places=places, pauses=PAUSES))
    assert by_place(report) == {
        ("export", COLLECTOR): (400, 300, 0),
        ("main", COLLECTOR): (300, 300, 1),  # another interpreter's, perhaps: no pause is known there
        ("export", ""): (100, 0, 0),
        ("note", ""): (0, 0, 0),
    }


def test_collections_are_rows_and_marks_of_stalls(environment):
    stall = (VICTIM, None, EXPORTER, NOTE, 400, 300, 300, None)
    other = (VICTIM, None, 0, MAIN, 0, 5, 5, None)
    report = assembled(environment, part([], pauses=PAUSES, stalls=[stall, other]))
    row, short = report.collections
    assert (row.thread, row.generation, row.function, row.line) == ("exporter", 2, "export", 9)
    assert (row.count, row.pause_ns, row.longest_ns, row.held_ns) == (2, 400, 250, 400)
    assert (row.caused_ns, row.collected, row.uncollectable) == (300, 5, 1)
    assert (short.thread, short.count, short.generation) == ("MainThread", 1, 0)
    assert [pause.start_ns for pause in report.longest_pauses] == [500, 10]
    assert [(one.pause_ns, one.pause_generation) for one in report.longest_waits] == [(200, 2), (0, None)]
    assert assembled(environment, part([])).collections is None


def test_without_looks_all_counts_for_the_end_of_the_hold(environment):
    old, empty = assembled(environment, part()), assembled(environment, part([]))
    assert old == empty
    assert by_place(old) == {("note", ""): (700, 600, 0), ("export", ""): (100, 0, 0)}
    assert (old.looks, old.looks_unseen, old.unshared_wait_ns) == (0, 0, 0)
    assert [row.looks for row in old.blame] == [0, 0]


def test_looks_share_holds_and_waits_out(environment):
    report = assembled(environment, part(LOOKS))
    assert by_place(report) == {
        ("dumps", "json.Encoder"): (373, 360, 40),
        ("dumps", ""): (187, 120, 20),
        ("note", ""): (93, 60, 10),
        ("export", ""): (100, 0, 0),
        ("(not seen)", ""): (47, 60, 5),
    }
    assert (report.looks, report.looks_unseen, report.unshared_wait_ns) == (75, 0, 0)
    (note,) = [site for site in report.sites if site.function == "note"]
    assert (note.releases, note.wait_ns) == (5, 0), "releases stay where they were"


def test_looks_that_saw_nothing_are_counted(environment):
    totals = part().snapshot["totals"] | {"looks_unseen": 3}
    report = assembled(environment, part(LOOKS, totals=totals), part())
    assert (report.looks, report.looks_unseen) == (75, 3)


def test_blame_names_what_was_seen(environment):
    report = assembled(environment, part(LOOKS))
    rows = {(row.function, row.callee): (row.holder, row.wait_ns, row.looks) for row in report.blame}
    assert rows == {
        ("dumps", "json.Encoder"): ("exporter", 360, 40),
        ("dumps", ""): ("exporter", 120, 20),
        ("note", ""): ("exporter", 60, 10),
        ("(not seen)", ""): ("exporter", 60, 5),
        ("(handoff)", ""): ("", 10, 0),
    }
    assert sum(row.wait_ns for row in report.blame) == sum(thread.wait_ns for thread in report.threads)


def test_a_callee_is_the_innermost_level_of_its_stack(environment):
    report = assembled(environment, part(LOOKS))
    row = report.blame[0]
    stack = report.stacks[row.stack]
    assert [frame.function for frame in stack.frames] == ["main", "export", "dumps", "json.Encoder"]
    assert stack.frames[-1] == Frame("json.Encoder", "", 0)
    assert (stack.hold_ns, stack.caused_ns, stack.looks) == (373, 360, 40)
    assert sum(stack.hold_ns for stack in report.stacks) == 800


def test_without_stacks_a_site_has_its_callee(environment):
    places = [
        (None if kind == PYTHON and line else parent, kind, line, *names)
        for parent, kind, line, *names in PLACES
    ]
    report = assembled(environment, part(LOOKS, stacks=False, places=places))
    assert report.stacks == ()
    assert by_place(report)["dumps", "json.Encoder"] == (373, 360, 40)
    assert {row.stack for row in report.blame} == {None}


def test_what_no_look_fell_into_is_counted(environment):
    report = assembled(
        environment,
        part(
            LOOKS,
            blame=[
                (VICTIM, EXPORTER, NOTE, 500),
                (VICTIM, EXPORTER, EXPORT, 70),
                (VICTIM, EXPORTER, None, 30),
            ],
        ),
    )
    assert report.unshared_wait_ns == 100
    assert by_place(report)["export", ""] == (100, 70, 0)
    assert by_place(report)["(no memory for more sites)", ""] == (0, 30, 0)


def test_looks_at_threads_of_the_same_kind_tell_what_a_short_thread_did(environment):
    """Its holds ended at the same site: another place, but the same line, as that of native code is."""
    names = {1: "request-1", 2: "request-22", 3: "writer"}
    blame = [(0, 1, NOTE, 100), (0, 2, len(PLACES), 50), (0, 3, NOTE, 30), (0, 2, EXPORT, 20)]
    traced = part(
        [(1, NOTE, DUMPS, 2, 4)],
        places=[*PLACES, (MAIN, PYTHON, 20, "note", "app.py")],
        accounts=[account(0, 0, 200), account(1, 300, 0), account(2, 300, 0), account(3, 200, 0)],
        blame=blame,
    )
    report = assemble(
        [traced], lambda row: Naming(names.get(row["number"], "MainThread"), True), environment, bystanders={}
    )
    assert {(row.holder, row.function): (row.wait_ns, row.looks) for row in report.blame} == {
        ("request-1", "dumps"): (100, 2),
        ("request-22", "dumps"): (50, 2),
        ("writer", "note"): (30, 0),
        ("request-22", "export"): (20, 0),
    }
    assert report.unshared_wait_ns == 50


def test_looks_of_ended_threads_count_for_their_common_account(environment):
    """A number without an account of its own means that of the ended threads."""
    ended = account(0, 0, 0) | {"merged": 7}
    accounts = [ended, account(EXPORTER, 700, 0), account(VICTIM, 100, 610)]
    looks = [(55, NOTE, DUMPS, 2, 2), (66, NOTE, SCANNER, 1, 1)]
    blame = [(VICTIM, 77, NOTE, 300), (VICTIM, 55, NOTE, 300)]
    report = assembled(environment, part(looks, accounts=accounts, blame=blame))
    rows = {(row.holder, row.function, row.callee): row.wait_ns for row in report.blame if row.holder}
    assert rows == {
        ("(7 ended threads)", "dumps", ""): 400,
        ("(7 ended threads)", "dumps", "json.Encoder"): 200,
    }


def test_a_callee_of_an_import_belongs_to_the_importing_line(environment):
    places = [
        (None, PYTHON, 3, "main", "app.py"),
        (0, PYTHON, 241, "_call_with_frames_removed", "<frozen importlib._bootstrap>"),
        (1, PYTHON, 0, "marshal.loads", ""),
    ]
    report = assembled(
        environment,
        part(
            [(EXPORTER, 0, 2, 3, 3)],
            places=places,
            sites=[(0, 1, 800, 0, 0)],
            blame=[(VICTIM, EXPORTER, 0, 600)],
        ),
    )
    assert by_place(report)["main", "marshal.loads"] == (800, 600, 3)
    assert [frame.function for frame in report.stacks[0].frames] == ["main", "marshal.loads"]


def test_processor_time_is_shared_out_as_the_holds_are(environment):
    totals = part().snapshot["totals"] | {"cpu_time": True}
    report = assembled(environment, part(LOOKS, totals=totals, sites=[(NOTE, 5, 700, 0, 650)]))
    assert sum(site.hold_cpu_ns for site in report.sites) == 650
    assert all(site.hold_cpu_ns <= site.hold_ns for site in report.sites)


def test_a_saved_report_keeps_its_looks(environment, tmp_path):
    report = assembled(environment, part(LOOKS))
    report.save(tmp_path / "r.json")
    assert type(report).load(tmp_path / "r.json") == report


class Rows(list):
    """A list that can be referred to weakly."""


def test_what_a_report_was_made_of_is_free_at_once(environment):
    """It is as large as the report, and the next collection may be far."""
    rows = Rows([account(0, 0, 0), account(EXPORTER, 700, 0), account(VICTIM, 100, 610)])
    kept, whole = weakref.ref(rows), part(LOOKS, pauses=PAUSES, accounts=rows)
    del rows
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        report = assembled(environment, whole)
        del whole
        assert kept() is None
        assert report.threads
    finally:
        if was_enabled:
            gc.enable()
