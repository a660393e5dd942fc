"""Record only the last seconds of a program, for ``gilprobe record --last``."""

from __future__ import annotations

from gilprobe.tracing import living  # noqa: F401  # loaded now: it may not be found at the end
from gilprobe.tracing.flight_recorder import FlightRecorder

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from gilprobe.programs.program_recording import RecordOptions
    from gilprobe.report import Report


class FlightOptions:
    """What is kept, and when it is written before the end.

    Attributes
    ----------
    last_s : float
        How far back at least, seconds.
    alarm_s : float or None
        When a hold makes another thread wait for so long.
    signal : int or None
        When this signal comes.
    """

    __slots__ = ("alarm_s", "last_s", "signal")

    def __init__(self, last_s: float, alarm_s: float | None, signal: int | None) -> None:
        self.last_s, self.alarm_s, self.signal = last_s, alarm_s, signal


class FlightRecording:
    """A flight recorder of this process, whose last file is written when it is stopped.

    Raises
    ------
    OSError
        If the file can't be written. It is written at once, too: a process that is killed leaves it.
    UnsupportedError
        If neither the GIL nor locks can be traced here.
    """

    def __init__(self, path: str, options: RecordOptions, flight: FlightOptions) -> None:
        self._path = path
        self._report: Report | None = None
        self._recorder = FlightRecorder(
            flight.last_s,
            alarm=flight.alarm_s,
            signal=flight.signal,
            path=path,
            **{name: options.trace[name] for name in ("stacks", "looks", "locks")},
        ).start()
        try:
            self._recorder.dump(path)
        except BaseException:
            self._recorder.stop()
            raise

    def stop(self) -> Report:
        """Write the file and end; further calls only return the report."""
        if self._report is None:
            report = self._recorder.report()
            self._recorder.dump(self._path)
            self._recorder.stop()
            self._report = report
        return self._report
