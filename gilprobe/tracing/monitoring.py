"""The always-on monitor: totals of the GIL for the whole process and by label, in constant memory."""

from __future__ import annotations

from gilprobe.errors import InvalidTypeError, TracerStateError
from gilprobe.model.distribution import EMPTY
from gilprobe.model.monitor_reading import MonitorReading, WorstWait
from gilprobe.tracing.tracer import Trace

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a monitored process loads no typing
if TYPE_CHECKING:
    from gilprobe.report import Report


class Monitor:
    """Counts who holds the GIL and who waits for it, for as long as a service runs.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`, from any thread. It keeps totals only,
    in memory that does not grow: threads that end are added up in one row. Several monitors and traces may
    run at a time.

    Parameters
    ----------
    labels : bool
        Also count by label (:func:`gilprobe.label`).
    """

    def __init__(self, *, labels: bool = True) -> None:
        if not isinstance(labels, bool):
            raise InvalidTypeError(f"labels must be True or False, got {labels!r}")
        self._labels = labels
        self._trace: Trace | None = None

    @property
    def running(self) -> bool:
        """Return whether the monitor has been started and not stopped."""
        return self._trace is not None and self._trace.running

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
        self._trace = Trace(sites=False, looks=False).start()
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
        if self._trace is None:
            raise TracerStateError("a monitor must be started before it is stopped")
        self._trace.stop()
        return self.read()

    def read(self) -> MonitorReading:
        """Return what was counted so far. Any thread, at any time; it costs some 10 microseconds.

        Raises
        ------
        TracerStateError
            If the monitor was never started.
        """
        if self._trace is None:
            raise TracerStateError("a monitor must be started before it is read")
        return _read(self._trace.report())

    def __enter__(self) -> Monitor:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()


def _read(report: Report) -> MonitorReading:
    hold = wait = EMPTY
    for thread in report.threads:
        hold, wait = hold.merge(thread.hold), wait.merge(thread.wait)
    worst: WorstWait | None = None
    return MonitorReading(
        what="gil",
        elapsed_ns=report.elapsed_ns,
        held_ns=report.held_ns,
        contended_ns=report.contended_ns,
        wait_ns=wait.total_ns,
        threads=sum(thread.merged for thread in report.threads),
        threads_waiting=0,
        hold=hold,
        wait=wait,
        waits=sum(thread.contended_acquisitions for thread in report.threads),
        labels=(),
        blame=(),
        worst=worst,
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
