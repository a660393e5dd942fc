"""Change the switch interval for a while; and name intervals."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gilprobe.durations import duration

if TYPE_CHECKING:
    from collections.abc import Iterator

ORDINARY_S = 0.005
"""CPython's default switch interval (Python/ceval_gil.c: DEFAULT_INTERVAL)."""


@contextmanager
def switch_interval(interval_s: float) -> Iterator[None]:
    """Within the block, the switch interval is `interval_s` seconds."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(interval_s)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)


def key(interval_s: float) -> str:
    """Return the interval for a fact's name: ``"5ms"``, ``"10us"``."""
    return duration(interval_s).replace(" ", "")
