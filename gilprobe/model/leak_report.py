"""The model of a hunt for leaks: what each call leaves behind, with the evidence."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

from gilprobe.errors import FormatError
from gilprobe.model import codec
from gilprobe.model.environment import Environment
from gilprobe.model.notebook_repr import NotebookRepr

SCHEMA = 1
"""Version of the saved form. A reader refuses every other."""

LeakKind = Literal[
    "reference", "objects", "descriptors", "threads", "total", "interned", "blocks", "heap", "memory"
]


@dataclass(frozen=True, slots=True)
class LeakFinding:
    """Something that increases or decreases with every call.

    Attributes
    ----------
    kind : str
        What was counted: references to one object (``"reference"``), objects of one type (``"objects"``),
        file ``"descriptors"``, ``"threads"``, the references to all objects (``"total"``, debug builds),
        ``"interned"`` strings, the interpreter's memory ``"blocks"``, bytes of C's ``"heap"``, and those of
        the process's ``"memory"``, if it ended the hunt early and nothing else was found.
    what : str
        Its name: ``"references to argument 1 (dict)"``, ``"list objects"``.
    per_call : float
        The increase per call. Below zero, references are dropped that were not taken: the object will be
        freed while in use.
    low, high : float
        The 99 % interval of `per_call`.
    every_repetition : bool
        Whether each repetition left at least one: the rule of CPython's ``regrtest -R``.
    evidence : tuple of str
        The evidence, and who holds the objects, a sentence each.
    root : str or None
        `what` of the finding whose objects refer to these; None if there is none.
    """

    kind: LeakKind
    what: str
    per_call: float
    low: float
    high: float
    every_repetition: bool
    evidence: tuple[str, ...]
    root: str | None = None


@dataclass(frozen=True, slots=True)
class Garbage:
    """Objects that each call leaves in reference cycles: no leak, the garbage collector frees them.

    Attributes
    ----------
    per_call : float
        Objects per call.
    types : tuple of str
        Their types, the most frequent first; at most five.
    """

    per_call: float
    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LeakReport(NotebookRepr):
    """The result of a hunt for leaks in one function.

    Attributes
    ----------
    function : str
        Its name.
    leaking : bool
        Whether there are findings.
    findings : tuple of LeakFinding
        The most important first.
    calls : int
        Number of calls, including warm-up.
    repeats : int
        Repetitions judged first; if they looked like a leak, as many longer ones followed.
    warmup : int
        Uncounted repetitions before those.
    raised : int
        Calls that raised an exception.
    exception : str
        The first one's type and message; ``""`` if no call raised.
    elapsed_s : float
        Duration of the hunt, seconds.
    environment : Environment
        What it ran on.
    warnings : tuple of str
        All doubts about the verdict.
    uncertain : str or None
        Why the verdict is uncertain (too few calls), and what helps; None if it is certain.
    garbage : Garbage or None
        Objects that each call leaves in reference cycles. None if there are none, or if other threads ran or
        the hunt ended early.
    """

    function: str
    leaking: bool
    findings: tuple[LeakFinding, ...]
    calls: int
    repeats: int
    warmup: int
    raised: int
    exception: str
    elapsed_s: float
    environment: Environment
    warnings: tuple[str, ...]
    uncertain: str | None = None
    garbage: Garbage | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the report as dicts, lists and scalars, ready for :mod:`json`."""
        body: dict[str, Any] = codec.encode(self)
        return {"kind": "gilprobe.leaks", "schema": SCHEMA, **body}

    @classmethod
    def from_dict(cls, document: object) -> LeakReport:
        """Build a report from what :meth:`to_dict` returned.

        Raises
        ------
        FormatError
            If `document` has another schema, or not exactly the declared keys and types.
        """
        if not isinstance(document, dict):
            raise FormatError("a leak report must be an object")
        body = dict(document)
        kind, schema = body.pop("kind", None), body.pop("schema", None)
        if kind != "gilprobe.leaks" or schema != SCHEMA or type(schema) is not int:
            raise FormatError(
                f"a leak report must be of kind 'gilprobe.leaks' and schema {SCHEMA}, "
                f"got {ascii(kind)[:40]} and {ascii(schema)[:40]}"
            )
        return codec.decode(cls, body, "leaks")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report as JSON, readable by its owner only (mode 0600)."""
        codec.write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LeakReport:
        """Read what :meth:`save` wrote; :class:`~gilprobe.errors.FormatError` if it is anything else."""
        return codec.load(path, cls.from_dict)
