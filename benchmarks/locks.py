"""Are waits for locks right? Compares them with what the waiting threads' own clocks say.

Threads take a lock, work or sleep with it, and let it go. Each reads the clock before and after it asks for
the lock, and the one that has it reads the clock, too: so it is known how long each waited, and for whom.
"""

from __future__ import annotations

import gc
import itertools
import os
import random
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

from typing import TYPE_CHECKING

import common
import lock_kinds
from common import Question, Row

from gilprobe.measuring.host import capabilities
from gilprobe.model.locks import STOP
from gilprobe.tracing.tracer import trace

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from gilprobe.model.timeline import TimelineLockWait
    from gilprobe.report import Report

KINDS: dict[str, Callable[[], threading.Lock | threading.RLock]] = {  # type: ignore[valid-type]
    "Lock": threading.Lock,
    "RLock": threading.RLock,
}
SHARES = (0.1, 0.3, 0.7)
THREADS = (2, 4)
CYCLE_S = 0.004
WORKING = not capabilities().gil_enabled
"""Whether threads with the lock also work instead of sleeping: with a GIL they would wait for that, too."""
UNEQUAL = (0.5, 1.0, 2.0, 4.0)
"""How long each thread has the lock, for the matrix."""

JUMP_NS = 200_000
"""A clock that is read all the time and goes on by more has jumped."""

clock = time.perf_counter_ns


@dataclass
class Own:
    """What a thread's own clock says, nanoseconds.

    Attributes
    ----------
    life : int
        From its first to its last look at the clock.
    waits, holds : list of (int, int)
        When it asked for the lock and had it; when it had it and let it go.
    """

    life: int = 0
    waits: list[tuple[int, int]] = field(default_factory=list)
    holds: list[tuple[int, int]] = field(default_factory=list)


def pass_time(seconds: float, busy: bool) -> None:
    """Work or sleep for a time."""
    if not busy:
        time.sleep(seconds)
        return
    end = clock() + int(seconds * 1e9)
    while clock() < end:
        pass


def work(lock: threading.Lock, hold_s: float, off_s: float, busy: bool, seconds: float, own: Own) -> None:
    """Have the lock and be without it, in turns of random length."""
    chance = random.Random(threading.get_native_id())
    began = clock()
    end = began + int(seconds * 1e9)
    while clock() < end:
        asked = clock()
        lock.acquire()
        taken = clock()
        pass_time(hold_s * chance.uniform(0.5, 1.5), busy)
        released = clock()
        lock.release()
        own.waits.append((asked, taken))
        own.holds.append((taken, released))
        time.sleep(off_s * chance.uniform(0.5, 1.5))
    own.life = clock() - began


def traced(
    kind: str, holds_s: tuple[float, ...], off_s: float, busy: bool, seconds: float
) -> tuple[Report, list[Own]]:
    """Run threads that share a lock, each for a time; return the report, and what their own clocks say."""
    lock, owns = KINDS[kind](), [Own() for _ in holds_s]
    threads = [
        threading.Thread(target=work, args=(lock, hold_s, off_s, busy, seconds, own), name=f"t{number}")
        for number, (hold_s, own) in enumerate(zip(holds_s, owns, strict=True))
    ]
    with trace(sites=False, locks=True) as running:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return running.report(), owns


def waited(report: Report) -> dict[tuple[str, str], int]:
    """Return how long each thread waited for a lock behind each other one; behind "" if nobody had it."""
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for row in report.lock_waits or ():
        if (report.locks or ())[row.lock].kind != "work":
            sums[row.waiter, row.holder] += row.wait_ns
    return sums


def overlap(wait: tuple[int, int], hold: tuple[int, int]) -> int:
    """Return how long both last."""
    return max(0, min(wait[1], hold[1]) - max(wait[0], hold[0]))


def waits_of_each(options: argparse.Namespace) -> Iterator[Row]:
    """Yield how far each thread's waits are from its own clock's, in points of its life."""
    for kind, busy, share, threads in itertools.product(KINDS, (False, True)[: 1 + WORKING], SHARES, THREADS):
        hold_s, samples = CYCLE_S * share, []
        for _ in range(options.repeat):
            report, owns = traced(kind, (hold_s,) * threads, CYCLE_S - hold_s, busy, options.seconds)
            sums = waited(report)
            for number, own in enumerate(owns):
                told = sum(ns for (waiter, _), ns in sums.items() if waiter == f"t{number}")
                truth = sum(end - since for since, end in own.waits)
                samples.append(100 * (told - truth) / own.life)
        yield Row(
            f"waits for {kind}, {threads} threads that {_do(busy)} with it {share:.0%} of their cycle",
            "within 0.5 points of the life",
            "points",
            samples,
            common.judge(samples, lambda one: abs(one) <= 0.5),
        )


def _do(busy: bool) -> str:
    return "work" if busy else "sleep"


def who_waited_for_whom(options: argparse.Namespace) -> Iterator[Row]:
    """Yield how far the cells of the matrix are from the truth, in points of all waiting."""
    holds_s = tuple(0.001 * part for part in UNEQUAL)
    for kind, busy in itertools.product(KINDS, (False, True)[: 1 + WORKING]):
        samples: list[float] = []
        for _ in range(options.repeat):
            report, owns = traced(kind, holds_s, 0.001, busy, options.seconds)
            samples += cells(waited(report), owns)
        yield Row(
            f"who waited behind whom for {kind}, 4 unequal threads that {_do(busy)}: cells above 5%",
            "within 1 point of all waiting",
            "points",
            samples,
            common.judge(samples, lambda one: abs(one) <= 1),
        )


