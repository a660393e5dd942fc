"""The model of a comparison of two saved results, arm by arm, with significance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from gilprobe.model import codec
from gilprobe.model.environment import Environment
from gilprobe.results import Arm, Verdict

SCHEMA = 1
"""Version of the saved form."""

Difference = Literal["higher", "lower", "no difference shown"]


@dataclass(frozen=True, slots=True)
class ArmPair:
    """One arm in both results.

    Attributes
    ----------
    name, threads, unit
        Those of the arm, in both.
    before, after : Arm
        The measured arms.
    ratio, low, high : float or None
        Median of `after` over that of `before` with its bootstrap 95 % interval; None if a number is zero or
        below.
    p : float
        Probability of so large a difference by chance: two-sided rank-sum test, for this arm alone.
    p_adjusted : float
        The same, adjusted for all arms of the scenario by Holm's method.
    difference : {"higher", "lower", "no difference shown"}
        Of `after`, if `p_adjusted` is at most 0.05. The unit says whether higher is better.
    """

    name: str
    threads: int
    unit: str
    before: Arm
    after: Arm
    ratio: float | None
    low: float | None
    high: float | None
    p: float
    p_adjusted: float
    difference: Difference


@dataclass(frozen=True, slots=True)
class LawPair:
    """A law whose verdict differs."""

    text: str
    before: Verdict
    after: Verdict


@dataclass(frozen=True, slots=True)
class ScenarioPair:
    """One scenario in both results.

    Attributes
    ----------
    id, title : str
        The scenario's.
    before, after : Environment
        The machine and interpreter of each.
    arms : tuple of ArmPair
        Arms in both.
    only_before, only_after : tuple of str
        Arms in only one.
    laws : tuple of LawPair
        Laws whose verdict differs.
    warnings : tuple of str
        Doubts about the comparison: those of both results, and unequal machines.
    """

    id: str
    title: str
    before: Environment
    after: Environment
    arms: tuple[ArmPair, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    laws: tuple[LawPair, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two saved results side by side.

    Attributes
    ----------
    before, after : str
        Names of the files.
    scenarios : tuple of ScenarioPair
        Scenarios in both.
    only_before, only_after : tuple of str
        Scenarios in only one.
    warnings : tuple of str
        Differences between the machines.
    """

    before: str
    after: str
    scenarios: tuple[ScenarioPair, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as dicts, lists and scalars, ready for :mod:`json`."""
        body: dict[str, Any] = codec.encode(self)
        return {"kind": "gilprobe.comparison", "schema": SCHEMA, **body}
