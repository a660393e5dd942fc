"""The verdict of locks: which was waited for most, where, behind whom; shorter reports still add up."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gilprobe.model.lock_ranking import rank_locks

pytestmark = pytest.mark.plain_python

MS = 1_000_000


def test_locks_are_ranked_apart_from_work(with_locks):
    found = rank_locks(with_locks)
    assert [row.lock.kind for row in found.locks] == ["lock", "stop the world"]
    assert [row.lock.name for row in found.work] == ["Queue.get"]
    assert (found.waited_ns, found.spun_ns, found.work_ns) == (75 * MS, 10 * MS, 200 * MS)
    assert found.waiters == 2
    worst, stopped = found.locks
    assert (worst.index, worst.waiter, worst.waiters) == (1, "worker 1", 2)
    assert (worst.function, worst.filename, worst.line) == ("Cache.get", "/app/cache.py", 12)
    assert (worst.holder, worst.holder_function, worst.holder_ns) == ("worker 2", "Cache.put", 50 * MS)
    assert (stopped.holder, stopped.holder_line, stopped.holder_ns) == ("", 0, 0)
    assert sum(row.share for row in found.locks) == pytest.approx(1)


def test_the_verdict_of_a_report_has_that_of_its_locks(with_locks):
    verdict = json.loads(json.dumps(with_locks.verdict(rows=1)))
    (row,) = verdict["locks"].pop("rows")
    assert verdict["locks"] == {"waited_ns": 75 * MS, "spun_ns": 10 * MS, "work_ns": 200 * MS, "threads": 2}
    assert (row["lock"], row["kind"], row["waits"]) == ("Lock `self._lock` of Cache", "lock", 3)
    assert (row["wait_ns"], row["longest_ns"], row["spun_ns"]) == (70 * MS, 40 * MS, 10 * MS)
    assert (row["holder"], row["holder_filename"]) == ("worker 2", "/app/cache.py")


def test_a_report_without_locks_has_no_verdict_of_them(report):
    assert "locks" not in report.verdict()
    assert rank_locks(report).locks == ()


def test_a_lock_without_rows_is_ranked_all_the_same(with_locks):
    found = rank_locks(replace(with_locks, lock_waits=(), lock_waiters=()))
    assert [(row.lock.kind, row.waiters, row.function) for row in found.locks] == [
        ("lock", 0, ""),
        ("stop the world", 0, ""),
    ]


def test_a_shorter_report_still_adds_up(with_locks):
    short = with_locks.abridged(1)
    assert len(short.lock_waits) == 1 + 3
    assert sum(row.wait_ns for row in short.lock_waits) == 275 * MS
    assert sum(row.waits for row in short.lock_waiters) == 5
    assert short.off_times() == with_locks.off_times()
    worst = rank_locks(short).locks[0]
    assert (worst.waiters, worst.function, worst.holder) == (2, "", "")
    assert with_locks.abridged(5) is with_locks
