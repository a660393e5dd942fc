"""The model of a scenario's result: arms, facts and laws. Plain data, no clock."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

from gilprobe.errors import FormatError, InvalidValueError
from gilprobe.model import codec
from gilprobe.model.environment import Environment
from gilprobe.model.notebook_repr import NotebookRepr
from gilprobe.report import Report

SCHEMA = 1
"""Version of the saved form. A reader refuses every other."""

Verdict = Literal["holds", "does not hold", "not testable here"]


@dataclass(frozen=True, slots=True)
class Arm:
    """One side of a comparison, measured repeatedly.

    Attributes
    ----------
    name : str
        For example ``"held"``.
    threads : int
        Number of threads that did the work.
    unit : str
        Unit of the numbers, for example ``"operations/s"``.
    median, low, high : float
        Median of the samples and its bootstrap 95 % interval.
    samples : tuple of float
        One number per repeat, in the order of measurement.
    """

    name: str
    threads: int
    unit: str
    median: float
    low: float
    high: float
    samples: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """A number derived from the arms or a trace, with its unit (``""`` for a ratio or a count)."""

    name: str
    value: float
    unit: str


def fact_name(*parts: object) -> str:
    """Return the name of a fact from its parts: ``"speedup_dict_private_2"``."""
    return "_".join(str(part).replace(", ", "_").replace(" ", "_") for part in parts)


@dataclass(frozen=True, slots=True)
class Claim:
    """A law in numbers: the expected range, and the measured value.

    Attributes
    ----------
    quantity : {"value", "speedup", "other"}
        The arm's own number; the arm's number over its single thread's; or one from elsewhere, such as a
        traced run.
    unit : str
        ``"x"`` for a ratio, ``"share"`` for a part of 1, ``"s"``, ``"requests/s"``; ``""`` for a count or an
        index.
    judged : {"interval", "value"}
        Whether the law holds if the interval overlaps the range, or if the value lies in it.
    value, value_low, value_high : float
        The measured value and both ends of its interval; without one, the value itself.
    arm, threads : str, int or None
        The law's arm and its number of threads; None: no single one.
    low, high : float or None
        Ends of the range, inclusive; None: open.
    """

    quantity: Literal["value", "speedup", "other"]
    unit: str
    judged: Literal["interval", "value"]
    value: float
    value_low: float
    value_high: float
    arm: str | None = None
    threads: int | None = None
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        """Refuse invalid ranges and intervals: a claim may come from a file."""
        if self.low is not None and self.high is not None and self.low > self.high:
            raise InvalidValueError(f"low must be <= high, got {self.low} and {self.high}")
        if not self.value_low <= self.value <= self.value_high:
            interval = self.value_low, self.value, self.value_high
            raise InvalidValueError(f"value must lie in its interval, got {interval}")


@dataclass(frozen=True, slots=True)
class Law:
    """What theory expects, and what was measured.

    Attributes
    ----------
    text : str
        The law in words.
    expected, measured : str
        Both sides as shown, with units.
    verdict : {"holds", "does not hold", "not testable here"}
        Whether it holds on this machine and interpreter.
    claim : Claim or None
        Both sides as numbers; None where they are words or nothing was measured, and in results of older
        versions.
    """

    text: str
    expected: str
    measured: str
    verdict: Verdict
    claim: Claim | None = None


@dataclass(frozen=True, slots=True)
class TracedArm:
    """The trace of one extra, untimed run of an arm, to explain its number."""

    name: str
    threads: int
    report: Report


@dataclass(frozen=True, slots=True)
class ScenarioResult(NotebookRepr):
    """The result of one scenario.

    Attributes
    ----------
    id, title : str
        The scenario's identifier and its one-line description.
    arms : tuple of Arm
        The measured sides.
    facts : tuple of Fact
        Derived numbers.
    laws : tuple of Law
        Expectations and verdicts.
    printed : str
        Output of the shown code; empty for a scenario that only measures.
    traces : tuple of TracedArm
        Traces of the arms, where the tracer works.
    environment : Environment
        What it was measured on.
    warnings : tuple of str
        All doubts about these numbers.
    machine : str
        Name of the machine, if one of a cluster measured it; else empty.
    """

    id: str
    title: str
    arms: tuple[Arm, ...]
    facts: tuple[Fact, ...]
    laws: tuple[Law, ...]
    printed: str
    traces: tuple[TracedArm, ...]
    environment: Environment
    warnings: tuple[str, ...]
    machine: str = ""

    def fact(self, name: str) -> float:
        """Return the value of the fact called `name`; KeyError if there is none."""
        for fact in self.facts:
            if fact.name == name:
                return fact.value
        raise KeyError(name)

    def arm(self, name: str, threads: int) -> Arm:
        """Return the arm called `name` with `threads` threads; KeyError if there is none."""
        for arm in self.arms:
            if (arm.name, arm.threads) == (name, threads):
                return arm
        raise KeyError((name, threads))


@dataclass(frozen=True, slots=True)
class ResultSet(NotebookRepr):
    """The result of one ``gilprobe run``: the scenarios' results and their common machine."""

    environment: Environment
    scenarios: tuple[ScenarioResult, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"schema": 1, "environment": ..., "scenarios": [...]}``, ready for :mod:`json`."""
        body: dict[str, Any] = codec.encode(self)
        for scenario in body["scenarios"]:  # beside the laws: scripts rely on the laws' keys
            claims = [law.pop("claim", None) for law in scenario["laws"]]
            if any(claims):
                scenario["claims"] = claims
        return {"schema": SCHEMA, **body}

    @classmethod
    def from_dict(cls, document: object) -> ResultSet:
        """Build a result set from what :meth:`to_dict` returned.

        Raises
        ------
        FormatError
            If `document` has another schema, or not exactly the declared keys and types.
        """
        body = codec.versioned(document, SCHEMA, "a result set")
        return codec.decode(cls, _with_claims(body), "results")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the results as JSON, readable by their owner only (mode 0600)."""
        codec.write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ResultSet:
        """Read what :meth:`save` wrote; :class:`~gilprobe.errors.FormatError` if it is anything else."""
        return codec.load(path, cls.from_dict)


def _with_claims(body: dict[str, Any]) -> dict[str, Any]:
    """Return the document with its claims moved into the laws, if it has claims."""
    scenarios = body.get("scenarios")
    if not isinstance(scenarios, list):
        return body
    return body | {"scenarios": [_claiming(scenario) for scenario in scenarios]}


def _claiming(scenario: object) -> object:
    if not isinstance(scenario, dict) or "claims" not in scenario:
        return scenario
    claims, laws = scenario["claims"], scenario.get("laws")
    if not isinstance(claims, list) or not isinstance(laws, list) or len(claims) != len(laws):
        raise FormatError("claims must be a list with an entry for each law")
    with_claims = [
        law | {"claim": claim} if isinstance(law, dict) and claim is not None else law
        for law, claim in zip(laws, claims, strict=True)
    ]
    return {name: value for name, value in scenario.items() if name != "claims"} | {"laws": with_claims}
