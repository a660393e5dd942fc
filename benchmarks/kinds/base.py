"""How a kind of culprit is described."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .truth import Truth

    Act = Callable[[], object]
    Prepare = Callable[[Truth], Act]

MARK = "# culprit"


@dataclass(frozen=True)
class Kind:
    """One kind of culprit.

    Attributes
    ----------
    name : str
        Its name in the tables.
    prepare : callable
        Prepares the data, and returns the act.
    callee : str
        A regular expression for the name of what ran; "" if the line says all.
    functions : tuple of str
        Functions of libraries that may be named instead of the line that called them.
    files : tuple of str
        Files that have nothing but the culprit's code.
    task : str or None
        The asyncio task that must be named by who knows tasks, "" for none; None: it does not matter.
    must_name : bool
        Whether the line alone is the wrong answer.
    itself : bool
        Whether the act notes by itself when the culprit was at work.
    whole : bool
        Whether the act goes on until the time is over.
    main : bool
        Whether it needs the main thread.
    early : bool
        Whether the victims wait before the trace begins.
    alone : bool
        Whether its thread does nothing else: its victims hardly wait.
    unclocked : bool
        Whether its thread holds, or lets go, where no clock sees it: the shares of all holding are not known.
    lets_go : bool
        Whether it lets go of the GIL while it is at work, where no clock sees it.
    logged : bool
        Whether the act notes each of its holds.
    needs : str
        The module without which it can't run.
    since : tuple of int
        The first version of CPython that has it.
    """

    name: str
    prepare: Prepare
    callee: str = ""
    functions: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    task: str | None = None
    must_name: bool = False
    itself: bool = False
    whole: bool = False
    main: bool = False
    early: bool = False
    alone: bool = False
    unclocked: bool = False
    lets_go: bool = False
    logged: bool = False
    needs: str = ""
    since: tuple[int, int] = (3, 11)

    @property
    def places(self) -> set[str]:
        """The marked lines, each as "folder/file:line"."""
        lines, first = inspect.getsourcelines(self.prepare)
        file = short(self.prepare.__code__.co_filename)
        return {f"{file}:{first + at}" for at, line in enumerate(lines) if line.rstrip().endswith(MARK)}

    def missing(self) -> str:
        """Return why this interpreter can't run it; "" if it can."""
        if sys.version_info < self.since:
            return f"needs CPython {'.'.join(map(str, self.since))}"
        if self.needs and importlib.util.find_spec(self.needs) is None:
            return f"needs {self.needs}, which is not installed"
        return ""


KINDS: dict[str, Kind] = {}
"""All of them, by name."""


def kind(name: str, **more: object) -> Callable[[Prepare], Prepare]:
    """Make a kind of a function that prepares an act."""

    def enter(prepare: Prepare) -> Prepare:
        KINDS[name] = Kind(name, prepare, **more)  # type: ignore[arg-type]
        return prepare

    return enter


def short(path: str) -> str:
    """Return a file's name with that of its folder."""
    return "/".join(Path(path).parts[-2:])


def note(thing: object = None) -> object:
    """Do nothing: the call behind a culprit, where its hold may end."""
    return thing
