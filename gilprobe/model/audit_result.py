"""The model of an audit: how far a call releases the GIL, and how it holds it. Plain data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from gilprobe.model import codec
from gilprobe.model.distribution import Distribution
from gilprobe.model.environment import Environment
from gilprobe.model.notebook_repr import NotebookRepr
from gilprobe.model.seconds import Seconds

SCHEMA = 1
"""Version of the saved form. A reader refuses every other."""


@dataclass(frozen=True, slots=True)
class Speedup:
    """How much faster several threads are than one.

    Attributes
    ----------
    threads : int
        Number of threads.
    measured, low, high : float
        Calls a second of all threads over those of one, and the bootstrap 95 % interval.
    allowed : float or None
        The maximum by the call's holds and the cores; None where nothing was traced.
    """

    threads: int
    measured: float
    low: float
    high: float
    allowed: float | None


@dataclass(frozen=True, slots=True)
class LongestHold:
    """The longest hold and where it ended; `function` is empty for the call itself.

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

    hold_s = Seconds("hold_ns", "Its length, seconds.")


@dataclass(frozen=True, slots=True)
class Holds:
    """The single holds of a call, from a trace of a few calls.

    Attributes
    ----------
    calls : int
        Number of traced calls.
    lengths : Distribution
        All their holds. These include the loop around the call: some 0.2 microseconds a call.
    first_fraction, last_fraction : float
        Share of a call's holds before its first release, and after its last acquisition: the median of the
        calls. Both are 1 without a release.
    longest : LongestHold
        The longest of them.
    cpu_fraction : float
        Share of the calling thread's holds in which it ran, in the best of some runs; otherwise it was
        blocked, or had no core.
    blocks : float or None
        How often per call its thread blocked in the kernel, with the GIL or without; None where unknown.
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
        """Number of holds per call."""
        return self.lengths.count / self.calls if self.calls else 0.0


@dataclass(frozen=True, slots=True)
class AuditedLock:
    """A lock that threads waited for in the call.

    Attributes
    ----------
    title : str
        What it is, in a few words.
    kind : str
        As in a :class:`~gilprobe.model.locks.Lock`.
    threads : int
        Number of threads that made the call at once; 1: the call waits even alone, for threads of its own.
    wait_share : float
        Share of these threads' time.
    wait_ns : int
        Wait per call, nanoseconds.
    function, filename, line : str, str, int
        Where they waited most.
    held_function, held_filename, held_line : str, str, int
        Where the lock was released that they waited for; empty if not seen.
    """

    title: str
    kind: str
    threads: int
    wait_share: float
    wait_ns: int
    function: str
    filename: str
    line: int
    held_function: str
    held_filename: str
    held_line: int


@dataclass(frozen=True, slots=True)
class AuditResult(NotebookRepr):
    """The audit of one call.

    Numbers are per call: the median of several runs of many calls, less the cost of the loop around the call.
    Those about holds are None where nothing could be traced.

    Attributes
    ----------
    name : str
        The statement, or the function's name.
    verdict : str
        In words.
    call_ns : int
        Its duration, untraced, nanoseconds.
    calls : int
        Number of traced calls, all runs together.
    released_fraction, released_low, released_high : float or None
        Share of the call in which other threads could run, and its bootstrap 95 % interval.
    hold_ns, released_ns : int or None
        Time with the GIL and without it, nanoseconds, including threads that the call starts or is called
        back from.
    releases : float or None
        Number of voluntary releases. Forced ones, which other threads caused, don't count.
    others_hold_ns : int or None
        The part of `hold_ns` from such threads.
    holds : Holds or None
        Its single holds.
    speedups : tuple of Speedup
        By rising number of threads.
    gil_switched_on_by : str
        The module whose import switched on the GIL of a free-threaded interpreter; empty if none.
    warnings : tuple of str
        All doubts about these numbers.
    environment : Environment
        What it was measured on.
    locks : tuple of AuditedLock or None
        Locks that threads waited for when one made the call alone, and when several did, by falling waits. In
        this run threads switch more often than usual. None where locks can't be traced.
    own_speedups : tuple of Speedup
        Without a GIL, as `speedups`, but with objects of its own for each thread; empty if there are none to
        copy.
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
    locks: tuple[AuditedLock, ...] | None = None
    own_speedups: tuple[Speedup, ...] = ()

    call_s = Seconds("call_ns", "How long the call takes, untraced, seconds.")

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
        """Speedup of the largest number of threads; None if only one was measured."""
        return self.speedups[-1].measured if self.speedups else None


@dataclass(frozen=True, slots=True)
class Unaudited:
    """A call that could not be audited, and the reason in one line."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class AuditSet(NotebookRepr):
    """The result of one ``gilprobe audit``, or of the audit of a module.

    Attributes
    ----------
    environment : Environment
        What it was measured on.
    audits : tuple of AuditResult
        In the order of the request.
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
        return codec.decode(cls, codec.versioned(document, SCHEMA, "a set of audits"), "audits")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the audits as JSON, readable by their owner only (mode 0600)."""
        codec.write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> AuditSet:
        """Read what :meth:`save` wrote; :class:`~gilprobe.errors.FormatError` if it is anything else."""
        return codec.load(path, cls.from_dict)
