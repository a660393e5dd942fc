"""Choose objects whose references are counted one by one: a leak of only references shows nowhere else."""

from __future__ import annotations

import inspect
import sys
import types
from typing import TYPE_CHECKING, NamedTuple

from gilprobe.refs.leak_probes import type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

MOST = 200
"""Limit of watched objects: a module may have thousands of names."""

_IMMORTAL_FROM, _IMMORTAL_TO = 1 << 31, 1 << 33
_MOST_ITEMS = 20


class Suspect(NamedTuple):
    """An object and its readable name."""

    name: str
    obj: object


def is_immortal(obj: object) -> bool:
    """Return whether an object is immortal: PEP 683, from 3.12 on. Deferred counts are far larger."""
    if sys.version_info < (3, 12):
        return False
    return _IMMORTAL_FROM <= sys.getrefcount(obj) < _IMMORTAL_TO


def find_suspects(
    function: Callable[..., object],
    args: Sequence[object],
    kwargs: Mapping[str, object],
    outcomes: Sequence[object],
) -> list[Suspect]:
    """Return the objects that the function can refer to without making any.

    Parameters
    ----------
    function : callable
        The hunted function.
    args, kwargs : sequence, mapping
        Its arguments.
    outcomes : sequence
        Results of two calls, or the exceptions that they raised.

    Returns
    -------
    list of Suspect
        Arguments and their items, results that are always the same object, types of results and exceptions,
        constants, closure, globals, the module of a built-in function; and None, True, False and the empty
        tuple where they are counted.
    """
    found: list[Suspect] = []
    known: set[int] = set()
    for name, obj in _candidates(function, args, kwargs, outcomes):
        if len(found) == MOST:
            break
        if id(obj) not in known and not is_immortal(obj):
            known.add(id(obj))
            found.append(Suspect(name, obj))
    return found


def _candidates(
    function: Callable[..., object],
    args: Sequence[object],
    kwargs: Mapping[str, object],
    outcomes: Sequence[object],
) -> Iterator[tuple[str, object]]:
    named = [(f"argument {number}", obj) for number, obj in enumerate(args, 1)]
    named += [(f"argument {name}", obj) for name, obj in kwargs.items()]
    for name, obj in named:
        yield f"{name} ({type_name(type(obj))})", obj
    for obj in (None, True, False, ()):
        yield repr(obj), obj
    if len(outcomes) > 1 and outcomes[0] is outcomes[1]:
        yield f"the result ({type_name(type(outcomes[0]))})", outcomes[0]
    for name, obj in named:
        yield from _items(name, obj)
        yield f"the type {type_name(type(obj))}", type(obj)
    for obj in outcomes:
        yield f"the type {type_name(type(obj))}", type(obj)
    yield from _of_function(function)
    yield from _of_function(_wrapped(function))


def _wrapped(function: Callable[..., object]) -> Callable[..., object]:
    """Return the function inside decorators, whose globals the calls use."""
    try:
        innermost: Callable[..., object] = inspect.unwrap(function)
    except ValueError:  # a cycle
        return function
    return innermost


def _items(name: str, obj: object) -> Iterator[tuple[str, object]]:
    """Yield the items of a container of a built-in type, but nothing deeper."""
    if type(obj) in (list, tuple):
        for index, item in enumerate(obj[:_MOST_ITEMS]):  # type: ignore[index]
            yield f"item {index} of {name}", item
    elif type(obj) is dict:
        for item in list(obj.values())[:_MOST_ITEMS]:
            yield f"a value of {name} ({type_name(type(item))})", item


def _of_function(function: Callable[..., object]) -> Iterator[tuple[str, object]]:
    owner = getattr(function, "__self__", None)
    if isinstance(function, types.MethodType):
        yield f"self ({type_name(type(owner))})", owner
        function = function.__func__
    if isinstance(function, types.FunctionType):
        yield f"function {function.__qualname__}", function
        yield from _of_python_function(function)
    elif isinstance(owner, types.ModuleType):
        for name, obj in list(vars(owner).items()):
            if not name.startswith("__"):
                yield f"{owner.__name__}.{name}", obj
        yield f"module {owner.__name__}", owner
    elif owner is not None:
        yield f"self ({type_name(type(owner))})", owner


def _of_python_function(function: types.FunctionType) -> Iterator[tuple[str, object]]:
    code = function.__code__
    for default in function.__defaults__ or ():
        yield f"a default ({type_name(type(default))})", default
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f"{name!r} of the closure", cell.cell_contents
        except ValueError:  # empty
            continue
    for constant in code.co_consts:
        if not isinstance(constant, types.CodeType):
            yield f"the constant {ascii(constant)[:40]}", constant
    for name in code.co_names:
        if name in function.__globals__:
            value = function.__globals__[name]
            yield f"global {name!r}", value
            if isinstance(value, types.ModuleType):
                yield from _of_module(value, code.co_names)


def _of_module(module: types.ModuleType, names: Sequence[str]) -> Iterator[tuple[str, object]]:
    """Yield the names that the function looks up in a module, and the module's exceptions."""
    for name, obj in list(vars(module).items()):
        if name in names or (isinstance(obj, type) and issubclass(obj, BaseException)):
            yield f"{module.__name__}.{name}", obj
