"""Lines of source for a page, from files below one folder that the user named.

A recording is foreign: a path in it must not put a private file into a page.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gilprobe.errors import InvalidValueError
from gilprobe.render.shared.words import clipped, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

_LARGEST = 1 << 20
_AROUND = 3
_LONGEST_LINE = 200


class Sources:
    """Reads source files below a folder, each once.

    Parameters
    ----------
    folder : pathlib.Path
        The folder. Relative names are looked up here; absolute ones must be below it.

    Raises
    ------
    InvalidValueError
        If it is not a folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InvalidValueError(f"--source must be a folder, got {str(folder)!r}")
        self._folder = Path(os.path.abspath(folder))  # noqa: PTH100 - does not follow links
        self._resolved = folder.resolve()
        self._lines: dict[str, Sequence[str] | None] = {}

    def around(self, filename: str, line: int) -> dict[str, Any] | None:
        """Return lines around one, ``{"first": number, "lines": [...]}``; None if there is no such file."""
        if filename not in self._lines:
            path = self._below(filename)
            self._lines[filename] = None if path is None else _read(path)
        lines = self._lines[filename]
        if lines is None or not 0 < line <= len(lines):
            return None
        first = max(1, line - _AROUND)
        shown = lines[first - 1 : line + _AROUND]
        return {"first": first, "lines": [visible(clipped(text, _LONGEST_LINE)) for text in shown]}

    def _below(self, filename: str) -> Path | None:
        """Return the file of a name, if it is below the folder both by name and with links followed."""
        if "\0" in filename:
            return None
        named = Path(os.path.normpath(self._folder / filename))
        if not (named.is_relative_to(self._folder) or named.is_relative_to(self._resolved)):
            return None
        try:
            path = named.resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            return None
        return path if path.is_relative_to(self._resolved) else None


def _read(path: Path) -> Sequence[str] | None:
    """Return the lines of a regular file that is not too large; else None."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
            return None
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            text = file.read(_LARGEST).decode("utf-8", "replace")
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return [line.expandtabs(4) for line in text.split("\n")]
