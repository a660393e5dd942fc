"""Files of what was watched: new ones, of this user only, in the current folder."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gilprobe.report import Report

_MOST = 1000


class KeptFiles:
    """Writes ``gilprobe-top-PID-N``, mode 0600; never replaces a file.

    Parameters
    ----------
    pid : int
        The process that is watched.
    """

    def __init__(self, pid: int) -> None:
        self._stem = f"gilprobe-top-{pid}"

    def report(self, report: Report | None) -> str:
        """Write a report of all that was seen; return the message about that."""
        if report is None:
            return "there is nothing to write yet"
        return self._written(".json", (piece.encode() for piece in report.pieces()))

    def last_seconds(self, content: bytes | None) -> str:
        """Write a recording; return the message about that. None: the process could not make one."""
        if content is None:
            return "not written: the recording has too many places"
        return self._written(".gilprobe", (content,))

    def _written(self, suffix: str, pieces: Iterable[bytes]) -> str:
        for number in range(1, _MOST):
            path = f"{self._stem}-{number}{suffix}"
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except FileExistsError:
                continue
            except OSError as error:
                return f"not written: {path}: {error.strerror}"
            try:
                with open(descriptor, "wb") as file:  # noqa: PTH123
                    file.writelines(pieces)
            except OSError as error:
                with suppress(OSError):
                    os.unlink(path)  # noqa: PTH108
                return f"not written: {path}: {error.strerror}"
            return f"written: gilprobe report {path}"
        return f"not written: there are {_MOST - 1} files {self._stem}-N{suffix}"
