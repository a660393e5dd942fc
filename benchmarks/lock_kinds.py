"""Programs in which two threads contend for exactly one lock: what a trace must call it is known.

Most have a lock that one thread holds until the other one waits for it. Where only C code holds it, for a
short time, two threads do the same work again and again.
"""

from __future__ import annotations

import bz2
import collections
import concurrent.futures
import contextlib
import functools
import gc
import hashlib
import io
import logging
import lzma
import os
import queue
import random
import sys
import tempfile
import threading
import time
import types
import weakref
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gilprobe.model.locks import WORK
from gilprobe.tracing.tracer import trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gilprobe.model.locks import Lock
    from gilprobe.report import Report

FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()
PATIENCE_S = 20.0
SETTLE_S = 0.01
ENOUGH_NS = 100_000
HERE = __name__


class Gate:
    """Lets a thread hold a lock until another waits for it. Takes no lock itself: threads look and sleep."""

    def __init__(self) -> None:
        self.open = self.begun = self.ended = False
        self.holder = Path()  # of the thread that holds, as long as it lives

    def hold(self) -> None:
        """Tell that the lock is held, and hold it until it may go."""
        self.begun = True
        wait_until(lambda: self.ended)


def wait_until(true: Callable[[], object]) -> bool:
    """Wait without a lock; False if that lasts too long."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.0005)
    return True


@dataclass(frozen=True)
class Program:
    """What two threads do.

    Attributes
    ----------
    hold : callable
        Called by the first one with a gate: calls its `hold` while it has the lock.
    want : callable
        Called by the second one: waits for the lock, and lets it go.
    again : bool
        Whether both call theirs again and again, since nothing can be held for long.
    """

    hold: Callable[[Gate], Any]
    want: Callable[[], Any]
    again: bool = False


@dataclass(frozen=True)
class Kind:
    """A kind of lock.

    Attributes
    ----------
    what : str
        In words.
    title : str
        What a trace must call it.
    make : callable
        Returns the program.
    free_threaded : bool
        Whether only builds without a GIL have it.
    """

    what: str
    title: str
    make: Callable[[], Program]
    free_threaded: bool = False


KINDS: list[Kind] = []


def kind(
    what: str, title: str, *, free_threaded: bool = False, when: bool = True
) -> Callable[[Callable[[], Program]], Callable[[], Program]]:
    """Add a kind. `when`: whether this interpreter has it."""

    def add(make: Callable[[], Program]) -> Callable[[], Program]:
        if when and (FREE_THREADED or not free_threaded):
            KINDS.append(Kind(what, title.replace("HERE", HERE), make, free_threaded))
        return make

    return add


def held(lock: Any, want: Callable[[], Any]) -> Program:
    """Return a program in which one thread has a lock of Python's."""

    def hold(gate: Gate) -> None:
        with lock:
            gate.hold()

    return Program(hold, want)


def again(first: Callable[[], Any], second: Callable[[], Any] | None = None) -> Program:
    """Return a program in which both threads do something again and again."""
    return Program(lambda _gate: first(), second or first, again=True)


def pass_time(seconds: float) -> None:
    """Work, without letting a lock go."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


# ---- locks of the program's ----


class Cache:
    """Has locks in attributes."""

    shared = threading.Lock()

    def __init__(self) -> None:
        self._lock: Any = threading.Lock()
        self._ready = threading.Condition()
        self._parts = [threading.Lock() for _ in range(4)]

    def want(self) -> None:
        """Use the object's lock."""
        with self._lock:
            pass

    def want_alias(self) -> None:
        """Use it by another name."""
        lock = self._lock
        with lock:
            pass

    def want_shared(self) -> None:
        """Use the lock of the class."""
        with self.shared:
            pass

    def want_ready(self) -> None:
        """Use the lock of the condition."""
        with self._ready:
            pass

    def want_part(self) -> None:
        """Use one of many."""
        with self._parts[2]:
            pass

    @classmethod
    def want_of_class(cls) -> None:
        """Use the lock of the class, without an object."""
        with cls.shared:
            pass


