"""The workloads with known truth: each function returns what is true of its threads."""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from typing import TYPE_CHECKING

from .holds import Spent, holds
from .known import Known, clock, settle

if TYPE_CHECKING:
    from collections.abc import Callable

GAP_NS = 100_000
"""Longer than an iteration of a spinner's loop, and shorter than a thread's turn with the GIL."""


def _run(work: Callable[..., None], names: list[str], *arguments: object) -> list[Known]:
    known = [Known(name) for name in names]
    threads = [threading.Thread(target=work, name=one.name, args=(one, *arguments)) for one in known]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return known


def _until(seconds: float) -> int:
    return clock() + int(seconds * 1e9)


# ---- one holder


def hold(known: Known, until: int, held: int, released: int) -> None:
    """Hold and release by turns."""
    known.enter()
    spent = Spent()
    known.function, line = "hold", sys._getframe().f_lineno + 2
    known.lines = (line, line)
    holds.alternate(until, held, released, spent)
    known.leave(spent)


def holder(seconds: float, duty: float, grain_us: float) -> list[Known]:
    """One thread that holds for `duty` of periods of `grain_us`."""
    held = int(duty * grain_us * 1000)
    until = _until(seconds)
    released = int(seconds * 1e9) if duty == 0 else int((1 - duty) * grain_us * 1000)
    return _run(hold, ["holder"], until, held, released)


# ---- pure Python


def spin(known: Known, until: int) -> None:
    """Compute, and note the jumps of the clock: then others had the GIL."""
    known.enter()
    runs = []
    known.function, line = "spin", sys._getframe().f_lineno + 2
    known.lines = (line, line + 6)
    begin = last = known.begin_ns
    while last < until:
        now = clock()
        if now - last > GAP_NS:
            runs.append((begin, last))
            begin = now
        last = now
    runs.append((begin, last))
    known.runs = runs
    known.leave()


def spinners(seconds: float, threads: int) -> list[Known]:
    """Threads of pure Python that all want to run at all times."""
    known = _run(spin, [f"spinner-{number}" for number in range(threads)], _until(seconds))
    settle(known)
    return known


# ---- threads that release


def digest(known: Known, until: int, size: int) -> None:
    """Hash: all but the start and the end of each call is without the GIL.

    The time outside of the calls is a hold. In a call a thread may be preempted while it has the GIL. Its
    hold to start and end a call is as long as hashing nothing.
    """
    known.enter()
    data, inside, stopped, calls = bytes(size), 0, 0, 0
    now = clock()
    while now < until:
        hashed = hashlib.sha256()
        begin, cpu = clock(), time.thread_time_ns()
        hashed.update(data)
        took_cpu, now = time.thread_time_ns() - cpu, clock()
        inside += now - begin
        stopped += max(0, now - begin - took_cpu)
        calls += 1
    begin = clock()
    hashed.update(b"")
    edges = calls * (clock() - begin)
    known.leave()
    outside = known.end_ns - known.begin_ns - inside
    known.held_ns = outside, outside + stopped + edges


def hashers(seconds: float, threads: int, size_kib: int) -> list[Known]:
    """Threads that release the GIL nearly always."""
    return _run(digest, [f"hasher-{number}" for number in range(threads)], _until(seconds), size_kib << 10)


# ---- convoys and stalls


def sleep(known: Known, until: int, nap_ns: int) -> None:
    """Sleep briefly, again and again, and note how long it takes to go on."""
    known.enter()
    spent = Spent()
    while clock() < until:
        holds.nap(nap_ns, spent)
    known.leave(spent)
    known.held_ns = None


def _beside(
    seconds: float, work: Callable[..., None], name: str, sleepers: int, nap_ns: int, *more: int
) -> list[Known]:
    until = _until(seconds)
    known = [Known(name), *(Known(f"sleeper-{number}") for number in range(sleepers))]
    threads = [threading.Thread(target=work, name=name, args=(known[0], until, *more))]
    threads += [threading.Thread(target=sleep, name=one.name, args=(one, until, nap_ns)) for one in known[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return known


def convoy(seconds: float, sleepers: int, nap_us: float) -> list[Known]:
    """Compute, next to threads that want the GIL briefly from time to time."""
    return _beside(seconds, spin, "computing", sleepers, int(nap_us * 1000))


def stall(seconds: float, victims: int, held_ms: float, every_ms: float, nap_us: float) -> list[Known]:
    """Hold for long in C from time to time, next to threads that want the GIL briefly."""
    held, released = int(held_ms * 1e6), int((every_ms - held_ms) * 1e6)
    return _beside(seconds, hold, "culprit", victims, int(nap_us * 1000), held, released)


def short(seconds: float, threads: int, held_us: float) -> list[Known]:
    """Many short-lived threads, ten at a time. Their number is the truth."""
    del seconds
    known: list[Known] = []
    for first in range(0, threads, 10):
        names = [f"short-{number}" for number in range(first, min(first + 10, threads))]
        known += _run(hold, names, clock() + 1, int(held_us * 1000), 1000)
    return known


WORK = {work.__name__: work for work in (holder, spinners, hashers, convoy, stall, short)}
