"""Counts the instructions that a trace of locks adds to what takes or releases a lock."""

from __future__ import annotations

import textwrap

import instructions

NO_TRACE = "nullcontext()"
CALLS = 5
ROUNDS = 2  # what is done seldom, by the allocator or a specializing interpreter say, is not in all of them

# name -> what comes before, what is counted, what comes after
OPERATIONS = {
    "Lock.acquire": ("", "locks[number].acquire()", "for lock in locks[:count]: lock.release()"),
    "Lock.release": ("for lock in locks[:count]: lock.acquire()", "locks[number].release()", ""),
    "list.append": ("", "items.append(None); items.pop()", ""),  # so that the list does not grow
    "d[k] = v": ("", "table[1] = None", ""),
}
# two of them by turns: a second wait for the same lock goes on with the first
WAIT = ("", "taken[number % 2].acquire(timeout=1e-9)", "")

SCRIPT = """
import functools, threading
from contextlib import nullcontext
from gilprobe import trace

locks, items, table = [threading.Lock() for _ in range(2 * {calls})], [], {{}}

taken = threading.RLock(), threading.RLock()
for lock in taken:
    other = threading.Thread(target=lock.acquire)
    other.start()
    other.join()

def stretch(count, mark):
    {before}
    mark()
    for number in range(count):
        {counted}
    mark()
    {after}

def warm_up(times):
    for _ in range(times):
        stretch({calls}, functools.partial(int))

def ways():
    return {base}, trace(locks=True)

for way in ways():  # until the interpreter has specialized all of it
    with way:
        warm_up({warm})
for _ in range({rounds}):
    for way in ways():
        with way:
            warm_up(20)
            stretch({calls}, mark)
            stretch(2 * {calls}, mark)
"""


def costs(operation: tuple[str, str, str], base: str = NO_TRACE, *, warm: int = 2000) -> tuple[float, float]:
    """Return the instructions of one operation: with the trace `base`, and with one of locks.

    It is done 5 * `warm` times before.
    """
    before, counted, after = operation
    parts = {"before": before, "counted": counted, "after": after, "base": base}
    script = SCRIPT.format(**parts, calls=CALLS, rounds=ROUNDS, warm=warm)
    steps = instructions.count(textwrap.dedent(script), 4 * ROUNDS, apart=True, gil=False)
    off, off_twice, on, on_twice = (min(steps[kind::4]) for kind in range(4))
    return (off_twice - off) / CALLS, (on_twice - on) / CALLS
