"""Begin a recording for ``gilprobe record``, in the first process and in followed ones."""

from __future__ import annotations

from gilprobe._native import tracer
from gilprobe.tracing.tracer import Trace, trace

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from typing import Any

    from gilprobe.report import Report
    from gilprobe.tracing.stall_watch import StallWatch

_TRACE = {"stacks": False, "timeline": True, "cpu_time": False, "looks": True, "locks": None}
"""What :func:`gilprobe.trace` takes, with defaults: the one table of what can be asked for."""

_WORDS = {"True": True, "False": False, "None": None}


class RecordOptions:
    """What to record. Not a dataclass: importing that costs each followed process some milliseconds.

    Parameters
    ----------
    stall_s : float or None
        Report a hold at once if it makes another thread wait this long; None: don't.
    **trace : bool or None
        Of `_TRACE`: as for :func:`gilprobe.trace`.
    """

    __slots__ = ("stall_s", "trace")

    def __init__(self, *, stall_s: float | None = None, **trace: bool | None) -> None:
        if unknown := trace.keys() - _TRACE.keys():
            raise TypeError(f"what to record must be of {', '.join(_TRACE)}, got {min(unknown)!r}")
        self.trace: dict[str, Any] = _TRACE | trace
        self.stall_s = stall_s

    def to_text(self) -> str:
        """Return the options for a followed process's environment: no colon, no space."""
        return ",".join(f"{name}={value}" for name, value in (self.trace | {"stall_s": self.stall_s}).items())

    @classmethod
    def from_text(cls, text: str) -> RecordOptions:
        """Return the options that :meth:`to_text` wrote.

        Raises
        ------
        ValueError, KeyError
            If it is anything else.
        """
        words = dict(word.split("=") for word in text.split(","))
        stall = words.pop("stall_s")
        trace = {name: _WORDS[words[name]] for name in _TRACE}
        return cls(stall_s=None if stall == "None" else float(stall), **trace)


class ProgramRecording:
    """A running recording of this process.

    Parameters
    ----------
    path : path-like
        Its file, mode 0600; with `told` it exists from the start.
    options : RecordOptions
        What is recorded.
    told : bool
        Whether a report is shown at the end; the modules for it are then loaded now.
    later : bool
        Without a report: create the file, which must not exist, only when there is something to write.

    Raises
    ------
    OSError
        If the file can't be written.
    UnsupportedError
        If neither the GIL nor locks can be traced here.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        options: RecordOptions,
        *,
        told: bool = True,
        later: bool = True,
    ) -> None:
        tracer.watch_calls()
        wanted = options.trace
        self._trace = (
            trace(path=path, **wanted) if told else Trace(path=path, _later=later, _told=False, **wanted)
        )
        self._trace.start()
        self._watch: StallWatch | None = None
        try:
            self._trace.guard_signals()
            if options.stall_s is not None:
                self._watch = _watch(options.stall_s)
        except BaseException:
            self._trace.close()
            raise

    def stop(self) -> Report:
        """End the recording; further calls only return the report."""
        if self._watch is not None:
            self._watch.stop()
        return self._trace.stop()

    def close(self) -> None:
        """End the recording of a process that shows no report."""
        if self._watch is not None:
            self._watch.stop()
        self._trace.close()


def _watch(limit_s: float) -> StallWatch | None:
    from gilprobe.tracing.stall_watch import watch_stalls

    try:
        return watch_stalls(limit_s)
    except OSError:  # standard error is closed
        return None


def begin(path: str, options: str) -> Callable[[], object]:
    """Begin to record a followed process, by :meth:`RecordOptions.to_text`; return what ends it."""
    return ProgramRecording(path, RecordOptions.from_text(options), told=False).close
