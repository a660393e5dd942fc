"""The always-on monitor: totals of the GIL for the whole process and by label, in constant memory."""

from __future__ import annotations

import sys

from gilprobe._native import tracer
from gilprobe.errors import InvalidTypeError, TracerStateError, UnsupportedError
from gilprobe.model.distribution import EMPTY, Distribution
from gilprobe.model.monitor_reading import MonitorReading, WorstWait
from gilprobe.tracing import thread_names
from gilprobe.tracing.label_rows import LabelRows, label_name
from gilprobe.tracing.tracer import Trace

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a monitored process loads no typing
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from gilprobe.report import Report


class Monitor:
    """Counts who holds the GIL and who waits for it, for as long as a service runs.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`, from any thread. It keeps totals
    only, in memory that does not grow: threads that end are added up in one row. Several monitors and traces
    may run at a time.

    Parameters
    ----------
    labels : bool
        Also count by label (:func:`gilprobe.label`).
    """

    def __init__(self, *, labels: bool = True) -> None:
        if not isinstance(labels, bool):
            raise InvalidTypeError(f"labels must be True or False, got {labels!r}")
        self._labels = labels
        self._session: tracer.Session | None = None
        self._locks: Trace | None = None  # instead, where there is no GIL
        self._last: MonitorReading | None = None

    @property
    def running(self) -> bool:
        """Return whether the monitor has been started and not stopped."""
        return self._session is not None or (self._locks is not None and self._locks.running)

    def start(self) -> Monitor:
        """Begin to count, from zero.

        Returns
        -------
        Monitor
            This monitor.

        Raises
        ------
        TracerStateError
            If the monitor is running.
        UnsupportedError
            If the GIL can't be traced here, nor locks instead; the message says why.
        """
        if self.running:
            raise TracerStateError("a monitor must be stopped before it is started again")
        self._last = None
        if not tracer.gil_enabled():
            self._locks = Trace(sites=False, looks=False).start()
            return self
        try:
            thread_names.watch()
            self._session = tracer.Session(totals=True, tags=self._labels)
        except NotImplementedError as error:
            raise UnsupportedError(f"the GIL can't be traced: {error}") from None
        finally:
            thread_names.review()  # if it failed, or another trace has ended meanwhile
        return self

    def stop(self) -> MonitorReading:
        """End the counting. Stopping it again changes nothing.

        Returns
        -------
        MonitorReading
            What was counted.

        Raises
        ------
        TracerStateError
            If the monitor was never started.
        """
        session, locks = self._session, self._locks
        if session is not None:
            session.stop()
            self._last = _read(session.totals())
            if self._session is session:  # another thread may have restarted it
                self._session = None
        elif locks is not None:
            self._last = _read_locks(locks.stop())
            self._locks = None
        thread_names.review()
        return self.read()

    def read(self) -> MonitorReading:
        """Return what was counted so far. Any thread, at any time.

        Raises
        ------
        TracerStateError
            If the monitor was never started.
        """
        session, locks = self._session, self._locks
        if session is not None:
            return _read(session.totals())
        if locks is not None:
            return _read_locks(locks.report())
        if self._last is None:
            raise TracerStateError("a monitor must be started before it is read")
        return self._last

    def __del__(self, at_exit: Callable[[], bool] = sys.is_finalizing) -> None:
        # As that of a trace: the session would end by itself, but not the methods that keep names.
        session = getattr(self, "_session", None)
        if session is not None and not at_exit():
            session.stop()
            thread_names.review()

    def __enter__(self) -> Monitor:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()


def _read(totals: dict[str, Any]) -> MonitorReading:
    labels, worst = LabelRows((), ()), None
    if totals["labels"] is not None:
        rows, pairs, longest = totals["labels"]
        labels = LabelRows.of(rows, pairs)
        worst = _worst(longest, {number: name for number, name, *_ in rows})
    return MonitorReading(
        what="gil",
        elapsed_ns=totals["elapsed_ns"],
        held_ns=totals["held_ns"],
        contended_ns=totals["contended_ns"],
        wait_ns=totals["wait_ns"],
        threads=totals["threads"],
        threads_waiting=totals["threads_waiting"],
        hold=_distribution(*totals["hold"]),
        wait=_distribution(*totals["wait"]),
        waits=totals["waits"],
        labels=labels.totals,
        blame=labels.blame,
        worst=worst,
    )


def _distribution(total_ns: int, max_ns: int, buckets: list[tuple[int, int]]) -> Distribution:
    return Distribution(sum(number for _, number in buckets), total_ns, max_ns, tuple(buckets))


def _worst(longest: tuple[Any, ...] | None, names: dict[int, str]) -> WorstWait | None:
    if longest is None:
        return None
    start_ns, wait_ns, holder_ns, waiter, holder = longest
    alive = thread_names.alive()
    nobody = holder[0] == 0 or holder_ns == 0  # or for a tick or two
    return WorstWait(
        wait_ns=wait_ns,
        start_ns=start_ns,
        waiter=_thread(waiter, alive),
        waiter_label=label_name(waiter[3], names),
        holder="" if nobody else _thread(holder, alive),
        holder_label="" if nobody else label_name(holder[3], names),
        holder_ns=holder_ns,
    )


def _thread(who: tuple[int, int, str, int], alive: dict[int, str]) -> str:
    """Return a thread's name in :mod:`threading`, else the operating system's."""
    native_id, label, os_name, _ = who
    return thread_names.labelled(label) or alive.get(native_id) or os_name or f"thread {native_id}"


def _read_locks(report: Report) -> MonitorReading:
    """Return the waits for locks, where there is no GIL; not those for work."""
    wait, waits = EMPTY, 0
    for lock in report.locks or ():
        if lock.kind != "work":
            wait, waits = wait.merge(lock.wait), waits + lock.wait.count
    return MonitorReading(
        what="locks",
        elapsed_ns=report.elapsed_ns,
        held_ns=0,
        contended_ns=0,
        wait_ns=wait.total_ns,
        threads=len(report.threads),
        threads_waiting=0,
        hold=EMPTY,
        wait=wait,
        waits=waits,
        labels=(),
        blame=(),
        worst=None,
    )


def monitor(*, labels: bool = True) -> Monitor:
    """Return a monitor of the GIL: totals only, cheap enough to stay on in production.

    Parameters
    ----------
    labels : bool
        Also count by label (:func:`gilprobe.label`).

    Returns
    -------
    Monitor
        Not started: use it in a ``with`` statement, or call its ``start`` and ``stop``.

    Raises
    ------
    InvalidTypeError
        If `labels` is not a bool.

    Examples
    --------
    >>> with gilprobe.monitor() as m:
    ...     total = sum(range(1_000_000))
    >>> m.read().held_s > 0
    True
    """
    return Monitor(labels=labels)
