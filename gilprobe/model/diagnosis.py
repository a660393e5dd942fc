"""The model of ``gilprobe doctor``: plain data, read by :mod:`gilprobe.measuring.host`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gilprobe.model import codec

if TYPE_CHECKING:
    from gilprobe.model.environment import Environment
    from gilprobe.model.machine import Capabilities

SCHEMA = 1
"""Version of the printed form."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What this interpreter and machine support, and their limits.

    Attributes
    ----------
    capabilities : Capabilities
        What works here.
    environment : Environment
        The interpreter and the machine.
    clock_cost_ns : float
        Cost of one reading of the native core's clock, nanoseconds.
    cores_affinity : int
        Cores in the affinity mask.
    cores_quota : float or None
        Cores' worth of time allowed by the control group; None without a limit.
    cores_physical : int or None
        Physical cores in the affinity mask; None where unknown.
    """

    capabilities: Capabilities
    environment: Environment
    clock_cost_ns: float
    cores_affinity: int
    cores_quota: float | None
    cores_physical: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return the diagnosis as dicts, lists and scalars, ready for :mod:`json`."""
        body: dict[str, Any] = codec.encode(self)
        return {"schema": SCHEMA, **body}
