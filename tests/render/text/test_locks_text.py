"""Locks in a report's text: which, who waited, behind whom; work apart; a Python without a GIL."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gilprobe.model.distribution import Distribution
from gilprobe.model.locks import Lock, LockWait
from gilprobe.render.text.trace_text import render_report

MS = 1_000_000


def lock(
    kind: str, name: str, ms: int, *, of: str = "_thread.lock", owner: str = "", address: int = 0
) -> Lock:
    wait = Distribution(count=1, total_ns=ms * MS, max_ns=ms * MS, buckets=((1500, 1),))
    return Lock(kind, of, name, owner, address, wait)


def wait(index: int, waiter: str, holder: str, ms: int) -> LockWait:
    function = "Cache.put" if holder else "(handoff)"
    return LockWait(
        index, waiter, 7, "Cache.get", "/app/cache.py", 12, holder, 8, function, "/app/cache.py", 30, ms * MS
    )


@pytest.fixture
def locked(report):
    return replace(
        report,
        locks=(lock("lock", "self._lock", 300, owner="Cache"), lock("work", "Queue.get", 50, of="")),
        lock_waits=(
            wait(0, "reader", "writer", 200),
            wait(0, "reader", "", 100),
            wait(1, "worker", "writer", 50),
        ),
    )


def test_the_headline_names_the_lock_and_who_had_it(locked):
    text = render_report(locked)
    assert "1 thread waited 300 ms for locks, 50 ms for work" in text
    assert "100% of that was for Lock `self._lock` of Cache, in Cache.get (" in text
    assert "most behind writer in Cache.put (" in text


def test_a_thread_that_had_the_lock_itself_is_told_so(locked):
    own = replace(wait(0, "reader", "reader", 200), holder_id=7)  # not another of that name
    text = render_report(replace(locked, lock_waits=(own, *locked.lock_waits[1:])))
    assert "most behind (the waiter itself) in Cache.put (" in text
    assert "most behind (the waiter itself) in" not in render_report(locked)


def test_that_nobody_waited_is_said(locked):
    text = render_report(replace(locked, locks=(), lock_waits=()))
    assert "no thread waited for a lock\n" in text
    work = replace(locked, locks=locked.locks[1:], lock_waits=(wait(0, "worker", "writer", 50),))
    assert "no thread waited for a lock; 50 ms for work\n" in render_report(work)


def test_tables_tell_locks_and_work_apart(locked):
    text = render_report(locked)
    locks, waits, work = (
        text.index(head) for head in ("\nLocks\n", "\nWho waited for which lock", "\nWaits for work\n")
    )
    assert locks < waits < work
    assert "work: Queue.get" in text[work:]
    assert "Queue.get" not in text[locks:work]
    assert "nobody" in text[waits:work]


def test_rows_beyond_the_limit_are_summed(locked):
    many = tuple(lock("lock", f"lock{n}", 10) for n in range(9))
    text = render_report(replace(locked, locks=many, lock_waits=()), rows=4)
    assert "5 more, summed" in text
    assert "50 ms" in text


def test_a_report_without_locks_says_nothing_of_them(report):
    text = render_report(report)
    assert "Locks" not in text
    assert "for locks" not in text


def test_without_a_gil_no_hold_is_told(locked):
    text = render_report(replace(locked, environment=replace(locked.environment, gil_enabled=False)))
    assert "without a GIL" in text.splitlines()[0]
    assert "GIL held" not in text
    assert "for locks" in text
    assert "voluntary" not in text


def test_off_time_is_told_by_kind(with_locks, without_gil):
    text = render_report(with_locks)
    (row,) = [line for line in text[text.index("Where off time went") :].splitlines() if "worker 1" in line][
        :1
    ]
    assert row.split() == [
        "worker",
        "1",
        "0.100",
        "0.050",
        "50%",
        "0.000",
        "0%",
        "0.000",
        "0%",
        "0.050",
        "50%",
    ]
    assert "native code ran" in text
    free = render_report(without_gil)
    assert "spins" in free
    assert "spins" not in text
    assert "Without a GIL a thread is off all the time" in free


def test_the_longest_waits_name_the_lock_and_who_had_it(with_locks):
    text = render_report(with_locks)
    longest = text[text.index("The longest waits for locks") :].splitlines()
    assert longest[1] == (
        "- worker 1 waited 40 ms for Lock `self._lock` of Cache in Cache.get (app/cache.py:12) "
        "(2 waits there, 60 ms together); most behind worker 2 in Cache.put (app/cache.py:30)"
    )
    assert longest[2] == (
        "- worker 2 waited 10 ms for Lock `self._lock` of Cache in Cache.put (app/cache.py:30) "
        "behind worker 1 in Cache.get (app/cache.py:12)"
    )
    assert "MainThread" not in "".join(longest[1:4])


def test_waits_much_shorter_than_the_longest_are_not_told_beside_it(with_locks):
    short = replace(with_locks.lock_waiters[2], longest_ns=1000)
    text = render_report(replace(with_locks, lock_waiters=(*with_locks.lock_waiters[:2], short)))
    longest = text[text.index("The longest waits for locks") :]
    assert "worker 2 waited" not in longest


@pytest.mark.parametrize(
    ("made", "title"),
    [
        (lock("lock", "self._lock", 1, owner="Cache"), "Lock `self._lock` of Cache"),
        (lock("lock", "LOCK", 1, owner="app"), "Lock `LOCK` (module app)"),
        (lock("lock", "lock", 1, of="_thread.RLock"), "RLock `lock`"),
        (lock("object", "", 1, of="dict", address=0x1234), "dict at 0x1234"),
        (lock("interpreter", "type lock", 1, of=""), "interpreter: type lock"),
        (lock("stop the world", "", 1, of=""), "stop the world"),
        (lock("work", "Thread.join", 1, of=""), "work: Thread.join"),
        (lock("work", "", 1, of=""), "work: not known"),
        (lock("unknown", "", 1, of="", address=16), "a lock at 0x10"),
    ],
)
def test_each_kind_has_its_words(made, title):
    assert made.title == title
