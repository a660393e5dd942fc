"""A thread that requests the GIL, so that only code that can't release it has long holds."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ASKER = "gilprobe: asks for the GIL"
"""Name of the thread."""

_EVERY = 0.25
"""Time between two requests, as a share of the limit."""

_INTERVAL = 0.125
"""The switch interval meanwhile, as a share of the limit: Python code releases the GIL after both."""

_LEAST_INTERVAL_S = 1e-5  # below that threads mostly hand the GIL over


@contextmanager
def asking(limit_s: float | None) -> Iterator[None]:
    """Within the block a thread requests the GIL several times per `limit_s` seconds; None: it does not.

    Python code holds the GIL all the time while no other thread requests it; that harms nobody. On request it
    releases the GIL after a switch interval. A hold that is still longer than the limit is a call that can't
    be interrupted, and would make any other thread wait.
    """
    if limit_s is None:
        yield
        return
    over = threading.Event()

    def ask() -> None:
        while not over.wait(limit_s * _EVERY):
            pass

    interval_s = sys.getswitchinterval()
    asker = threading.Thread(target=ask, name=ASKER, daemon=True)
    sys.setswitchinterval(max(_LEAST_INTERVAL_S, min(interval_s, limit_s * _INTERVAL)))
    try:
        asker.start()
        yield
    finally:
        over.set()
        asker.join()
        sys.setswitchinterval(interval_s)