class Slotted:
    """Has its lock in a slot."""

    __slots__ = ("_lock", "value")

    def __init__(self) -> None:
        self.value, self._lock = 1, threading.Lock()

    def want(self) -> None:
        """Use it."""
        with self._lock:
            pass


LOCK, RLOCK, CONDITION, SEMAPHORE, EVENT, BARRIER = (
    threading.Lock(),
    threading.RLock(),
    threading.Condition(),
    threading.Semaphore(3),
    threading.Event(),
    threading.Barrier(5),
)
LOCKS = {"one": threading.Lock(), "two": threading.Lock()}
JOBS: queue.Queue[int] = queue.Queue()
STACK: queue.LifoQueue[int] = queue.LifoQueue()


def want_local(lock: Any) -> None:
    """Use a lock by the name of a local variable."""
    with lock:
        pass


@kind("Lock in a local variable", "Lock `lock`")
def _() -> Program:
    lock = threading.Lock()
    return held(lock, lambda: want_local(lock))


@kind("Lock in a closure's cell", "Lock `guard`")
def _() -> Program:
    guard = threading.Lock()

    def want() -> None:
        with guard:
            pass

    return held(guard, want)


@kind("Lock in a global variable", "Lock `LOCK` (module HERE)")
def _() -> Program:
    def want() -> None:
        with LOCK:
            pass

    return held(LOCK, want)


@kind("global Lock that is passed on", "Lock `LOCK` (module HERE)")
def _() -> Program:
    return held(LOCK, lambda: want_local(LOCK))


@kind("Lock in an attribute", "Lock `self._lock` of Cache")
def _() -> Program:
    cache = Cache()
    return held(cache._lock, cache.want)


@kind("Lock in an attribute, by a local name", "Lock `self._lock` of Cache")
def _() -> Program:
    cache = Cache()
    return held(cache._lock, cache.want_alias)


@kind("Lock in an attribute, from outside", "Lock `cache._lock` of Cache")
def _() -> Program:
    cache = Cache()

    def want() -> None:
        with cache._lock:
            pass

    return held(cache._lock, want)


@kind("Lock in a class attribute", "Lock `self.shared` of Cache")
def _() -> Program:
    cache = Cache()
    return held(Cache.shared, cache.want_shared)


@kind("Lock in a class attribute, in a class method", "Lock `cls.shared` of Cache")
def _() -> Program:
    return held(Cache.shared, Cache.want_of_class)


@kind("Lock in a slot", "Lock `self._lock` of Slotted")
def _() -> Program:
    slotted = Slotted()
    return held(slotted._lock, slotted.want)


@kind("Lock in a dict", "Lock `LOCKS[...]` (module HERE)")
def _() -> Program:
    def want() -> None:
        with LOCKS["two"]:
            pass

    return held(LOCKS["two"], want)


@kind("Lock in a list in an attribute", "Lock `self._parts[...]` of Cache")
def _() -> Program:
    cache = Cache()
    return held(cache._parts[2], cache.want_part)


@kind("RLock in a global variable", "RLock `RLOCK` (module HERE)")
def _() -> Program:
    def want() -> None:
        with RLOCK:
            pass

    return held(RLOCK, want)


@kind("RLock in an attribute", "RLock `self._lock` of Cache")
def _() -> Program:
    cache = Cache()
    cache._lock = threading.RLock()
    return held(cache._lock, cache.want)


@kind("Condition in a global variable", "Condition `CONDITION` (module HERE)")
def _() -> Program:
    def want() -> None:
        with CONDITION:
            pass

    return held(CONDITION, want)


@kind("Condition in an attribute", "Condition `self._ready` of Cache")
def _() -> Program:
    cache = Cache()
    return held(cache._ready, cache.want_ready)


@kind("Condition by acquire()", "Condition `CONDITION` (module HERE)")
def _() -> Program:
    def want() -> None:
        CONDITION.acquire()
        CONDITION.release()

    return held(CONDITION, want)


