"""Find the objects that a call reaches: what its threads share if all of them make it."""

from __future__ import annotations

import builtins
import enum
import types
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from gilprobe.refs.referents import referents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST = 20_000
"""Most objects: more are not looked at."""

_MOST_ITEMS = 1_000  # of one container
_MOST_BY_NAME = 500  # holders; of more instances the collector tells what is inside, without names
_LONGEST_KEY = 40

_GET: object = object.__getattribute__
_LEAVES = (int, float, complex, str, bytes, bool, type(None), type(...), range)


class Step(enum.Enum):
    """How a holder leads to an object; the key of each is told in brackets."""

    ARGUMENT = "argument"  # its number, from 0
    GLOBAL = "global"  # the name
    CELL = "closure"  # the number of the cell
    DEFAULT = "default"  # the number, or the name
    ATTRIBUTE = "attribute"  # the name
    ITEM = "item"  # the number
    VALUE = "value"  # the key
    SELF = "self"
    FUNCTION = "function"
    KIND = "kind"  # the object's class
    INSIDE = "inside"  # known to the collector only


@dataclass(frozen=True, slots=True)
class Held:
    """One way from a holder to an object: the holder's identity, how, and the key."""

    holder: int
    step: Step
    key: object


@dataclass(slots=True, eq=False)
class Reached:
    """An object that a call reaches.

    Attributes
    ----------
    value : object
        The object.
    name : str
        How code gets at it, by the shortest way.
    ways : list of Held
        All ways to it.
    """

    value: Any
    name: str
    ways: list[Held] = field(default_factory=list)


