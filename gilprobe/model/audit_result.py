"""The model of an audit: how much of a call others could run, and what the rest of it was. Plain data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from gilprobe.errors import FormatError
from gilprobe.model import codec
from gilprobe.model.distribution import Distribution
from gilprobe.model.environment import Environment
from gilprobe.model.notebook_repr import NotebookRepr

SCHEMA = 1
"""Version of the saved form. A reader refuses every other."""


@dataclass(frozen=True, slots=True)
class Speedup:
    """How much faster several threads make a call than one.

    Attributes
    ----------
    threads : int
        How many.
    measured, low, high : float
        Calls a second of all together against those of one thread, and the bootstrap 95 % interval.
    allowed : float or None
        The most that the call's holds and the cores allow; None where nothing was traced.
    """

    threads: int
    measured: float
    low: float
    high: float
    allowed: float | None


@dataclass(frozen=True, slots=True)
class LongestHold:
    """The longest hold and where it ended; `function` is empty where that is the call itself.

    Attributes
    ----------
    function, filename, line : str, str, int
        As in a :class:`~gilprobe.report.Site`.
    hold_ns : int
        Its length, nanoseconds.
    """

    function: str
    filename: str
    line: int
    hold_ns: int

    @property
    def hold_s(self) -> float:
        """Its length, seconds."""
        return self.hold_ns / 1e9


@dataclass(frozen=True, slots=True)
class Holds:
    """The holds of a call, one by one, as a trace of a few calls saw them.

    Attributes
    ----------
    calls : int
        How many calls that were.
    lengths : Distribution
        All their holds. What the loop around the call takes is in them: some 0.2 microseconds a call.
    first_fraction, last_fraction : float
        Share of a call's holds that lies before its first release, and after its last acquisition: the median
        of the calls. Both are 1 where it does not release.
    longest : LongestHold
        The longest of them.
    cpu_fraction : float
        Share of the time in which the calling thread held that it ran, in the best of some runs; the rest it
        was blocked, or had no core.
    blocks : float or None
        How often in a call its thread gave up its core to wait in the kernel, with the GIL or without; None
        where the system does not tell.
    """

    calls: int
    lengths: Distribution
    first_fraction: float
    last_fraction: float
    longest: LongestHold
    cpu_fraction: float
    blocks: float | None

    @property
    def per_call(self) -> float:
        """How often a call holds."""
        return self.lengths.count / self.calls if self.calls else 0.0


@dataclass(frozen=True, slots=True)
class AuditResult(NotebookRepr):
    """What was found out about one call.

    Numbers are those of one call: of the median of several runs of many calls, less what the loop around the
    call costs. Where nothing could be traced those about holds are None.

    Attributes
    ----------
    name : str
        The statement, or the function's name.
    verdict : str
        In words.
    call_ns : int
        How long it takes, untraced, nanoseconds.
    calls : int
        How many calls were traced, all runs together.
    released_fraction, released_low, released_high : float or None
        Share of the call in which other threads could run, and its bootstrap 95 % interval.
    hold_ns, released_ns : int or None
        Time with the GIL and without it, nanoseconds. Threads that the call starts, or calls back from, count
        with their holds.
    releases : float or None
        How often it lets go by itself. What other threads forced is not its doing, and is left out.
    others_hold_ns : int or None
        The part of `hold_ns` that is of such threads.
    holds : Holds or None
        Its holds one by one.
    speedups : tuple of Speedup
        By rising number of threads.
    gil_switched_on_by : str
        The module whose import switched the GIL of a free-threaded interpreter on; empty if none did.
    warnings : tuple of str
        Everything that makes a number here doubtful.
    environment : Environment
        What it was measured on.
    """

    name: str
    verdict: str
    call_ns: int
    calls: int
    released_fraction: float | None
    released_low: float | None
    released_high: float | None
    hold_ns: int | None
    released_ns: int | None
    releases: float | None
    others_hold_ns: int | None
    holds: Holds | None
    speedups: tuple[Speedup, ...]
    gil_switched_on_by: str
    warnings: tuple[str, ...]
    environment: Environment

    @property
    def call_s(self) -> float:
        """How long the call takes, untraced, seconds."""
        return self.call_ns / 1e9

    @property
    def hold_s(self) -> float | None:
        """Time of one call with the GIL, seconds."""
        return None if self.hold_ns is None else self.hold_ns / 1e9

    @property
    def released_s(self) -> float | None:
        """Time of one call without the GIL, seconds."""
        return None if self.released_ns is None else self.released_ns / 1e9

    @property
    def speedup(self) -> float | None:
        """How much faster the largest number of threads was than one; None if only one was asked for."""
        return self.speedups[-1].measured if self.speedups else None


@dataclass(frozen=True, slots=True)
class Unaudited:
    """A call that could not be audited, and why, in one line."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class AuditSet(NotebookRepr):
    """What one ``gilprobe audit``, or the audit of a module, yielded.

    Attributes
    ----------
    environment : Environment
        What it was measured on.
    audits : tuple of AuditResult
        In the order in which they were asked for.
    unaudited : tuple of Unaudited
        Calls that could not be audited.
    """

    environment: Environment
    audits: tuple[AuditResult, ...]
    unaudited: tuple[Unaudited, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"schema": 1, "environment": ..., "audits": [...], ...}``, ready for :mod:`json`."""
        body: dict[str, Any] = codec.encode(self)
        return {"schema": SCHEMA, **body}

    @classmethod
    def from_dict(cls, document: object) -> AuditSet:
        """Build a set from what :meth:`to_dict` returned.

        Raises
        ------
        FormatError
            If `document` has another schema, or not exactly the declared keys and types.
        """
        if not isinstance(document, dict):
            raise FormatError("a set of audits must be an object")
        body = dict(document)
        schema = body.pop("schema", None)
        if schema != SCHEMA or type(schema) is not int:
            raise FormatError(f"a set of audits must have schema {SCHEMA}, got {ascii(schema)[:40]}")
        return codec.decode(cls, body, "audits")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the audits as JSON, readable by their owner only (mode 0600)."""
        codec.write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> AuditSet:
        """Read what :meth:`save` wrote; :class:`~gilprobe.errors.FormatError` if it is anything else."""
        return codec.load(path, cls.from_dict)
