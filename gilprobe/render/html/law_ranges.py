"""What a law expects and what was measured, as numbers: a scenario's laws tell both in words, with units.

:mod:`gilprobe.scenarios.laws` writes ``0.90x to 1.05x`` and ``0.98x (0.97x to 1.01x)``; other scenarios write
like it. What does not read as a range or a number is no range: it is shown in words only.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gilprobe.results import Law

_NUMBER = r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?"
_UNIT = r"(?:x|%|ns|us|ms|s)(?!\w)"
_QUANTITY = rf"({_NUMBER})\s?({_UNIT})?"
_BETWEEN = re.compile(rf"{_QUANTITY} to {_QUANTITY}(?!\w)(.*)$")
_BEYOND = re.compile(rf"[^\d<>]*([<>])=? ?{_QUANTITY}(?!\w)(.*)$")
_EQUAL = re.compile(rf"{_QUANTITY}(?: \D*)?$")
_MEASURED = re.compile(rf"\D*?{_QUANTITY}(?:[^(\d]*\({_QUANTITY} to {_QUANTITY})?")
_TEAM = re.compile(r"(?:^|, )(\d+) (?:threads?|members)$")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
_LONGEST = 300  # of a text that is read: these come from files


@dataclass(frozen=True, slots=True)
class Range:
    """What a law expects: `low` to `high`, in `unit` (``"x"``, ``"%"``, ``"s"`` or ``""``), and the rest."""

    low: float
    high: float
    unit: str
    rest: str


def expected_range(law: Law) -> Range | None:
    """Return what the law expects as a range, open ends infinite; None where it tells no number."""
    text = law.expected
    if len(text) > _LONGEST:
        return None
    if found := _BETWEEN.match(text):
        unit = found[2] or found[4]
        low, high = _quantity(found[1], unit), _quantity(found[3], found[4])
        return _checked(low[0], high[0], high[1] or low[1], found[5])
    if found := _BEYOND.match(text):
        value, unit = _quantity(found[2], found[3])
        ends = (-math.inf, value) if found[1] == "<" else (value, math.inf)
        return _checked(*ends, unit, found[4])
    if found := _EQUAL.match(text):
        value, unit = _quantity(found[1], found[2])
        return _checked(value, value, unit, "")
    return None


def _checked(low: float, high: float, unit: str, rest: str) -> Range | None:
    told = low <= high and (math.isfinite(low) or math.isfinite(high))
    return Range(low, high, unit, rest.strip()) if told else None


def measured_interval(law: Law) -> tuple[float, float, float, str] | None:
    """Return what was measured, both ends of its interval (itself where none is told) and its unit.

    None where no number is told.
    """
    found = _MEASURED.match(law.measured[:_LONGEST])
    if found is None:
        return None
    value, unit = _quantity(found[1], found[2])
    low = high = value
    if found[3] is not None:
        low, _ = _quantity(found[3], found[4] or found[2])
        high, _ = _quantity(found[5], found[6] or found[2])
    ends = min(low, value), max(high, value)
    return (value, *ends, unit) if all(map(math.isfinite, ends)) else None


def _quantity(number: str, unit: str | None) -> tuple[float, str]:
    value = float(number.replace(",", ""))
    if unit in _SECONDS:
        return value * _SECONDS[unit], "s"
    return value, unit or ""


def bullet(law: Law) -> dict[str, float] | None:
    """Return a law as a small picture: places from 0 to 1 of the expected range, the value and its interval.

    None where one of both sides is no number, they are no numbers of one kind, or one number is expected.
    """
    wanted, found = expected_range(law), measured_interval(law)
    if wanted is None or found is None or wanted.unit != found[3] or wanted.low == wanted.high:
        return None
    if law.verdict == "not testable here" and "unstable" not in law.measured:
        return None  # the number is part of a reason
    value, low, high, _ = found
    ends = [end for end in (wanted.low, wanted.high, low, high, value) if math.isfinite(end)]
    least, most = min(ends), max(ends)
    if wanted.low == -math.inf:
        least = min(least, 0.0)
    if most == least:
        least, most = least - (abs(least) or 1.0), most + (abs(most) or 1.0)
    logarithmic = least > 0 and most / least > _LOGARITHMIC
    if logarithmic:
        least, most = math.log(least), math.log(most)
    margin = _MARGIN * (most - least)
    least, most = least - margin, most + margin

    def place(end: float) -> float:
        if math.isinf(end):
            return 0.0 if end < 0 else 1.0
        at = math.log(end) if logarithmic else end
        return round((at - least) / (most - least), 4)

    return {
        "from": place(wanted.low),
        "to": place(wanted.high),
        "low": place(low),
        "value": place(value),
        "high": place(high),
    }


_LOGARITHMIC = 50.0
_MARGIN = 0.12


def team(law: Law) -> int | None:
    """Return for how many threads the law is, if it says so at its end."""
    found = _TEAM.search(law.text[-40:])
    return int(found[1]) if found else None


def arm_named(law: Law, names: Iterable[str]) -> str | None:
    """Return the arm that the law is about: the one that it begins with or ends with, or the only one."""
    names = list(names)
    text = law.text
    head = text.partition(":")[0]
    for name in sorted(names, key=len, reverse=True):
        if head == name or text.startswith((f"{name}:", f"{name},")) or text.endswith(f": {name}"):
            return name
    begun = [name for name in names if ":" in text and name.startswith(f"{head} ")]
    if len(begun) == 1:
        return begun[0]
    return names[0] if len(names) == 1 else None
