"""What a program knows of itself: how long its heavy calls took, by its own clock."""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SPENT_S: defaultdict[str, float] = defaultdict(float)


@contextmanager
def spent(what: str) -> Iterator[None]:
    """Count the CPU time of the block for this thing, named with the line of the block."""
    frame = sys._getframe(2)
    place = f"{what} ({Path(frame.f_code.co_filename).name}:{frame.f_lineno})"
    begin = time.thread_time()
    try:
        yield
    finally:
        SPENT_S[place] += time.thread_time() - begin


@atexit.register
def tell() -> None:
    """Print the sums, the largest first."""
    for place, seconds in sorted(SPENT_S.items(), key=lambda pair: -pair[1]):
        print(f"spent: {seconds:.2f} s in {place}", flush=True)


def port() -> int:
    """Return the port for a server."""
    return int(os.environ.get("PROGRAM_PORT", "8098"))
