"""Names of threads as :mod:`threading` knows them, also of those that have ended.

A thread that is alive can be asked. One that ends during a trace must be asked before: ``Thread._delete``, the last thing
that every thread of :mod:`threading` runs (Lib/threading.py, ``_bootstrap_inner``; 3.11 to 3.15), is wrapped while a trace
runs. An interpreter without it only loses the names of ended threads: they then have the operating system's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from gilprobe._native import gil

_METHOD = "_delete"

_labels = gil.ThreadLabels()
_original: Callable[..., Any] | None = None
_wrapper: Callable[..., Any] | None = None


def watch() -> None:
    """Keep the names of threads that end from now on. Watching already changes nothing; call with the GIL held."""
    global _original, _wrapper
    current = threading.Thread.__dict__.get(_METHOD)
    if current is None or current is _wrapper:
        return
    if _wrapper is not None and current is not _original:
        return  # another library wraps ours, which was left in place
    # Remembered before it is installed: an exception between the two then does no harm.
    _original, _wrapper = current, gil.before_call(current, _labels.note)
    setattr(threading.Thread, _METHOD, _wrapper)


def unwatch() -> None:
    """Put the method back if no trace runs any more, unless somebody wrapped ours.

    What runs is asked, not counted: a trace may end anywhere, also half started, by an exception.
    """
    global _original, _wrapper
    if gil.sessions() == 0 and _wrapper is not None and threading.Thread.__dict__.get(_METHOD) is _wrapper:
        setattr(threading.Thread, _METHOD, _original)
        _original = _wrapper = None


def ended(label: int) -> str:
    """Return the name of an ended thread by the label of its account; ``""`` if it was not seen to end."""
    return _labels.name(label)


def alive() -> dict[int, str]:
    """Return the names of the living threads that :mod:`threading` knows, by native identifier.

    Reads without the module's lock, which the calling thread may hold: a trace can be stopped anywhere.
    """
    threads = list(getattr(threading, "_active", {}).values()) or threading.enumerate()
    return {thread.native_id: str(thread.name) for thread in threads if thread.native_id is not None}
