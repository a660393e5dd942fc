"""Merge recordings and reports into one report, one file at a time."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING

from gilprobe.errors import FormatError, InvalidTypeError, InvalidValueError
from gilprobe.model.merging import Merger
from gilprobe.model.traced_process import TracedProcess
from gilprobe.report import Report
from gilprobe.tracing.loading import children_of, load, load_children

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SUFFIX = ".gilprobe"
"""What names of recordings end with: only these files of a folder are read."""

_LEFT_OUT = "left out: "
_MOST_FILES = 1_000_000


def merge(
    what: str | os.PathLike[str] | Report | Iterable[str | os.PathLike[str] | Report],
) -> Report:
    """Return one report of many processes.

    Files are read one at a time, and tables are bounded, so memory does not grow with their number. The
    merged report has no timeline.

    Parameters
    ----------
    what : path-like, Report, or iterable of these
        Recordings, saved reports and reports. A folder stands for all files in it, and below it, whose names
        end with ``.gilprobe``; a name with ``*``, ``?`` or ``[`` that is no file is a pattern. With a
        recording come those of its child processes beside it. No file counts twice.

    Returns
    -------
    Report
        Sums over all processes. `processes` and `hosts` tell each, `worst` is the report of the process whose
        threads waited most. Histograms are exact. Threads are told by kind: ``pool_N``. A file that can't be
        read is named in `warnings`.

    Raises
    ------
    InvalidTypeError
        If `what` is anything else.
    FormatError
        If there is nothing to merge, or no file can be read.
    """
    several = (what,) if isinstance(what, str | os.PathLike | Report) else what
    merger, seen = Merger(), set[str]()
    try:
        given = iter(several)
    except TypeError:
        raise InvalidTypeError(f"what to merge must be files or reports, got {what!r}"[:200]) from None
    for one in given:
        if isinstance(one, Report):
            merger.add(TracedProcess(source="a report", report=one))
        elif not isinstance(one, str | os.PathLike):
            raise InvalidTypeError(f"what to merge must be files or reports, got {one!r}"[:200])
        else:
            add_files(merger, one, seen)
    return finished(merger)


def add_files(merger: Merger, name: str | os.PathLike[str], seen: set[str]) -> None:
    """Add the files that a name stands for, but those in `seen`; one that can't be read is taken note of."""
    for process in _processes(name, seen):
        if isinstance(process, TracedProcess):
            try:
                merger.add(process)
            except InvalidValueError as error:
                merger.leave_out(f"{process.source} is left out: {error}")
        else:
            merger.leave_out(f"{_LEFT_OUT}{_reason(process)}")


def finished(merger: Merger) -> Report:
    """Return the merged report; FormatError if no file could be read."""
    if not merger.processes:
        reasons = [reason.removeprefix(_LEFT_OUT) for reason in merger.first_left_out]
        raise FormatError("; ".join(reasons) or "there is nothing to merge")
    return merger.finished()


def is_many(name: str | os.PathLike[str]) -> bool:
    """Return whether a name stands for a folder or is a pattern."""
    return os.path.isdir(name) or _is_pattern(os.fspath(name))  # noqa: PTH112


def _is_pattern(name: str) -> bool:
    return glob.has_magic(name) and not os.path.lexists(name)


def files_of(name: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the files that a name stands for, in order.

    Raises
    ------
    FormatError
        If it is a folder or a pattern without any.
    """
    text = os.fspath(name)
    if os.path.isdir(text):  # noqa: PTH112
        found, rule = _below(text), f"a folder must have a file *{SUFFIX}, got {text!r}"
    elif _is_pattern(text):
        found = (path for path in sorted(glob.glob(text)) if not os.path.isdir(path))  # noqa: PTH112, PTH207
        rule = f"a pattern must match a file, got {text!r}"
    else:
        yield Path(text)
        return
    number = 0
    for path in found:
        number += 1
        if number > _MOST_FILES:
            raise FormatError(f"there must be at most {_MOST_FILES} files, got more in {text!r}")
        yield Path(path)
    if not number:
        raise FormatError(rule)


def input_files(names: Iterable[str]) -> Iterator[str]:
    """Yield all files that names stand for, as far as they can be listed: no output may be among them."""
    for name in names:
        try:
            for path in files_of(name):
                yield str(path)
                if not is_many(name):
                    yield from map(str, children_of(path))
        except (FormatError, OSError):  # told when they are read
            continue


def _below(folder: str) -> Iterator[str]:
    """Yield the recordings in a folder and below it; links to folders are not followed."""
    for inside, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.endswith(SUFFIX) and not name.startswith("."):
                yield os.path.join(inside, name)  # noqa: PTH118


def _processes(
    name: str | os.PathLike[str], seen: set[str]
) -> Iterator[TracedProcess | FormatError | OSError]:
    """Yield the processes of files and of their children, or why a file can't be read."""
    alone = not is_many(name)
    try:
        for path in files_of(name):
            if _is_new(path, seen):
                yield from _of_file(path, seen, alone=alone)
    except (FormatError, OSError) as error:
        yield error


def _is_new(path: Path, seen: set[str]) -> bool:
    real = os.path.realpath(path)
    if real in seen:
        return False
    seen.add(real)
    return True


def _of_file(path: Path, seen: set[str], *, alone: bool) -> Iterator[TracedProcess | FormatError | OSError]:
    try:
        process = load(path, timeline=False)
    except (FormatError, OSError) as error:
        yield error
        return
    pid, started = process.pid, process.started_unix_ns
    yield process
    del process  # before the next is read
    if alone and pid:
        for child in load_children(path, started, timeline=False):
            if not isinstance(child, TracedProcess) or _is_new(path.parent / child.source, seen):
                yield child


def _reason(error: FormatError | OSError) -> str:
    if isinstance(error, OSError) and error.filename is not None and error.strerror is not None:
        return f"can't access {error.filename!a}: {error.strerror}"
    return str(error)
