"""Lend references to objects, so that a function that steals references doesn't end the hunt."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gilprobe._native.references import lend

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gilprobe.refs.leak_windows import Caller

LENT = 1 << 28
"""References per object: more than calls in any hunt, and six times that fits into 31 bits."""

_SHARE = 50  # calls; a rarer loss is below what a hunt reports


class Lender:
    """Lends references, and takes them back from objects without thefts."""

    def __init__(self) -> None:
        self._objects: list[object] = []
        self._before: list[int] = []
        self._known: set[int] = set()

    def lend(self, objects: Iterable[object]) -> None:
        """Lend to each object that has none lent yet."""
        fresh = [obj for obj in {id(obj): obj for obj in objects}.values() if id(obj) not in self._known]
        self._known.update(map(id, fresh))
        lend(fresh, LENT)
        for obj in fresh:
            self._before.append(sys.getrefcount(obj))
            self._objects.append(obj)

    def settle(self, calls: int) -> None:
        """Take the lent references back, except from objects with thefts: they would be freed while in use.

        Parameters
        ----------
        calls : int
            Number of calls. A few lost references may be regular releases; one in every fiftieth call is a
            theft.
        """
        while self._objects:
            obj = self._objects.pop()
            if self._before.pop() - sys.getrefcount(obj) < max(2, calls // _SHARE):
                lend([obj], -LENT)


@contextmanager
def lending(caller: Caller) -> Iterator[Lender]:
    """Lend within the block, and take back after it, however it ends."""
    lender = Lender()
    try:
        yield lender
    finally:
        lender.settle(caller.calls)
