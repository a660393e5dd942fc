"""Stalls while they last: who holds the GIL for long, in which code, and who waits for it.

A report tells afterwards; of a program that stands still one wants to know at once. The lines are written by
a native thread that never takes the GIL (csrc/trace/gp_watchdog.h), so that they come while the GIL is still
held.
"""

from __future__ import annotations

import math

from gilprobe._native import gil
from gilprobe.errors import InvalidTypeError, InvalidValueError, TracerStateError, UnsupportedError
from gilprobe.tracing import thread_names

LONGEST_LIMIT_S = 3600.0


class StallWatch:
    """Writes a message as soon as a hold of the GIL has made another thread wait for longer than a limit.

    Use it as a context manager, or call :meth:`stop`. A message is a line, followed by the holder's stack,
    innermost function first; another line tells when the GIL was let go. Each hold is reported once.

    Parameters
    ----------
    limit_s : float
        Seconds, at most an hour. The GIL is looked at four times within it, but not more often than each
        millisecond, and ten times a second at least.
    stream_fd : int
        Descriptor to write to. A duplicate is used, so that it may be closed or redirected meanwhile.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If the limit is not a number, or not in its range.
    TracerStateError
        If no trace is running: who holds the GIL is known only while it is traced.
    UnsupportedError
        If there is no watching on this platform.
    OSError
        If the descriptor is not open.

    Notes
    -----
    A thread that is made to let the GIL go and takes it again, as Python code is each switch interval, begins
    a new hold.
    """

    def __init__(self, limit_s: float, stream_fd: int = 2) -> None:
        limit_ns = _nanoseconds(limit_s)
        if gil.sessions() == 0:
            raise TracerStateError("a trace must be running to watch for stalls")
        try:
            self._watchdog = gil.Watchdog(limit_ns, stream_fd, thread_names.alive())
        except NotImplementedError as error:
            raise UnsupportedError(str(error)) from None

    @property
    def reported(self) -> int:
        """How many holds have been reported so far."""
        return self._watchdog.reported

    def stop(self) -> None:
        """End the watch; nothing the second time. In a forked child it has ended."""
        self._watchdog.stop()

    def __enter__(self) -> StallWatch:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()


def watch_stalls(limit_s: float, stream_fd: int = 2) -> StallWatch:
    """Begin to watch for stalls, during a trace: see :class:`StallWatch`.

    Examples
    --------
    >>> with gilprobe.trace(), gilprobe.watch_stalls(0.1):
    ...     time.sleep(0.01)
    """
    return StallWatch(limit_s, stream_fd)


def _nanoseconds(limit_s: float) -> int:
    if isinstance(limit_s, bool) or not isinstance(limit_s, int | float):
        raise InvalidTypeError(f"limit_s must be a number, got {limit_s!r}")
    if not (math.isfinite(limit_s) and 0 < limit_s <= LONGEST_LIMIT_S):
        raise InvalidValueError(f"limit_s must be > 0 and <= {LONGEST_LIMIT_S:g}, got {limit_s!r}")
    return max(1, round(limit_s * 1e9))
