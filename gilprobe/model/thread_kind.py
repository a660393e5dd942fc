"""Threads of one kind have names that differ in numbers alone, as those of a pool have."""

from __future__ import annotations

from itertools import groupby


def thread_kind(name: str) -> str:
    """Return a thread's name with N for each number in it."""
    return "".join("N" if number else "".join(part) for number, part in groupby(name, str.isdecimal))
