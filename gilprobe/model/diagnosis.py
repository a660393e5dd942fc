"""What ``gilprobe doctor`` tells: plain data, read by :mod:`gilprobe.measuring.host`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gilprobe.model import codec

if TYPE_CHECKING:
    from gilprobe.model.environment import Capabilities, Environment

SCHEMA = 1
"""Version of the printed form."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What this interpreter and machine support, and where the limits come from.

    Attributes
    ----------
    capabilities : Capabilities
        What works here, and why not.
    environment : Environment
        The interpreter and the machine.
    clock_cost_ns : float
        Nanoseconds that one reading of the native core's clock takes.
    cores_affinity : int
        Cores that the affinity mask allows.
    cores_quota : float or None
        Cores' worth of time that the control group allows; None without a limit.
    cores_physical : int or None
        Physical cores behind those of the affinity mask; None where the platform does not tell.
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
