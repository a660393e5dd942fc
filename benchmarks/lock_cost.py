"""Measures what a trace of locks costs: where nobody waits, in a wait, and in whole programs.

Runs with and without it go by turns, forward and back, so that a drift of the machine affects both equally.
Where there is a GIL, it is traced in both, and the difference is that of the locks alone. Times of single
operations are medians of short bursts, most of which nothing interrupts; instructions are counted one by one.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import statistics
import sys
import threading
import time
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from queue import Queue

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from typing import TYPE_CHECKING, Any

import common
import free_locks
from common import Question, Row

from gilprobe.errors import UnsupportedError
from gilprobe.measuring.host import capabilities
from gilprobe.measuring.measure import calibrate
from gilprobe.measuring.teams import ArmPlan, TeamRun, run_team
from gilprobe.tracing.tracer import trace

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

GIL = capabilities().gil_enabled
ARMS: tuple[Callable[[], AbstractContextManager[object]], ...] = (
    trace if GIL else nullcontext,
    lambda: trace(locks=True),
)
BURSTS = 200
PR_SET_TIMERSLACK = 29  # <linux/prctl.h>; else each time-out is 50 us late
SAMPLE_NS = 100_000_000
clock = time.perf_counter_ns


# ---- nobody waits


def free(options: argparse.Namespace) -> Iterator[Row]:
    """Yield what is added to operations on locks that are free."""
    for name, operation in free_locks.OPERATIONS.items():
        # where a Lock is a semaphore the clock is read first, in as many instructions as that takes
        judged = not GIL or name in {"list.append", "d[k] = v"}
        yield counted(name, operation, judged=judged)
    lock = threading.Lock()

    def take(count: int) -> None:
        for _ in itertools.repeat(None, count):
            lock.acquire()
            lock.release()

    off, on = timed(take, 2000, options.repeat)
    yield common.difference("time of Lock.acquire and release", "<= 1 ns", "ns", off, on, 1.0)


def counted(name: str, operation: tuple[str, str, str], *, judged: bool) -> Row:
    """Return the instructions that are added to an operation; `judged`: there must be none."""
    try:
        off, on = free_locks.costs(operation, "trace()" if GIL else free_locks.NO_TRACE)
    except PermissionError as error:
        raise UnsupportedError(f"instructions can't be counted here: {error}") from None
    verdict = common.judge_figure(on - off, lambda one: one == 0) if judged else common.NO_TARGET
    note = f"off {common.shown(off)}, on {common.shown(on)}"
    return Row(f"instructions of {name}", "0" if judged else "", "", [on - off], verdict, note)


def timed(work: Callable[[int], None], count: int, repeat: int) -> list[list[float]]:
    """Return the nanoseconds of one operation without a trace of locks and with it, one a repeat."""

    def burst() -> float:
        start = clock()
        work(count)
        return (clock() - start) / count

    def sample(arm: int) -> float:
        with ARMS[arm]():
            burst()  # opens the account
            return statistics.median(burst() for _ in range(BURSTS))

    return common.in_turns(sample, len(ARMS), repeat)


# ---- somebody waits


def waits(options: argparse.Namespace) -> Iterator[Row]:
    """Yield what is added to a wait that ends at once, since its time is up, and to one that another ends.

    A thread waits by turns for two locks that are taken: two waits for the same one would be told as one.
    """
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1)
    yield counted("a wait for RLock", free_locks.WAIT, judged=False)
    for kind in (threading.RLock, threading.Lock):
        first, second = held(kind), held(kind)

        def wait(count: int, first: Any = first, second: Any = second) -> None:
            for _ in itertools.repeat(None, count // 2):
                first.acquire(timeout=1e-9)
                second.acquire(timeout=1e-9)

        off, on = timed(wait, 20, options.repeat)
        spins = kind is threading.Lock and not GIL  # it yields 40 times before it sleeps
        what = f"time of a wait for {'Lock' if kind is threading.Lock else 'RLock'}{' after a spin' * spins}"
        yield common.difference(what, "" if spins else "<= 80 ns", "ns", off, on, None if spins else 80.0)
    off, on = common.in_turns(lambda arm: handed_over(arm, options.handovers), len(ARMS), options.repeat)
    yield common.difference("CPU time of a Lock that is handed over", "", "ns", off, on, None)


def held(kind: Callable[[], Any]) -> Any:
    """Return a lock that was taken by a thread that is gone."""
    lock = kind()
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    thread.join()
    return lock


def handed_over(arm: int, count: int) -> float:
    """Have two threads pass two locks to each other; return the CPU time of one wait and its release, ns."""
    mine, yours = threading.Lock(), threading.Lock()
    mine.acquire()
    yours.acquire()

    def play(mine: threading.Lock, yours: threading.Lock) -> None:
        for _ in itertools.repeat(None, count):
            mine.acquire()
            yours.release()

    with ARMS[arm]():
        threads = [threading.Thread(target=play, args=pair) for pair in ((mine, yours), (yours, mine))]
        start = time.process_time_ns()
        for thread in threads:
            thread.start()
        mine.release()
        for thread in threads:
            thread.join()
        return (time.process_time_ns() - start) / (2 * count)


# ---- whole programs


def compute(steps: int) -> None:
    """Count."""
    total = 0
    for step in range(steps):
        total += step & 7


def call(steps: int) -> None:
    """Call functions."""

    def depth(levels: int) -> int:
        return 0 if levels == 0 else 1 + depth(levels - 1)

    for _ in range(steps):
        depth(10)


def make_objects(steps: int) -> None:
    """Make objects, and read their attributes."""

    class Point:
        def __init__(self, x: int, y: int) -> None:
            self.x, self.y = x, y

    for step in range(steps):
        point = Point(step, 1)
        point.x += point.y


def sort(steps: int) -> None:
    """Sort lists."""
    for step in range(steps):
        sorted(range(step % 7, 60), key=lambda one: -one)


def convert(steps: int) -> None:
    """Write and read JSON."""
    data = {"name": "x", "numbers": [1, 2, 3], "more": {"a": None, "b": True}}
    for _ in range(steps):
        json.loads(json.dumps(data))


SHARED: dict[str, int] = dict.fromkeys(map(str, range(100)), 0)
RECENT: deque[int] = deque(maxlen=1000)
ITEMS: list[int] = []
JOBS: Queue[int] = Queue()
LOCK = threading.Lock()


def read_shared(steps: int) -> None:
    """Read one dict."""
    for step in range(steps):
        SHARED[str(step % 100)]


def write_shared(steps: int) -> None:
    """Change one dict."""
    for step in range(steps):
        SHARED[str(step % 100)] = step


def append_shared(steps: int) -> None:
    """Append to one list and one deque."""
    for step in range(steps):
        ITEMS.append(step)
        RECENT.append(step)
        if step % 100 == 0:
            ITEMS.clear()


def lock_shared(steps: int) -> None:
    """Take one lock for some work, among other work."""
    for _ in range(steps):
        with LOCK:
            compute(20)
        compute(80)


def queue_shared(steps: int) -> None:
    """Put into a queue and take from it, as much as was put."""
    for step in range(steps):
        JOBS.put(step)
        compute(50)
        JOBS.get()


PROGRAMS = (
    compute,
    call,
    make_objects,
    sort,
    convert,
    read_shared,
    write_shared,
    append_shared,
    lock_shared,
    queue_shared,
)


def programs(options: argparse.Namespace) -> Iterator[Row]:
    """Yield how much slower programs of two threads are."""
    for program in PROGRAMS:
        plan = ArmPlan(name=program.__name__, threads=2, work=program)
        steps = calibrate(plan, arm_ns=options.sample_ns)

        def sample(arm: int, plan: ArmPlan = plan, steps: int = steps) -> TeamRun:
            with ARMS[arm]():
                return run_team(plan, steps)

        off, on = common.in_turns(sample, len(ARMS), options.repeat)
        yield slowed((program.__doc__ or "").rstrip("."), off, on)


def slowed(what: str, off: list[TeamRun], on: list[TeamRun]) -> Row:
    """Return by how many per cent the runs of a program were slower."""
    elapsed = [[one.elapsed_ns / 1e6 for one in runs] for runs in (off, on)]
    slower = common.more(*elapsed)
    by_cpu = statistics.median(common.more([one.cpu_ns for one in off], [one.cpu_ns for one in on]))
    return Row(
        f"2 threads: {what}",
        "<= 1 %",
        "%",
        slower,
        common.judge_figure(statistics.median(slower), lambda one: one <= 1),
        f"by CPU time {by_cpu:+.2f} %; ms: {common.ranges(*elapsed)}",
        {"off_ms": elapsed[0], "on_ms": elapsed[1], "by_cpu_time": by_cpu},
    )


QUESTIONS = (
    Question("free", "0 instructions; <= 1 ns", free, traces=False),
    Question("wait", "<= 80 ns", waits, traces=False),
    Question("programs", "<= 1 %", programs, traces=False),
)


def main() -> int:
    """Run the benchmark."""
    made = common.parser("What does a trace of locks cost?", repeat=15)
    options = made.parse_args()
    common.check_file(options, made)
    options.sample_ns, options.handovers = SAMPLE_NS, 2000
    if options.quick:
        options.repeat, options.sample_ns, options.handovers = min(options.repeat, 2), SAMPLE_NS // 10, 100
    if capabilities().locks != "exact":
        made.error(capabilities().locks_reason)
    return common.main("lock_cost", options, QUESTIONS)


if __name__ == "__main__":
    sys.exit(main())
