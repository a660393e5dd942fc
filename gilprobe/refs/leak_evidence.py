"""Give the evidence for a leak in sentences."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilprobe.refs.leak_windows import Column

_MOST_HOLDERS = 3


def evidence(column: Column, left: list[object]) -> Iterator[str]:
    """Yield facts about one of the objects in `left`, which is taken out."""
    if column.lost:
        yield "a reference is dropped or stolen that was never taken: the object is freed while in use"
    elif column.kind == "objects" and left:
        yield from _holders(left)
    elif column.kind == "descriptors":
        yield from _last_descriptors()
    elif column.kind == "threads":
        names = [thread.name for thread in threading.enumerate()[-_MOST_HOLDERS:]]
        yield f"the last threads are {', '.join(map(ascii, names))}"


def _holders(left: list[object]) -> Iterator[str]:
    from gilprobe.refs import referrers

    holders = referrers.describe(left.pop(), sys._getframe())
    if not holders:
        yield "no object that the garbage collector knows refers to the last one: native code holds it"
    for holder in holders[:_MOST_HOLDERS]:
        yield f"the last one is held by {holder}"


def _last_descriptors() -> Iterator[str]:
    for number in sorted(map(int, os.listdir("/proc/self/fd")))[-_MOST_HOLDERS:]:  # noqa: PTH208
        with suppress(OSError):
            yield f"descriptor {number} is {os.readlink(f'/proc/self/fd/{number}')!r}"  # noqa: PTH115
