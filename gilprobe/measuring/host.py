"""Describe this interpreter and machine: facts are read, never guessed, and None where the platform has none.

Every trace calls this when it starts, in other people's processes: load little, and start no process.
"""

from __future__ import annotations

import os
import sys
import time

from gilprobe._native import tracer

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from gilprobe.model.diagnosis import Diagnosis
    from gilprobe.model.environment import Build, Environment
    from gilprobe.model.machine import Capabilities, CpuTimes

_ROOT = ""
_IMPLEMENTATIONS = {"cpython": "CPython"}  # as in :mod:`platform`


def build() -> Build:
    """Return how the interpreter was built: ``"gil"`` or ``"free-threaded"``."""
    # sysconfig has Py_GIL_DISABLED, but its import takes tens of milliseconds on some builds.
    return "free-threaded" if "free-threading" in sys.version else "gil"


def gil_enabled() -> bool:
    """Return whether the GIL is on now. A free-threaded build can switch it on at run time (PEP 703)."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def affinity() -> tuple[int, ...]:
    """Return the numbers of the cores in the affinity mask; all cores where there is no mask."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def cgroup_quota(root: Path | str = _ROOT) -> float | None:
    """Return how many cores' worth of time the control groups allow, by the tightest limit.

    Parameters
    ----------
    root : path-like
        Folder of ``proc`` and ``sys``.

    Returns
    -------
    float or None
        Quota divided by period; None without a limit, or where there are no control groups.
    """
    limits = [limit for group in _cgroups(root, "cpu") if (limit := _cgroup_limit(group)) is not None]
    return min(limits, default=None)


