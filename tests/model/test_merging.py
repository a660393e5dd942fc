"""Merging reports: sums and histograms stay exact, tables bounded, and what can't be compared is said."""

from __future__ import annotations

import dataclasses

import pytest
from hostile_names import HOSTILE

from gilprobe.errors import InvalidValueError
from gilprobe.model import merging
from gilprobe.model.distribution import Distribution
from gilprobe.model.labels import NO_LABEL, LabelBlame, LabelTotals
from gilprobe.model.merging import Merger
from gilprobe.model.traced_process import TracedProcess, with_worst
from gilprobe.report import OTHERS, Blame, Frame, Report, Stack, Stall

pytestmark = pytest.mark.plain_python


def merged(*processes):
    merger = Merger()
    for process in processes:
        merger.add(process)
    return merger.finished()


def process(report, pid=7, **changes):
    options = {"host": "a", "argv": ("app.py",), "started_unix_ns": 10**18 + pid} | changes
    return TracedProcess(f"{pid}.gilprobe", report, pid=pid, **options)


def waits(*pairs):
    total = sum(bucket * number for bucket, number in pairs)
    largest = max(bucket for bucket, _ in pairs)
    return Distribution(sum(number for _, number in pairs), total, largest, pairs)


@pytest.fixture
def pool(account):
    """Return a function that makes the report of a pool."""

    def make(report, *distributions, **changes):
        threads = [
            account(f"pool_{number}", native_id=100 + number, wait=distribution)
            for number, distribution in enumerate(distributions)
        ]
        return dataclasses.replace(report, threads=tuple(threads), **changes)

    return make


def test_sums_add_up(report):
    whole = merged(process(report), process(report, 8))
    for name in ("elapsed_ns", "held_ns", "contended_ns", "handoffs", "looks", "dropped_events"):
        assert getattr(whole, name) == 2 * getattr(report, name)
    assert sum(row.wait_ns for row in whole.blame) == 2 * sum(row.wait_ns for row in report.blame)
    assert sum(site.hold_ns for site in whole.sites) == 2 * sum(site.hold_ns for site in report.sites)
    assert sum(thread.merged for thread in whole.threads) == 2 * len(report.threads)
    assert [stack.frames for stack in whole.stacks] == [stack.frames for stack in report.stacks]


def test_labels_add_up(report):
    labels = LabelTotals("GET /a", 5, 7, 11, 2, 1), LabelTotals(NO_LABEL, 1, 0, 3, 1, 0)
    blame = LabelBlame("GET /a", "GET /a", 4), LabelBlame("GET /a", "", 3)
    first = dataclasses.replace(report, labels=labels, label_blame=blame)
    second = dataclasses.replace(report, labels=labels[:1], label_blame=blame[:1])
    whole = merged(process(first), process(second, 8), process(report, 9))
    assert whole.labels == (LabelTotals("GET /a", 10, 14, 22, 4, 2), labels[1])
    assert whole.label_blame == (LabelBlame("GET /a", "GET /a", 8), blame[1])


def test_histograms_are_those_of_all_intervals_together(report, pool):
    first = pool(report, waits((5, 2), (9, 1)), waits((5, 1)))
    second = pool(report, waits((60, 4)))
    whole = merged(process(first), process(second, 8))
    together = waits((5, 3), (9, 1), (60, 4))
    (thread,) = whole.threads
    assert (thread.name, thread.native_id, thread.merged) == ("pool_N", 0, 3)
    assert thread.wait == together
    (host,) = whole.hosts
    assert host.wait == together
    assert sorted(level.wait.count for level in whole.processes) == [4, 4]


def test_the_process_that_suffered_most_comes_first_and_is_told_in_full(report, pool, account):
    worse = dataclasses.replace(report, threads=(*report.threads, account("victim", 0, 5_000, 0)))
    whole = merged(process(report), process(worse, 8, host="b"), process(report, 9))
    assert [level.pid for level in whole.processes] == [8, 7, 9]
    assert whole.worst == worse
    assert [one.pid for one in with_worst(TracedProcess("", whole))] == [0, 8]
    assert whole.processes[0].culprit == worse.culprits()[0]
    assert [(host.host, host.processes) for host in whole.hosts] == [("b", 1), ("a", 2)]


def test_no_process_is_the_worst_if_none_is_contended(report):
    calm = dataclasses.replace(report, contended_ns=0)
    assert merged(process(calm), process(calm, 8)).worst is None


def test_a_merged_report_is_read_back_and_merged_again(report, tmp_path):
    once = merged(process(report), process(report, 8, host="b"))
    once.save(tmp_path / "m.json")
    assert Report.load(tmp_path / "m.json") == once
    twice = merged(TracedProcess("m.json", once), process(report, 9))
    at_once = merged(process(report), process(report, 8, host="b"), process(report, 9))
    for name in ("threads", "sites", "stacks", "hosts", "elapsed_ns", "held_ns", "contended_ns"):
        assert getattr(twice, name) == getattr(at_once, name)
    assert {level.pid for level in twice.processes} == {7, 8, 9}
    assert twice.worst == at_once.worst


