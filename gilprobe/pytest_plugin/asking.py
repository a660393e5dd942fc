"""A thread that asks for the GIL, so that only what can't let go of it is seen to hold it for long."""

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
"""How long the thread sleeps between two requests, in shares of the limit."""

_INTERVAL = 0.125
"""The switch interval meanwhile, in shares of the limit: Python code lets go after both together."""

_LEAST_INTERVAL_S = 1e-5  # below that threads do little else than hand the GIL over


@contextmanager
def asking(limit_s: float | None) -> Iterator[None]:
    """Within the block a thread asks for the GIL several times within `limit_s` seconds; None: nobody asks.

    Python code that nobody asks holds the GIL from one end to the other, and makes nobody wait. Asked, it
    lets go after a switch interval. What is then still held for longer than the limit is a call that can't be
    interrupted, and would make any other thread wait as long.
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