def _cgroups(root: Path | str, controller: str) -> Iterator[str]:
    """Yield the directories of this process's control groups that can limit its CPU time or its memory.

    From the leaf to the root; `controller` is ``"cpu"`` or ``"memory"``.
    """
    mount = f"{root}/sys/fs/cgroup"
    for line in _read(f"{root}/proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        # Version 2 has one tree without controller names; version 1 has one tree per set of controllers.
        names = [f"/{controllers}", f"/{controller}"] if controllers else ["", "/unified"]
        # Inside a namespace the path may not exist below the mount, or leave it with ".."; its parents do
        # exist, down to the mount.
        below = [part for part in path.split("/") if part not in ("", "..")]
        for name in dict.fromkeys(names):
            yield from ("/".join([mount + name, *below[:depth]]) for depth in range(len(below), -1, -1))


def _cgroup_limit(group: str) -> float | None:
    text = _read(f"{group}/cpu.max")  # "max 100000" or "150000 100000"
    if not text:  # version 1: -1 is no limit
        text = " ".join(_read(f"{group}/cpu.cfs_{name}_us") for name in ("quota", "period"))
    try:
        quota, period = (int(word) for word in text.split())
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


def usable_cores(root: Path | str = _ROOT) -> int:
    """Return how many cores this process can keep busy, by affinity and control group; at least 1."""
    quota = cgroup_quota(root)
    allowed = len(affinity())
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def physical_cores(root: Path | str = _ROOT) -> int | None:
    """Return the number of physical cores in the affinity mask: two hardware threads of one count once.

    Returns
    -------
    int or None
        None where the platform does not tell.
    """
    siblings = {
        _read(f"{root}/sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list")
        for number in affinity()
    }
    return None if "" in siblings else len(siblings)


def last_level_cache(root: Path | str = _ROOT) -> int | None:
    """Return the size in bytes of the first core's largest cache.

    Returns
    -------
    int or None
        None where the platform does not tell.
    """
    from pathlib import Path

    folder = Path(f"{root}/sys/devices/system/cpu/cpu{affinity()[0]}/cache")
    sizes = [_bytes(_read(f"{index}/size")) for index in sorted(folder.glob("index*"))]
    return max(sizes, default=0) or None


def _bytes(text: str) -> int:
    """Return the number that ``"32768K"`` means; 0 for anything else."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    digits, unit = text[:-1], text[-1:]
    return int(digits) * units[unit] if digits.isdecimal() and unit in units else 0


def available_memory(root: Path | str = _ROOT) -> int | None:
    """Return how many bytes a program can safely use, by free memory and control groups.

    Returns
    -------
    int or None
        None where the platform does not tell.
    """
    left = []
    for line in _read(f"{root}/proc/meminfo").splitlines():
        words = line.split()
        if words[:1] == ["MemAvailable:"] and len(words) == 3:
            left.append(int(words[1]) << 10)
    for group in _cgroups(root, "memory"):
        left += _memory_left(group, "memory.max", "memory.current")
        left += _memory_left(group, "memory.limit_in_bytes", "memory.usage_in_bytes")  # version 1
    return min(left, default=None)


def _memory_left(group: str, limit: str, used: str) -> list[int]:
    most, now = _read(f"{group}/{limit}"), _read(f"{group}/{used}")
    return [max(0, int(most) - int(now))] if most.isdecimal() and now.isdecimal() else []


def load_average() -> float | None:
    """Return the load average over one minute; None where the platform has none."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def cpu_times(root: Path | str = _ROOT) -> CpuTimes | None:
    """Read ``/proc/stat`` (proc_stat(5)) for the cores of the affinity mask; None where there is none."""
    from gilprobe.model.machine import CpuTimes

    wanted = {f"cpu{number}" for number in affinity()}
    rows = [line.split() for line in _read(f"{root}/proc/stat").splitlines()]
    picked = [[int(word) for word in row[1:9]] for row in rows if row and row[0] in wanted and len(row) >= 9]
    if not picked:
        return None
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    # user nice system idle iowait irq softirq steal
    total = sum(map(sum, picked)) * tick_s
    idle = sum(row[3] + row[4] for row in picked) * tick_s
    steal = sum(row[7] for row in picked) * tick_s
    return CpuTimes(total_s=total, busy_s=total - idle - steal, steal_s=steal, own_s=time.process_time())


def cpu_model(root: Path | str = _ROOT) -> str:
    """Return the processor's model as the system names it, or the architecture."""
    try:
        # Line by line: the first core's lines come first; on a large machine all take milliseconds.
        with open(f"{root}/proc/cpuinfo", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() in ("model name", "Model", "cpu model"):
                    return value.strip()
    except OSError:
        pass
    return architecture()


def capabilities() -> Capabilities:
    """Return what this interpreter and machine support.

    Returns
    -------
    Capabilities
        Version and build of the interpreter, whether the tracer works, the clock, the usable cores.
    """
    from gilprobe.model.machine import Capabilities

    works, reason = tracer.support()
    locks, locks_reason = tracer.locks_support()
    return Capabilities(
        python=sys.version.split()[0],
        build=build(),
        gil_enabled=gil_enabled(),
        tracer="exact" if works else "none",
        tracer_reason="" if works else reason,
        clock=tracer.clock_name(),
        cores=usable_cores(),
        locks="exact" if locks else "none",
        locks_reason=locks_reason,
    )


def read_environment() -> Environment:
    """Return the interpreter and the machine, as they are now, for a measurement."""
    from gilprobe.model.environment import Environment

    return Environment(**environment_facts())


def environment_facts() -> dict[str, Any]:
    """Return the fields of :func:`read_environment`, without loading the model."""
    from gilprobe import __version__

    return {
        "gilprobe": __version__,
        "python": sys.version.split()[0],
        "implementation": _IMPLEMENTATIONS.get(sys.implementation.name, sys.implementation.name),
        "build": build(),
        "gil_enabled": gil_enabled(),
        "compiler": sys.version.partition("[")[2].rpartition("]")[0],
        "platform": platform_name(),
        "machine": architecture(),
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "cores_online": os.cpu_count() or 1,
        "switch_interval_s": sys.getswitchinterval(),
        "load_average": load_average(),
        "clock": tracer.clock_name(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def architecture() -> str:
    """Return the machine's architecture, as :func:`platform.machine` names it."""
    if hasattr(os, "uname"):
        return os.uname().machine
    import platform  # its imports would cost a measured program 10 ms

    return platform.machine()


def platform_name() -> str:
    """Return operating system and C library, on Linux with glibc as from :func:`platform.platform`.

    That function may start a process, ``uname -p``, which a measured program should not do.
    """
    if not hasattr(os, "uname"):
        return sys.platform
    system = os.uname()
    name = f"{system.sysname}-{system.release}-{system.machine}"
    library = _c_library() if system.sysname == "Linux" else ""
    return f"{name}-with-{library}" if library else name


def _c_library() -> str:
    """Return the C library's name, with its version if it is glibc; empty if unknown."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").replace(" ", "")
    except (AttributeError, ValueError, OSError):
        # the triplet of the interpreter's build: x86_64-linux-musl
        return "musl" if getattr(sys.implementation, "_multiarch", "").endswith("musl") else ""


def diagnose() -> Diagnosis:
    """Return what ``gilprobe doctor`` shows about this interpreter and machine."""
    from gilprobe.model.diagnosis import Diagnosis

    return Diagnosis(
        capabilities=capabilities(),
        environment=read_environment(),
        clock_cost_ns=tracer.clock_cost_ns(),
        cores_affinity=len(affinity()),
        cores_quota=cgroup_quota(),
        cores_physical=physical_cores(),
    )


def _read(path: str) -> str:
    """Return the file's text without surrounding space; empty if it can't be read."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # all else costs a measured program more
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""
