"""How long the runs of a scenario with many arms may be, so that it takes no longer than one with few."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from gilprobe.measuring.measure import MIN_ARM_NS

if TYPE_CHECKING:
    from gilprobe.scenarios.scenario import Request

FEW = 8
"""Arms that can run as long as they are asked to: five repeats, calibration and trace take 13 s."""


def shortened(request: Request, arms: int) -> Request:
    """Return the request with shorter runs if there are more than a few arms.

    Never below what counts as a measurement (`MIN_ARM_NS`), and never longer than they were.
    """
    asked_ns = request.frame.arm_ns
    arm_ns = min(asked_ns, max(MIN_ARM_NS, asked_ns * FEW // max(arms, 1)))
    return dataclasses.replace(request, frame=dataclasses.replace(request.frame, arm_ns=arm_ns))
