"""How numbers and foreign names are written."""

from __future__ import annotations

import math

from gilprobe.durations import duration

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST_COMPONENTS = 8
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_SMALL = 1e-3
_SMALL_PREFIXES = ((1e-6, "u"), (1e-9, "n"))


def visible(text: str) -> str:
    """Return `text` with all characters escaped that could control a terminal.

    Thread names and paths are foreign: control characters, direction marks and lone surrogates are written as
    in a Python literal.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def clipped(text: str, length: int = 160) -> str:
    """Return `text`, with its middle left out if it is too long: foreign names have any length."""
    if len(text) <= length:
        return text
    half = (length - 3) // 2
    return f"{text[:half]}...{text[-half:]}"


def short_paths(paths: Iterable[str]) -> dict[str, str]:
    """Return each path's last components: two, or as many as make it unique."""
    short: dict[str, str] = {}
    left = set(paths)
    for number in range(2, _MOST_COMPONENTS):
        tails: dict[str, list[str]] = {}
        for path in left:
            tails.setdefault("/".join(path.rsplit("/", number)[-number:]), []).append(path)
        short |= {same[0]: tail for tail, same in tails.items() if len(same) == 1}
        left -= short.keys()
    return short | {path: path for path in left}


def place(function: str, filename: str, line: int, callee: str = "") -> str:
    """Return ``"function (file:line) in callee"``; without a file or a callee, less."""
    told = clipped(function)
    if filename:
        told += f" ({clipped(filename)}{f':{line}' if line > 0 else ''})"
    return f"{told} in {clipped(callee)}" if callee else told


def scaled(*values: float) -> tuple[str, ...]:
    """Return the numbers with four digits and one SI prefix for all, that of the first."""
    size = abs(values[0])
    prefixes = _SMALL_PREFIXES if 0 < size < _SMALL else _PREFIXES
    factor, prefix = next((pair for pair in prefixes if size >= pair[0]), prefixes[-1])
    digits = 3 if size == 0 else max(0, 3 - math.floor(math.log10(max(size / factor, 1e-3))))
    return tuple(f"{value / factor:.{digits}f}{' ' + prefix if prefix else ''}" for value in values)


def share(part: float, whole: float) -> str:
    """Return a share in per cent."""
    return f"{100 * part / whole:.0f}%" if whole else "-"


def duration_on_page(seconds: float) -> str:
    """Return a duration as the pages' scripts write it, with the sign for micro."""
    return duration(seconds).replace(" us", " \u00b5s")


def plural(number: int, noun: str, ending: str = "s") -> str:
    """Return ``"1 thread"``, ``"2 threads"``."""
    return f"{number} {noun}{'' if number == 1 else ending}"
