"""Shorten the runs of a scenario with many arms, so that it takes no longer than one with few."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from gilprobe.measuring.measure import MIN_ARM_NS

if TYPE_CHECKING:
    from gilprobe.scenarios.scenario import Request

FEW = 8
"""Up to so many arms, runs keep their length: five repeats, calibration and trace take 13 s."""


def shortened(request: Request, arms: int) -> Request:
    """Return the request with shorter runs if there are more than a few arms.

    Never below `MIN_ARM_NS`, and never longer than before.
    """
    asked_ns = request.frame.arm_ns
    arm_ns = min(asked_ns, max(MIN_ARM_NS, asked_ns * FEW // max(arms, 1)))
    return dataclasses.replace(request, frame=dataclasses.replace(request.frame, arm_ns=arm_ns))
