"""Counts, leaks and audits: each function asks one tool one question and returns the figures."""

from __future__ import annotations

import ctypes
import hashlib
import json
import random
import sys
import time
from typing import TYPE_CHECKING, Any

from .holds import Spent, holds

if TYPE_CHECKING:
    from collections.abc import Callable

clock = time.perf_counter


# ---- counts


def one(tool: str, references: int, times: int) -> dict[str, Any]:
    """Read and time the count of an object with this many references."""
    obj = object()
    kept = [obj] * (references - 1)  # the variable is a reference, too
    if tool == "gilprobe":
        from gilprobe import refs

        watched = refs.watch(obj)
        start = clock()
        for _ in range(times):
            watched.count  # noqa: B018 (what is timed)
        took = clock() - start
        said = watched.count
    else:
        start = clock()
        for _ in range(times):
            sys.getrefcount(obj)
        took = clock() - start
        said = sys.getrefcount(obj)
    return {"error": said - 1 - len(kept), "ns": 1e9 * took / times}


def many(tool: str, objects: int) -> dict[str, Any]:
    """Time the counts of many objects."""
    items = [object() for _ in range(objects)]
    if tool == "gilprobe":
        from gilprobe import refs

        start = clock()
        refs.counts(items)
    else:
        start = clock()
        [sys.getrefcount(item) for item in items]
    return {"ms": 1e3 * (clock() - start)}


# ---- leaks

KEPT: list[object] = []
SHARED = object()
CACHE: dict[int, object] = {}
increment = ctypes.pythonapi.Py_IncRef
increment.argtypes = (ctypes.py_object,)
libc = ctypes.CDLL(None)
libc.malloc.argtypes = (ctypes.c_size_t,)
libc.malloc.restype = ctypes.c_void_p


def clean() -> None:
    """Leak nothing."""
    sorted({str(number) for number in range(20)})


def cached() -> None:
    """Fill a bounded cache."""
    CACHE.setdefault(len(CACHE) % 64, [])


def keeps_objects() -> None:
    """Keep a container each time."""
    KEPT.append([])


def loses_references() -> None:
    """Take a reference to a new object and never give it back: a forgotten Py_DECREF."""
    increment([])


def loses_shared_reference() -> None:
    """Do the same with a permanent object: only its count grows."""
    increment(SHARED)


def loses_memory() -> None:
    """Leak a kilobyte of C's heap."""
    ctypes.memset(libc.malloc(1024), 1, 1024)


LEAKS = {
    "nothing": clean,
    "a cache with an end": cached,
    "objects that are kept": keeps_objects,
    "references to new objects": loses_references,
    "references to one object": loses_shared_reference,
    "memory of C's heap": loses_memory,
}


def _gilprobe_finds(function: Callable[[], None]) -> bool:
    from gilprobe import refs

    return bool(refs.find_leaks(function).leaking)


def _psleak_finds(function: Callable[[], None]) -> bool:
    import psleak

    class Test(psleak.MemoryLeakTestCase):
        def runTest(self) -> None:  # noqa: N802 (unittest's name)
            """Nothing: `execute` is called by itself."""

    test = Test()
    test.setUpClass()
    try:
        test.execute(function)
    except psleak.Error:
        return True
    finally:
        test.tearDownClass()
    return False


def _objgraph_finds(function: Callable[[], None]) -> bool:
    import gc

    import objgraph

    calls = 100
    for _ in range(calls):
        function()
    gc.collect()
    objgraph.growth(limit=None)
    for _ in range(calls):
        function()
    gc.collect()
    return any(grown >= calls for _, _, grown in objgraph.growth(limit=None))


FINDERS = {"gilprobe": _gilprobe_finds, "psleak": _psleak_finds, "objgraph": _objgraph_finds}


def leak(tool: str, kind: str) -> dict[str, Any]:
    """Ask whether a function leaks."""
    start = clock()
    found = FINDERS[tool](LEAKS[kind])
    return {"found": found, "s": clock() - start}


# ---- audits

DATA = random.Random(1).randbytes(1 << 20)
RECORDS = [{"id": number, "price": number / 7} for number in range(4_000)]


def half() -> None:
    """Hold for 1 ms and release for 1 ms, whatever other threads do."""
    holds.once(1_000_000, 1_000_000, Spent())


CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "hashlib.sha256(1 MiB)": ("hashlib.sha256(DATA)", {"hashlib": hashlib, "DATA": DATA}),
    "json.dumps": ("json.dumps(RECORDS)", {"json": json, "RECORDS": RECORDS}),
    "a call that releases half of its time": ("half()", {"half": half}),
}


def audit(tool: str, call: str) -> dict[str, Any]:
    """Ask how much of a call is without the GIL, or what threads gain."""
    statement, names = CALLS[call]
    start = clock()
    if tool == "gilprobe":
        import gilprobe

        function = eval(f"lambda: {statement}", names)  # noqa: S307 (a statement from above)
        report = gilprobe.audit(function)
        said = {"released": report.released_fraction, "speedup": None}
    else:
        import ptime

        repeated = f"for _ in range(20): {statement}"
        serial = ptime.time_exec_serial(repeated, names, {}, 2)
        parallel = ptime.time_exec_parallel(repeated, names, {}, 2)
        said = {"released": None, "speedup": ptime.PTimeResult(serial, parallel, 2).speedup}
    return {**said, "s": clock() - start}


WORK = {work.__name__: work for work in (one, many, leak, audit)}
