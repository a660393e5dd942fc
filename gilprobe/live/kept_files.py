"""Files of what was watched: new ones, of this user only, in the current folder."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gilprobe.report import Report

_MOST = 1000


def keep_report(pid: int, report: Report | None) -> str:
    """Write a report of all that was seen of a process; return the message about that."""
    if report is None:
        return "there is nothing to write yet"
    return _written(pid, ".json", (piece.encode() for piece in report.pieces()))


def keep_last_seconds(pid: int, content: bytes | None) -> str:
    """Write a recording; return the message about that. None: the process could not make one."""
    if content is None:
        return "not written: the recording has too many places"
    return _written(pid, ".gilprobe", (content,))


def _written(pid: int, suffix: str, pieces: Iterable[bytes]) -> str:
    """Write ``gilprobe-top-PID-N``, mode 0600; never replace a file."""
    for number in range(1, _MOST):
        path = f"gilprobe-top-{pid}-{number}{suffix}"
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
    return f"not written: there are {_MOST - 1} files gilprobe-top-{pid}-N{suffix}"
