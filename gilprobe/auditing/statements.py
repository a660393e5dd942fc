"""Statements as timeit takes them, compiled into functions; and what one leaves behind in its process."""

from __future__ import annotations

import ast
import builtins
import os
import select
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gilprobe._native import gil
from gilprobe.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STATEMENT_FILE = "<statement>"
SETUP_FILE = "<setup>"
"""Names of the files that sites in a statement and its set-up have."""

_CHILD_S = 0.5  # what a forked child gets to come back


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement to audit, in a process of its own.

    Attributes
    ----------
    source : str
        What is made over and over.
    setup : str
        What is done once before.
    name : str
        What the result calls it; without, the statement itself.
    """

    source: str
    setup: str = ""
    name: str = ""

    @property
    def shown(self) -> str:
        """What the result calls it."""
        return self.name or " ".join(self.source.split())


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement as a function, and an empty function of the same kind."""

    call: Callable[[], object]
    nothing: Callable[[], object]


def check(statement: Statement) -> None:
    """Make sure that a statement and its set-up can be compiled; nothing is run.

    Raises
    ------
    InvalidValueError
        If they can't be, or there is nothing in the statement.
    """
    if not statement.source.strip():
        raise InvalidValueError("a statement to audit must not be empty")
    for what, source in (("a statement", statement.source), ("--setup", statement.setup)):
        try:
            compile(source, "<string>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            raise InvalidValueError(
                f"{what} must be Python code, got {ascii(' '.join(source.split()))[:60]}: {error}"
            ) from None


def prepare(statement: Statement) -> Compiled:
    """Run the set-up, and return the statement as a function.

    What the statement assigns is local to it, so that threads don't share it; but for names that the set-up
    has made: those are shared.

    Raises
    ------
    InvalidValueError
        As :func:`check`.
    BaseException
        Whatever the set-up raises.
    """
    check(statement)
    space: dict[str, Any] = {"__name__": "__audit__", "__builtins__": builtins}
    exec(compile(statement.setup, SETUP_FILE, "exec", dont_inherit=True), space)  # noqa: S102  # the user's code
    return Compiled(
        _function(ast.parse(statement.source, STATEMENT_FILE).body, space), _function([ast.Pass()], space)
    )


def _function(body: list[ast.stmt], space: dict[str, Any]) -> Callable[[], object]:
    shared = sorted(_assigned(body) & space.keys())
    if shared:
        body = [ast.Global(shared), *body]
    # what cannot stand in a function at all has been refused before: "from x import *" has not
    tree = ast.parse("def statement(): pass", STATEMENT_FILE)
    tree.body[0].body = body  # type: ignore[attr-defined]
    made: dict[str, Any] = {}
    try:
        code = compile(ast.fix_missing_locations(tree), STATEMENT_FILE, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise InvalidValueError(f"a statement must be able to stand in a function: {error}") from None
    exec(code, space, made)  # noqa: S102
    function: Callable[[], object] = made["statement"]
    return function


def _assigned(body: list[ast.stmt]) -> set[str]:
    """Return the names that a statement binds in its own scope."""
    names: set[str] = set()
    left: list[ast.AST] = [*body]
    while left:
        node = left.pop()
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue
        elif isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            continue
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).partition(".")[0])
        left += ast.iter_child_nodes(node)
    return names


class Leftovers:
    """What a statement leaves behind: told from what the process was before."""

    def __init__(self) -> None:
        self._folder = _folder()
        self._threads = {thread.ident for thread in threading.enumerate()}

    def doubts(self) -> Iterator[str]:
        """Yield what the statement has changed since."""
        folder = _folder()
        if folder != self._folder:
            yield f"it changes the current directory (to {folder})"
        left = [thread.name for thread in threading.enumerate() if thread.ident not in self._threads]
        if left:
            more = f" and {len(left) - 3} more" if len(left) > 3 else ""
            yield f"threads that it started outlive it: {', '.join(left[:3])}{more}"


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:
        return "one that is not there any more"


@contextmanager
def switches_of_the_gil() -> Iterator[list[str]]:
    """Note which modules switch the GIL of a free-threaded interpreter on as they are imported.

    It does so for an extension module that does not say that it can do without (Python/import.c,
    _PyImport_EnableGILPermanent), while the module is made or, for some, executed.
    """
    from importlib.machinery import ExtensionFileLoader as Loader

    culprits: list[str] = []
    if gil.gil_enabled() or not hasattr(sys, "_is_gil_enabled"):
        yield culprits
        return
    create, execute = Loader.create_module, Loader.exec_module

    def create_module(self: Loader, spec: Any) -> Any:
        return _watched(culprits, spec.name, lambda: create(self, spec))

    def exec_module(self: Loader, module: Any) -> Any:
        return _watched(culprits, module.__name__, lambda: execute(self, module))

    Loader.create_module, Loader.exec_module = create_module, exec_module  # type: ignore[method-assign]
    try:
        yield culprits
    finally:
        Loader.create_module, Loader.exec_module = create, execute  # type: ignore[method-assign]


def _watched(culprits: list[str], name: str, load: Callable[[], Any]) -> Any:
    off = not gil.gil_enabled()
    try:
        return load()
    finally:
        if off and gil.gil_enabled():
            culprits.append(name)


def first_call(call: Callable[[], object]) -> None:
    """Call once, and make sure that it comes back in this process alone.

    A statement that forks, and whose child comes back too, would double the processes with each call.

    Raises
    ------
    InvalidValueError
        If a child came back; it is ended here.
    BaseException
        Whatever the call raises.
    """
    owner = os.getpid()
    forks: list[int] = []
    os.register_at_fork(after_in_parent=lambda: forks.append(1))
    reader, writer = os.pipe()
    try:
        call()
        if os.getpid() != owner:
            os.write(writer, b"!")
            os._exit(1)
        if forks and select.select([reader], [], [], _CHILD_S)[0]:
            raise InvalidValueError(
                "a statement must not come back in a child that it forks, and this one does"
            )
    finally:
        os.close(reader)
        os.close(writer)
