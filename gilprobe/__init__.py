"""Measure who holds the GIL, who waits for it and for how long, and how the same work runs without it.

``import gilprobe`` loads only the standard library. The names below, and the native core, are imported at
first use, since gilprobe runs in other people's processes.

Keeps pytest from warning that the plugin's package was imported before: PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import _imp
import os

_CORE = f"{__path__[0]}/_native/tracer"
if not any(os.path.exists(_CORE + suffix) for suffix in _imp.extension_suffixes()):  # noqa: PTH110  # cheaper
    raise ImportError(
        f"gilprobe's compiled core is missing in {__path__[0]!r}: install it with `pip install .`, and "
        "import it from outside the checkout"
    )

TYPE_CHECKING = False  # type checkers know the name; importing typing costs more than everything else here
if TYPE_CHECKING:
    from typing import Any

    from gilprobe import kernels, refs
    from gilprobe.attached.dormant import arm
    from gilprobe.auditing import audit, audit_module
    from gilprobe.auditing.sharing import sharing
    from gilprobe.errors import GilProbeError
    from gilprobe.measuring.host import capabilities
    from gilprobe.model.audit_result import AuditResult
    from gilprobe.model.machine import Capabilities
    from gilprobe.model.monitor_reading import MonitorReading
    from gilprobe.model.sharing_result import SharingResult
    from gilprobe.report import Report, ThreadAccount
    from gilprobe.results import ScenarioResult
    from gilprobe.scenarios import run
    from gilprobe.tracing.flight_recorder import FlightRecorder, flight_recorder
    from gilprobe.tracing.labelling import label, thread_times
    from gilprobe.tracing.merging import merge
    from gilprobe.tracing.monitoring import Monitor, monitor
    from gilprobe.tracing.stall_alarm import alarm
    from gilprobe.tracing.stall_watch import watch_stalls
    from gilprobe.tracing.tracer import Trace, trace

__version__ = "0.1.0"

__all__ = [
    "AuditResult",
    "Capabilities",
    "FlightRecorder",
    "GilProbeError",
    "Monitor",
    "MonitorReading",
    "Report",
    "ScenarioResult",
    "SharingResult",
    "ThreadAccount",
    "Trace",
    "alarm",
    "arm",
    "audit",
    "audit_module",
    "capabilities",
    "flight_recorder",
    "kernels",
    "label",
    "merge",
    "monitor",
    "refs",
    "run",
    "sharing",
    "thread_times",
    "trace",
    "watch_stalls",
]

# public name -> module that defines it; None: the name is itself a submodule
_HOMES: dict[str, str | None] = {
    "AuditResult": "gilprobe.model.audit_result",
    "Capabilities": "gilprobe.model.machine",
    "FlightRecorder": "gilprobe.tracing.flight_recorder",
    "GilProbeError": "gilprobe.errors",
    "Monitor": "gilprobe.tracing.monitoring",
    "MonitorReading": "gilprobe.model.monitor_reading",
    "Report": "gilprobe.report",
    "ScenarioResult": "gilprobe.results",
    "SharingResult": "gilprobe.model.sharing_result",
    "ThreadAccount": "gilprobe.report",
    "Trace": "gilprobe.tracing.tracer",
    "alarm": "gilprobe.tracing.stall_alarm",
    "arm": "gilprobe.attached.dormant",
    "audit": "gilprobe.auditing",
    "audit_module": "gilprobe.auditing",
    "capabilities": "gilprobe.measuring.host",
    "flight_recorder": "gilprobe.tracing.flight_recorder",
    "kernels": None,
    "label": "gilprobe.tracing.labelling",
    "load_ipython_extension": "gilprobe.ipython",  # used by `%load_ext gilprobe`
    "merge": "gilprobe.tracing.merging",
    "monitor": "gilprobe.tracing.monitoring",
    "refs": None,
    "run": "gilprobe.scenarios",
    "sharing": "gilprobe.auditing.sharing",
    "thread_times": "gilprobe.tracing.labelling",
    "trace": "gilprobe.tracing.tracer",
    "unload_ipython_extension": "gilprobe.ipython",
    "watch_stalls": "gilprobe.tracing.stall_watch",
}

# public name -> the part of the compiled core that it needs
_COMPILED = {
    "gilprobe.attached.dormant": "attach",
    "gilprobe.auditing": "tracer",
    "gilprobe.auditing.sharing": "references",
    "gilprobe.measuring.host": "tracer",
    "gilprobe.scenarios": "tracer",
    "gilprobe.tracing.flight_recorder": "tracer",
    "gilprobe.tracing.labelling": "tracer",
    "gilprobe.tracing.merging": "tracer",
    "gilprobe.tracing.monitoring": "tracer",
    "gilprobe.tracing.stall_alarm": "tracer",
    "gilprobe.tracing.stall_watch": "tracer",
    "gilprobe.tracing.tracer": "tracer",
    "kernels": "kernels",
    "refs": "references",
}


def _module(name: str) -> Any:
    """Import a module as importlib does, whose own import costs more than that of this module."""
    return __import__(name, fromlist=["__name__"])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gilprobe' has no attribute {name!r}")
    home = _HOMES[name]
    if (core := _COMPILED.get(home or name)) is not None:
        _module("gilprobe._native").renew(core)
    if home is None:
        return _module(f"gilprobe.{name}")
    value = getattr(_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
