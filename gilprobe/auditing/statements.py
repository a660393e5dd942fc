"""Compile statements into functions, as timeit does; and report what one leaves behind in its process."""

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

from gilprobe._native import tracer
from gilprobe.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STATEMENT_FILE = "<statement>"
SETUP_FILE = "<setup>"
"""File names of sites in a statement and its set-up."""

_CHILD_S = 0.5  # time for a forked child to return


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement to audit, in its own process.

    Attributes
    ----------
    source : str
        The repeated code.
    setup : str
        Code that runs once before.
    name : str
        Name in the result; default: the statement itself.
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
    """Check that a statement and its set-up can be compiled, without running them.

    Raises
    ------
    InvalidValueError
        If they can't be, or the statement is empty.
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

    Names that the statement assigns are local, so that threads don't share them; names from the set-up are
    shared.

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
    # most invalid code was refused before, but "from x import *" was not
    tree = ast.parse("def statement(): pass", STATEMENT_FILE)
    tree.body[0].body = body  # type: ignore[attr-defined]
    made: dict[str, Any] = {}
    try:
        code = compile(ast.fix_missing_locations(tree), STATEMENT_FILE, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise InvalidValueError(f"a statement must be valid in a function: {error}") from None
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
    """What a statement leaves behind, compared with the process before."""

    def __init__(self) -> None:
        self._folder = _folder()
        self._threads = {thread.ident for thread in threading.enumerate()}

    def doubts(self) -> Iterator[str]:
        """Yield what the statement has changed."""
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
        return "one that no longer exists"


@contextmanager
def switches_of_the_gil() -> Iterator[list[str]]:
    """Note modules whose import switches on the GIL of a free-threaded interpreter.

    That happens for an extension module that does not declare free-threading support (Python/import.c,
    _PyImport_EnableGILPermanent), while the module is created or, for some, executed.
    """
    from importlib.machinery import ExtensionFileLoader as Loader

    culprits: list[str] = []
    if tracer.gil_enabled() or not hasattr(sys, "_is_gil_enabled"):
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
    off = not tracer.gil_enabled()
    try:
        return load()
    finally:
        if off and tracer.gil_enabled():
            culprits.append(name)


def first_call(call: Callable[[], object]) -> None:
    """Call once, and check that it returns only in this process.

    If a statement forks and its child also returns, the processes double with each call.

    Raises
    ------
    InvalidValueError
        If a child returned; it is ended here.
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
            raise InvalidValueError("a statement must not return in a child that it forks, this one does")
    finally:
        os.close(reader)
        os.close(writer)
