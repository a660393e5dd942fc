"""Count before and after each repetition. A reading leaves nothing behind that it would count itself."""

from __future__ import annotations

import gc
import os
import sys
import threading
from array import array
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gilprobe.model.leak_report import LeakKind
    from gilprobe.refs.leak_suspects import Suspect

_FDS = "/proc/self/fd"
_TASKS = "/proc/self/task"
# malloc.h, struct mallinfo2
_MALLINFO = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
    *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
)


class Gauge(NamedTuple):
    """A number of the process, and what it counts."""

    kind: LeakKind
    what: str
    read: Callable[[], int]


def _entries(folder: str) -> Callable[[], int]:
    return lambda: len(os.listdir(folder))  # noqa: PTH208  # Paths would be many objects


def _heap() -> Callable[[], int] | None:
    """Return a function for the bytes in use of glibc's heaps; None with another C library, or under ASan."""
    import ctypes

    class Mallinfo(ctypes.Structure):
        _fields_ = [(name, ctypes.c_size_t) for name in _MALLINFO]

    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError):
        return None
    mallinfo2.restype = Mallinfo
    mallinfo2.argtypes = []

    def read() -> int:
        info = mallinfo2()
        return int(info.uordblks + info.hblkhd)

    return read if read() else None


def process_gauges() -> tuple[list[Gauge], list[str]]:
    """Return the gauges of this process, and a sentence for each that is missing."""
    gauges, missing = [], []
    if sys.getallocatedblocks():
        gauges.append(Gauge("blocks", "memory blocks of the interpreter", sys.getallocatedblocks))
    else:
        missing.append(
            "the interpreter's memory blocks can't be counted (PYTHONMALLOC=malloc?): "
            "leaks of strings, bytes and numbers may be missed"
        )
    heap = _heap()
    if heap is not None:
        gauges.append(Gauge("heap", "bytes of C's heap", heap))
    total = getattr(sys, "gettotalrefcount", None)
    if total is not None:
        gauges.append(Gauge("total", "references to all objects", total))
    interned = getattr(sys, "getunicodeinternedsize", None)
    if interned is not None:
        gauges.append(Gauge("interned", "interned strings", interned))
    if os.path.isdir(_FDS):  # noqa: PTH112
        gauges.append(Gauge("descriptors", "file descriptors", _entries(_FDS)))
    else:
        missing.append("file descriptors can't be counted on this platform")
    count = _entries(_TASKS) if os.path.isdir(_TASKS) else threading.active_count  # noqa: PTH112
    gauges.append(Gauge("threads", "threads", count))
    return gauges, missing


def others_ran() -> dict[str, bytes]:
    """Return how often each other thread of the process has been given a core; nothing if that is not told.

    The same at two moments: none has run in between. Libraries have threads of their own that wait for work,
    and never run Python code.
    """
    switches: dict[str, bytes] = {}
    own = str(threading.get_native_id())
    with suppress(OSError):
        for thread in os.listdir(_TASKS):  # noqa: PTH208  # as above
            if thread != own:
                with suppress(OSError), open(f"{_TASKS}/{thread}/status", "rb") as file:  # noqa: PTH123
                    switches[thread] = file.read().partition(b"\nvoluntary_ctxt_switches:")[2]
    return switches


class Readings:
    """Numbers of gauges and suspects before and after repetitions, in preallocated memory."""

    def __init__(self, gauges: Sequence[Gauge], suspects: Sequence[Suspect], repetitions: int) -> None:
        self._read = [gauge.read for gauge in gauges]
        self._objects = [suspect.obj for suspect in suspects]
        self._width = len(self._read) + len(self._objects)
        self._numbers = array("q", bytes(8 * 2 * self._width * repetitions))

    def take(self, moment: int) -> None:
        """Read everything: before repetition r as moment 2r, after it as 2r + 1."""
        numbers, at = self._numbers, moment * self._width
        for obj in self._objects:
            numbers[at] = sys.getrefcount(obj)
            at += 1
        for read in self._read:
            numbers[at] = read()
            at += 1

    def growth(self, column: int, repetitions: int) -> tuple[int, ...]:
        """Return the change of a number in each repetition: suspects first, then gauges."""
        found = self._numbers[column :: self._width]
        return tuple(found[2 * r + 1] - found[2 * r] for r in range(repetitions))


class TypeCensus:
    """Counts of the garbage collector's objects by type; keeps only names, and no type alive."""

    def __init__(self) -> None:
        self._columns: dict[str, int] = {}

    def take(self) -> bytes:
        """Count all objects by the names of their types.

        Returns
        -------
        bytes
            For `changes`; bytes, since the next census would count a container.
        """
        by_type = Counter(map(type, gc.get_objects()))
        row = array("q", bytes(8 * len(self._columns)))
        for kind, number in by_type.items():
            column = self._columns.setdefault(type_name(kind), len(self._columns))
            if column == len(row):
                row.append(0)
            row[column] += number
        return row.tobytes()

    def changes(self, before: bytes, after: bytes) -> dict[str, int]:
        """Return the differences of numbers that changed."""
        old, new = array("q", before), array("q", after)
        old.extend([0] * (len(new) - len(old)))
        names = list(self._columns)
        return {
            names[at]: now - then for at, (then, now) in enumerate(zip(old, new, strict=True)) if now != then
        }


def type_name(kind: type) -> str:
    """Return a type's name with its module, without running the type's own code.

    Types shared by Cython's modules have a descriptor as module: only their name is returned.
    """
    module = type.__dict__["__module__"].__get__(kind)
    name = type.__dict__["__qualname__"].__get__(kind)
    return f"{module}.{name}" if isinstance(module, str) and module != "builtins" else str(name)


def examples(name: str, most: int) -> list[object]:
    """Return the collector's last objects of the type `name`."""
    found: list[object] = []
    for obj in reversed(gc.get_objects()):
        if type_name(type(obj)) == name and obj is not found:
            found.append(obj)
            if len(found) == most:
                break
    return found
