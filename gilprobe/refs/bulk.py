"""Read the counts of many objects at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe._native import references
from gilprobe.errors import InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import Iterable

IMMORTAL = references.IMMORTAL
"""Stands for the count of an immortal object."""


def counts(sequence: Iterable[object]) -> memoryview[int]:
    """Return the reference counts of the items of a sequence.

    Parameters
    ----------
    sequence : iterable
        A list or a tuple is read directly; anything else is iterated over.

    Returns
    -------
    memoryview
        A signed 32-bit integer for each item, in order; ``numpy.asarray`` takes it without a copy. -1 is an
        immortal object, ``2**31 - 1`` a count that is as large or larger.

    Raises
    ------
    InvalidTypeError
        If `sequence` can't be iterated over.

    Notes
    -----
    ``counts(items)[i]`` equals ``watch(items[i]).count``: references of the reading itself are not counted,
    the list's own reference to the item is. Items of an iterator are read at once: an object without other
    references counts 0, and so does an empty slot of an unfinished list. Subclasses of list and tuple are
    iterated over.

    No other thread can change a list while it is read. Other sequences may raise as in any iteration:
    ``RuntimeError: deque mutated during iteration``.
    """
    if type(sequence) in (list, tuple):
        return references.counts_of_items(sequence)  # type: ignore[arg-type]
    try:
        iterator = iter(sequence)
    except TypeError as error:
        raise InvalidTypeError(
            f"sequence must be iterable, got an object of type {type(sequence).__qualname__}"
        ) from error  # perhaps raised by its own code
    return references.counts_of_each(iterator)