class Reach:
    """The objects that a call reaches, by their identities, nearest first.

    Of modules and classes only attributes count whose names stand in the reached code, and what the
    interpreter calls by itself. Nothing of the objects is run: no property, no ``__getattr__``.

    Parameters
    ----------
    function : callable
        What is called.
    args : tuple
        Its arguments.
    name : str
        What the result calls the function.

    Attributes
    ----------
    found : dict of int to Reached
        The objects.
    whole : bool
        Whether there were no more than `MOST`.
    """

    def __init__(self, function: Callable[..., object], args: tuple[object, ...], name: str) -> None:
        self.found: dict[int, Reached] = {}
        self.whole = True
        self._names: set[str] = set()
        self._by_name: list[Reached] = []  # holders whose attributes count by name
        self._left: deque[Reached] = deque()
        self._add(function, name, None)
        for number, value in enumerate(args):
            self._add(value, f"argument {number + 1}", Held(0, Step.ARGUMENT, number))
        known: set[str] = set()
        while self._left or self._names - known:
            while self._left:
                self._look_into(self._left.popleft())
            new, known = self._names - known, {*self._names}
            for holder in [*self._by_name]:  # seen before the code that names their attributes was
                for inside, shown, step, key in self._named(holder, new):
                    self._add(inside, shown, Held(id(holder.value), step, key))

    def _add(self, value: object, name: str, held: Held | None) -> None:
        known = self.found.get(id(value))
        if known is None:
            if len(self.found) >= MOST:
                self.whole = False
                return
            known = self.found[id(value)] = Reached(value, name)
            self._left.append(known)
        if held is not None and held not in known.ways:
            known.ways.append(held)

    def _look_into(self, holder: Reached) -> None:
        value = holder.value
        if type(value) in _LEAVES:
            return
        if type(value) is types.CodeType:
            self._learn(value)
            return
        for inside, name, step, key in self._inside(holder):
            self._add(inside, name, Held(id(value), step, key))

    def _inside(self, holder: Reached) -> Iterator[tuple[object, str, Step, object]]:
        value, name = holder.value, holder.name
        if type(value) is types.FunctionType:
            yield from self._of_function(value)
        elif type(value) is types.MethodType:
            yield value.__func__, f"{name}.__func__", Step.FUNCTION, None
            yield value.__self__, f"{name}.__self__", Step.SELF, None
        elif type(value) is partial:
            yield value.func, f"{name}.func", Step.FUNCTION, None
            for number, item in enumerate(value.args):
                yield item, f"{name}.args[{number}]", Step.ARGUMENT, number
            for key, item in value.keywords.items():
                yield item, f"{name}.keywords[{key!r}]", Step.VALUE, key
        elif type(value) in (list, tuple, deque):
            for number, item in enumerate([*value][:_MOST_ITEMS]):
                yield item, f"{name}[{number}]", Step.ITEM, number
        elif type(value) is dict:
            yield from _of_dict(value, name)
        elif issubclass(type(value), types.ModuleType | type):  # isinstance would ask the object, too
            self._by_name.append(holder)
            yield from self._named(holder, self._names)
            yield from self._called_by_itself(holder)
        else:
            yield from self._of_instance(holder)

    def _of_function(self, function: types.FunctionType) -> Iterator[tuple[object, str, Step, object]]:
        name = function.__qualname__
        self._learn(function.__code__)
        space = function.__globals__
        module = space.get("__name__")
        before = "" if module in ("__audit__", "__main__", None) else f"{module}."
        for used in _names_in(function.__code__):
            if used in space:
                yield space[used], f"{before}{used}", Step.GLOBAL, used
            elif used in vars(builtins):
                yield vars(builtins)[used], used, Step.INSIDE, used
        for number, cell in enumerate(function.__closure__ or ()):
            variable = function.__code__.co_freevars[number]
            yield cell, f"the cell of {variable!r} of {name}", Step.CELL, number
        defaults = function.__defaults__ or ()
        first = function.__code__.co_argcount - len(defaults)
        for number, value in enumerate(defaults):
            parameter = function.__code__.co_varnames[first + number]
            yield value, f"the default of {parameter!r} in {name}", Step.DEFAULT, number
        for key, value in (function.__kwdefaults__ or {}).items():
            yield value, f"the default of {key!r} in {name}", Step.DEFAULT, key

    def _learn(self, code: types.CodeType) -> None:
        """Note the names in code."""
        self._names |= {*_names_in(code)}

    def _named(self, holder: Reached, names: set[str]) -> Iterator[tuple[object, str, Step, object]]:
        value = holder.value
        if issubclass(type(value), types.ModuleType):
            spaces = [types.ModuleType.__getattribute__(value, "__dict__")]
            shown = spaces[0].get("__name__", holder.name)
        elif issubclass(type(value), type):
            spaces = [type.__getattribute__(base, "__dict__") for base in _mro(value)]
            shown = value.__name__ if holder.name.endswith("'s class") else holder.name
        else:
            yield from _attributes(value, holder.name, names)
            return
        seen: set[str] = set()
        for space in spaces:
            for name in sorted(names & space.keys() - seen):
                yield space[name], f"{shown}.{name}", Step.ATTRIBUTE, name
                seen.add(name)

    def _called_by_itself(self, holder: Reached) -> Iterator[tuple[object, str, Step, object]]:
        """Yield what the interpreter calls without a name in code: special methods, and the metaclass."""
        if not issubclass(type(holder.value), type):
            return
        for base in _mro(holder.value):
            for name, value in [*type.__getattribute__(base, "__dict__").items()]:
                if name.startswith("__") and type(value) is types.FunctionType:
                    yield value, f"{holder.name}.{name}", Step.ATTRIBUTE, name
        if type(holder.value) is not type:
            yield type(holder.value), f"{holder.name}'s class", Step.KIND, None

    def _of_instance(self, holder: Reached) -> Iterator[tuple[object, str, Step, object]]:
        value = holder.value
        plain: bool = type.__getattribute__(type(value), "__getattribute__") is _GET
        if plain and len(self._by_name) < _MOST_BY_NAME:
            self._by_name.append(holder)
            yield from _attributes(value, holder.name, self._names)
        if type(value) is types.CellType:
            try:
                inside = value.cell_contents
            except ValueError:  # empty
                return
            yield inside, holder.name.replace("the cell of", "closure variable", 1), Step.SELF, None
            return
        yield type(value), f"{holder.name}'s class", Step.KIND, None
        if len(self.found) < MOST:
            for one in referents([value])[:_MOST_ITEMS]:
                if type(one) not in (types.ModuleType, types.FrameType) and not issubclass(type(one), type):
                    yield one, f"a {type(one).__name__} in {holder.name}", Step.INSIDE, None


def _of_dict(value: dict[Any, Any], name: str) -> Iterator[tuple[object, str, Step, object]]:
    for key, item in [*value.items()][:_MOST_ITEMS]:
        shown = ascii(key)[:_LONGEST_KEY] if type(key) in _LEAVES else f"a {type(key).__name__}"
        yield item, f"{name}[{shown}]", Step.VALUE, key
        yield key, f"the key {shown} of {name}", Step.INSIDE, None


def _attributes(value: object, holder: str, names: set[str]) -> Iterator[tuple[object, str, Step, object]]:
    """Yield an instance's own attributes, without making a dict of them where it has none yet."""
    kinds = [type.__getattribute__(base, "__dict__") for base in _mro(type(value))]
    for name in sorted(names):
        known = next((space[name] for space in kinds if name in space), None)
        if known is not None and type(known) is not types.MemberDescriptorType:
            continue  # a method, or a property that would run
        try:
            yield object.__getattribute__(value, name), f"{holder}.{name}", Step.ATTRIBUTE, name
        except AttributeError:
            continue


def _names_in(code: types.CodeType) -> Iterator[str]:
    """Yield the names that code uses, and the code in it."""
    yield from code.co_names
    for inside in code.co_consts:
        if type(inside) is types.CodeType:
            yield from _names_in(inside)


def _mro(kind: type) -> tuple[type, ...]:
    """Return a class and its bases, whatever its own class does when it is asked."""
    order: tuple[type, ...] = type.__dict__["__mro__"].__get__(kind)
    return order
