"""The model of a trace: what every renderer, saved file and test sees. Plain data, no clock."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from gilprobe import codec
from gilprobe.distribution import Distribution
from gilprobe.environment import Environment
from gilprobe.errors import FormatError, InvalidValueError

SCHEMA = 1
"""Version of the saved form. A reader refuses every other."""

_KIND = "gilprobe.report"


@dataclass(frozen=True, slots=True)
class ThreadAccount:
    """Where one thread's life inside a trace went.

    At any moment a thread holds the GIL, waits for it, or is off (runs native code or is blocked without it),
    so ``hold_ns + wait_ns + off_ns == lifetime_ns``. An interval that the trace's start or end cut counts
    with the part inside.

    Attributes
    ----------
    native_id : int
        The operating system's thread identifier.
    name : str
        As :mod:`threading` knows it, else the operating system's name.
    ended : bool
        Whether the thread ended within the trace.
    lifetime_ns, hold_ns, wait_ns, off_ns : int
        Nanoseconds of wall-clock time.
    acquisitions : int
        Number of times the thread took the GIL.
    contended_acquisitions : int
        How many of them had to wait.
    forced_releases, voluntary_releases : int
        Released because another thread asked after the switch interval; because the code let go.
    hold, wait : Distribution
        The single holds; how long each acquisition took, 0 if it found the GIL free after a short time off.
    """

    native_id: int
    name: str
    ended: bool
    lifetime_ns: int
    hold_ns: int
    wait_ns: int
    off_ns: int
    acquisitions: int
    contended_acquisitions: int
    forced_releases: int
    voluntary_releases: int
    hold: Distribution
    wait: Distribution

    @property
    def lifetime_s(self) -> float:
        """Time from the thread's first to its last moment inside the trace, seconds."""
        return self.lifetime_ns / 1e9

    @property
    def hold_s(self) -> float:
        """Time with the GIL, seconds."""
        return self.hold_ns / 1e9

    @property
    def wait_s(self) -> float:
        """Time wanting the GIL without having it, seconds."""
        return self.wait_ns / 1e9

    @property
    def off_s(self) -> float:
        """Time without the GIL and without wanting it, seconds."""
        return self.off_ns / 1e9


@dataclass(frozen=True, slots=True)
class Report:
    """What a trace recorded.

    Attributes
    ----------
    elapsed_ns : int
        From the trace's start to its end (or to the snapshot), nanoseconds.
    held_ns : int
        Time in which some thread held the GIL: the sum of all holds.
    contended_ns : int
        Time in which one thread held the GIL while at least one other waited for it.
    handoffs : int
        Acquisitions by a thread that was already waiting when the GIL was released.
    threads : tuple of ThreadAccount
        In the order in which the trace met them.
    warnings : tuple of str
        Everything that makes a number here doubtful.
    environment : Environment
        What it was measured on.
    """

    elapsed_ns: int
    held_ns: int
    contended_ns: int
    handoffs: int
    threads: tuple[ThreadAccount, ...]
    warnings: tuple[str, ...]
    environment: Environment

    def __post_init__(self) -> None:
        for name in ("elapsed_ns", "held_ns", "contended_ns", "handoffs"):
            if getattr(self, name) < 0:
                raise InvalidValueError(f"{name} must be >= 0, got {getattr(self, name)}")

    @property
    def elapsed_s(self) -> float:
        """Length of the trace, seconds."""
        return self.elapsed_ns / 1e9

    @property
    def held_s(self) -> float:
        """Time in which some thread held the GIL, seconds."""
        return self.held_ns / 1e9

    @property
    def contended_s(self) -> float:
        """Time in which the GIL was held while another thread waited, seconds."""
        return self.contended_ns / 1e9

    def to_dict(self) -> dict[str, Any]:
        """Return the report as dicts, lists and scalars, ready for :mod:`json`."""
        body: dict[str, Any] = codec.encode(self)
        return {"kind": _KIND, "schema": SCHEMA, **body}

    @classmethod
    def from_dict(cls, document: object) -> Report:
        """Build a report from what :meth:`to_dict` returned.

        Raises
        ------
        FormatError
            If `document` is of another kind or schema, or does not have exactly the declared keys and types.
        """
        if not isinstance(document, dict) or document.get("kind") != _KIND:
            raise FormatError(f"a report must be an object of kind {_KIND!r}")
        body = dict(document)
        del body["kind"]
        schema = body.pop("schema", None)
        if schema != SCHEMA or type(schema) is not int:
            raise FormatError(f"a report must have schema {SCHEMA}, got {ascii(schema)[:40]}")
        return codec.decode(cls, body, "report")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report as JSON, readable by its owner only (mode 0600).

        Raises
        ------
        OSError
            If the file can't be written; an earlier file of this name is then still whole.
        """
        codec.write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Report:
        """Read a report that :meth:`save` wrote. The file is treated as hostile input.

        Raises
        ------
        FormatError
            If the file is not a whole report of this schema.
        OSError
            If the file can't be read.
        """
        return cls.from_dict(codec.read_json(path))
