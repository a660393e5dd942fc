"""Between two reports of a running trace: only what happened in between, and all of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gilprobe.live.differences import read_between
from gilprobe.model.distribution import Distribution, bucket_of_ns
from gilprobe.report import Blame, Frame, Stack

pytestmark = pytest.mark.plain_python

MS = 1_000_000


def blame(waiter, holder, function, wait_ms, looks=0, stack=None):
    """Return a row for thread identifiers; holder 0: nobody."""
    name = f"thread {holder}" if holder else ""
    return Blame(
        f"thread {waiter}", waiter, name, holder, function, "app.py", 1, stack, wait_ms * MS, looks=looks
    )


def waits(*durations_ms):
    counts = {}
    for one in durations_ms:
        counts[bucket_of_ns(one * MS)] = counts.get(bucket_of_ns(one * MS), 0) + 1
    total = sum(durations_ms) * MS
    return Distribution(
        len(durations_ms), total, max(durations_ms, default=0) * MS, tuple(sorted(counts.items()))
    )


def rows(reading):
    return {(row.waiter_id, row.holder_id, row.function): row.wait_ns // MS for row in reading.blame}


def by_name(reading):
    return {thread.name: thread for thread in reading.threads}


@pytest.fixture
def moments(report, account):
    """Return a function that makes a report of threads and rows of blame at a moment."""

    def make(elapsed_ms, threads, blame=(), **changes):
        made = [
            account(
                name,
                hold_ms,
                wait_ms,
                elapsed_ms - hold_ms - wait_ms,
                **({"native_id": native_id, "ended": False} | more),
            )
            for native_id, name, hold_ms, wait_ms, more in threads
        ]
        return replace(
            report,
            elapsed_ns=elapsed_ms * MS,
            held_ns=sum(thread.hold_ns for thread in made),
            contended_ns=0,
            threads=tuple(made),
            blame=tuple(blame),
            stacks=(),
            sites=(),
            **changes,
        )

    return make


def test_shares_of_the_gil_and_of_threads_are_those_of_the_interval(moments):
    earlier = moments(10_000, [(1, "a", 6000, 1000, {}), (2, "b", 1000, 3000, {})])
    later = moments(11_000, [(1, "a", 6600, 1300, {}), (2, "b", 1100, 3100, {})])
    reading = read_between(earlier, later, since=earlier)
    assert (reading.interval_ns, reading.held_ns, reading.free_ns) == (1000 * MS, 700 * MS, 300 * MS)
    a, b = by_name(reading)["a"], by_name(reading)["b"]
    assert (a.hold_ns, a.wait_ns, a.off_ns) == (600 * MS, 300 * MS, 100 * MS)
    assert (b.hold_ns, b.wait_ns, b.off_ns) == (100 * MS, 100 * MS, 800 * MS)
    assert reading.waited_ns == 400 * MS


def test_the_first_reading_is_about_all_since_the_start(moments):
    reading = read_between(None, moments(1000, [(1, "a", 600, 100, {})]))
    assert (reading.interval_ns, reading.held_ns) == (1000 * MS, 600 * MS)
    assert by_name(reading)["a"].off_ns == 300 * MS


def test_the_longest_wait_is_that_of_the_interval(moments):
    earlier = moments(1000, [(1, "a", 0, 80, {"wait": waits(50, 30)})])
    later = moments(2000, [(1, "a", 0, 97, {"wait": waits(50, 30, 10, 7)})])
    longest_ns = by_name(read_between(earlier, later))["a"].longest_wait_ns
    assert longest_ns == pytest.approx(10 * MS, rel=0.01)
    assert by_name(read_between(later, later))["a"].longest_wait_ns == 0


def test_a_thread_that_ended_before_is_left_out_and_one_that_ended_since_is_told(moments):
    earlier = moments(1000, [(1, "old", 100, 0, {"ended": True}), (2, "now", 100, 0, {})])
    later = moments(2000, [(1, "old", 100, 0, {"ended": True}), (2, "now", 150, 0, {"ended": True})])
    (thread,) = read_between(earlier, later).threads
    assert (thread.name, thread.hold_ns, thread.ended) == ("now", 50 * MS, True)


def test_what_threads_did_before_they_were_merged_is_not_told_again(moments):
    """Also of one whose identifier a new thread has: it starts from nothing."""
    earlier = moments(
        1000,
        [
            (9, "(2 ended threads)", 200, 100, {"merged": 2, "ended": True}),
            (1, "old", 300, 50, {"acquisitions": 70}),
            (2, "b", 10, 40, {}),
        ],
        [blame(2, 1, "before", 40), blame(2, 0, "merged", 0)],
    )
    later = moments(
        2000,
        [
            (9, "(3 ended threads)", 520, 150, {"merged": 3, "ended": True}),
            (2, "b", 10, 47, {}),
            (1, "new", 5, 0, {"acquisitions": 3}),
        ],
        # what the old one caused is the merged threads' now
        [blame(2, 0, "x", 0), replace(blame(2, 9, "before", 47), holder="(3 ended threads)", holder_id=0)],
    )
    reading = read_between(earlier, later, since=earlier)
    merged, new = by_name(reading)["(3 ended threads)"], by_name(reading)["new"]
    assert (merged.native_id, merged.hold_ns, merged.wait_ns) == (0, 20 * MS, 0)
    assert (new.hold_ns, new.off_ns) == (5 * MS, 1000 * MS - 5 * MS)
    assert rows(reading) == {(2, 0, "before"): 7}


def test_what_looks_share_out_anew_stays_the_pairs_exact_difference(moments):
    earlier = moments(1000, [(1, "a", 9, 0, {}), (2, "b", 0, 100, {})], [blame(2, 1, "f", 90, 9)])
    later = moments(
        2000,
        [(1, "a", 9, 0, {}), (2, "b", 0, 200, {})],
        [blame(2, 1, "f", 60, 9), blame(2, 1, "g", 130, 20)],
    )
    reading = read_between(earlier, later, since=earlier)
    assert rows(reading) == {(2, 1, "g"): 100}
    (culprit,) = reading.culprits
    assert (culprit.function, culprit.looks, culprit.share) == ("g", 20, 1.0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 3),
            st.integers(1, 3),
            st.sampled_from("fgh"),
            st.integers(0, 50),
            st.integers(0, 50),
        ),
        unique_by=lambda row: row[:3],
    )
)
def test_all_that_was_waited_behind_a_thread_is_told_and_no_more(moments, spans):
    threads = [(number, f"thread {number}", 0, 0, {}) for number in (1, 2, 3)]
    earlier = moments(1000, threads, [blame(*key, first) for *key, first, _ in spans])
    later = moments(2000, threads, [blame(*key, first + more) for *key, first, more in spans])
    expected = {tuple(key): more for *key, _, more in spans if more}
    assert rows(read_between(earlier, later, since=earlier)) == expected


def test_culprits_are_told_by_the_line_of_own_code_from_the_stacks_of_the_later_report(moments):
    frames = (Frame("run", "/usr/lib/python3.11/threading.py", 9), Frame("serve", "/srv/app.py", 4))
    called = (*frames, Frame("sorted", "", 0))
    threads = [(1, "a", 9, 0, {}), (2, "b", 0, 100, {})]
    earlier = replace(
        moments(1000, threads, [blame(2, 1, "serve", 50, stack=0)]), stacks=(Stack(called, 1, 1, 1, 1),)
    )
    # ranks of stacks change from report to report
    later = replace(
        moments(2000, threads, [blame(2, 1, "serve", 80, stack=1), blame(2, 1, "other", 7, stack=0)]),
        stacks=(Stack((Frame("other", "/srv/b.py", 1),), 1, 1, 1, 1), Stack(called, 1, 1, 1, 1)),
    )
    reading = read_between(earlier, later, since=earlier)
    first, second = reading.culprits
    assert (first.function, first.line, first.called, first.caused_ns) == ("serve", 4, "sorted", 30 * MS)
    assert (second.function, second.caused_ns) == ("other", 7 * MS)


def test_the_longest_waits_are_those_that_ended_in_the_window(report):
    (wait,) = report.longest_waits  # from 200 to 412 ms
    for since_ms, told in ((100, 1), (411, 1), (412, 0)):
        since = replace(report, elapsed_ns=since_ms * MS)
        assert len(read_between(since, report, since=since).longest_waits) == told
    assert read_between(report, report, since=None).longest_waits == (wait,)


def test_waits_for_locks_are_told_by_thread_and_by_lock(with_locks):
    nothing = read_between(with_locks, with_locks, since=with_locks)
    assert (nothing.lock_wait_ns, nothing.locks) == (0, ())
    grown = [replace(row, wait_ns=row.wait_ns + 3 * MS) for row in with_locks.lock_waits]
    later = replace(with_locks, elapsed_ns=with_locks.elapsed_ns + 1000 * MS, lock_waits=tuple(grown))
    reading = read_between(with_locks, later, since=with_locks)
    told = [row for row in grown if with_locks.locks[row.lock].kind != "work"]
    assert told
    assert {row.wait_ns for row in reading.locks} == {3 * MS}
    assert len(reading.locks) == len(told)
    assert reading.lock_wait_ns == 3 * MS * len(told)
    for thread in reading.threads:
        own = sum(row.wait_ns for row in reading.locks if row.waiter_id == thread.native_id)
        assert thread.lock_wait_ns == own


def test_without_a_gil_a_reading_is_about_locks(without_gil):
    reading = read_between(None, without_gil)
    assert (reading.gil, reading.held_ns, reading.culprits) == (False, 0, ())
    assert reading.locks


def test_json_has_the_schema_and_the_free_time(report):
    document = read_between(None, report, final=True).to_dict()
    assert (document["kind"], document["schema"], document["final"]) == ("gilprobe.reading", 1, True)
    assert document["free_ns"] == report.elapsed_ns - report.held_ns
    assert document["threads"][1]["name"] == "worker 1"
