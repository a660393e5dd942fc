"""The model of shared use: which objects cost threads time by being shared. Plain data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

from gilprobe.model import codec
from gilprobe.model.environment import Environment

SCHEMA = 1
"""Version of the saved form. A reader refuses every other."""

Cause = Literal["reference count", "lock", "other"]


@dataclass(frozen=True, slots=True)
class SharedObject:
    """An object that threads lose time by sharing.

    Attributes
    ----------
    name : str
        How code gets at it.
    kind : str
        Its type.
    cause : str
        ``"reference count"``, ``"lock"`` (the object's own), or ``"other"``.
    factor, low, high : float
        How many times as long a call takes if the threads share this object and no other, and the bootstrap
        95 % interval.
    changes_per_s : float
        How often in a second its count was seen to change; in truth more often.
    locked : float
        Share of the looks at it in which its lock was held.
    """

    name: str
    kind: str
    cause: Cause
    factor: float
    low: float
    high: float
    changes_per_s: float
    locked: float


@dataclass(frozen=True, slots=True)
class SharingResult:
    """What several threads lose if they make the same call at once, by the objects that they share.

    Attributes
    ----------
    name : str
        The statement, or the function's name.
    verdict : str
        In words.
    threads : int
        How many made the call at once.
    alone_ns, shared_ns, own_ns : float
        Duration of a call: by one thread; by all at once; by all at once, each with its own objects.
    factor, low, high : float
        `shared_ns` over `own_ns`, and the bootstrap 95 % interval.
    objects : tuple of SharedObject
        Those that cost time, the largest factor first.
    reached : int
        How many objects the call reaches.
    warnings : tuple of str
        All doubts about these numbers.
    environment : Environment
        What it was measured on.
    """

    name: str
    verdict: str
    threads: int
    alone_ns: float
    shared_ns: float
    own_ns: float
    factor: float
    low: float
    high: float
    objects: tuple[SharedObject, ...]
    reached: int
    warnings: tuple[str, ...]
    environment: Environment

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"schema": 1, "name": ..., "objects": [...], ...}``, ready for :mod:`json`."""
        body: dict[str, Any] = codec.encode(self)
        return {"schema": SCHEMA, **body}

    @classmethod
    def from_dict(cls, document: object) -> SharingResult:
        """Build a result from what :meth:`to_dict` returned.

        Raises
        ------
        FormatError
            If `document` has another schema, or not exactly the declared keys and types.
        """
        return codec.decode(cls, codec.versioned(document, SCHEMA, "shared use"), "shared use")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result as JSON, readable by its owner only (mode 0600)."""
        codec.write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SharingResult:
        """Read what :meth:`save` wrote; :class:`~gilprobe.errors.FormatError` if it is anything else."""
        return codec.load(path, cls.from_dict)
