"""Sample a count by a native thread that needs no GIL, while other threads work."""

from __future__ import annotations

import atexit
import math
import os
import threading
import time
import weakref
from dataclasses import dataclass
from typing import overload

from gilprobe._native import tracer
from gilprobe.errors import InvalidTypeError, InvalidValueError, TracerStateError, UnsupportedError

HIGHEST_HZ = 1e6
LOWEST_HZ = 0.1
LONGEST_S = 86400.0
MOST_KEPT = 1 << 24

_LOCK = threading.Lock()  # one thread at a time makes or stops a sampler
_RUNNING: weakref.WeakSet[Sampling] = weakref.WeakSet()


@dataclass(frozen=True, slots=True)
class Change:
    """A sample that differs from the previous one.

    Attributes
    ----------
    at_ns : int
        Nanoseconds since the first sample.
    count : int or None
        The count from then on; None once the object is immortal.
    """

    at_ns: int
    count: int | None

    @property
    def at_s(self) -> float:
        """Seconds since the first sample."""
        return self.at_ns / 1e9


@dataclass(frozen=True, slots=True)
class Timeline:
    """Samples of a reference count. No number includes the sampling's own reference.

    Attributes
    ----------
    elapsed_ns : int
        From the first sample to the last, nanoseconds.
    hz : float
        Requested samples a second.
    samples, missed : int
        Samples taken; periods without a sample, since the thread had no processor.
    immortal_samples : int
        Samples of an immortal object; they are not in `min`, `max` and `histogram`.
    first, last, min, max : int or None
        Counts; None without one.
    histogram : dict of int to int
        Samples by count. From 128 on a key includes counts up to 1/64 above it.
    changes : tuple of Change
        The first samples that differ from the previous one, at most `keep`.
    change_count : int
        Number of changes. A count that goes up and down again between two samples is not seen.
    """

    elapsed_ns: int
    hz: float
    samples: int
    missed: int
    immortal_samples: int
    first: int | None
    last: int | None
    min: int | None
    max: int | None
    histogram: dict[int, int]
    changes: tuple[Change, ...]
    change_count: int

    @property
    def elapsed_s(self) -> float:
        """From the first sample to the last, in seconds."""
        return self.elapsed_ns / 1e9

    @property
    def dropped_changes(self) -> int:
        """Number of changes that were not kept."""
        return self.change_count - len(self.changes)


class Sampling:
    """Samples the count of an object while a block of code runs; made by :func:`timeline`."""

    def __init__(self, obj: object, *, hz: float, keep: int) -> None:
        self._hz = hz
        self._sampler = tracer.Sampler(obj, round(1e9 / hz), keep)
        self._begun = False
        self._seen: Timeline | None = None

    def __enter__(self) -> Sampling:
        with _LOCK:
            if self._begun:
                raise TracerStateError("a sampling can be started only once: make another one")
            try:
                self._sampler.start()
            except NotImplementedError as error:
                raise UnsupportedError(str(error)) from None
            self._begun = True
            _RUNNING.add(self)
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it. A second call does nothing. It also ends with the interpreter, and in a forked child."""
        with _LOCK:
            if not self._begun or self._seen is not None:
                return
            self._sampler.stop()
            _RUNNING.discard(self)
            self._seen = _read(self._sampler, self._hz)

    @property
    def timeline(self) -> Timeline:
        """The samples; after the end.

        Raises
        ------
        TracerStateError
            If the block has not ended.
        """
        seen = self._seen
        if seen is None:
            raise TracerStateError("a sampling must end before its timeline is read")
        return seen


@overload
def timeline(obj: object, duration_s: float, hz: float = ..., *, keep: int = ...) -> Timeline: ...
@overload
def timeline(obj: object, duration_s: None = None, hz: float = ..., *, keep: int = ...) -> Sampling: ...


def timeline(
    obj: object, duration_s: float | None = None, hz: float = 10_000.0, *, keep: int = 65_536
) -> Timeline | Sampling:
    """Sample the reference count of an object while other threads work.

    A native thread that never takes the GIL does it. A reference keeps the object alive meanwhile; it is not
    counted.

    Parameters
    ----------
    obj : object
        Any object.
    duration_s : float, optional
        Seconds, at most a day. The call returns after that time; other threads run meanwhile, and Ctrl-C ends
        it. Without it, the result is a context manager that samples while its block runs.
    hz : float
        Samples a second, from 0.1 to a million.
    keep : int
        Limit of single changes to keep, the first ones, 16 bytes each. At most 2**24.

    Returns
    -------
    Timeline or Sampling
        With a duration the samples; without, a context manager with its ``timeline`` after the end.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If an argument has the wrong type, or is outside of its range.
    UnsupportedError
        On other systems than Linux.

    Notes
    -----
    Up to 20 kHz the thread sleeps between two samples. Above, it polls the clock and keeps a processor busy.
    It has the lowest priority: if the program needs all processors, it is not slowed down but samples are
    missed: see ``missed``.

    A count is read by one load of the interpreter's counter (two on a free-threaded build, with a change
    possibly in between).

    Examples
    --------
    >>> cache = {}
    >>> with gilprobe.refs.timeline(cache, hz=100_000) as sampling:
    ...     kept = [cache] * 11
    ...     time.sleep(0.05)
    >>> sampling.timeline.max
    12
    """
    sampling = Sampling(obj, hz=_checked_hz(hz), keep=_checked_keep(keep))
    del obj
    if duration_s is None:
        return sampling
    duration_s = _checked_duration(duration_s)
    with sampling:
        time.sleep(duration_s)
    return sampling.timeline


def _read(sampler: tracer.Sampler, hz: float) -> Timeline:
    elapsed_ns, samples, missed, immortal, *counts, change_count = sampler.sums()
    first, last, least, most = map(_known, counts)
    changes = tuple(Change(at_ns, _known(count)) for at_ns, count in sampler.changes())
    return Timeline(
        elapsed_ns,
        hz,
        samples,
        missed,
        immortal,
        first,
        last,
        least,
        most,
        sampler.histogram(),
        changes,
        change_count,
    )


def _known(count: int) -> int | None:
    return None if count < 0 else count


def _stop_all() -> None:
    """End running samplings: their threads must not read a finalizing interpreter."""
    for sampling in list(_RUNNING):
        sampling.stop()


def _begin_anew() -> None:
    """In a forked child there is no such thread, and none that could hold the lock."""
    global _LOCK
    _LOCK = threading.Lock()
    _RUNNING.clear()


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def _checked_number(name: str, number: float, low: float, high: float) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise InvalidTypeError(f"{name} must be a number, got {number!r}")
    if not (math.isfinite(number) and low <= number <= high):
        raise InvalidValueError(f"{name} must be >= {low:g} and <= {high:g}, got {number!r}")
    return float(number)


def _checked_hz(hz: float) -> float:
    return _checked_number("hz", hz, LOWEST_HZ, HIGHEST_HZ)


def _checked_duration(duration_s: float) -> float:
    return _checked_number("duration_s", duration_s, 0, LONGEST_S)


def _checked_keep(keep: int) -> int:
    if isinstance(keep, bool) or not isinstance(keep, int):
        raise InvalidTypeError(f"keep must be an int, got {keep!r}")
    if not 0 <= keep <= MOST_KEPT:
        raise InvalidValueError(f"keep must be >= 0 and <= {MOST_KEPT}, got {keep}")
    return keep
