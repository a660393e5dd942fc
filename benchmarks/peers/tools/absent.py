"""Tools that a user would come across, and that can't be compared: each with what was found when it was tried."""

from __future__ import annotations

from .base import Tool


def _absent(name: str, why_not: str) -> Tool:
    tool = Tool()
    tool.name, tool.why_not, tool.settings = name, why_not, "-"
    return tool


ABSENT = (
    _absent(
        "perpetuo",
        'stalls of the GIL need a CPython with its patch: perpetuo.instrument_gil() of 0.7.4 raises "This Python was not'
        ' built with the perpetuo GIL instrumentation patch"',
    ),
    _absent(
        "austin 4",
        "its build needs a newer C library than this system's; austin 3.7 runs in its stead",
    ),
    _absent(
        "giltracer, per4m",
        "per4m 0.1.0 does not build on CPython 3.11, giltracer is on no index; their method is the row `uprobes`",
    ),
    _absent(
        "gilstats.py",
        "a script for BCC's eBPF compiler, on no index, which needs kernel headers and Python 2's symbols; its method, probes on"
        " take_gil and drop_gil, is the row `uprobes`",
    ),
)
