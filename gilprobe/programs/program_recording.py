"""How ``gilprobe record`` begins a recording, in the first process and in those that it follows."""

from __future__ import annotations

from gilprobe._native import gil
from gilprobe.tracing.tracer import Trace, trace

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a process that is only recorded loads no typing
if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from typing import Any

    from gilprobe.report import Report
    from gilprobe.tracing.stall_watch import StallWatch


class RecordOptions:
    """What is recorded. No dataclass: what makes those costs each followed process some milliseconds.

    Attributes
    ----------
    stacks, timeline : bool
        As for :func:`gilprobe.trace`.
    stall_s : float or None
        Tell of a hold as soon as it has made another thread wait for this long; None: do not.
    """

    __slots__ = ("stacks", "stall_s", "timeline")

    def __init__(self, *, stacks: bool = False, timeline: bool = True, stall_s: float | None = None) -> None:
        self.stacks = stacks
        self.timeline = timeline
        self.stall_s = stall_s

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RecordOptions) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # it can be changed

    def to_dict(self) -> dict[str, Any]:
        """Return the options as scalars, for :mod:`json`."""
        return {name: getattr(self, name) for name in ("stacks", "timeline", "stall_s")}

    def to_text(self) -> str:
        """Return the options as a followed process finds them in its environment: no colon, no space."""
        return ",".join(f"{name}={value}" for name, value in self.to_dict().items())

    @classmethod
    def from_text(cls, text: str) -> RecordOptions:
        """Return what :meth:`to_text` wrote down.

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
            stall_s=None if stall == "None" else float(stall),
        )


class ProgramRecording:
    """A running recording of this process.

    Parameters
    ----------
    path : path-like
        Its file, which has mode 0600, and is there from the start on if it is `told` of.
    options : RecordOptions
        What is recorded.
    told : bool
        Whether a report is wanted at the end. What makes it is then loaded now.

    Raises
    ------
    OSError
        If the file can't be written.
    UnsupportedError
        If the GIL can't be traced here.
    """

    def __init__(self, path: str | os.PathLike[str], options: RecordOptions, *, told: bool = True) -> None:
        gil.watch_calls()
        wanted = {"stacks": options.stacks, "timeline": options.timeline}
        self._trace = trace(path=path, **wanted) if told else Trace(path=path, _later=True, **wanted)
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
        """End the recording. Once is enough; further calls only return the report."""
        if self._watch is not None:
            self._watch.stop()
        return self._trace.stop()

    def close(self) -> None:
        """End the recording of a process that does not tell of it."""
        if self._watch is not None:
            self._watch.stop()
        self._trace.close()


def _watch(limit_s: float) -> StallWatch | None:
    from gilprobe.tracing.stall_watch import watch_stalls

    try:
        return watch_stalls(limit_s)
    except OSError:  # standard error is closed: nobody would read it
        return None


def begin(path: str, options: str) -> Callable[[], object]:
    """Begin to record a process that is followed, by :meth:`RecordOptions.to_text`; return what ends it."""
    return ProgramRecording(path, RecordOptions.from_text(options), told=False).close