@kind("Semaphore", "Semaphore `SEMAPHORE` (module HERE)")
def _() -> Program:
    def want() -> None:
        with SEMAPHORE:
            pass

    return held(SEMAPHORE._cond, want)


@kind("Event", "Event `EVENT` (module HERE)")
def _() -> Program:
    return held(EVENT._cond, lambda: EVENT.set())


@kind("Barrier", "Barrier `BARRIER` (module HERE)")
def _() -> Program:
    return held(BARRIER._cond, lambda: BARRIER.reset())


@kind("Queue", "Queue `JOBS` (module HERE)")
def _() -> Program:
    return held(JOBS.mutex, lambda: JOBS.put(1))


@kind("Queue in a local variable", "Queue `jobs`")
def _() -> Program:
    jobs: queue.Queue[int] = queue.Queue()
    return held(jobs.mutex, lambda: jobs.qsize())


@kind("LifoQueue", "LifoQueue `STACK` (module HERE)")
def _() -> Program:
    return held(STACK.mutex, lambda: STACK.put(1))


# ---- locks of the library's ----

LOGGER = logging.getLogger("lock_kinds")
LOGGER.propagate = False
HANDLER = logging.StreamHandler(io.StringIO())
LOGGER.addHandler(HANDLER)
# 3.13t makes a dict a shared one when another thread reads it first, and waits for itself then
for target in (lambda: LOGGER.warning("first"), lambda: sys.modules.get("this_is_new")):
    threading.Thread(target=target).start()
HIDDEN = logging.getLogger("lock_kinds.hidden")
HIDDEN.propagate = False
HIDDEN.addHandler(logging.StreamHandler(io.StringIO()))


@kind("logging, a handler", "`lock` of StreamHandler `HANDLER` (module HERE)")
def _() -> Program:
    return held(HANDLER.lock, lambda: LOGGER.warning("one"))


@kind("logging, a handler that the program does not have", "StreamHandler's `lock` (module logging)")
def _() -> Program:
    return held(HIDDEN.handlers[0].lock, lambda: logging.getLogger("lock_kinds.hidden").warning("one"))


@kind("logging, the module", "RLock `_lock` (module logging)")
def _() -> Program:
    return held(logging._lock, lambda: logging.getLogger("another"))  # type: ignore[attr-defined]


POOL = concurrent.futures.ThreadPoolExecutor(4)


def new_pool() -> concurrent.futures.ThreadPoolExecutor:
    """Return a pool without threads yet, which is POOL from now on."""
    global POOL
    POOL.shutdown()
    POOL = concurrent.futures.ThreadPoolExecutor(4)
    return POOL


@kind("a pool's internal lock", "`_shutdown_lock` of ThreadPoolExecutor `POOL` (module HERE)")
def _() -> Program:
    return held(new_pool()._shutdown_lock, lambda: POOL.submit(int))


@kind("a pool's idle semaphore", "`_idle_semaphore` of ThreadPoolExecutor `POOL` (module HERE)")
def _() -> Program:
    return held(new_pool()._idle_semaphore._cond, lambda: POOL.submit(int))


@kind("pools, the module", "Lock `_global_shutdown_lock` (module concurrent.futures.thread)")
def _() -> Program:
    lock = concurrent.futures.thread._global_shutdown_lock  # type: ignore[attr-defined]
    new_pool()
    return held(lock, lambda: POOL.submit(int))


@kind("a future", "`_condition` of Future `future`")
def _() -> Program:
    future: concurrent.futures.Future[int] = concurrent.futures.Future()
    return held(future._condition, lambda: future.done())


@kind("threading, the list of threads", "RLock `_active_limbo_lock` (module threading)")
def _() -> Program:
    return held(threading._active_limbo_lock, lambda: threading.enumerate())  # type: ignore[attr-defined]


@kind("tempfile, once", "Lock `_once_lock` (module tempfile)")
def _() -> Program:
    tempfile._name_sequence = None  # type: ignore[attr-defined]
    return held(tempfile._once_lock, lambda: tempfile._get_candidate_names())  # type: ignore[attr-defined]


