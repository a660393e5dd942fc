"""References that are lent to objects, so that a function that steals them doesn't end the hunt."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gilprobe._native.references import lend

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gilprobe.refs.leak_windows import Caller

LENT = 1 << 28
"""References for each object: more than any hunt has calls, and half a dozen times fit into 31 bits."""

_SHARE = 50  # calls; what is lost in fewer is no theft that a hunt would tell


class Lender:
    """Lends to objects, and takes back from those that had nothing stolen."""

    def __init__(self) -> None:
        self._objects: list[object] = []
        self._before: list[int] = []
        self._known: set[int] = set()

    def lend(self, objects: Iterable[object]) -> None:
        """Lend to each object that has not been lent to."""
        fresh = [obj for obj in {id(obj): obj for obj in objects}.values() if id(obj) not in self._known]
        self._known.update(map(id, fresh))
        lend(fresh, LENT)
        for obj in fresh:
            self._before.append(sys.getrefcount(obj))
            self._objects.append(obj)

    def settle(self, calls: int) -> None:
        """Take back what was lent. Objects with references stolen keep it: else they were freed while in use.

        Parameters
        ----------
        calls : int
            How often the function was called. A reference less than there were in the beginning may be one
            that its owner gave back; one in every fiftieth call is stolen.
        """
        while self._objects:
            obj = self._objects.pop()
            if self._before.pop() - sys.getrefcount(obj) < max(2, calls // _SHARE):
                lend([obj], -LENT)


@contextmanager
def lending(caller: Caller) -> Iterator[Lender]:
    """Lend within the block, and settle after it, however it ends."""
    lender = Lender()
    try:
        yield lender
    finally:
        lender.settle(caller.calls)
