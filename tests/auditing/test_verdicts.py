"""What an audit's numbers are said to mean, with made-up numbers."""

from __future__ import annotations

import pytest

from gilprobe.auditing import verdicts
from gilprobe.auditing.verdicts import VerdictInput
from gilprobe.model.audit_result import Speedup

pytestmark = pytest.mark.plain_python

MS = 1_000_000


def numbers(held_ms, released_ms, releases=1.0, **others):
    whole = held_ms + released_ms
    return VerdictInput(
        released_ms / whole if whole else 0.0, held_ms * MS, released_ms * MS, releases, **others
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (numbers(10, 0, 0), "holds"),
        (numbers(0, 0, 0), "holds"),  # a call that takes nothing
        (numbers(0, 0, 1), "holds"),
        (numbers(0, 0, 0, cpu_fraction=0.0, blocks=1.0), "holds"),
        (numbers(1e-9, 0, 0), "holds"),
        (numbers(9.5, 0.5), "holds for 95% of the call"),
        (numbers(0.1, 9.9), "releases"),
        (numbers(0.5, 9.5, 2000), "releases but returns for the GIL 2,000 times a call"),
        (numbers(5, 5, 2000), "releases 50% of the call but returns for the GIL 2,000 times a call"),
        (
            numbers(5, 5, first_fraction=0.98, last_fraction=0.02),
            "releases late: holds for the first 50% of the call",
        ),
        (
            numbers(3, 7, first_fraction=0.03, last_fraction=0.97),
            "releases, then holds for the last 30% of the call",
        ),
        (numbers(5, 5, first_fraction=0.5, last_fraction=0.5), "releases 50% of the call"),
        (
            numbers(10, 0, 0, cpu_fraction=0.05, blocks=1.0),
            "holds while blocked in the kernel (95% of the call)",
        ),
        (
            numbers(5, 5, cpu_fraction=0.5, blocks=2.0),
            "holds while blocked in the kernel (25% of the call)",
        ),
        (
            numbers(6, 4, others_hold_ns=5 * MS, cpu_fraction=0.5, blocks=1.0),
            "releases, but threads of its own hold the GIL for 50% of the call",
        ),
    ],
)
def test_numbers_are_said_in_words(given, said):
    assert verdicts.verdict(given) == said


def test_a_thread_that_is_only_preempted_is_not_said_to_block():
    assert verdicts.verdict(numbers(10, 0, 0, cpu_fraction=0.5, blocks=0.0)) == "holds"
    assert verdicts.verdict(numbers(10, 0, 0, cpu_fraction=0.5)) != "holds", "where the system does not tell"


def test_a_moment_without_cpu_time_is_not_said_to_be_blocked():
    assert verdicts.verdict(numbers(0.05, 0, 0, cpu_fraction=0.1, blocks=1.0)) == "holds"


def speedup(threads, measured):
    return Speedup(threads, measured, measured, measured, None)


@pytest.mark.parametrize(
    ("speedups", "cores", "said"),
    [
        ([speedup(2, 1.9)], 2, "no GIL here: scales (1.90 times with 2 threads)"),
        ([speedup(2, 1.1)], 2, "no GIL here, but does not scale (1.10 times with 2 threads)"),
        ([speedup(2, 1.9), speedup(8, 1.9)], 2, "no GIL here: scales (1.90 times with 2 threads)"),
        ([speedup(2, 1.0)], 1, "no GIL here, and too few cores to see whether it scales"),
        ([], 4, "no GIL here: measuring whether it scales needs more than one thread"),
    ],
)
def test_without_a_gil_it_is_said_whether_threads_help(speedups, cores, said):
    assert verdicts.verdict_without_gil(speedups, cores) == said


def doubts(given, **changes):
    facts = {"call_ns": 10 * MS, "interval": (0.5, 0.5), "forced_per_call": 0.0, "slowdown": 1.0} | changes
    return [doubt.partition(":")[0] for doubt in verdicts.doubts(given, **facts)]


def test_each_reason_for_doubt_is_told():
    usual = numbers(5, 5)
    assert doubts(usual) == []
    assert doubts(usual, interval=(0.4, 0.6)) == ["unstable"]
    assert doubts(usual, call_ns=500) == ["short"]
    assert doubts(usual, slowdown=2.0) == ["slowed down"]
    assert doubts(usual, forced_per_call=2.0) == ["other threads"]
    assert doubts(numbers(0.001, 0.001, 10)) == ["moments"]


def test_a_call_that_does_not_release_is_not_doubted_for_what_releasing_ones_are():
    assert doubts(numbers(5, 0, 0), slowdown=3.0) == []