def cells(sums: dict[tuple[str, str], int], owns: list[Own]) -> list[float]:
    """Return the differences of the cells that are more than 5 % of all waiting."""
    whole = sum(end - since for own in owns for since, end in own.waits)
    found = []
    for waiter, own in enumerate(owns):
        for holder, other in enumerate(owns):
            holds = sorted(other.holds)
            truth = (
                sum(overlap(wait, hold) for wait in own.waits for hold in holds) if other is not own else 0
            )
            if truth > 0.05 * whole:
                found.append(100 * (sums[f"t{waiter}", f"t{holder}"] - truth) / whole)
    return found


def pauses_of_all(options: argparse.Namespace) -> Iterator[Row]:
    """Yield how far the pauses told of a thread are from the jumps of its own clock, in percent of them.

    In a jump the thread may also have waited for a processor: before it was stopped, which is no pause, or
    after it was let go, which is. So the truth has two bounds; on a quiet machine they are the same.
    """
    if not WORKING:
        return
    samples: list[float] = []
    widths: list[float] = []
    for _ in range(options.repeat):
        jumps, origin_ns, waits = stops(options.seconds)
        most = least = told = 0
        for since, until, delay_ns in jumps:
            middles = [(origin_ns + wait.start_ns + wait.duration_ns // 2, wait) for wait in waits]
            inside = [wait.duration_ns for middle, wait in middles if since <= middle <= until]
            if inside:
                most, least = most + until - since, least + until - since - delay_ns
                told += sum(inside)
        if most:
            samples.append(100 * (told - min(max(told, least), most)) / most)
            widths.append(100 * (most - least) / most)
    yield Row(
        "stop-the-world pauses of a thread that works, by a collector beside it",
        "within 5 % of its clock's jumps",
        "%",
        samples,
        common.judge(samples, lambda one: abs(one) <= 5),
        f"it waited for a processor in {max(widths, default=0):.0f} % of the jumps' time at most",
    )


def stops(seconds: float) -> tuple[list[tuple[int, int, int]], int, list[TimelineLockWait]]:
    """Collect garbage while a thread reads its clock.

    Returns the clock's jumps, each with how long the thread waited for a processor; when the trace began; and
    the stops it tells of.
    """
    jumps: list[tuple[int, int, int]] = []
    ended = False

    def read_clock() -> None:
        with Path("/proc/thread-self/schedstat").open("rb", buffering=0) as statistics:
            last, waited = clock(), 0
            while not ended:
                now, before = clock(), waited
                waited = int(os.pread(statistics.fileno(), 64, 0).split()[1])
                if now - last > JUMP_NS:
                    jumps.append((last, now, waited - before))
                last = now

    thread = threading.Thread(target=read_clock, name="paused")
    with trace(sites=False, locks=True, timeline=True) as running:
        origin_ns = clock()
        thread.start()
        end = clock() + int(seconds * 1e9)
        while clock() < end:
            gc.collect()
            time.sleep(0.005)
        ended = True
        thread.join()
    waits = running.timeline().lock_waits()
    return jumps, origin_ns, [wait for wait in waits if wait.thread == "paused" and wait.kind == STOP]


def which_lock(options: argparse.Namespace) -> Iterator[Row]:
    """Yield for each kind of lock how many of ten runs named it rightly, first of all locks."""
    lock_kinds.warm_up()
    for kind in lock_kinds.KINDS:
        if options.kind not in kind.what:
            continue
        common.progress(f"kinds: {kind.what}")
        told = [first_title(kind) for _ in range(options.runs)]
        wrong = sorted({title for title in told if title != kind.title})
        samples = [float(title == kind.title) for title in told]
        options.wrong += [kind.what] if wrong else []
        yield Row(
            f"{kind.what}: {kind.title}",
            "named in each run",
            "of 1",
            samples,
            common.REACHED if all(samples) else common.MISSED,
            f"also called {', '.join(wrong)}" if wrong else "",
        )


def first_title(kind: lock_kinds.Kind) -> str:
    """Return what a trace calls the lock that was waited for longest."""
    locks = lock_kinds.run(kind)
    return locks[0].title if locks else "nothing"


QUESTIONS = (
    Question("waits", "within 0.5 points of each thread's life", waits_of_each, traces=False),
    Question("matrix", "within 1 point", who_waited_for_whom, traces=False),
    Question("stops", "within 5 % of the clock's jumps", pauses_of_all, traces=False),
    Question("kinds", "the right lock named in each run", which_lock, traces=False),
)


def main() -> int:
    """Run the benchmark."""
    made = common.parser("Are waits for locks right?", repeat=3)
    made.add_argument("--seconds", type=float, default=4.0, help="length of each run")
    made.add_argument("--runs", type=common.positive, default=10, help="runs of each kind (%(default)s)")
    made.add_argument("--kind", metavar="TEXT", default="", help="only the kinds with this in their name")
    options = made.parse_args()
    common.check_file(options, made)
    if options.quick:
        options.repeat, options.seconds, options.runs = 1, min(options.seconds, 0.2), 1
    if capabilities().locks != "exact":
        made.error(capabilities().locks_reason)
    options.wrong = []
    status = common.main("locks", options, QUESTIONS)
    return status or int(bool(options.wrong))


if __name__ == "__main__":
    sys.exit(main())
