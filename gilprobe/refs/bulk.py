"""The counts of many objects at once."""

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
        A list or a tuple is read as it is; of anything else, what its iterator hands out.

    Returns
    -------
    memoryview
        A signed 32-bit integer for each item, in order; ``numpy.asarray`` makes an array of it without a copy.
        -1 stands for an immortal object, ``2**31 - 1`` for a count that is as large or larger.

    Raises
    ------
    InvalidTypeError
        If `sequence` can't be iterated over.

    Notes
    -----
    ``counts(items)[i]`` is what ``watch(items[i]).count`` answers: the reading itself takes no reference, or
    leaves it out. The list's own reference to the item is counted. What an iterator hands out is read at that
    moment: an object that nobody else has counts 0, and so does a slot of an unfinished list that has no item.
    Subclasses of list and tuple are iterated over.

    No other thread can change a list while it is read. Any other sequence that notices a change says so
    as when it is iterated over: ``RuntimeError: deque mutated during iteration``.
    """
    if type(sequence) in (list, tuple):
        return references.counts_of_items(sequence)  # type: ignore[arg-type]
    try:
        iterator = iter(sequence)
    except TypeError as error:
        raise InvalidTypeError(
            f"sequence must be iterable, got an object of type {type(sequence).__qualname__}"
        ) from error  # which may be one of its own
    return references.counts_of_each(iterator)
