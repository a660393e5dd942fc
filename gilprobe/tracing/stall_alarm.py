"""The stall alarm: a log record and a callback for each hold of the GIL that makes others wait for long.

The watch of :mod:`gilprobe.tracing.stall_watch` sees the stall, on a thread that needs no GIL, and writes to
a pipe; a thread of Python reads that as soon as it can have the GIL.
"""

from __future__ import annotations

import os
import select
import threading

from gilprobe._native import tracer
from gilprobe.durations import parse_duration
from gilprobe.errors import InvalidTypeError, UnsupportedError
from gilprobe.model.plain_data import dataclass
from gilprobe.tracing.monitoring import Monitor
from gilprobe.tracing.resting_thread import RestingThread
from gilprobe.tracing.stall_watch import StallWatch, limit_ns_of

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a monitored process loads no typing
if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

_READ_SIZE = 1 << 20  # more than a pipe holds: a read ends where a message ends
_HELD = "gilprobe: GIL held for "


@dataclass(frozen=True, slots=True)
class StallNotice:
    """A hold of the GIL that made another thread wait for longer than the alarm's time.

    Attributes
    ----------
    held_s : float
        How long the GIL had been held when this was noticed, seconds, to a millisecond.
    message : str
        A line that names the thread with the GIL and those that waited.
    stack : tuple of str
        Where the thread with the GIL was then, innermost function first: "function (file:line)".
    """

    held_s: float
    message: str
    stack: tuple[str, ...]


class Alarm:
    """Rings for each hold of the GIL that makes another thread wait for too long: see :func:`alarm`."""

    def __init__(
        self,
        after: str | float = "200ms",
        callback: Callable[[StallNotice], object] | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        if callback is not None and not callable(callback):
            raise InvalidTypeError(f"callback must be callable or None, got {callback!r}")
        import logging

        if not isinstance(logger, logging.Logger | logging.LoggerAdapter | None):
            raise InvalidTypeError(f"logger must be a Logger or None, got {logger!r}")
        able, reason = tracer.support()
        if not able:
            raise UnsupportedError(f"the GIL can't be traced: {reason}")
        limit_s = parse_duration(after, "after") if isinstance(after, str) else after
        limit_ns_of(limit_s, "after")
        self._callback, self._logger = callback, logger or logging.getLogger("gilprobe")
        self._monitor = Monitor(labels=False).start()  # a holder is known only while the GIL is traced
        fds: list[int] = []
        try:
            fds += os.pipe()
            fds += os.pipe()
            self._watch = StallWatch(limit_s, fds[-1])
        except BaseException:
            for fd in fds:
                os.close(fd)
            self._monitor.stop()
            raise
        os.close(fds.pop())  # the watch has a duplicate
        self._wakes_fd, self._wake_fd, self._read_fd = fds
        self._thread = RestingThread("gilprobe-alarm", self._listen, self._wake)
        self._thread.start()

    @property
    def count(self) -> int:
        """Number of times that it rang; counted also before the GIL can be had."""
        return self._watch.reported

    def stop(self) -> None:
        """End it, after what rang was told; nothing the second time. In a forked child it has ended."""
        self._watch.stop()  # closes the pipe
        self._thread.join()
        self._monitor.stop()

    def _spare(self, native_id: int) -> None:
        """Don't ring for holds of a thread that deals with what rang; 0: there is none."""
        self._watch.spare(1, native_id)

    def __enter__(self) -> Alarm:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def _wake(self) -> None:
        os.write(self._wake_fd, b"x")

    def _listen(self) -> bool:
        self._watch.spare(0, threading.get_native_id())  # a collection may begin here, and take long
        ended = self._wait_and_ring()
        self._watch.spare(0, 0)  # the next thread may get this number
        if ended:
            for fd in (self._read_fd, self._wakes_fd, self._wake_fd):
                os.close(fd)
        return ended

    def _wait_and_ring(self) -> bool:
        """Tell what rings; return whether the watch has ended: else this thread is to rest."""
        told = select.poll()
        for fd in (self._read_fd, self._wakes_fd):
            told.register(fd, select.POLLIN)
        while True:
            ready = dict(told.poll())
            if self._wakes_fd in ready:
                os.read(self._wakes_fd, 1)
                if self._thread.rests:
                    return False
            elif not (text := os.read(self._read_fd, _READ_SIZE)):
                return True
            else:
                for lines in _messages(text.decode("utf-8", "replace")):
                    self._ring(lines)

    def _ring(self, lines: list[str]) -> None:
        try:
            self._logger.warning("%s", "\n".join(lines))
            if self._callback is not None and lines[0].startswith(_HELD):
                held_ms = int(lines[0].removeprefix(_HELD).partition(" ")[0])
                self._callback(
                    StallNotice(held_ms / 1e3, lines[0], tuple(line.strip() for line in lines[1:]))
                )
        except Exception:  # of a callback or a handler: the next stall is to be told all the same
            self._logger.exception("a callback for a stall failed")


def _messages(text: str) -> list[list[str]]:
    """Part the text into messages: a line, and those of its stack, which begin with spaces."""
    messages: list[list[str]] = []
    for line in text.rstrip("\n").split("\n"):
        if line.startswith("  ") and messages:
            messages[-1].append(line)
        else:
            messages.append([line])
    return messages


def alarm(
    after: str | float = "200ms",
    callback: Callable[[StallNotice], object] | None = None,
    logger: logging.Logger | None = None,
) -> Alarm:
    """Ring for each hold of the GIL that makes another thread wait for too long, from now on.

    A native thread notices it while the GIL is held. The log record and the callback come as soon as Python
    can run again, from a thread of their own. For a line on a descriptor while a program still hangs:
    :func:`gilprobe.watch_stalls`.

    Parameters
    ----------
    after : str or float
        How long somebody has to wait: "200ms", or seconds. At most an hour.
    callback : callable, optional
        Called with a :class:`~gilprobe.tracing.stall_alarm.StallNotice`.
    logger : logging.Logger, optional
        Gets a warning with the stack of the thread that has the GIL, and another when it let go. Default: the
        logger "gilprobe".

    Returns
    -------
    Alarm
        It rings until its `stop`, or until the end of a ``with`` block. `count` has how often it rang.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If an argument is of another type, or out of range.
    UnsupportedError
        If the GIL can't be traced here.

    Notes
    -----
    One hold rings once. Holds of the alarm's own thread don't ring: there the callback and the logger's
    handlers run. Threads that are forced to hand on the GIL at each switch interval may make somebody wait
    for long without a long hold: that does not ring. While the process forks, this thread is not there.

    Examples
    --------
    >>> with gilprobe.alarm("30s") as bell:
    ...     total = sum(range(1_000_000))
    >>> bell.count
    0
    """
    return Alarm(after, callback, logger)
