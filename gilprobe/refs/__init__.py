"""Read reference counts: of one object, over a block of code, of many objects, and over time.

The result of ``sys.getrefcount`` depends on the interpreter, since the object is passed to it. The tools here
hold the object already when they read, and subtract their own references: the result is the same on every
CPython.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # as in gilprobe/__init__.py
if TYPE_CHECKING:
    from typing import Any

    from gilprobe.model.leak_report import LeakFinding, LeakReport
    from gilprobe.refs.bulk import counts
    from gilprobe.refs.leak_hunt import find_leaks
    from gilprobe.refs.sampling import Change, Sampling, Timeline, timeline
    from gilprobe.refs.tracking import Tracking, track
    from gilprobe.refs.watching import Watch, WeakWatch, watch

__all__ = [
    "Change",
    "LeakFinding",
    "LeakReport",
    "Sampling",
    "Timeline",
    "Tracking",
    "Watch",
    "WeakWatch",
    "counts",
    "find_leaks",
    "timeline",
    "track",
    "watch",
]

# public name -> module that defines it
_HOMES = {
    "Change": "gilprobe.refs.sampling",
    "LeakFinding": "gilprobe.model.leak_report",
    "LeakReport": "gilprobe.model.leak_report",
    "Sampling": "gilprobe.refs.sampling",
    "Timeline": "gilprobe.refs.sampling",
    "Tracking": "gilprobe.refs.tracking",
    "Watch": "gilprobe.refs.watching",
    "WeakWatch": "gilprobe.refs.watching",
    "counts": "gilprobe.refs.bulk",
    "find_leaks": "gilprobe.refs.leak_hunt",
    "timeline": "gilprobe.refs.sampling",
    "track": "gilprobe.refs.tracking",
    "watch": "gilprobe.refs.watching",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gilprobe.refs' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
