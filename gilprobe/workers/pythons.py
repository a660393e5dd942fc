"""The Pythons that workers are run with: the running one, and those that a user names."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gilprobe.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilprobe.model.environment import Environment


@dataclass(frozen=True, slots=True)
class Python:
    """A Python that workers are run with.

    Attributes
    ----------
    path : str
        Its program.
    named : str
        As the user has named it.
    flags : tuple of str
        Options that it is started with.
    environment : Environment or None
        What it has said of itself; None before it was asked.
    """

    path: str
    named: str
    flags: tuple[str, ...] = ("-P",)
    environment: Environment | None = None


def this_python() -> Python:
    """Return the running interpreter, with the options that it was started with.

    ``-P`` is added: a module of the user's current folder is not to take the place of one that is measured.

    Raises
    ------
    UnsupportedError
        If it does not know its own program: it is embedded into another.
    """
    if not sys.executable:
        raise UnsupportedError(
            "scenarios run in processes of their own, which needs sys.executable; got none"
        )
    flags = list(subprocess._args_from_interpreter_flags())  # type: ignore[attr-defined]
    given = {flag.partition("=")[0] for flag in flags}
    for name, value in sys._xoptions.items():  # that list lags behind: -X gil is not in it
        if name not in given:
            flags += ["-X", name if value is True else f"{name}={value}"]
    if not sys.flags.safe_path:
        flags.append("-P")
    return Python(sys.executable, sys.executable, tuple(flags))


def find_pythons(names: Sequence[str]) -> tuple[tuple[Python, ...], tuple[str, ...]]:
    """Find interpreters as a shell does, the running one first unless it is named, each once.

    Returns
    -------
    pythons : tuple of Python
        In the order of their names.
    complaints : tuple of str
        One line for each that is not there.
    """
    this = this_python()
    found: list[Python] = []
    complaints = []
    for name in names:
        path = shutil.which(name)
        if path is None:
            complaints.append(f"{name or ascii(name)}: there is no such program; left out")
            continue
        one = this if _same(path, this.path) else Python(str(Path(path).absolute()), name)
        if not any(_same(one.path, other.path) for other in found):
            found.append(one)
    if this not in found:
        found.insert(0, this)
    return tuple(found), tuple(complaints)


def _same(path: str, other: str) -> bool:
    """Return whether both are one interpreter: a program in one folder; environments link it."""
    one, two = Path(path).absolute(), Path(other).absolute()
    return one == two or (one.parent.resolve() == two.parent.resolve() and one.resolve() == two.resolve())
