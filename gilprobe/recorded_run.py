"""How ``gilprobe record`` begins a recording, in the first process and in those that it follows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from gilprobe.tracer import trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gilprobe.report import Report
    from gilprobe.stall_watch import StallWatch


@dataclass(frozen=True, slots=True)
class Options:
    """What is recorded.

    Attributes
    ----------
    stacks, timeline : bool
        As for :func:`gilprobe.trace`.
    stall_s : float or None
        Tell of a hold as soon as it has made another thread wait for this long; None: do not.
    """

    stacks: bool = False
    timeline: bool = True
    stall_s: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the options as scalars, for :mod:`json`."""
        return asdict(self)


class RecordedRun:
    """A running recording of this process.

    Parameters
    ----------
    path : pathlib.Path
        Its file, which is there, with mode 0600, from the start on.
    options : Options
        What is recorded.

    Raises
    ------
    OSError
        If the file can't be written.
    UnsupportedError
        If the GIL can't be traced here.
    """

    def __init__(self, path: Path, options: Options) -> None:
        self._trace = trace(stacks=options.stacks, timeline=options.timeline, path=path).start()
        self._watch: StallWatch | None = None
        try:
            self._trace.guard_signals()
            if options.stall_s is not None:
                self._watch = _watch(options.stall_s)
        except BaseException:
            self._trace.stop()
            raise

    def stop(self) -> Report:
        """End the recording. Once is enough; further calls only return the report."""
        if self._watch is not None:
            self._watch.stop()
        return self._trace.stop()


def _watch(limit_s: float) -> StallWatch | None:
    from gilprobe.stall_watch import watch_stalls

    try:
        return watch_stalls(limit_s)
    except OSError:  # standard error is closed: nobody would read it
        return None


def begin(path: Path, options: dict[str, Any]) -> Callable[[], Report]:
    """Begin the recording of a process that is followed, by :meth:`Options.to_dict`; return what ends it."""
    return RecordedRun(path, Options(**options)).stop
