"""Find the size of argument at which a call begins to release the GIL, to the byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.auditing.traced_calls import sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

STEP_CALLS = 3
"""Calls per size in the bisection: few, since releasing the GIL is not random."""


def least_releasing_size(
    prepare: Callable[[int], AbstractContextManager[Callable[[], object]]], below: int, above: int
) -> int:
    """Return the least size for which a call releases the GIL.

    Parameters
    ----------
    prepare : callable
        Takes a size, and returns a context manager that yields the call.
    below, above : int
        Sizes at which it does not and does release.
    """
    while above - below > 1:
        middle = (below + above) // 2
        with prepare(middle) as call:
            call()  # one-time work, such as an import, does not count
            does = sample(call, STEP_CALLS).does_release
        below, above = (below, middle) if does else (middle, above)
    return above
