"""A law as a small picture: the expected range, the measured number, and its interval."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gilprobe.results import Claim

_LOGARITHMIC = 50.0
_MARGIN = 0.12


def bullet(claim: Claim) -> dict[str, float] | None:
    """Return positions from 0 to 1 for the ends of the range, the value and its interval.

    None if a single number is expected, or none.
    """
    if claim.low == claim.high:
        return None
    low = -math.inf if claim.low is None else claim.low
    high = math.inf if claim.high is None else claim.high
    told = (low, high, claim.value_low, claim.value, claim.value_high)
    ends = [end for end in told if math.isfinite(end)]
    least, most = min(ends), max(ends)
    if low == -math.inf:
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
        "from": place(low),
        "to": place(high),
        "low": place(claim.value_low),
        "value": place(claim.value),
        "high": place(claim.value_high),
    }
