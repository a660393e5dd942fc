"""Acquiring one's own lock again is a deadlock, and so are two locks taken in opposite order.

A ``Lock`` has no owner: every thread that wants it waits, even the one that has it, which then waits for
itself. An ``RLock`` lets its owner in again. Two threads that have one lock each and want the other's wait
for each other; if both take the locks in the same order, the second waits before it has one. Here every wait
has a time-out and every program runs in its own process, so a deadlock shows as an acquire that timed out.

The trace shows that the GIL is not involved: a thread that waits for a lock has released the GIL, and is off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.results import Fact, Law, fact_name
from gilprobe.scenarios.laws import SECONDS, every_law, value_law
from gilprobe.scenarios.scenario import Findings, Request, Scenario
from gilprobe.scenarios.support import cells
from gilprobe.scenarios.support.cells import Cell, CellPlan, observe_cells, off_law, sections

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gilprobe.scenarios.support.cells import CellObservation, CellRun

LOCK = """\
import threading

def thread_function(lock):
    print("Thread 1: first acquire: " + str(lock.acquire(timeout=TIMEOUT_S)))
    print("Thread 1: second acquire: " + str(lock.acquire(timeout=TIMEOUT_S)))

if __name__ == "__main__":
    x = threading.Thread(target=thread_function, args=(threading.Lock(),))
    x.start()
    x.join()
    print("Main    : all done.")
"""

RLOCK = LOCK.replace("threading.Lock()", "threading.RLock()")

TWO_LOCKS = """\
import threading
import time

locks = {"a": threading.Lock(), "b": threading.Lock()}

def thread_function(name, first, second):
    with locks[first]:
        print("Thread " + str(name) + ": has " + first + ".")
        time.sleep(TIMEOUT_S / 4)  # the other one takes its first lock meanwhile
        got = locks[second].acquire(timeout=TIMEOUT_S)
        print("Thread " + str(name) + ": got " + second + ": " + str(got))
        if got:
            locks[second].release()
        else:
            time.sleep(TIMEOUT_S / 2)  # the other one gives up, too

if __name__ == "__main__":
    threads = [
        threading.Thread(target=thread_function, args=(1, *ORDERS[0])),
        threading.Thread(target=thread_function, args=(2, *ORDERS[1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("Main    : all done.")
"""

GIVEN_UP = (0.95, 1.25)
"""An acquire that fails takes its time-out; lines arrive a little later than they are printed."""


def measure(request: Request) -> Findings:
    """Run programs that would deadlock, and some that would not."""
    timeout_s = request.frame.arm_ns / 1e9
    plans = [
        CellPlan("Lock", 1, Cell(LOCK, {"TIMEOUT_S": timeout_s}), {"": "s"}, _second_acquire),
        CellPlan("RLock", 1, Cell(RLOCK, {"TIMEOUT_S": timeout_s}), {"": "s"}, _second_acquire),
        _two("opposite order", ("ab", "ba"), timeout_s),
    ]
    if not request.quick:
        plans.append(_two("same order", ("ab", "ab"), timeout_s))
    seen = observe_cells(request, plans)
    facts = tuple(
        Fact(fact_name(name, arm.name), arm.median, "s")
        for arm, name in zip(
            seen.measurement.arms, ("second_acquire",) * 2 + ("both_threads",) * 2, strict=False
        )
    )
    text, reason = "who waits for a lock is off, without the GIL", request.trace_reason
    off = off_law(text, "time-out", timeout_s, seen, "Lock", reason, main=False)
    laws = (*_laws(seen, timeout_s), off)
    printed = sections({plan.name: seen.runs[plan.name, plan.threads][-1] for plan in plans})
    return Findings(seen.measurement.arms, facts, laws, seen.traces, seen.warnings, printed)


def _two(name: str, orders: tuple[str, str], timeout_s: float) -> CellPlan:
    cell = Cell(TWO_LOCKS, {"TIMEOUT_S": timeout_s, "ORDERS": orders})
    return CellPlan(name, 2, cell, {"": "s"}, _until_done)


def _second_acquire(run: CellRun) -> Mapping[str, float]:
    return {"": run.at("second acquire: ") - run.at("first acquire: ")}


def _until_done(run: CellRun) -> Mapping[str, float]:
    return {"": run.at("Main    : all done.") - run.at(": has ")}


def _laws(seen: CellObservation, timeout_s: float) -> Iterator[Law]:
    lock, rlock = seen.measurement.arms[:2]
    yield _all(seen, "Lock: its owner does not get it again", "Lock", 1, ("second acquire: False",))
    ends = timeout_s * GIVEN_UP[0], timeout_s * GIVEN_UP[1]
    yield value_law("it waits for itself until its time is up", lock, *ends, SECONDS)
    yield _all(seen, "RLock: its owner gets it again", "RLock", 1, ("second acquire: True",))
    yield value_law("at once", rlock, 0.0, timeout_s / 2, SECONDS)
    neither = ("got a: False", "got b: False")
    yield _all(seen, "two locks in opposite order: neither gets both", "opposite order", 2, neither)
    if ("same order", 2) in seen.runs:
        both = ("Thread 1: got b: True", "Thread 2: got b: True")
        yield _all(seen, "in the same order: both get both", "same order", 2, both)


def _all(seen: CellObservation, text: str, name: str, threads: int, messages: tuple[str, ...]) -> Law:
    runs = seen.runs[name, threads]
    return every_law(text, sum(all(message in run.text for message in messages) for run in runs), len(runs))


SCENARIO = Scenario(
    id="lock-deadlock",
    title="A lock acquired twice, and two locks in opposite order: deadlocks, ended by time-outs",
    group="lessons",
    measure=measure,
    missing=cells.missing,
    ceiling_s=90.0,
)
