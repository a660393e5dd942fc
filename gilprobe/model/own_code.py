"""Tell a user's own code from the standard library and from installed packages, by the names of files."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Sequence

_PACKAGES = ("site-packages", "dist-packages")
_NAMED_TWICE = "__init__"
# Code without a file that a person wrote. All else in angle brackets is made by libraries, or frozen.
_TYPED = ("<string>", "<stdin>", "<ipython-input", "<python-input", "<doctest ", "<console>")
_FROZEN = "<frozen "


class OwnCode:
    """Knows which files are the user's own.

    Parameters
    ----------
    folders : sequence of str
        What is below them is the user's own, and nothing else. Empty: what is neither in a folder of the
        standard library (``lib/python3.N``) nor in one of installed packages (``site-packages``,
        ``dist-packages``), nor frozen.
    """

    def __init__(self, folders: Sequence[str] = ()) -> None:
        forms = [form for folder in folders for form in (folder, os.path.abspath(folder))]  # noqa: PTH100
        self._folders = [form.rstrip("/") + "/" for form in forms]
        self._known: dict[str, bool] = {}

    def has(self, filename: str) -> bool:
        """Return whether a file's code is the user's own; False without a name."""
        known = self._known.get(filename)
        if known is None:
            known = self._known[filename] = self._judged(filename)
        return known

    def _judged(self, filename: str) -> bool:
        if self._folders:
            return any(filename.startswith(folder) for folder in self._folders)
        if filename.startswith("<"):
            return filename.startswith(_TYPED)
        return bool(filename) and _inside_library(filename) is None


def module_name(filename: str) -> str:
    """Return the dotted name of a library's module, and of any other file its name without the folder."""
    if filename.startswith(_FROZEN):
        return filename.removeprefix(_FROZEN).rstrip(">")
    if filename.startswith("<"):
        return filename
    inside = _inside_library(filename)
    parts = (filename.rpartition("/")[2] if inside is None else inside).removesuffix(".py").split("/")
    if parts[-1] == _NAMED_TWICE:
        parts = parts[:-1] or filename.split("/")[-2:-1] or parts
    return ".".join(parts)


def _inside_library(filename: str) -> str | None:
    """Return the part of a path below the folder of a library; None if it is in none."""
    parts = filename.split("/")
    for at in range(len(parts) - 2, -1, -1):
        if parts[at] in _PACKAGES or (at and parts[at - 1].startswith("lib") and _is_library(parts[at])):
            return "/".join(parts[at + 1 :])
    return None


def _is_library(folder: str) -> bool:
    """Return whether a folder has a standard library's name: python3.13, python3.13t, python313.zip."""
    version = folder.removeprefix("python3")
    return version != folder and version.removesuffix(".zip").strip("0123456789.t") == ""