class Computed:
    """Has a property that is computed once."""

    @functools.cached_property
    def value(self) -> int:
        """Some number."""
        return 1


@kind(
    "cached_property",
    "`lock` of cached_property `Computed.value` of Computed",
    when=sys.version_info < (3, 12),
)
def _() -> Program:
    made = Computed.__dict__["value"]
    return held(made.lock, lambda: Computed().value)


# ---- locks of the interpreter's and of types in C ----


@contextlib.contextmanager
def import_lock() -> Iterator[None]:
    """Have the lock of the import system."""
    import _imp

    _imp.acquire_lock()
    try:
        yield
    finally:
        _imp.release_lock()


def want_import() -> None:
    """Import something that is not there yet."""
    sys.modules.pop("this_is_new", None)
    sys.meta_path.insert(0, Finder)
    try:
        import this_is_new  # type: ignore[import-not-found]  # noqa: F401
    finally:
        sys.meta_path.remove(Finder)


class Finder:
    """Finds modules that need no file."""

    gate: Gate | None = None

    @classmethod
    def find_spec(cls, name: str, _path: Any = None, _target: Any = None) -> Any:
        """Return how the module is made."""
        import importlib.machinery

        return importlib.machinery.ModuleSpec(name, cls) if name == "this_is_new" else None

    @classmethod
    def create_module(cls, _spec: Any) -> None:
        """Leave that to the import system."""

    @classmethod
    def exec_module(cls, _module: Any) -> None:
        """Run the module: it lasts until the other thread waits for it."""
        if cls.gate is not None:
            cls.gate.hold()


@kind("import lock", "interpreter: import lock")
def _() -> Program:
    return held(import_lock(), want_import)


@kind("a module that is being imported", "interpreter: import of this_is_new")
def _() -> Program:
    def hold(gate: Gate) -> None:
        Finder.gate = gate
        sys.modules.pop("this_is_new", None)
        sys.meta_path.insert(0, Finder)
        try:
            import this_is_new  # noqa: F401
        finally:
            Finder.gate = None
            sys.meta_path.remove(Finder)

    def want() -> None:
        import this_is_new  # noqa: F401

    return Program(hold, want)


class Slow(io.RawIOBase):
    """A file whose writes last until the other thread waits."""

    gate: Gate | None = None

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any, /) -> int:
        """Write nothing, slowly."""
        if self.gate is not None:
            self.gate.hold()
        return len(data)


@kind("a buffered file", "_io.BufferedWriter `out`")
def _() -> Program:
    raw = Slow()
    out = io.BufferedWriter(raw)

    def hold(gate: Gate) -> None:
        raw.gate = gate
        out.write(b"1")
        out.flush()
        raw.gate = None

    return Program(hold, lambda: out.write(b"2"))


NUMBERS = bytes(range(256)) * 16384


@kind("hashlib", "_hashlib.HASH `digest`")
def _() -> Program:
    digest = hashlib.sha256()
    digest.update(NUMBERS)
    return again(lambda: digest.update(NUMBERS))


@kind("zlib", "zlib.Compress `packer`")
def _() -> Program:
    packer = zlib.compressobj()
    return again(lambda: packer.compress(NUMBERS))


@kind("bz2", "_bz2.BZ2Compressor `packer`")
def _() -> Program:
    packer = bz2.BZ2Compressor()
    return again(lambda: packer.compress(NUMBERS[:200_000]))


@kind("lzma", "_lzma.LZMACompressor `packer`")
def _() -> Program:
    packer = lzma.LZMACompressor(preset=1)
    return again(lambda: packer.compress(NUMBERS[:200_000]))


# ---- locks that only builds without a GIL have ----

REGISTRY: dict[int, int] = dict.fromkeys(range(200_000))
ITEMS = list(range(400_000))
MEMBERS = set(range(200_000))
RECENT = collections.deque(range(400_000))
ORDER = collections.OrderedDict.fromkeys(range(50_000))


