"""Off time by kind: the parts add up, and no thread waits longer than it was off."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gilprobe.model.locks import LockWaiter

pytestmark = pytest.mark.plain_python

MS = 1_000_000
PARTS = ("lock_ns", "work_ns", "stopped_ns", "spin_ns", "rest_ns")


def parts(row):
    return [getattr(row, part) // MS for part in PARTS]


def check(report):
    rows = report.off_times()
    assert [(row.thread, row.off_ns) for row in rows] == [(one.name, one.off_ns) for one in report.threads]
    for row in rows:
        assert sum(getattr(row, part) for part in PARTS) == row.off_ns
        assert min(getattr(row, part) for part in PARTS) >= 0
    return rows


def test_each_kind_of_waiting_has_its_part(without_gil):
    assert [parts(row) for row in check(without_gil)] == [
        [0, 200, 0, 0, 800],
        [50, 0, 0, 10, 940],
        [10, 0, 5, 0, 985],
    ]
    first = without_gil.off_times()[1]
    assert (first.off_s, first.lock_s, first.spin_s, first.rest_s) == (1.0, 0.05, 0.01, 0.94)
    assert (first.work_s, first.stopped_s) == (0.0, 0.0)


def test_a_spin_is_no_off_time_where_a_gil_is_held_meanwhile(with_locks):
    assert [parts(row) for row in check(with_locks)] == [
        [0, 200, 0, 0, 795],
        [50, 0, 0, 0, 50],
        [10, 0, 5, 0, 85],
    ]


def test_a_thread_never_waits_longer_than_it_was_off(with_locks):
    long = LockWaiter(1, "worker 1", 4711, "f", "x.py", 1, 1, 300 * MS, 300 * MS)
    rows = check(replace(with_locks, lock_waiters=(*with_locks.lock_waiters, long)))
    assert parts(rows[1]) == [100, 0, 0, 0, 0]


def test_threads_that_are_told_as_one_wait_as_one(with_locks, account):
    merged = account("(2 ended threads)", 900, 900, 200, native_id=0, merged=2)
    rows = check(replace(with_locks, threads=(with_locks.threads[0], merged)))
    assert parts(rows[1]) == [60, 0, 5, 0, 135]


def test_a_thread_of_another_interpreter_is_known_without_its_number(with_locks, account):
    named = account("worker 1 (interpreter 3)", 0, 0, 1000, interpreter=3)
    own = account("worker 1", 0, 0, 1000, native_id=5)
    waiters = with_locks.lock_waiters[1:2]
    rows = check(replace(with_locks, threads=(own, named), lock_waiters=waiters))
    assert [parts(row) for row in rows] == [[0, 0, 0, 0, 1000], [50, 0, 0, 0, 950]]


def test_a_thread_whose_name_differs_is_known_by_its_number(with_locks, account):
    threads = (account("app", 0, 0, 1000, native_id=9), account("worker 1", 0, 0, 1000))
    named = replace(with_locks.lock_waiters[0], waiter="MainThread", waiter_id=9)
    other = replace(named, waiter="nobody's", waiter_id=8)
    rows = check(replace(with_locks, threads=threads, lock_waiters=(named, other)))
    assert [row.work_ns for row in rows] == [200 * MS, 0]


def test_a_report_without_locks_has_no_parts(report):
    assert report.off_times() == ()
