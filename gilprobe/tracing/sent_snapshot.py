"""The numbers of a running trace for another process, which puts the names to them.

The traced process only copies what the native core has booked: it loads nothing that makes reports, and
spends no time on one. The reader does not trust what it gets.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64

from gilprobe._native.tracer import LABEL_ENDED
from gilprobe.errors import FormatError
from gilprobe.tracing import thread_names

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a traced process loads no typing
if TYPE_CHECKING:
    from typing import Any

    from gilprobe.model.environment import Environment
    from gilprobe.report import Report
    from gilprobe.tracing.assembling import TracePart
    from gilprobe.tracing.places import Naming
    from gilprobe.tracing.tracer import Trace

_MOST_NAMES = 1 << 20  # more threads can't live at once


class SnapshotSender:
    """Takes snapshots of a running trace of this process, as plain data for JSON.

    Parameters
    ----------
    trace : Trace
        It runs.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._labels: dict[int, str] = {}  # those that were not sent yet
        self._listener = self._labels.__setitem__
        thread_names.listeners.append(self._listener)  # first: a name that comes meanwhile is there twice
        self._labels |= dict(thread_names.labels())

    def described(self) -> dict[str, Any]:
        """Return what does not change: the environment, and the threads that lived before the trace."""
        bystanders = {str(native_id): name for native_id, name in self._trace._bystanders.items()}
        return {"environment": self._trace._environment, "bystanders": bystanders}

    def take(self) -> dict[str, Any]:
        """Return a snapshot."""
        session, locks = self._trace._session, self._trace._locks
        parts = [] if session is None else session.read()
        booked = None if locks is None else _text(locks.read())
        labels = {}
        while self._labels:  # other threads add to it
            number, name = self._labels.popitem()
            labels[str(number)] = name
        return {
            "parts": [[_text(places), _text(snapshot)] for places, snapshot in parts],
            "locks": booked,
            "labels": labels,
            "names": {str(native_id): name for native_id, name in thread_names.alive().items()},
            "warnings": list(self._trace._warnings()),
        }

    def close(self) -> None:
        """Follow names of threads no longer."""
        if self._listener in thread_names.listeners:
            thread_names.listeners.remove(self._listener)


class SnapshotReader:
    """Makes reports from what a :class:`SnapshotSender` sends, which is not trusted.

    Parameters
    ----------
    described : dict
        What :meth:`SnapshotSender.described` returned, as JSON has it.

    Raises
    ------
    FormatError
        If it is anything else.
    """

    def __init__(self, described: dict[str, Any]) -> None:
        from gilprobe.model import codec
        from gilprobe.model.environment import Environment

        self._environment: Environment = codec.decode(
            Environment, described.get("environment"), "environment"
        )
        self._bystanders = _numbered(described, "bystanders")
        self._labels: dict[int, str] = {}
        self._names: dict[int, str] = {}

    def report(self, snapshot: dict[str, Any]) -> Report:
        """Return the report that a snapshot makes.

        Raises
        ------
        FormatError
            If it is not what :meth:`SnapshotSender.take` returns, or its numbers contradict each other.
        """
        self._labels |= _numbered(snapshot, "labels")
        self._names = _numbered(snapshot, "names")
        if len(self._labels) > _MOST_NAMES:
            raise FormatError(f"at most {_MOST_NAMES} names of threads must be sent")
        try:
            return self._assembled(_pairs(snapshot), _bytes_or_none(snapshot), _strings(snapshot))
        except FormatError:
            raise
        except ValueError as error:  # the rules of the native reader, and those of the model
            raise FormatError(f"a snapshot must be complete: {error}") from None

    def _assembled(
        self, pairs: list[tuple[bytes, bytes]], locks: bytes | None, warnings: tuple[str, ...]
    ) -> Report:
        from gilprobe.tracing.assembling import TracePart, assemble
        from gilprobe.tracing.lock_part import LockPart

        alive = {one: self._names[one] for one in self._bystanders if one in self._names}
        if not pairs:
            if locks is None:
                raise FormatError("a snapshot must be of the GIL or of locks")
            return LockPart(locks).alone(self._who, self._environment, alive, warnings)
        parts = [TracePart.decode(places, snapshot) for places, snapshot in pairs]
        for part in parts:
            _check(part)
        report = assemble(
            parts,
            lambda account: self._who(
                account["native_id"], account["label"], account["os_name"], account["ended"]
            ),
            self._environment,
            bystanders=alive,
            warnings=warnings,
            trusted=False,
        )
        return report if locks is None else LockPart(locks).add_to(report, self._who)

    def _who(self, native_id: int, label: int, os_name: str, ended: bool) -> Naming:
        from gilprobe.tracing.places import Naming

        name = self._labels.get(label & (LABEL_ENDED - 1), "")
        if label < LABEL_ENDED and not ended:
            name = self._names.get(native_id, name)
        return Naming(name or os_name or f"thread {native_id}", bool(name))


def _check(part: TracePart) -> None:
    """Raise ValueError unless all threads and places of a part are known, and all threads' numbers are there.

    Threads that have ended may be merged: then an account stands for all that have none.
    """
    from gilprobe.tracing.recording_reader import check_places, references

    accounts = part.snapshot["accounts"]
    threads, places = references(part.snapshot)
    unknown = threads - {account["number"] for account in accounts}
    if unknown and all(account["merged"] == 1 for account in accounts):
        raise ValueError(f"a snapshot must refer to described threads, got {unknown.pop()}")
    check_places(places, len(part.places))


def _text(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode("ascii")


def _data(value: object) -> bytes:
    if not isinstance(value, str):
        raise FormatError("a part of a snapshot must be a string")
    try:
        return a2b_base64(value, strict_mode=True)
    except ValueError as error:
        raise FormatError(f"a part of a snapshot must be base64: {error}") from None


def _pairs(snapshot: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    parts = snapshot.get("parts")
    if not isinstance(parts, list) or not all(isinstance(one, list) and len(one) == 2 for one in parts):
        raise FormatError("the parts of a snapshot must be pairs")
    return [(_data(places), _data(numbers)) for places, numbers in parts]


def _bytes_or_none(snapshot: dict[str, Any]) -> bytes | None:
    return None if snapshot.get("locks") is None else _data(snapshot["locks"])


def _strings(snapshot: dict[str, Any]) -> tuple[str, ...]:
    warnings = snapshot.get("warnings")
    if not isinstance(warnings, list) or not all(isinstance(one, str) for one in warnings):
        raise FormatError("the warnings of a snapshot must be strings")
    return tuple(warnings)


def _numbered(document: dict[str, Any], key: str) -> dict[int, str]:
    """Return names by numbers, which JSON has as strings."""
    names = document.get(key)
    if not isinstance(names, dict):
        raise FormatError(f"{key} must be an object")
    for number, name in names.items():
        if not (number.isascii() and number.isdecimal() and len(number) < 20 and isinstance(name, str)):
            raise FormatError(f"{key} must have names by numbers, got {ascii(number)[:40]}")
    return {int(number): name for number, name in names.items()}
