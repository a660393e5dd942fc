"""What a trace of locks costs, in instructions: the same number every time."""

from __future__ import annotations

import sys

import free_locks
import pytest

from gilprobe._native import tracer

ABLE, REASON = tracer.locks_support()
FREE_THREADED = not tracer.gil_enabled()
POSTS = sys.version_info < (3, 13, 1) and not FREE_THREADED
"""Whether a Lock is a semaphore: then each release is a call that the trace must look at."""

pytestmark = [
    pytest.mark.lengthy,
    pytest.mark.skipif(not ABLE, reason=f"locks can't be traced here: {REASON}"),
]

# With a GIL only this one has to do with locks and reads no clock, in as many instructions as that takes.
OPERATIONS = free_locks.OPERATIONS if FREE_THREADED else ["Lock.release"]


def added(operation, base=free_locks.NO_TRACE, **how):
    try:
        off, on = free_locks.costs(operation, base, **how)
    except PermissionError as error:
        pytest.skip(f"instructions can't be counted here: {error}")
    return on - off


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_trace_of_locks_costs_nothing_where_nobody_waits(operation):
    cost = added(free_locks.OPERATIONS[operation])
    if POSTS and operation == "Lock.release":
        assert 0 < cost <= 20
    else:
        assert cost == 0


@pytest.mark.skipif(
    not FREE_THREADED and sys.version_info >= (3, 12), reason="one build of each kind is enough"
)
def test_a_wait_costs_few_instructions():
    base = free_locks.NO_TRACE if FREE_THREADED else "trace()"
    assert 50 < added(free_locks.WAIT, base, warm=50) <= (520 if FREE_THREADED else 570)
