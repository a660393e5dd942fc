"""What this interpreter and machine support, and how busy it is: read by :mod:`gilprobe.measuring.host`."""

from __future__ import annotations

from gilprobe.model.plain_data import dataclass

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from typing import Literal

    from gilprobe.model.environment import Build


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this interpreter and machine support.

    Attributes
    ----------
    python : str
        Version of the interpreter, for example ``"3.13.0"``.
    build : {"gil", "free-threaded"}
        How the interpreter was built.
    gil_enabled : bool
        Whether the GIL is on now; always true on a ``"gil"`` build.
    tracer : {"exact", "none"}
        Whether :func:`gilprobe.trace` can record the GIL here.
    tracer_reason : str
        Why it can't, in one line; else empty.
    clock : str
        The clock that the tracer reads: ``"tsc"``, ``"cntvct"`` or ``"monotonic"``.
    cores : int
        Cores that this process may use, by affinity and cgroup limit.
    locks : {"exact", "none"}
        Whether :func:`gilprobe.trace` can record waits for locks here.
    locks_reason : str
        Why it can't, in one line; else empty.
    """

    python: str
    build: Build
    gil_enabled: bool
    tracer: Literal["exact", "none"]
    tracer_reason: str
    clock: str
    cores: int
    locks: Literal["exact", "none"] = "none"
    locks_reason: str = ""


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Time of the cores in the affinity mask since boot, all together.

    Attributes
    ----------
    total_s, busy_s, steal_s : float
        In all states; running processes; taken by the hypervisor. Seconds.
    own_s : float
        CPU time of this process.
    """

    total_s: float
    busy_s: float
    steal_s: float
    own_s: float
