"""How people read and write durations."""

from __future__ import annotations

from gilprobe.errors import InvalidValueError

_UNITS_S = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_SHOWN = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
_LONGEST_S = 1e9  # about thirty years: clocks and locks can count it


def parse_duration(text: str, option: str) -> float:
    """Return the seconds in ``"100ms"``, ``"0.5s"``, ``"250us"`` or ``"2"``.

    Parameters
    ----------
    text : str
        A decimal number and a unit: ``s`` (also without any), ``ms``, ``us``, ``ns``.
    option : str
        The option's name, for the error message.

    Raises
    ------
    InvalidValueError
        If it is not a duration, not above 0, or more than 1e9 seconds.
    """
    import re

    found = re.fullmatch(
        r"([0-9]{1,12}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})\s*(s|ms|us|ns|)", text.strip(), re.ASCII
    )
    seconds = float(found[1]) * _UNITS_S[found[2]] if found else 0.0
    if not 0 < seconds <= _LONGEST_S:
        raise InvalidValueError(
            f"{option} must be a time above 0 such as 100ms, 0.5s or 2, got {ascii(text)[:60]}"
        )
    return seconds


def duration(seconds: float) -> str:
    """Return seconds with three digits and a fitting unit: ``"12.3 ms"``; the pages' scripts do the same."""
    size = abs(seconds)
    if size >= 999.5:
        return f"{seconds:.0f} s"
    # What would round to 1000 of a unit is shown as 1 of the next.
    factor, unit = next((pair for pair in _SHOWN if size >= 0.9995 * pair[0]), _SHOWN[-1])
    return f"{seconds / factor:.3g} {unit}"
