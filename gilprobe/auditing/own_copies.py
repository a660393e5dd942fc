"""Give each thread objects of its own in place of some that a call shares.

Whatever leads from the call to such an object is copied with it: functions with their global variables,
modules, containers, instances. All else stays shared.
"""

from __future__ import annotations

import copy
import sys
import threading
import types
from collections import deque
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from gilprobe.auditing.reach import Held, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gilprobe.auditing.reach import Reach

_MADE_ANEW: dict[type, Callable[[], object]] = {
    type(threading.Lock()): threading.Lock,
    type(threading.RLock()): threading.RLock,
    SimpleQueue: SimpleQueue,
    threading.local: threading.local,
}
"""Types whose instances have no copies, but of which a new one does the same."""


class OwnCopies:
    """Makes copies of a call in which some objects are new ones.

    Parameters
    ----------
    reach : Reach
        What the call reaches.
    function, args
        The call.
    wanted : iterable of int
        The identities of the objects.
    """

    def __init__(
        self, reach: Reach, function: Callable[..., Any], args: tuple[object, ...], wanted: Iterable[int]
    ) -> None:
        self._reach = reach
        self._function = function
        self._args = args
        self._wanted = frozenset(wanted)
        self._inside: dict[int, list[tuple[int, Held]]] = {}
        self._leading = self._holders()

    def _holders(self) -> frozenset[int]:
        """Return the identities of the wanted objects and of all that leads to them."""
        leading: set[int] = set()
        left = [one for one in self._wanted if one in self._reach.found]
        while left:
            one = left.pop()
            if one in leading:
                continue
            leading.add(one)
            for held in self._reach.found[one].ways:
                if held.holder in self._reach.found:
                    left.append(held.holder)
                    self._inside.setdefault(held.holder, []).append((one, held))
        return frozenset(leading)

    def missing(self) -> frozenset[int]:
        """Return those of the wanted objects that can't be copied, or something on a way to them.

        Makes a copy to find out.
        """
        making = _Making(self)
        making.call()
        return frozenset(
            one for one in self._wanted if one in making.refused or self._behind(one, making.refused)
        )

    def _behind(self, one: int, refused: set[int]) -> bool:
        seen: set[int] = set()
        left = [one]
        while left:
            at = left.pop()
            if at in refused:
                return True
            if at not in seen:
                seen.add(at)
                left += [held.holder for held in self._reach.found[at].ways if held.holder in self._leading]
        return False

    def make(self) -> Callable[[], object]:
        """Return the call with new objects; use it in one thread only."""
        return _Making(self).call()


class _Making:
    """One copy of a call."""

    def __init__(self, plan: OwnCopies) -> None:
        self._plan = plan
        self._made: dict[int, Any] = {}
        self._spaces: dict[int, dict[str, Any]] = {}
        self._modules: dict[int, types.ModuleType] = {}
        self.refused: set[int] = set()

    def call(self) -> Callable[[], object]:
        plan = self._plan
        return partial(self.of(plan._function), *map(self.of, plan._args))

    def of(self, value: Any) -> Any:
        """Return the copy of an object, or itself if nothing in it is to be a thread's own."""
        if id(value) not in self._plan._leading:
            return value
        if id(value) not in self._made:
            self._made[id(value)] = value  # what can't be copied, and holds itself, stays
            try:
                self._copy(value, self._plan._inside.get(id(value), []))
            except Exception:  # foreign copying may raise anything
                self.refused.add(id(value))
                self._made[id(value)] = value
        return self._made[id(value)]

    def _copy(self, value: Any, inside: list[tuple[int, Held]]) -> None:
        within = [(self._plan._reach.found[one].value, held) for one, held in inside]
        _check(value, within)
        kind = type(value)
        if kind is types.FunctionType:
            self._function(value, within)
        elif kind is types.ModuleType:
            module = self._made[id(value)] = self._module(value.__dict__, value)
            for one, held in within:
                module.__dict__[str(held.key)] = self.of(one)
        elif kind is types.CellType:
            cell = self._made[id(value)] = types.CellType()
            cell.cell_contents = self.of(value.cell_contents)
        elif kind is types.MethodType:
            self._made[id(value)] = types.MethodType(self.of(value.__func__), self.of(value.__self__))
        elif kind is partial:
            keywords = {key: self.of(item) for key, item in value.keywords.items()}
            self._made[id(value)] = partial(self.of(value.func), *map(self.of, value.args), **keywords)
        elif kind in (list, deque):
            items = self._made[id(value)] = kind()
            items.extend(map(self.of, value))
        elif kind is dict:
            table = self._made[id(value)] = {}
            table.update({key: self.of(item) for key, item in value.items()})
        elif kind in (tuple, frozenset):
            self._made[id(value)] = kind([*map(self.of, value)])
        else:
            self._instance(value, within)

    def _function(self, function: types.FunctionType, within: list[tuple[Any, Held]]) -> None:
        space = self._space(function.__globals__)
        cells = [self._cell(cell) for cell in function.__closure__ or ()]
        new = types.FunctionType(
            function.__code__, space, function.__name__, function.__defaults__, tuple(cells) or None
        )
        new.__kwdefaults__ = function.__kwdefaults__
        new.__qualname__ = function.__qualname__
        self._made[id(function)] = new  # before what it holds, which may hold it
        for one, held in within:
            if held.step is Step.GLOBAL:
                space[str(held.key)] = self.of(one)
        for cell, old in zip(cells, function.__closure__ or (), strict=True):
            if cell is not old:
                cell.cell_contents = self.of(old.cell_contents)
        new.__defaults__ = function.__defaults__ and tuple(map(self.of, function.__defaults__))
        if function.__kwdefaults__:
            new.__kwdefaults__ = {key: self.of(item) for key, item in function.__kwdefaults__.items()}

    def _cell(self, cell: types.CellType) -> types.CellType:
        if id(cell) in self._plan._leading:
            return self._made.setdefault(id(cell), types.CellType())  # type: ignore[no-any-return]
        return cell

    def _space(self, space: dict[str, Any]) -> dict[str, Any]:
        """Return the copy of the global variables of functions: those of the module's copy, if it has one."""
        if id(space) not in self._spaces:
            module = sys.modules.get(str(space.get("__name__")))
            if type(module) is types.ModuleType and module.__dict__ is space:
                self._module(space, module)
            else:
                self._spaces[id(space)] = {**space}
        return self._spaces[id(space)]

    def _module(self, space: dict[str, Any], module: types.ModuleType) -> types.ModuleType:
        if id(space) not in self._modules:
            made = types.ModuleType(module.__name__)
            made.__dict__.update(space)
            self._spaces.setdefault(id(space), made.__dict__)
            self._modules[id(space)] = made
        return self._modules[id(space)]

    def _instance(self, value: Any, within: list[tuple[Any, Held]]) -> None:
        anew = _MADE_ANEW.get(type(value))
        new = copy.copy(value) if anew is None else anew()
        if new is value or isinstance(value, type):
            raise TypeError(f"no copy of a {type(value).__name__}")
        self._made[id(value)] = new
        for one, held in within:
            if held.step is Step.ATTRIBUTE:
                object.__setattr__(new, str(held.key), self.of(one))


def _check(value: object, within: list[tuple[Any, Held]]) -> None:
    """Refuse a holder that leads to something which only the collector sees, or to its class.

    The dict of an instance may be such a thing: a copy of the instance has another.
    """
    known = {id(one) for one, held in within if held.step not in (Step.KIND, Step.INSIDE)}
    if any(id(one) not in known and type(one) is not dict for one, _ in within):
        raise TypeError(f"no copy of what is in a {type(value).__name__}")
