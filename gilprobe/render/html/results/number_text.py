"""How a page of results writes numbers, by their kind."""

from __future__ import annotations

from typing import Literal

from gilprobe.render.shared.words import duration_on_page, scaled

NumberKind = Literal["ratio", "rate", "seconds", "share", "bytes", "number"]
"""Kind of a number; it decides axis and words."""

_SHARES = {"lost/update": "Share of updates lost"}
_PLAIN = (1e-3, 1e5)  # counts and indices in this range have no prefix
_BYTE_UNITS = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def kind_of(unit: str) -> NumberKind:
    """Return the kind of numbers with a unit of the model."""
    if unit == "s" or unit.startswith("s "):
        return "seconds"
    if unit in _SHARES or unit.startswith("of "):
        return "share"
    if unit == "bytes":
        return "bytes"
    return "rate" if unit.endswith("/s") else "number"


def heading_of(unit: str) -> str:
    """Return the title of a picture of numbers with this unit."""
    if unit in _SHARES:
        return _SHARES[unit]
    what, _, per = unit.rpartition("/")
    match kind_of(unit):
        case "seconds":
            return f"Time {unit[2:]}".strip()
        case "bytes":
            return "Memory"
        case "share":
            return f"Share {unit}"
        case "rate":
            return f"{what[:1].upper()}{what[1:]} per second"
        case _ if what in ("ns", "us", "ms", "s"):
            return f"Time per {per} ({what})"
        case _:
            return unit[:1].upper() + unit[1:] if unit else "Value"


def unit_beside(unit: str) -> str:
    """Return the unit to write beside a number in words, which may contain it already."""
    match kind_of(unit):
        case "seconds":
            return unit[1:].strip()
        case "bytes":
            return ""
        case _:
            return unit


def number_text(value: float, kind: NumberKind, unit: str = "") -> str:
    """Return a number in words, with `unit` unless the kind implies it."""
    match kind:
        case "ratio":
            return f"{value:.2f}x"
        case "share":
            return f"{100 * value:.3g}%"
        case "seconds":
            return duration_on_page(value) if value else "0 s"
        case "bytes":
            return _bytes(value)
        case "number" if value == 0 or _PLAIN[0] <= abs(value) < _PLAIN[1]:
            return f"{value:.4g} {unit}".strip()
        case _:
            (text,) = scaled(value)
            return f"{text} {unit}".strip()


def _bytes(value: float) -> str:
    for unit, factor in _BYTE_UNITS:
        if abs(value) >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value:.0f} B"
