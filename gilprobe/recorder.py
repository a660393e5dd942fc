"""How ``gilprobe record`` begins a recording: the one place where it meets the tracer."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from gilprobe.tracer import trace

if TYPE_CHECKING:
    from pathlib import Path

    from gilprobe.report import Report


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


class Recorder:
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
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
        self._path = path
        self._options = options
        self._trace = trace().start()

    def stop(self) -> Report:
        """End the recording. Once is enough; further calls only return the report."""
        if self._trace.running:
            self._trace.stop().save(self._path)
        return self._trace.report()
