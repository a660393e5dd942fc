"""Which lock it is: what the program, or the library, calls it. One thread holds it until another waits."""

from __future__ import annotations

import concurrent.futures
import gc
import io
import logging
import queue
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import gilprobe
from gilprobe._native import tracer
from gilprobe.model.locks import STOP, WORK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ABLE, REASON = tracer.locks_support()
pytestmark = pytest.mark.skipif(not ABLE, reason=f"locks can't be traced here: {REASON}")

FREE_THREADED = not tracer.gil_enabled()
PATIENCE_S = 60

LOCK, CONDITION, SEMAPHORE, EVENT = (
    threading.Lock(),
    threading.Condition(),
    threading.Semaphore(),
    threading.Event(),
)
LOCKS = {"one": threading.Lock()}
JOBS: queue.Queue[int] = queue.Queue()
POOL = concurrent.futures.ThreadPoolExecutor(1)
LOGGER = logging.getLogger("gilprobe.tests.lock_names")
LOGGER.propagate = False
LOGGER.addHandler(logging.StreamHandler(io.StringIO()))


class Base:
    """Has locks in attributes of all kinds."""

    of_class = threading.Lock()
    __slots__ = ("__dict__", "in_slot")

    def __init__(self) -> None:
        self.in_slot, self.own, self.many = threading.Lock(), threading.RLock(), [threading.Lock()]
        self.ready = threading.Condition()

    def want_own(self) -> None:
        with self.own:
            pass

    def want_alias(self) -> None:
        lock = self.own
        with lock:
            pass

    def want_slot(self) -> None:
        with self.in_slot:
            pass

    def want_class(self) -> None:
        with self.of_class:
            pass

    def want_item(self) -> None:
        with self.many[0]:
            pass

    def want_ready(self) -> None:
        with self.ready:
            pass


class Derived(Base):
    """Has them from its base."""


DERIVED = Derived()


def want_lock() -> None:
    with LOCK:
        pass


def want_passed_on(lock: Any) -> None:
    with lock:
        pass


def want_item() -> None:
    with LOCKS["one"]:
        pass


def want_condition() -> None:
    with CONDITION:
        pass


def want_by_method() -> None:
    CONDITION.acquire()
    CONDITION.release()


def want_semaphore() -> None:
    with SEMAPHORE:
        pass


def want_of_object() -> None:
    with DERIVED.own:
        pass


HERE = __name__
CASES: list[tuple[Any, Callable[[], Any], str]] = [
    (LOCK, want_lock, f"Lock `LOCK` (module {HERE})"),
    (LOCK, lambda: want_passed_on(LOCK), f"Lock `LOCK` (module {HERE})"),
    (LOCKS["one"], want_item, f"Lock `LOCKS[...]` (module {HERE})"),
    (DERIVED.own, DERIVED.want_own, "RLock `self.own` of Derived"),
    (DERIVED.own, DERIVED.want_alias, "RLock `self.own` of Derived"),
    (DERIVED.own, want_of_object, "RLock `DERIVED.own` of Derived"),
    (DERIVED.in_slot, DERIVED.want_slot, "Lock `self.in_slot` of Derived"),
    (DERIVED.of_class, DERIVED.want_class, "Lock `self.of_class` of Derived"),
    (DERIVED.many[0], DERIVED.want_item, "Lock `self.many[...]` of Derived"),
    (DERIVED.ready, DERIVED.want_ready, "Condition `self.ready` of Derived"),
    (CONDITION, want_condition, f"Condition `CONDITION` (module {HERE})"),
    (CONDITION, want_by_method, f"Condition `CONDITION` (module {HERE})"),
    (SEMAPHORE._cond, want_semaphore, f"Semaphore `SEMAPHORE` (module {HERE})"),
    (EVENT._cond, lambda: EVENT.set(), f"Event `EVENT` (module {HERE})"),
    (JOBS.mutex, lambda: JOBS.put(1), f"Queue `JOBS` (module {HERE})"),
    (
        POOL._shutdown_lock,
        lambda: POOL.submit(int),
        f"`_shutdown_lock` of ThreadPoolExecutor `POOL` (module {HERE})",
    ),
    (LOGGER.handlers[0].lock, lambda: LOGGER.error("one"), "StreamHandler's `lock` (module logging)"),
    (
        threading._active_limbo_lock,  # type: ignore[attr-defined]
        lambda: threading.enumerate(),
        "RLock `_active_limbo_lock` (module threading)",
    ),
]


@pytest.fixture(scope="module", autouse=True)
def _pool() -> Iterator[None]:
    """Leave no thread behind that waits for work."""
    yield
    POOL.shutdown()


def until(true: Callable[[], object]) -> bool:
    """Wait without a lock. False if that lasts too long."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def titles(running: gilprobe.Trace, waiter: str) -> list[str]:
    """Return what a thread waits or waited for, but for work."""
    report = running.report()
    rows = [row.lock for row in report.lock_waits if row.waiter == waiter]
    return [lock.title for index, lock in enumerate(report.locks) if index in rows and lock.kind != WORK]


def contend(lock: Any, want: Callable[[], Any], title: str) -> None:
    """Have a thread wait for a lock until a trace calls it so. It starts before: that takes locks, too."""
    held: list[bool] = []

    def wait() -> None:
        until(lambda: held)
        want()

    waiter = threading.Thread(target=wait, name="waiter")
    waiter.start()
    with gilprobe.trace(locks=True, sites=False) as running:
        running.report()  # imports what it needs
        with lock:
            held.append(True)
            waits = until(lambda: title in titles(running, "waiter"))
        waiter.join()
    assert waits, titles(running, "waiter")


@pytest.mark.parametrize(("lock", "want", "title"), CASES, ids=[title for _, _, title in CASES])
def test_a_lock_is_called_what_has_it(lock: Any, want: Callable[[], Any], title: str) -> None:
    contend(lock, want, title)


def test_a_lock_in_a_closure_is_called_as_there() -> None:
    guard = threading.Lock()

    def want() -> None:
        with guard:
            pass

    contend(guard, want, "Lock `guard`")


@pytest.mark.skipif(not FREE_THREADED, reason="needs an interpreter without a GIL")
def test_a_stop_of_all_threads_is_told_by_its_cause() -> None:
    end = threading.Event()

    def work() -> None:
        while not end.is_set():
            pass

    worker = threading.Thread(target=work)
    with gilprobe.trace() as running:
        worker.start()
        found: set[str] = set()
        limit = time.monotonic() + PATIENCE_S
        while not {"collector", "sys._current_frames"} <= found:
            assert time.monotonic() < limit
            gc.collect()
            sys._current_frames()
            found = {lock.name for lock in running.report().locks if lock.kind == STOP}
        end.set()
        worker.join()
    assert {lock.title for lock in running.report().locks} >= {"stop the world: collector"}
