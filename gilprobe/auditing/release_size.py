"""From which size of argument on a call releases the GIL, to the byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.auditing.traced_calls import sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

STEP_CALLS = 3
"""Made for each size that the bisection tries: whether a call releases the GIL is no matter of chance."""


def least_releasing_size(
    prepare: Callable[[int], AbstractContextManager[Callable[[], object]]], below: int, above: int
) -> int:
    """Return the least size for which a call releases the GIL.

    Parameters
    ----------
    prepare : callable
        Takes a size and returns a context manager that yields the call.
    below, above : int
        Sizes for which it doesn't and does.
    """
    while above - below > 1:
        middle = (below + above) // 2
        with prepare(middle) as call:
            call()  # what is done once only, such as an import, is not the call's
            does = sample(call, STEP_CALLS).does_release
        below, above = (below, middle) if does else (middle, above)
    return above
