"""What can change while a process runs, read when a measurement begins: little to load or to wait for."""

from __future__ import annotations

import os
import sys
import time


def gil_enabled() -> bool:
    """Return whether the GIL is on now. A free-threaded build can switch it on at run time (PEP 703)."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def load_average() -> float | None:
    """Return the load average over one minute; None where the platform has none."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


class Moment:
    """When a measurement begins, and what is so then.

    Attributes
    ----------
    started_s : float
        Seconds since 1970.
    gil_enabled : bool
        Whether the GIL is on.
    switch_interval_s : float
        :func:`sys.getswitchinterval`.
    load_average : float or None
        Over one minute; None where the platform has none.
    """

    __slots__ = ("gil_enabled", "load_average", "started_s", "switch_interval_s")

    def __init__(self) -> None:
        self.started_s = time.time()
        self.gil_enabled = gil_enabled()
        self.switch_interval_s = sys.getswitchinterval()
        self.load_average = load_average()
