"""Report stalls while they last: who holds the GIL, in which code, and who waits.

A report comes afterwards; a program that hangs should be noticed at once. A native thread that never takes
the GIL (csrc/trace/gp_watchdog.h) writes the lines, while the GIL is still held.
"""

from __future__ import annotations

import math

from gilprobe._native import tracer
from gilprobe.errors import InvalidTypeError, InvalidValueError, TracerStateError, UnsupportedError
from gilprobe.tracing import thread_names

LONGEST_LIMIT_S = 3600.0


class StallWatch:
    """Writes a message as soon as a hold makes another thread wait for longer than a limit.

    Use it as a context manager, or call :meth:`stop`. A message is a line, followed by the holder's stack,
    innermost function first; another line tells when the GIL was released. Each hold is reported once.

    Parameters
    ----------
    limit_s : float
        Seconds, at most an hour. The GIL is checked four times within it, but at most every millisecond and
        at least ten times a second.
    stream_fd : int
        Descriptor to write to. It is duplicated, so it may be closed or redirected meanwhile.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If the limit is not a number, or out of range.
    TracerStateError
        If no trace is running: the holder is known only while the GIL is traced.
    UnsupportedError
        If this platform does not support it.
    OSError
        If the descriptor is not open.

    Notes
    -----
    A thread that is forced to release the GIL, as at each switch interval, then begins a new hold.
    """

    def __init__(self, limit_s: float, stream_fd: int = 2) -> None:
        limit_ns = limit_ns_of(limit_s)
        if tracer.sessions() == 0:
            raise TracerStateError("a trace must be running to watch for stalls")
        try:
            self._watchdog = tracer.Watchdog(limit_ns, stream_fd, thread_names.alive())
        except NotImplementedError as error:
            raise UnsupportedError(str(error)) from None

    @property
    def reported(self) -> int:
        """Number of holds reported so far."""
        return self._watchdog.reported

    def spare(self, number: int, native_id: int) -> None:
        """Don't report holds of a thread that deals with the reports, the 0th or 1st; 0 ends that."""
        self._watchdog.spare(number, native_id)

    def stop(self) -> None:
        """End the watch. A second call does nothing. In a forked child it has ended."""
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


def limit_ns_of(limit_s: float, name: str = "limit_s") -> int:
    """Return a limit in nanoseconds, if it is one; `name` is the argument's, for the error."""
    if isinstance(limit_s, bool) or not isinstance(limit_s, int | float):
        raise InvalidTypeError(f"{name} must be a number, got {limit_s!r}")
    if not (math.isfinite(limit_s) and 0 < limit_s <= LONGEST_LIMIT_S):
        raise InvalidValueError(f"{name} must be > 0 and <= {LONGEST_LIMIT_S:g}, got {limit_s!r}")
    return max(1, round(limit_s * 1e9))
