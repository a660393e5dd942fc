"""What a trace costs at each release of the GIL, in instructions: the same number every time."""

from __future__ import annotations

import functools
import textwrap

import instructions
import pytest

from gilprobe._native import tracer

pytestmark = [
    pytest.mark.lengthy,
    pytest.mark.skipif(
        not tracer.support()[0], reason=f"the GIL can't be traced here: {tracer.support()[1]}"
    ),
]

DEPTH = 20  # levels of the call stack
CYCLES = 128  # a whole number of times that a thread keeps the books (GP_JOURNAL_DUE)

ROUNDS = 3  # the first one is dearer; what is done seldom, or on a busy machine, is not in all of the others

# Another thread lives, as in every program that needs a trace, and as where a recorder runs. It sleeps.
SCRIPT = """
import threading, time
from contextlib import nullcontext
from gilprobe import trace
from gilprobe._native import kernels

def cycle(count, levels={levels}):
    return kernels.cycle(count) if levels == 0 else cycle(count, levels - 1)

def is_asleep(thread):
    with open(f"/proc/self/task/{{thread.native_id}}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"

other = threading.Thread(target=threading.Event().wait, daemon=True)
other.start()
for _ in range(5):  # it may be about to wake up
    time.sleep(0.001)
    while not is_asleep(other):
        time.sleep(0.001)
with {trace}:
    for count in (10 * {cycles}, *[0, {cycles}] * {rounds}):  # the first of them is not counted
        cycle(count)
        mark()
"""


@functools.cache
def _a_cycle(trace):
    """Return the instructions of one release and re-acquisition of the GIL."""
    script = SCRIPT.format(trace=trace, cycles=CYCLES, rounds=ROUNDS, levels=DEPTH - 2)
    try:
        counted = instructions.count(textwrap.dedent(script), 2 * ROUNDS)
    except PermissionError as error:
        pytest.skip(f"instructions can't be counted here: {error}")
    return (min(counted[1::2]) - min(counted[::2])) / CYCLES


@pytest.mark.parametrize(
    ("trace", "most"),
    [
        pytest.param("trace()", 218, marks=pytest.mark.slow),
        # some 227; the longer the time between two events, the more bytes and instructions an event takes
        pytest.param("trace(timeline=True)", 232, marks=pytest.mark.slow),
        ("trace(stacks=True)", 460),
    ],
)
def test_a_trace_adds_few_instructions_to_a_release_and_re_acquisition(trace, most):
    assert 50 < _a_cycle(trace) - _a_cycle("nullcontext()") <= most
