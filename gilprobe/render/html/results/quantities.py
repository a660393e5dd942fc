"""Find the quantity in which names of arms differ, ``every 10 us`` and ``every 1 ms``: a picture's scale."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_FACTORS = {
    "ns": 1e-9,
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "B": 1.0,
    "KiB": 2.0**10,
    "MiB": 2.0**20,
    "GiB": 2.0**30,
}
_QUANTITY = re.compile(r"(?<![\w.])(\d[\d,]*(?:\.\d+)?)( ?(?:ns|us|ms|s|B|KiB|MiB|GiB)(?!\w))?")
_FEWEST = 3


def scale_of(names: Sequence[str]) -> list[str] | None:
    """Return the names sorted by the one quantity in which they differ.

    Returns
    -------
    list of str or None
        None if there are fewer than three, they differ in anything else, or two have the same quantity.
    """
    if len(names) < _FEWEST:
        return None
    read = [_read(name) for name in names]
    values = [one[0] for one in read if one is not None]
    if len(values) < len(names) or len(set(values)) < len(values):
        return None
    if len({one[1] for one in read if one is not None}) > 1:
        return None
    return [name for _, name in sorted(zip(values, names, strict=True))]


def _read(name: str) -> tuple[float, tuple[str, str, bool]] | None:
    """Return a name's only quantity, and the text around it; None if it has none or several."""
    found = _QUANTITY.findall(name)
    if len(found) != 1:
        return None
    number, unit = found[0]
    value = float(number.replace(",", "")) * _FACTORS.get(unit.strip(), 1.0)
    before, _, after = name.partition(number + unit)
    return value, (before, after, bool(unit))


def common_part(names: Sequence[str]) -> tuple[str, list[str]]:
    """Return the words that all names have in common at both ends, and the rest of each.

    ``every 1 us``, ``every 10 ms`` -> ``every ...``, [``1 us``, ``10 ms``]
    """
    words = [name.split(" ") for name in names]
    shortest = min(map(len, words))
    before = _same(words, shortest - 1)
    after = _same([list(reversed(one)) for one in words], shortest - 1 - before)
    left = [" ".join(one[before : len(one) - after]) for one in words]
    lead, tail = words[0][:before], words[0][len(words[0]) - after :]
    return " ".join([*lead, "...", *tail]) if before or after else "", left


def _same(words: Sequence[Sequence[str]], most: int) -> int:
    number = 0
    # A unit is not a common word: the rest must still be a quantity.
    while number < most and len({one[number] for one in words}) == 1 and words[0][number] not in _FACTORS:
        number += 1
    return number
