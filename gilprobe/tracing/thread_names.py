"""Names of threads as :mod:`threading` knows them, also of those that have ended.

A living thread can be asked. A thread that ends during a trace must be asked before. So the first and the
last method that every thread of :mod:`threading` runs, ``Thread._set_native_id`` and ``Thread._delete``
(Lib/threading.py, ``_bootstrap_inner``), are wrapped during a trace. The first gives names to the recording
of a killed process. Without these methods ended threads have the operating system's names.
"""

from __future__ import annotations

import os
import threading

from gilprobe._native import tracer

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_labels = tracer.ThreadLabels()
_NOTES = {"_set_native_id": _labels.begin, "_delete": _labels.end}
_wrappers: dict[Callable[..., Any], Callable[..., Any]] = {}  # original method -> our wrapper
_originals: dict[Callable[..., Any], Callable[..., Any]] = {}  # our wrapper -> original method

listeners = _labels.listeners
"""Called with the number and name of each new label."""


def watch() -> None:
    """Keep the names of threads that begin or end from now on."""
    for method, note in _NOTES.items():
        current = threading.Thread.__dict__.get(method)
        if current is None or current in _originals:
            continue
        wrapper = _wrappers.setdefault(current, tracer.before_call(current, note))
        _originals[wrapper] = current
        setattr(threading.Thread, method, wrapper)


def review() -> None:
    """Watch if a trace runs; else restore the methods, unless another library has wrapped ours.

    Running traces are looked up, not counted: an exception may end one anywhere, even half started. They are
    looked up again at the end: another thread may have started or stopped one.
    """
    while True:
        running = _traces_run()
        if running:
            watch()
        else:
            _put_back()
        if _traces_run() == running:
            return


def _traces_run() -> bool:
    return tracer.sessions() > 0 or tracer.lock_sessions() > 0


def _put_back() -> None:
    for method in _NOTES:
        original = _originals.get(threading.Thread.__dict__.get(method, _put_back))
        if original is not None:
            setattr(threading.Thread, method, original)


def labelled(label: int) -> str:
    """Return the name of a thread by the label of its account; ``""`` if it has none."""
    return _labels.name(label)


def labels() -> list[tuple[int, str]]:
    """Return all labels so far, with their names."""
    return _labels.all()


def alive() -> dict[int, str]:
    """Return the names of the living threads that :mod:`threading` knows, by native identifier.

    If several share one, as green threads do (gevent, eventlet), it is the name of the one that started: the
    main thread, or the first known. A thread whose name can't be read is left out. Reads without the module's
    lock, which the calling thread may hold: a trace can be stopped anywhere.
    """
    threads = list(getattr(threading, "_active", {}).values())
    names: dict[int, str] = {}
    for thread in (threading.main_thread(), *threads):
        native_id, name = _native_id(thread), _asked(thread, "name")
        if native_id is not None and isinstance(name, str):
            names.setdefault(native_id, str.__str__(name))
    return names


def _asked(thread: threading.Thread, what: str) -> object:
    """Return an attribute of a thread; None if its class, perhaps the program's own, raises an error."""
    try:
        return getattr(thread, what)
    except KeyboardInterrupt:  # the user's
        raise
    except BaseException:  # noqa: BLE001, RUF100 - even a SystemExit, which would end the program
        return None


def _native_id(thread: threading.Thread) -> int | None:
    """Return the identifier of a living thread. Before CPython 3.14 a fork leaves it stale."""
    if _asked(thread, "ident") == threading.get_ident():
        return threading.get_native_id()
    recorded = _asked(thread, "native_id")
    # After a fork the survivor is the main thread (Lib/threading.py, _after_fork), with the process's number.
    if thread is threading.main_thread() and not os.path.exists(f"/proc/self/task/{recorded}"):  # noqa: PTH110
        return os.getpid()
    return recorded if type(recorded) is int else None
