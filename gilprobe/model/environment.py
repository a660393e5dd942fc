"""The interpreter and machine of a measurement: plain data, read by :mod:`gilprobe.measuring.host`."""

from __future__ import annotations

from gilprobe.model.plain_data import dataclass

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from typing import Literal

    Build = Literal["gil", "free-threaded"]


@dataclass(frozen=True, slots=True)
class Environment:
    """The interpreter and the machine that a result was measured on.

    Attributes
    ----------
    gilprobe, python : str
        Versions.
    implementation : str
        For example ``"CPython"``.
    build : {"gil", "free-threaded"}
        How the interpreter was built.
    gil_enabled : bool
        Whether the GIL was on.
    compiler : str
        The interpreter's compiler.
    platform, machine, cpu : str
        Operating system and C library, architecture, processor model.
    cores : int
        Cores that the process could use, by affinity and cgroup limit.
    cores_online : int
        Cores that the machine has.
    switch_interval_s : float
        :func:`sys.getswitchinterval`, seconds.
    load_average : float or None
        Load average over one minute when the measurement began; None where the platform has none.
    clock : str
        The clock of the native core.
    started : str
        When the measurement began, ISO 8601 in UTC.
    """

    gilprobe: str
    python: str
    implementation: str
    build: Literal["gil", "free-threaded"]
    gil_enabled: bool
    compiler: str
    platform: str
    machine: str
    cpu: str
    cores: int
    cores_online: int
    switch_interval_s: float
    load_average: float | None
    clock: str
    started: str
