"""Places of a page, each once; everything else refers to them by number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilprobe.render.shared.words import clipped, short_paths, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilprobe.render.html.process.sources import Sources

    _Place = tuple[str, str, int, str]
    """Function, file, line and callee."""

NOWHERE = -1
"""Number of nobody, or of an unknown place."""


def name(text: str, length: int = 160) -> str:
    """Return a foreign name for a page: clipped and escaped."""
    return visible(clipped(text, length))


class Places:
    """The functions and lines in a page."""

    def __init__(self) -> None:
        self._numbers: dict[_Place, int] = {}

    def number(self, function: str, filename: str, line: int, callee: str = "") -> int:
        """Return the number of a place; `NOWHERE` for one without a name."""
        if not function:
            return NOWHERE
        return self._numbers.setdefault((function, filename, line, callee), len(self._numbers))

    def described(self, sources: Sources | None = None) -> list[dict[str, Any]]:
        """Return all places by number, with shortened paths and lines of source."""
        short = short_paths({filename for _, filename, _, _ in self._numbers if filename})
        return [self._described(place, short, sources) for place in self._numbers]

    def _described(self, place: _Place, short: dict[str, str], sources: Sources | None) -> dict[str, Any]:
        function, filename, line, callee = place
        described: dict[str, Any] = {"function": name(function), "line": max(line, 0)}
        if callee:
            described["callee"] = name(callee)
        if filename:
            described["file"], described["short"] = name(filename, 400), name(short[filename])
            lines = sources.around(filename, line) if sources is not None else None
            if lines is not None:
                described["source"] = lines
        return described

    def __iter__(self) -> Iterator[_Place]:
        return iter(self._numbers)
