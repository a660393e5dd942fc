"""A thread of gilprobe's own in a process that forks.

From 3.12 on :func:`os.fork` warns where a process has threads, and a later Python may refuse it. The program
has not asked for this thread, so it ends before a fork, and goes on after it.
"""

from __future__ import annotations

import _thread
import os
import threading
import time
from contextlib import suppress

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a traced process loads no typing
if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_REST_S = 1.0  # that a fork waits for
_POLL_S = 0.0005


class RestingThread:
    """A daemon thread that is not there while the process forks, unless it is busy for long.

    Parameters
    ----------
    name : str
        The thread's.
    run : callable
        What it does; returns whether it has ended. If :attr:`rests` is true it must return soon, and is
        called again after the fork.
    wake : callable
        Lets `run` look at :attr:`rests`. Called by any thread.
    """

    def __init__(self, name: str, run: Callable[[], bool], wake: Callable[[], None]) -> None:
        self._name, self._run, self._wake = name, run, wake
        self._lock = threading.Lock()  # whether it goes on is decided once
        self._thread: threading.Thread | None = None
        self.rests = False

    def start(self) -> None:
        """Begin it. In a forked child it has ended."""
        global _registered  # a hook can't be taken back
        _running.add(self)
        if not _registered and hasattr(os, "register_at_fork"):
            _registered = True
            os.register_at_fork(before=_all_rest, after_in_parent=_all_go_on, after_in_child=_end_all)
        self._go_on()

    def join(self) -> None:
        """Wait for its end, which the caller has brought about; in the thread itself, don't wait."""
        _running.discard(self)
        thread = self._thread
        if _is_this(thread):
            return
        while thread is not None and thread.is_alive():
            time.sleep(_POLL_S)  # Thread.join would make the calling thread known to threading, for ever
        if self.rests:  # another thread forks: nobody else would do what is left
            self.rests = False
            self._run()

    def _work(self) -> None:
        while not self._run():
            with self._lock:
                if self.rests:
                    self._thread = None
                    return

    def _go_on(self) -> None:
        with self._lock:
            self.rests = False
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()

    def _rest(self) -> None:
        thread = self._thread
        if thread is None or _is_this(thread):
            return
        until_s = time.monotonic() + _LONGEST_REST_S
        self.rests = True
        self._wake()
        thread.join(_LONGEST_REST_S)
        # Up to 3.12 join returns before the system's thread is gone, and os.fork counts those of the system.
        while os.path.exists(f"/proc/self/task/{thread.native_id}") and time.monotonic() < until_s:  # noqa: PTH110
            time.sleep(_POLL_S)


def _is_this(thread: threading.Thread | None) -> bool:
    """Return whether it is the calling one, which :mod:`threading` need not know: then it stays unknown."""
    return thread is not None and thread.ident == _thread.get_ident()


_running: set[RestingThread] = set()
_registered = False


def _all_rest() -> None:
    for thread in tuple(_running):
        thread._rest()


def _all_go_on() -> None:
    for thread in tuple(_running):
        if thread.rests:
            with suppress(RuntimeError):  # the interpreter ends, and starts no thread
                thread._go_on()


def _end_all() -> None:
    for thread in tuple(_running):
        thread._thread, thread.rests = None, False
    _running.clear()