class Point:
    """Has attributes that threads set."""

    def __init__(self) -> None:
        self.x = self.y = 0


POINT = Point()


class Settings:
    """A class whose attributes are set."""

    level = 0


def busy(_number: int) -> int:
    """Work for some time."""
    pass_time(0.003)
    return 1


@kind("dict", "dict `REGISTRY` (module HERE)", free_threaded=True)
def _() -> Program:
    return again(lambda: REGISTRY.copy(), lambda: REGISTRY.update({1: 1}))


@kind("dict in an attribute", "dict `self._parts` of Cache", free_threaded=True)
def _() -> Program:
    cache: Any = Cache()
    cache._parts = dict.fromkeys(range(200_000))

    def copy(self: Any) -> None:
        self._parts.copy()

    return again(lambda: copy(cache))


@kind("list", "list `ITEMS` (module HERE)", free_threaded=True)
def _() -> Program:
    return again(lambda: ITEMS.copy(), lambda: (ITEMS.append(1), ITEMS.pop()))


@kind("set", "set `MEMBERS` (module HERE)", free_threaded=True)
def _() -> Program:
    return again(lambda: MEMBERS.copy(), lambda: MEMBERS.add(1))


@kind("deque", "collections.deque `RECENT` (module HERE)", free_threaded=True)
def _() -> Program:
    return again(lambda: RECENT.reverse())


@kind("OrderedDict", "collections.OrderedDict `ORDER` (module HERE)", free_threaded=True)
def _() -> Program:
    return again(lambda: dict.copy(ORDER), lambda: ORDER.update({1: 1}))


@kind("list in a closure's cell", "list `items`", free_threaded=True)
def _() -> Program:
    items = list(range(400_000))
    return again(lambda: items.reverse())


@kind("list in a dict", "list `TABLE[...]` (module HERE)", free_threaded=True)
def _() -> Program:
    return again(lambda: TABLE["rows"].reverse())


TABLE = {"rows": list(range(400_000))}


class SlowKey:
    """A key that takes its time; from 3.14 on a cache is locked only while it looks for its key."""

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        pass_time(0.003)
        return self is other


@kind("lru_cache", "functools._lru_cache_wrapper `cached`", free_threaded=True)
def _() -> Program:
    cached = functools.lru_cache(maxsize=1)(repr)
    return again(lambda: cached(SlowKey()))


@kind("a user's object", "Point `POINT` (module HERE)", free_threaded=True)
def _() -> Program:
    def change() -> None:
        for number in range(20_000):
            POINT.x = number

    return again(change)


@kind("a closure's cell", "cell `flag`", free_threaded=True)
def _() -> Program:
    flag = False

    def change() -> None:
        nonlocal flag
        for _ in range(20_000):
            flag = not flag

    return again(change)


@kind("a text file in memory", "_io.StringIO `text`", free_threaded=True)
def _() -> Program:
    text = io.StringIO()
    text.write("x" * 4_000_000)
    return again(lambda: text.getvalue())


@kind("a text file", "_io.TextIOWrapper `file`", free_threaded=True)
def _() -> Program:
    text = open(os.devnull, "w")  # noqa: SIM115, PTH123  # lives as long as the program

    def change(file: Any) -> None:
        for _ in range(2_000):
            file.write("one line\n")

    return again(lambda: change(text))


@kind("random", "Random `random._inst`", free_threaded=True)
def _() -> Program:
    return again(lambda: random.getrandbits(30_000_000))


class Others(Settings):
    """Another one."""


def change_class(made: type[Settings]) -> None:
    """Set an attribute of a class, often."""
    for number in range(5_000):
        made.level = number


@kind("type lock", "interpreter: type lock", free_threaded=True)
def _() -> Program:
    return again(lambda: change_class(Settings), lambda: change_class(Others))


@kind("weak references", "interpreter: weak references", free_threaded=True)
def _() -> Program:
    def change() -> None:
        for _ in range(10_000):
            weakref.ref(POINT, print)

    return again(change)


