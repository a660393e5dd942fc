"""Make repetitions, read before and after each, and stop before the process runs short."""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time
from array import array
from contextlib import contextmanager
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

from gilprobe.measuring import host
from gilprobe.refs.leak_judgement import Series
from gilprobe.refs.leak_probes import Readings, TypeCensus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gilprobe.model.leak_report import LeakKind
    from gilprobe.refs.leak_probes import Gauge
    from gilprobe.refs.leak_suspects import Suspect

MOST_MEMORY = 256 << 20
"""Bytes by which the process may grow: leaked memory is lost for good."""

MOST_RESOURCES = 200
"""Limit of file descriptors and threads together that the calls may leave."""

_TARGET_S = 0.002
_PILOT_MEMORY = 8 << 20
_PILOT_RESOURCES = 4
_MOST_CALLS = 500
_SURELY = 0.9  # share of the remaining time: repetitions differ

# the older one is deprecated since 3.13
_clear_caches: Callable[[], None] = getattr(sys, "_clear_internal_caches", None) or sys._clear_type_cache


class Column(NamedTuple):
    """Something that is counted; `lost`: decreases are counted."""

    kind: LeakKind
    what: str
    lost: bool = False


class Caller:
    """Calls the function, and keeps its first exception.

    Parameters
    ----------
    count : callable
        Called with the number of calls so far, before more are made.

    Attributes
    ----------
    args, kwargs : tuple, dict
        Its arguments.
    calls, raised : int
        Number of calls, and of those that raised.
    exception : str
        The first exception.
    """

    def __init__(
        self,
        function: Callable[..., object],
        args: tuple[object, ...],
        kwargs: dict[str, object],
        count: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._function = function
        self._count = count
        self.args = args
        self.kwargs = kwargs
        self.calls = 0
        self.raised = 0
        self.exception = ""

    def once(self) -> object:
        """Call once; return the result or the exception, without its traceback."""
        self._count(self.calls)
        self.calls += 1
        try:
            return self._function(*self.args, **self.kwargs)
        except (Exception, SystemExit) as error:
            self.raised += 1
            if not self.exception:
                self.exception = _told(error)
            return error.with_traceback(None)

    def times(self, number: int) -> None:
        """Call `calls` times; results are dropped at once."""
        self._count(self.calls)
        function, args, kwargs, raised = self._function, self.args, self.kwargs, 0
        for _ in repeat(None, number):
            try:
                function(*args, **kwargs)
            except (Exception, SystemExit) as error:
                raised += 1
                if not self.exception:
                    self.exception = _told(error)
        self.calls += number
        self.raised += raised


def _told(error: BaseException) -> str:
    try:
        message = str(error)
    except Exception:  # its __str__ may raise anything
        message = "(its message can't be shown)"
    return f"{type(error).__name__}: {message[:200]}" if message else type(error).__name__


class Shortage(NamedTuple):
    """The resource that ran short, and its growth."""

    column: Column
    amount: int
    told: str


class Means:
    """Limits that stop a hunt before a leak harms the process, or when time is up.

    Parameters
    ----------
    gauges : sequence of Gauge
        Those of the process; they are read at once, so make a first call before.
    end_s : float
        End of the hunt, by `time.perf_counter`.
    """

    def __init__(self, gauges: Sequence[Gauge], end_s: float) -> None:
        self._end_s = end_s
        self._counted = [one.read for one in gauges if one.kind in ("descriptors", "threads")]
        self._room = min(MOST_RESOURCES, _free_descriptors() // 2)
        self._memory = memory_in_use()
        self._resources = self.resources()

    def left_s(self) -> float:
        """Return the hunt's remaining seconds."""
        return self._end_s - time.perf_counter()

    def resources(self) -> int:
        """Return the number of file descriptors and threads."""
        return sum(read() for read in self._counted)

    @contextmanager
    def own_use(self) -> Iterator[None]:
        """Don't count the memory that a block of the hunt itself takes."""
        before = memory_in_use()
        try:
            yield
        finally:
            self._memory += max(0, memory_in_use() - before)

    def exhausted(self) -> Shortage | None:
        """Return what has run short, if anything."""
        grown = memory_in_use() - self._memory
        if grown > MOST_MEMORY:
            column = Column("memory", "bytes of the process's memory")
            return Shortage(column, grown, f"the process grew by {grown >> 20} MiB")
        left = self.resources() - self._resources
        if left > self._room:
            column = Column("descriptors", "file descriptors and threads")
            return Shortage(column, left, f"{left} file descriptors and threads were left")
        return None

    def calls_a_repetition(self, caller: Caller) -> int:
        """Find how many calls take the wanted time without leaving many resources."""
        for calls in (1, 10, 100, _MOST_CALLS):
            memory, resources = memory_in_use(), self.resources()
            spent = _timed(caller, calls)
            left = self.resources() - resources
            grown = memory_in_use() - memory
            if left >= _PILOT_RESOURCES or (calls == 1 and left > 0):
                return max(1, calls // left)
            if grown > _PILOT_MEMORY:
                return max(1, int(calls * _PILOT_MEMORY / 8 / grown))
            if spent < _TARGET_S / 2:  # so short that only the best time counts
                spent = min(spent, _timed(caller, calls))
            elif calls > 1 and calls < _MOST_CALLS:
                spent = min(spent, _timed(caller, calls), _timed(caller, calls))
            if spent >= _TARGET_S / 2 or self.left_s() <= 0:
                break
        fitting = min(_MOST_CALLS, int(calls * _TARGET_S / max(spent, 1e-7)))
        return max(1, fitting - fitting % 10 if fitting > 10 else fitting)


def settle() -> None:
    """Free garbage, and clear the interpreter's caches, as ``regrtest -R`` does.

    A free-threaded build frees some memory, such as the tables of dicts, only when no thread can read it any
    more, at the next collection (Objects/obmalloc.c, _PyMem_FreeDelayed): it needs two.

    Each of the attribute cache's 4096 slots keeps the name of an attribute that was looked up
    (Objects/typeobject.c, _PyType_Lookup). A name that is made for each look-up takes another slot each time,
    by its address: these strings pile up over thousands of calls. Until 3.11 an unused slot refers to None.
    """
    gc.collect()
    if host.build() == "free-threaded":
        gc.collect()
    _clear_caches()


def _timed(caller: Caller, calls: int) -> float:
    begun = time.perf_counter()
    caller.times(calls)
    return time.perf_counter() - begun


def _free_descriptors() -> int:
    try:
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return 1 << 20 if soft == resource.RLIM_INFINITY else soft - len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    except (ImportError, OSError):
        return MOST_RESOURCES


def memory_in_use() -> int:
    """Return the process's resident bytes; 0 where they can't be read."""
    try:
        descriptor = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return int(os.read(descriptor, 200).split()[1]) * os.sysconf("SC_PAGE_SIZE")
    finally:
        os.close(descriptor)


class Windows:
    """Takes series of repetitions of the same length, with all counts before and after each.

    Attributes
    ----------
    stopped : Shortage or None
        Why the last series was cut; None if it was not, or if time was up.
    done : int
        Repetitions of the last series.
    call_s : float
        Duration of a call in the last series, median of its repetitions.
    """

    def __init__(
        self, caller: Caller, gauges: Sequence[Gauge], suspects: Sequence[Suspect], means: Means
    ) -> None:
        self.stopped: Shortage | None = None
        self.call_s = 0.0
        self.done = 0
        self._around_s = 0.0
        self._caller = caller
        self._gauges = gauges
        self._suspects: Sequence[Suspect] = suspects
        self._means = means
        self._census = TypeCensus()
        self._columns = [Column("reference", f"references to {one.name}") for one in suspects]
        self._columns += [Column(one.kind, one.what) for one in gauges]

    def forget(self) -> None:
        """Drop the suspects, or this would be reported as their holder."""
        self._suspects = ()

    def duration_s(self, calls: int, *, idle: bool = False) -> float:
        """Return the expected duration of a repetition, by the last series."""
        return (self._around_s + calls * self.call_s) * (2 if idle else 1)

    def fitting(self, repetitions: int, calls: int, *, idle: bool = False) -> int:
        """Return how many repetitions fit into the remaining time."""
        left_s = _SURELY * self._means.left_s()
        return max(0, int(min(repetitions, left_s / max(self.duration_s(calls, idle=idle), 1e-9))))

    def series(self, repetitions: int, calls: int, *, idle: bool = False) -> dict[Column, Series]:
        """Take a series; leave out what never changed.

        Parameters
        ----------
        repetitions, calls : int
            Number of repetitions, and calls of each.
        idle : bool
            Make a pause as long after each repetition, to measure other threads.
        """
        work = Readings(self._gauges, self._suspects, repetitions)
        pauses = Readings(self._gauges, self._suspects, repetitions)
        kinds: list[dict[str, int]] = []
        pause_kinds: list[dict[str, int]] = []
        times: list[tuple[float, float]] = []  # of the calls, of the whole repetition
        for number in range(repetitions):
            begun = time.perf_counter()
            spent = self._window(work, number, lambda: self._caller.times(calls), kinds)
            whole = time.perf_counter() - begun
            times.append((spent, whole))
            if idle:
                self._window(pauses, number, lambda whole=whole: time.sleep(whole), pause_kinds)  # type: ignore[misc]
            self.stopped = self._means.exhausted()
            if self.stopped or self._means.left_s() <= 0:
                break
        self.done = done = len(times)
        self.call_s = statistics.median(spent for spent, _ in times) / calls
        self._around_s = statistics.median(whole - spent for spent, whole in times)
        found = {}
        for at, column in enumerate(self._columns):
            growth = work.growth(at, done)
            if any(growth):
                found[column] = Series(calls, growth, pauses.growth(at, done) if idle else ())
        for name in dict.fromkeys(name for changes in kinds for name in changes):
            growth = tuple(changes.get(name, 0) for changes in kinds)
            other = tuple(changes.get(name, 0) for changes in pause_kinds)
            found[Column("objects", f"{name} objects")] = Series(calls, growth, other)
        return found

    def _window(
        self, readings: Readings, number: int, work: Callable[[], None], kinds: list[dict[str, int]]
    ) -> float:
        """Read, work and read again; return the duration of the work."""
        clock = array("d", (0.0, 0.0))  # a Python number would count as one block more
        before = self._census.take()
        settle()
        readings.take(2 * number)
        clock[0] = time.perf_counter()
        work()
        clock[1] = time.perf_counter()
        settle()
        readings.take(2 * number + 1)
        kinds.append(self._census.changes(before, self._census.take()))
        return clock[1] - clock[0]