def test_rows_refer_to_their_stack(report):
    frames = Frame("other", "other.py", 1), Frame("inner", "other.py", 2)
    other = dataclasses.replace(
        report,
        stacks=(Stack(frames, 1, 10**12, 0, 7),),
        blame=(Blame("w", 1, "h", 2, "inner", "other.py", 2, 0, 7),),
    )
    whole = merged(process(report), process(other, 8))
    for row in whole.blame:
        if row.stack is not None:
            assert whole.stacks[row.stack].frames[-1].function == row.function
    assert {row.function for row in whole.blame if row.stack is not None} >= {"inner"}


def test_what_falls_out_of_a_table_is_summed(report, monkeypatch):
    monkeypatch.setattr(merging, "MOST_ROWS", 3)
    merger = Merger()
    merger._sites._most = merger._blame._most = 3
    for number in range(40):
        sites = [dataclasses.replace(site, line=number) for site in report.sites]
        blame = [dataclasses.replace(row, line=number, wait_ns=row.wait_ns + number) for row in report.blame]
        merger.add(process(dataclasses.replace(report, sites=tuple(sites), blame=tuple(blame)), number + 1))
        assert len(merger._sites.rows) <= 7
    whole = merger.finished()
    assert sum(site.hold_ns for site in whole.sites) == 40 * sum(site.hold_ns for site in report.sites)
    assert OTHERS in {site.function for site in whole.sites}
    expected = 40 * sum(row.wait_ns for row in report.blame) + len(report.blame) * sum(range(40))
    assert sum(row.wait_ns for row in whole.blame) == expected
    assert any("are summed as (others)" in doubt for doubt in whole.warnings)


def test_processes_beyond_the_limit_are_summed(report, monkeypatch):
    monkeypatch.setattr(merging, "MOST_PROCESSES", 3)
    whole = merged(*(process(report, number) for number in range(1, 8)))
    assert [level.processes for level in whole.processes] == [1, 1, 1, 4]
    assert whole.processes[-1].source == OTHERS
    assert sum(level.elapsed_ns for level in whole.processes) == 7 * report.elapsed_ns
    again = merged(TracedProcess("m.json", whole), process(report, 99))
    assert sum(level.processes for level in again.processes) == 8


def test_long_waits_name_their_process(report):
    stall = Stall("w", "f", "x.py", 1, "h", "g", "x.py", 2, 5, 10**10, 10**9)
    short = dataclasses.replace(stall, wait_ns=10**9)
    whole = merged(
        process(dataclasses.replace(report, longest_waits=(short,))),
        process(dataclasses.replace(report, longest_waits=(stall,)), 8, host="b"),
    )
    assert [(row.waiter, row.holder) for row in whole.longest_waits] == [
        ("w (b:8)", "h (b:8)"),
        ("w (a:7)", "h (a:7)"),
    ]


def test_doubts_say_what_cannot_be_compared(report):
    other = dataclasses.replace(report.environment, python="3.11.9")
    copied = process(report)
    merger = Merger()
    for one in (copied, copied, process(dataclasses.replace(report, environment=other), 8, host="b")):
        merger.add(one)
    told = "\n".join(merger.finished().warnings)
    assert "times of two hosts can't be compared" in told
    assert "CPython 3.11.9 gil" in told
    assert "a copy counts twice" in told
    assert "3 processes: a doubt about the trace" in told
    merger.set_clock("a", 2_000_000, 500_000)
    merger.set_clock("b", 0, 0)
    whole = merger.finished()
    assert "the clock of a was +2.000 ms off this one's, known to 0.500 ms" in whole.warnings
    assert "can't be compared" not in "\n".join(whole.warnings)


def test_sums_that_could_not_be_saved_are_refused(report):
    merger = Merger()
    merger.add(process(report))
    with pytest.raises(InvalidValueError, match="64 bits"):
        merger.add(process(dataclasses.replace(report, handoffs=2**63 - 2), 8))
    assert merger.finished().handoffs == report.handoffs
    with pytest.raises(InvalidValueError, match="at least one"):
        Merger().finished()


def test_locks_are_summed_by_name(with_locks):
    whole = merged(process(with_locks), process(with_locks, 8))
    assert sum(lock.wait_ns for lock in whole.locks) == 2 * sum(lock.wait_ns for lock in with_locks.locks)
    for rows in ("lock_waits", "lock_waiters"):
        mine, theirs = (sum(row.wait_ns for row in getattr(one, rows)) for one in (whole, with_locks))
        assert mine == 2 * theirs
    assert all(not lock.address for lock in whole.locks)
    again = merged(TracedProcess("", whole), process(with_locks, 9))
    assert len(again.locks) == len(whole.locks)


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_are_only_names(report, name):
    threads = tuple(dataclasses.replace(thread, name=name) for thread in report.threads)
    whole = merged(process(dataclasses.replace(report, threads=threads), host=name, argv=(name,)))
    assert whole.hosts[0].host == name[:400]