@kind("an iterator", "enumerate `numbers`", free_threaded=True, when=sys.version_info >= (3, 15))
def _() -> Program:
    numbers = enumerate(iter(int, 1))

    def change() -> None:
        for _ in range(10_000):
            next(numbers)

    return again(change)


# ---- all threads are stopped ----


def stopped(stop: Callable[[], Any], times: int = 3) -> Program:
    """Return a program in which one thread stops the world, and the other one works."""

    def often() -> None:
        for _ in range(times):
            stop()

    return again(often, lambda: pass_time(0.002))


@kind("stop the world, by the collector", "stop the world: collector", free_threaded=True)
def _() -> Program:
    return stopped(gc.collect)


@kind("stop the world, by sys.setprofile", "stop the world: sys.setprofile", free_threaded=True)
def _() -> Program:
    return stopped(lambda: sys.setprofile(None), 20)


@kind("stop the world, by sys._current_frames", "stop the world: sys._current_frames", free_threaded=True)
def _() -> Program:
    return stopped(lambda: sys._current_frames() and None, 20)


@kind("stop the world, by another class", "stop the world: Point.__class__ =", free_threaded=True)
def _() -> Program:
    other = types.new_class("Other", (Point,))
    points: list[Any] = []

    def change() -> None:
        point: Any = other()
        points.append(point)  # from 3.14 on an object that nobody else has is changed without a stop
        point.__class__ = Point
        points.clear()

    return stopped(change, 20)


# ---- a run ----


def warm_up() -> None:
    """Let a report import what it needs: it must not wait for a lock of these programs."""
    with trace(locks=True, sites=False) as running:
        threading.Thread(target=time.sleep, args=(0,)).start()
    running.report()


def is_waited_for(locks: tuple[Lock, ...] | None) -> bool:
    """Tell whether something was waited for. Looks seldom: whoever asks takes locks, too."""
    time.sleep(SETTLE_S)
    return any(lock.kind != WORK and lock.wait_ns > ENOUGH_NS for lock in locks or ())


def those_of(report: Report, waiters: set[str]) -> tuple[Lock, ...]:
    """Return the locks for which these threads waited, the longest waits first; whoever asks waits, too."""
    sums: dict[int, int] = collections.defaultdict(int)
    for row in report.lock_waits or ():
        if row.waiter in waiters and (report.locks or ())[row.lock].kind != WORK:
            sums[row.lock] += row.wait_ns
    return tuple((report.locks or ())[lock] for lock in sorted(sums, key=lambda lock: -sums[lock]))


def run(kind: Kind) -> tuple[Lock, ...]:
    """Have two threads contend for the lock; return the locks of a trace, the longest waits first."""
    contenders = kind.make(), Gate()

    def first(program: Program, gate: Gate) -> None:
        gate.holder = Path(f"/proc/self/task/{threading.get_native_id()}")
        wait_until(lambda: gate.open)
        if not program.again:
            program.hold(gate)
        while program.again and not gate.ended:
            gate.begun = True
            program.hold(gate)

    def second(program: Program, gate: Gate) -> None:
        wait_until(lambda: gate.begun)
        program.want()
        while program.again and gate.holder.exists():
            program.want()
        wait_until(lambda: not gate.holder.exists())  # the end of a thread takes other locks

    # both are passed on: the cells of a closure are locked, too
    threads = [threading.Thread(target=target, args=contenders, daemon=True) for target in (first, second)]
    gate = contenders[1]
    for thread in threads:
        thread.start()
    with trace(locks=True, sites=False) as running:
        gate.open = True
        wait_until(lambda: is_waited_for(running.report().locks))
        time.sleep(SETTLE_S)
        gate.ended = True
        wait_until(lambda: not any(map(threading.Thread.is_alive, threads)))
    stops = kind.title.startswith("stop the world")  # who stops the others waits, too, until all have stopped
    return those_of(running.report(), {thread.name for thread in threads[stops:]})
