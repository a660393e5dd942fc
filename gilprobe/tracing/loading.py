"""Load recordings and saved reports, with the recordings of child processes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from gilprobe.errors import FormatError
from gilprobe.model import codec
from gilprobe.model.environment import Environment
from gilprobe.model.traced_process import TracedProcess
from gilprobe.report import Report
from gilprobe.tracing.assembling import TracePart, assemble
from gilprobe.tracing.recording_reader import MAGIC, Recording, beginning_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from gilprobe.tracing.places import Naming

_LONGEST_WAITS = 256


def load(path: str | os.PathLike[str], *, timeline: bool = True) -> TracedProcess:
    """Read one file, as hostile input.

    Parameters
    ----------
    path : path-like
        A recording, or a report that :meth:`~gilprobe.report.Report.save` wrote.
    timeline : bool
        Whether the timeline is wanted, if there is one; else the file is read faster, and only the 256
        longest waits are told if no event loop needs more.

    Raises
    ------
    FormatError
        If the file is not a recording or a saved report, or is damaged.
    OSError
        If it can't be read.
    """
    if not _is_recording(path):
        return TracedProcess(source=Path(path).name, report=Report.load(path))
    recording = Recording.open(path, events=timeline)
    return TracedProcess(
        source=Path(path).name,
        report=report_of(recording, None if timeline else _LONGEST_WAITS),
        timeline=recording.timeline() if timeline and recording.meta["options"].get("timeline") else None,
        pid=recording.meta["pid"],
        argv=tuple(map(str, recording.meta["argv"])),
        started_unix_ns=recording.meta["started_unix_ns"],
        complete=recording.complete,
        host=recording.meta.get("host", ""),
    )


def _is_recording(path: str | os.PathLike[str]) -> bool:
    """Return whether the file is a recording, by its first bytes: other files may be huge."""
    beginning = beginning_of(path)
    if beginning.startswith(MAGIC):
        return True
    if not beginning.lstrip().startswith(b"{"):
        found = f"it begins with {beginning[:16]!r}" if beginning else "it is empty"
        raise FormatError(f"{os.fspath(path)!r} must be a recording or a saved report, {found}")
    return False


def report_of(recording: Recording, longest_waits: int | None = None) -> Report:
    """Return a recording's report: exact, or up to the last snapshot if it was not ended.

    With `longest_waits` it has only so many, if no event loop needs more: they cost most of what is told.

    Raises
    ------
    FormatError
        If the process was killed too early, or the numbers contradict each other.
    """
    locks = recording.locks
    alone = locks is not None and not recording.interpreters  # without a GIL
    if not recording.meta or (0 not in recording.interpreters and not alone):
        raise FormatError(f"{recording.path!r} is too short: it has no description of the process")
    recorded = sorted(recording.interpreters.values(), key=lambda one: one.number)
    doubts = [f"the file is cut off after byte {recording.size}"] if recording.truncated else []
    doubts += recording.doubts
    if locks is not None and not recording.complete:
        doubts.append("the process was killed: its last waits for locks may be missing")
    if recording.done is not None and recording.done["reason"] == "signal":
        number = recording.done.get("signal", 0)
        doubts.append(f"signal {number} ended the process: what threads did at that moment may be missing")
    for one in recorded if longest_waits is not None else ():
        if one.snapshot is not None and not one.snapshot["callbacks"]:
            stalls = sorted(one.snapshot["stalls"], key=_wait_ns, reverse=True)
            one.snapshot["stalls"] = stalls[:longest_waits]
    parts = [
        TracePart(one.places, one.snapshot, one.seen, one.still_held)
        for one in recorded
        if one.snapshot is not None
    ]
    environment = codec.decode(Environment, recording.meta["environment"], "the environment")

    def who(native_id: int, label: int, os_name: str, _ended: bool) -> Naming:
        return recording.who(native_id, label, os_name)

    if alone and locks is not None:
        return locks.alone(who, environment, recording.names, tuple(doubts))
    if not parts or recorded[0].snapshot is None:
        raise FormatError(f"{recording.path!r} is too short: it has no snapshot")
    try:
        report = assemble(
            parts,
            lambda account: recording.who(account["native_id"], account["label"], account["os_name"]),
            environment,
            bystanders=recording.names,
            warnings=doubts,
            trusted=False,
        )
    except ValueError as error:  # the model's own checks
        raise FormatError(f"{recording.path!r}: {error}") from None
    return report if locks is None else locks.add_to(report, who)


def _wait_ns(stall: tuple[Any, ...]) -> int:
    wait_ns: int = stall[5]
    return wait_ns


def children_of(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the recordings of child processes beside the recording `path`, by name.

    Those of ``STEM.gilprobe`` are named ``STEM.<pid>.gilprobe``, or ``STEM.<pid>-2.gilprobe`` and so on after
    ``os.execv``. They are found by listing the folder, never by a file's content.
    """
    whole = Path(path)
    number = r"\.[0-9]{1,10}(-[0-9]{1,10})?"
    named = re.compile(rf"{re.escape(whole.stem)}({number})+{re.escape(whole.suffix)}")
    yield from sorted(beside for beside in whole.parent.iterdir() if named.fullmatch(beside.name))


def load_family(path: str | os.PathLike[str]) -> tuple[list[TracedProcess], list[str]]:
    """Read one file and the recordings of its child processes.

    A child's file that began before its parent's is from an earlier recording of the same name, and is
    ignored.

    Returns
    -------
    processes : list of TracedProcess
        The file's own first.
    left_out : list of str
        Why a child's file could not be read, one line each: it may have been killed too early.

    Raises
    ------
    FormatError
        If `path` itself is not a recording or a saved report, or is damaged.
    OSError
        If it can't be read.
    """
    first = load(path)
    processes, left_out = [first], []
    for child in load_children(path, first.started_unix_ns) if first.pid else ():  # else a saved report
        if isinstance(child, TracedProcess):
            processes.append(child)
        else:
            left_out.append(f"a child's recording is left out: {child}")
    return processes, left_out


def load_children(
    path: str | os.PathLike[str], since_unix_ns: int, *, timeline: bool = True
) -> Iterator[TracedProcess | FormatError | OSError]:
    """Yield the processes with files beside `path` that began since then, or why a file can't be read."""
    for child in children_of(path):
        try:
            process = load(child) if timeline else load(child, timeline=False)
        except (FormatError, OSError) as error:
            yield error
        else:
            if process.started_unix_ns >= since_unix_ns:
                yield process
