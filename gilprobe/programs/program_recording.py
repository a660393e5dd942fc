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

_TRACE = ("stacks", "timeline", "cpu_time", "looks", "locks")  # for :func:`gilprobe.trace`


class RecordOptions:
    """What to record. Not a dataclass: importing that costs each followed process some milliseconds.

    Attributes
    ----------
    stacks, timeline, cpu_time, looks : bool
        As for :func:`gilprobe.trace`.
    locks : bool or None
        As for :func:`gilprobe.trace`.
    stall_s : float or None
        Report a hold at once if it makes another thread wait this long; None: don't.
    """

    __slots__ = ("cpu_time", "locks", "looks", "stacks", "stall_s", "timeline")

    def __init__(
        self,
        *,
        stacks: bool = False,
        timeline: bool = True,
        cpu_time: bool = False,
        looks: bool = True,
        locks: bool | None = None,
        stall_s: float | None = None,
    ) -> None:
        self.stacks = stacks
        self.timeline = timeline
        self.cpu_time = cpu_time
        self.looks = looks
        self.locks = locks
        self.stall_s = stall_s

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RecordOptions) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # it is mutable

    def to_dict(self) -> dict[str, Any]:
        """Return the options as scalars, for :mod:`json`."""
        return {name: getattr(self, name) for name in (*_TRACE, "stall_s")}

    def to_text(self) -> str:
        """Return the options for a followed process's environment: no colon, no space."""
        return ",".join(f"{name}={value}" for name, value in self.to_dict().items())

    @classmethod
    def from_text(cls, text: str) -> RecordOptions:
        """Return the options that :meth:`to_text` wrote.

        Raises
        ------
        ValueError, KeyError
            If it is anything else.
        """
        words = dict(word.split("=") for word in text.split(","))
        flags = {"True": True, "False": False}
        stall = words["stall_s"]
        return cls(
            stacks=flags[words["stacks"]],
            timeline=flags[words["timeline"]],
            cpu_time=flags[words["cpu_time"]],
            looks=flags[words["looks"]],
            locks=(flags | {"None": None})[words["locks"]],
            stall_s=None if stall == "None" else float(stall),
        )


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
        wanted = {name: getattr(options, name) for name in _TRACE}
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
