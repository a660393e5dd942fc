"""The page's lines about the machine, read without gilprobe, since the benchmark runs from a checkout."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any


def described() -> dict[str, Any]:
    """Return date, interpreter and machine."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release().partition("-")[0],
        "load": os.getloadavg()[0],
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


class Busy:
    """How much of the machine others used while the benchmark ran."""

    def __init__(self) -> None:
        self._before = _times()

    def doubt(self) -> str:
        """Return a doubt about the figures; "" if there is none."""
        load = os.getloadavg()[0]
        steal = _share(self._before, _times())
        words = []
        if load > 1.5 * (os.cpu_count() or 1):  # a sampler, a client and two threads keep two cores busy
            words.append(f"the load average was {load:.1f} at the end")
        if steal > 0.01:
            words.append(f"the hypervisor took {steal:.0%} of the time")
        return ", ".join(words)


def _times() -> list[int]:
    try:
        first = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0]
    except OSError:
        return []
    return [int(field) for field in first.split()[1:]]


def _share(before: list[int], after: list[int]) -> float:
    """Return the share of stolen time, the eighth column."""
    if len(before) < 8 or len(after) < 8:
        return 0.0
    spent = [late - early for early, late in zip(before, after, strict=True)]
    return spent[7] / max(1, sum(spent[:8]))
