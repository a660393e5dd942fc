"""The interpreters that run workers: the running one, and those that a user names."""

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
    """An interpreter that runs workers.

    Attributes
    ----------
    path : str
        Its executable.
    named : str
        The user's name for it.
    flags : tuple of str
        Options to start it with.
    environment : Environment or None
        Its own description; None before it was asked.
    """

    path: str
    named: str
    flags: tuple[str, ...] = ("-P",)
    environment: Environment | None = None


def this_python() -> Python:
    """Return the running interpreter, with its options.

    ``-P`` is added: modules in the user's current folder must not hide measured ones.

    Raises
    ------
    UnsupportedError
        If its executable is unknown: it is embedded.
    """
    if not sys.executable:
        raise UnsupportedError("workers need sys.executable, this interpreter has none")
    flags = list(subprocess._args_from_interpreter_flags())  # type: ignore[attr-defined]
    given = {flag.partition("=")[0] for flag in flags}
    for name, value in sys._xoptions.items():  # that list is incomplete: -X gil is not in it
        if name not in given:
            flags += ["-X", name if value is True else f"{name}={value}"]
    if not sys.flags.safe_path:
        flags.append("-P")
    return Python(sys.executable, sys.executable, tuple(flags))


def find_pythons(names: Sequence[str]) -> tuple[tuple[Python, ...], tuple[str, ...]]:
    """Find interpreters as a shell does, the running one first unless named, each once.

    Parameters
    ----------
    names : sequence of str
        Executables: paths, or names to look up in PATH.

    Returns
    -------
    pythons : tuple of Python
        In the order of their names.
    complaints : tuple of str
        One line for each that does not exist.
    """
    this = this_python()
    found: list[Python] = []
    complaints = []
    for name in names:
        path = shutil.which(name)
        if path is None:
            complaints.append(f"{name or ascii(name)}: no such program; left out")
            continue
        one = this if _same(path, this.path) else Python(str(Path(path).absolute()), name)
        if not any(_same(one.path, other.path) for other in found):
            found.append(one)
    if this not in found:
        found.insert(0, this)
    return tuple(found), tuple(complaints)


def _same(path: str, other: str) -> bool:
    """Return whether both are one interpreter: same folder and executable; environments link it."""
    one, two = Path(path).absolute(), Path(other).absolute()
    return one == two or (one.parent.resolve() == two.parent.resolve() and one.resolve() == two.resolve())
