"""What a page is told of locks: words, sums and numbers that fit together."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hostile_names import HOSTILE

from gilprobe.model.traced_process import TracedProcess
from gilprobe.render.html import export_processes
from gilprobe.render.html.process import lock_data, process_data
from gilprobe.render.html.process.places import NOWHERE
from gilprobe.render.shared.words import clipped, visible

MS = 1_000_000


def described(report):
    return json.loads(json.dumps(process_data.described(TracedProcess("x.gilprobe", report))))


def text(sentences):
    return [
        "".join(run for run, _ in sentence).replace("\u202f", " ").replace("\u00a0", " ")
        for sentence in sentences
    ]


def test_a_page_has_which_lock_who_waited_behind_whom_and_where(with_locks):
    page = described(with_locks)
    locks, places = page["locks"], page["places"]
    assert (locks["waited_ns"], locks["spun_ns"], locks["work_ns"]) == (75 * MS, 10 * MS, 200 * MS)
    first, stopped = locks["rows"]
    assert (first["lock"], first["kind"], first["waiters"]) == ("Lock `self._lock` of Cache", "lock", 2)
    assert (first["wait"]["count"], first["wait"]["total_ns"], first["wait"]["max_ns"]) == (
        3,
        70 * MS,
        40 * MS,
    )
    assert sum(first["wait"]["counts"]) == 3
    assert (places[first["place"]]["function"], places[first["place"]]["line"]) == ("Cache.get", 12)
    assert (first["holder"], places[first["holder_place"]]["function"]) == ("worker 2", "Cache.put")
    assert (stopped["holder"], stopped["holder_place"]) == ("", NOWHERE)
    assert [row["lock"] for row in locks["work"]] == ["work: Queue.get"]
    assert [(row["waiter"], row["holder"], row["wait_ns"]) for row in locks["behind"]] == [
        ("worker 1", "worker 2", 50 * MS),
        ("worker 1", "", 10 * MS),
        ("worker 2", "worker 1", 10 * MS),
        ("worker 2", "", 5 * MS),
    ]
    assert [(row["waiter"], row["longest_ns"], row["waits"]) for row in locks["longest"]] == [
        ("worker 1", 40 * MS, 2),
        ("worker 2", 10 * MS, 1),
        ("worker 2", 5 * MS, 1),
    ]


def test_off_time_stands_beside_the_threads_and_adds_up(without_gil):
    page = described(without_gil)
    off = page["locks"]["off"]
    assert len(off) == len(page["threads"])
    for row, thread in zip(off, page["threads"], strict=True):
        whole = row.pop("off_ns")
        assert whole == thread["off_ns"] == sum(row.values())
    assert off[1]["spin_ns"] == 10 * MS


def test_without_a_gil_the_headline_is_about_locks(without_gil):
    page = described(without_gil)
    assert not page["traces_gil"]
    assert page["waited_ns"] == 75 * MS  # by which processes are ranked
    (told,) = text(page["headline"])
    assert told == (
        "In this program without a GIL, 2 threads waited 75 ms for locks, 93 % of that for "
        "Lock `self._lock` of Cache in Cache.get (app/cache.py:12)."
    )
    assert text(page["more"]) == [
        "71 % of the waits for it were behind worker 2, which let it go in Cache.put (app/cache.py:30).",
        "For 13 % of that time they tried again and again, without sleep.",
        "They waited 200 ms for work, too.",
    ]
    idle = dataclasses.replace(without_gil, locks=(), lock_waits=(), lock_waiters=())
    assert text(described(idle)["headline"]) == [
        "In this program without a GIL, no thread waited for a lock."
    ]


def test_with_a_gil_locks_stand_below_the_headline(with_locks):
    page = described(with_locks)
    assert page["traces_gil"]
    assert text(page["headline"])[0].startswith("The GIL was held")
    assert text(page["more"])[-4].startswith("Beside the GIL, 2 threads waited 75 ms for locks")


def test_a_report_without_locks_has_none(report):
    page = described(report)
    assert page["locks"] is None
    assert page["traces_gil"]


def test_what_is_not_listed_is_counted(with_locks, monkeypatch):
    for limit in ("MOST_LOCKS", "MOST_BEHIND", "MOST_LONGEST"):
        monkeypatch.setattr(lock_data, limit, 1)
    locks = described(with_locks)["locks"]
    assert (len(locks["rows"]), locks["more"], locks["more_ns"]) == (1, 1, 5 * MS)
    assert (len(locks["behind"]), locks["more_behind"]) == (1, 3)
    assert len(locks["longest"]) == 1


def test_waits_for_locks_are_a_weight_of_the_flame_graph(with_locks):
    page = described(with_locks)
    flame = page["flame"]
    assert flame["lock_ns"][0] == 75 * MS
    functions = {page["places"][place]["function"] for place in flame["place"] if place != NOWHERE}
    assert {"Cache.get", "Lock `self._lock` of Cache", "stop the world"} <= functions
    assert "Queue.get" not in functions


@pytest.mark.parametrize("foreign", HOSTILE.values(), ids=HOSTILE)
def test_foreign_names_are_escaped(with_locks, foreign):
    lock = dataclasses.replace(with_locks.locks[1], name=foreign, owner="", type=foreign)
    locks = (with_locks.locks[0], lock, with_locks.locks[2])
    rows = tuple(
        dataclasses.replace(row, waiter=foreign, waiter_function=foreign) for row in with_locks.lock_waits
    )
    hostile = dataclasses.replace(with_locks, locks=locks, lock_waits=rows)
    pytest.importorskip("jinja2")
    document = "".join(export_processes([TracedProcess("x.gilprobe", hostile)]))
    assert "<script>alert" not in document
    told = described(hostile)["locks"]
    assert told["rows"][0]["lock"] == visible(clipped(lock.title))
    assert {row["waiter"] for row in told["behind"]} == {visible(clipped(foreign)) or "?"}
