"""Import :mod:`threading` in a thread that is not the main one."""

from __future__ import annotations

import _thread
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def import_threading() -> None:
    """Import :mod:`threading`, and tell it which thread is the main one.

    It takes the one that imports it first for that: its native identifier in all versions, all of it before
    3.13, where the process would wait at its end for this thread (Lib/threading.py, ``_MainThread`` and
    ``_shutdown``).
    """
    if "threading" in sys.modules:
        return
    import threading

    main: Any = threading.main_thread()
    if main.native_id != threading.get_native_id():  # the program has just imported it
        return
    main._native_id = os.getpid()
    if sys.version_info >= (3, 13):
        return
    here = _thread.get_ident()
    oldest = next(reversed(sys._current_frames()))  # Python/pystate.c: the newest first
    lock = _thread.allocate_lock()
    lock.acquire()  # released at the end, by the main thread
    module: Any = threading
    module._shutdown_locks.discard(main._tstate_lock)
    main._tstate_lock, main._ident = lock, oldest
    module._active[oldest] = module._active.pop(here, main)
