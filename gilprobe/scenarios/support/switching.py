"""The switch interval, changed for a moment and put back whatever happens; and how it is called."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gilprobe.durations import duration

if TYPE_CHECKING:
    from collections.abc import Iterator

ORDINARY_S = 0.005
"""CPython's switch interval unless a program changes it (Python/ceval_gil.c: DEFAULT_INTERVAL)."""


@contextmanager
def switch_interval(interval_s: float) -> Iterator[None]:
    """Within the block, a thread that waits for the GIL asks for it after `interval_s` seconds."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(interval_s)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)


def key(interval_s: float) -> str:
    """Return the interval as a part of a fact's name: ``"5ms"``, ``"10us"``."""
    return duration(interval_s).replace(" ", "")
