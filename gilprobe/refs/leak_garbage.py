"""Find what calls leave in reference cycles: no leak, but it stays until the garbage collector runs."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gilprobe.model.leak_report import Garbage
from gilprobe.refs.leak_probes import TypeCensus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_CALLS = 100
"""Limit of calls in a row without a collection."""

WINDOWS = 2
"""Number of such rows of calls."""

_LEAST = 0.02  # objects per call: the interpreter's own renewals are less
_MOST_TYPES = 5


def garbage_of(work: Callable[[int], None], calls: int) -> Garbage | None:
    """Return what calls leave that only the collector frees; None if there is nothing.

    Parameters
    ----------
    work : callable
        Makes the given number of calls.
    calls : int
        Calls in a row, at most `MOST_CALLS`, to limit the garbage.
    """
    census = TypeCensus()
    with _uncollected():
        windows = [_left(census, work, calls) for _ in range(WINDOWS)]
    # A result of a single window is not the function's habit.
    per_call = min(number for number, _ in windows) / calls
    if per_call < _LEAST:
        return None
    kinds = [name for name in windows[-1][1] if all(name in found for _, found in windows)]
    return Garbage(per_call, tuple(kinds[:_MOST_TYPES]))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Let the collector run only on request, if it was enabled."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _left(census: TypeCensus, work: Callable[[int], None], calls: int) -> tuple[int, list[str]]:
    """Return how many objects a collection after some calls frees, and their types, most frequent first."""
    gc.collect()
    work(calls)
    before = census.take()
    number = gc.collect()
    freed = {name: -change for name, change in census.changes(before, census.take()).items()}
    return number, sorted((name for name in freed if freed[name] > 0), key=lambda name: -freed[name])
