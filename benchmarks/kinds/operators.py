"""Operators whose work is done in C, without a call: the next call is innocent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import kind, note

if TYPE_CHECKING:
    from .base import Act
    from .truth import Truth


@kind("x in list", callee=r"\bin\b.*\blist\b")
def contains(_: Truth) -> Act:
    """Compare a number with each object of a list."""
    huge = [object() for _ in range(400_000)]

    def act() -> None:
        0.5 in huge  # noqa: B015  # culprit
        note()

    return act


@kind("list == list", callee=r"==")
def equal(_: Truth) -> Act:
    """Compare two lists of equal tuples."""
    left, right = ([(number,) for number in range(200_000)] for _ in range(2))

    def act() -> None:
        left == right  # noqa: B015  # culprit
        note()

    return act


@kind("int * int", callee=r"\*")
def multiply(_: Truth) -> Act:
    """Multiply numbers of many digits."""
    left, right = 3**80_000, 7**80_000

    def act() -> None:
        left * right  # culprit
        note()

    return act


@kind("int ** int", callee=r"\*\*")
def power(_: Truth) -> Act:
    """Raise a number to a high power."""
    exponent = 250_000

    def act() -> None:
        3**exponent  # culprit
        note()

    return act


@kind("set & set", callee=r"&")
def intersect(_: Truth) -> Act:
    """Intersect two sets: `set.__and__`."""
    left, right = set(range(0, 700_000, 2)), set(range(0, 700_000, 3))

    def act() -> None:
        left & right  # culprit
        note()

    return act


@kind("bytes in bytes", callee=r"\bin\b.*\bbytes\b")
def contains_bytes(_: Truth) -> Act:
    """Search in bytes: `bytes.__contains__`."""
    hay, needle = b"ab" * 2_000_000, b"ba" * 20 + b"c"

    def act() -> None:
        needle in hay  # noqa: B015  # culprit
        note()

    return act


@kind("f-string", callee=r"f-string|\bstr\b|format")
def formatted(_: Truth) -> Act:
    """Write a list of numbers as text: of so many that it is the longer work on each version."""
    numbers = list(range(240_000))

    def act() -> None:
        f"{numbers}"  # noqa: B021  # culprit
        note()

    return act


@kind("list[:]", callee=r"\[")
def copied(_: Truth) -> Act:
    """Copy a list by a slice. Each is let go in the same line."""
    huge = [None] * 4_000_000

    def act() -> None:
        huge[:]  # culprit
        note()

    return act


@kind("[*list, *list]", callee=r"\*|\blist\b|unpack")
def unpacked(_: Truth) -> Act:
    """Unpack two lists into a third."""
    huge = [None] * 2_000_000

    def act() -> None:
        [*huge, *huge]  # noqa: B018  # culprit
        note()

    return act
