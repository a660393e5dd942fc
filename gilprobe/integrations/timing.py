"""How long a piece of work held the GIL and waited for it: in one thread, or in the steps of a coroutine."""

from __future__ import annotations

import threading

from gilprobe.errors import TracerStateError
from gilprobe.tracing.labelling import thread_times

NO_ROUTE = "(no route)"
"""The label of requests for addresses that do not exist: there may be any number of them."""

_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY"})


def _times() -> tuple[int, int] | None:
    """Return the thread's (hold, wait) in nanoseconds; None while nothing is monitored."""
    try:
        hold_ns, wait_ns, _ = thread_times()
    except TracerStateError:
        return None
    return hold_ns, wait_ns


class Stretch:
    """Times of the calling thread from here on."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._began = _times()

    def so_far(self) -> tuple[int, int] | None:
        """Return (hold, wait) in nanoseconds; None in another thread, or if monitoring was begun or ended."""
        now = _times()
        if self._began is None or now is None or threading.get_ident() != self._thread:
            return None
        hold_ns, wait_ns = now[0] - self._began[0], now[1] - self._began[1]
        return (hold_ns, wait_ns) if min(hold_ns, wait_ns) >= 0 else None  # below 0: begun anew


class Steps:
    """Times of a coroutine's own steps, each in a ``with``; not of what the loop runs in between."""

    def __init__(self) -> None:
        self._hold_ns = self._wait_ns = 0
        self._step: Stretch | None = None
        self._known = True

    def __enter__(self) -> None:
        self._step = Stretch()

    def __exit__(self, *_exception: object) -> None:
        found = self.so_far()
        self._step = None
        if found is None:
            self._known = False
        else:
            self._hold_ns, self._wait_ns = found

    def so_far(self) -> tuple[int, int] | None:
        """Return (hold, wait) in nanoseconds; None if monitoring began or ended meanwhile."""
        step = None if self._step is None else self._step.so_far()
        if not self._known or (step is None and self._step is not None):
            return None
        hold_ns, wait_ns = step or (0, 0)
        return self._hold_ns + hold_ns, self._wait_ns + wait_ns


def server_timing(times: tuple[int, int] | None) -> str | None:
    """Return the value of a header Server-Timing, in milliseconds; None for times that are not known."""
    if times is None:
        return None
    hold_ns, wait_ns = times
    return f"gil-wait;dur={wait_ns / 1e6:.3f}, gil-hold;dur={hold_ns / 1e6:.3f}"


def route_label(method: str, route: str) -> str:
    """Return a route's label. A client may send any word as its method, so the unknown ones are one."""
    return f"{method if method in _METHODS else 'OTHER'} {route}"
