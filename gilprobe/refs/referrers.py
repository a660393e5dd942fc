"""Describe who refers to an object: running functions, and objects that the collector knows."""

from __future__ import annotations

import gc
import inspect
import os
import sys
import threading
import types
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gilprobe._native.references import Watch
from gilprobe.refs.leak_census import frozen
from gilprobe.refs.referents import referents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import FrameType

DEPTH = 2
"""Levels of containers described: item 0 of a list, which is a local of a function."""

LARGEST = 10_000
"""Limit of items searched in a container that the collector does not know."""

SNAPSHOTS = sys.version_info < (3, 13)
"""A frame's variables are copied into a dict that it keeps; since 3.13 (PEP 667) nothing is copied."""

_ATTEMPTS = 100

NO_GIL = not getattr(sys, "_is_gil_enabled", lambda: True)()


def describe(obj: object, frame: FrameType | None = None) -> list[str]:
    """Describe the referrers of an object.

    Parameters
    ----------
    obj : object
        Any object.
    frame : frame, optional
        First frame searched in the calling thread; default: the caller's.

    Returns
    -------
    list of str
        A line each, such as "local `cache` of function load (app.py:12)". References of native code are
        missing, and without the GIL also variables of functions that other threads run.

    Notes
    -----
    Attributes may be looked up, without running code of the objects.
    """
    here = sys._getframe(1) if frame is None else frame
    return _Search(obj, here).lines()


class _Search:
    """One search; leaves out its own references."""

    def __init__(self, obj: object, frame: FrameType) -> None:
        self.obj = obj
        self.own: list[list[Any]] = []
        self.frames = list(_frames(frame))
        self.modules = _modules()
        self.frozen = frozen()  # which gc.get_referrers leaves out

    def lines(self) -> list[str]:
        try:
            return self._lines()
        finally:  # the holders include frames of this search: a cycle that would keep the object
            for one in self.own:
                one.clear()
            self.own.clear()
            self.frames.clear()
            self.frozen.clear()

    def _lines(self) -> list[str]:
        found = [line for frame in self.frames for line in self._of_frame(frame)]
        in_cells = any("shared with" in line for line in found)
        for holder in self._holders(self.obj):
            if _is(holder, types.CellType):
                found += self._of_cell(holder, tell_alone=not in_cells)
            else:
                found += self._of_holder(holder, self.obj, DEPTH)
        return list(dict.fromkeys(found))

    def _holders(self, obj: object) -> list[Any]:
        found = [holder for holder in self._referrers(obj) if not self._is_own(holder)]
        self.own.append(found)  # it refers to the next object to search
        return found

    def _referrers(self, obj: object) -> Iterator[Any]:
        yield from gc.get_referrers(obj)
        for one in self.frozen:
            if id(obj) in map(id, referents([one])):
                yield one

    def _is_own(self, holder: Any) -> bool:
        own = (self.own, self.frames, self.modules, self.frozen, vars(self), *self.own)
        if any(holder is one for one in own) or _is(holder, Watch | _Search):
            return True
        if _is(holder, types.GeneratorType) and holder.gi_frame is not None:
            return holder.gi_frame.f_globals is globals()  # one of ours, between two lines
        if _is(holder, types.FrameType):
            return holder.f_globals is globals() or any(holder is frame for frame in self.frames)
        return False

    # -- variables

    def _of_frame(self, frame: FrameType) -> Iterator[str]:
        code = frame.f_code
        if frame.f_locals is frame.f_globals:
            return  # a module's: the collector knows its dict
        for name, value in _variables(frame).items():
            if name in code.co_freevars:
                continue
            if value is self.obj:
                shared = ", shared with inner functions" if name in code.co_cellvars else ""
                yield f"local `{name}` of {_site(frame)}{shared}"
            elif not gc.is_tracked(value):
                yield from (
                    f"{text} (local `{name}` of {_site(frame)})" for text in _of_untracked(value, self.obj)
                )

    def _of_cell(self, cell: types.CellType, *, tell_alone: bool) -> Iterator[str]:
        told = False
        for closure in self._holders(cell):
            for function in self._holders(closure) if _is(closure, tuple) else ():
                if _is(function, types.FunctionType) and function.__closure__ is closure:
                    names = function.__code__.co_freevars
                    name = next(name for name, one in zip(names, closure, strict=True) if one is cell)
                    yield f"variable `{name}` in the closure of function {function.__qualname__}"
                    told = True
        if not told and tell_alone:
            yield "a closure cell"

    # -- containers

    def _of_holder(self, holder: Any, obj: object, depth: int) -> Iterator[str]:
        if _is(holder, dict):
            yield from self._of_dict(holder, obj, depth)
        elif _is(holder, list | tuple | deque):
            texts = [f"item {number}" for number, item in enumerate(_items(holder)) if item is obj]
            yield from self._inside(texts, holder, depth)
        elif _is(holder, set | frozenset):
            yield from self._inside(["a member"], holder, depth)
        else:
            yield from _of_object(holder, obj)

    def _of_dict(self, holder: dict[Any, Any], obj: object, depth: int) -> Iterator[str]:
        names = [key for key, value in list(dict.items(holder)) if value is obj]
        module = self.modules.get(id(holder))
        owner = None if module is not None else _owner(holder, self._referrers(holder))
        for name in names:
            if module is not None:
                yield f"global `{name}` of module {module}"
            elif owner is not None:
                yield f"attribute `{name}` of {_thing(owner)}"
            else:
                yield from self._inside([f"the value of key {_short(name)}"], holder, depth)
        if any(key is obj for key in list(dict.keys(holder))):
            yield from self._inside(["a key"], holder, depth)

    def _inside(self, texts: list[str], holder: object, depth: int) -> Iterator[str]:
        """Yield an item's text together with its container's holder."""
        where = self._place(holder, depth - 1) if texts else ""
        for text in texts:
            yield f"{text} of a {type(holder).__qualname__}{f' ({where})' if where else ''}"

    def _place(self, holder: object, depth: int) -> str:
        if depth <= 0:
            return ""
        for frame in self.frames:
            if frame.f_locals is frame.f_globals:
                continue
            for name, value in _variables(frame).items():
                if value is holder:
                    return f"local `{name}` of {_site(frame)}"
        for outer in self._holders(holder):
            if _is(outer, types.CellType):
                continue  # one of ours, or one that another line describes better
            for text in self._of_holder(outer, holder, depth):
                return text
        return ""


def _items(holder: Any) -> list[object]:
    """Return a snapshot of a sequence: other threads may change it during a loop."""
    kind = next(kind for kind in (list, tuple, deque) if _is(holder, kind))
    for _ in range(_ATTEMPTS):
        with suppress(RuntimeError):  # a deque changed meanwhile: without the GIL, or by a finalizer
            return list(kind.__iter__(holder))
    return []


def _is(holder: Any, kinds: Any) -> bool:
    """Do as isinstance, without reading ``__class__``, which may run foreign code."""
    return issubclass(type(holder), kinds)


# -- frames


def _frames(innermost: FrameType) -> Iterator[FrameType]:
    """Yield the frames of the calling thread, from one outwards, then those of the others."""
    frame: FrameType | None = innermost
    while frame is not None:
        yield frame
        frame = frame.f_back
    if NO_GIL:
        return  # another thread may leave its frames meanwhile
    others = sys._current_frames()
    del others[threading.get_ident()]  # this frame itself: a variable that holds it would be a cycle
    for top in others.values():
        frame = top
        while frame is not None:
            yield frame
            frame = frame.f_back


def _variables(frame: FrameType) -> Mapping[str, Any]:
    """Return a frame's variables, and leave no copy behind."""
    names = frame.f_locals
    if not SNAPSHOTS or not frame.f_code.co_flags & inspect.CO_OPTIMIZED:
        return names
    copy = dict(names)
    # A dict that only the frame has was made just now, or will be made again on demand. If kept, it would
    # keep objects alive that the variables drop. After a trace function the interpreter copies the dict into
    # the variables (Python/sysmodule.c, call_trampoline): then it must stay.
    if not _is_traced() and Watch(names).count == 2:  # the frame's own, and `names` here
        names.clear()
    return copy


def _is_traced() -> bool:
    asked = (sys.gettrace, sys.getprofile, threading.gettrace, threading.getprofile)
    return any(ask() is not None for ask in asked)


def _site(frame: FrameType) -> str:
    code = frame.f_code
    kind = "function"
    if code.co_flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR):
        kind = "generator"
    elif code.co_flags & inspect.CO_COROUTINE:
        kind = "coroutine"
    elif not code.co_flags & inspect.CO_OPTIMIZED:
        kind = "class body"
    return f"{kind} {code.co_qualname} ({os.path.basename(code.co_filename)}:{frame.f_lineno})"  # noqa: PTH119


# -- objects


def _of_untracked(value: object, obj: object) -> Iterator[str]:
    """Describe where the object is in a container that the collector does not track."""
    if type(value) is dict and len(value) <= LARGEST:
        yield from (
            f"the value of key {_short(key)} of a dict" for key, one in list(value.items()) if one is obj
        )
        yield from ("a key of a dict" for key in list(value) if key is obj)
    elif type(value) is tuple and len(value) <= LARGEST:
        yield from (f"item {number} of a tuple" for number, one in enumerate(value) if one is obj)


def _of_object(holder: Any, obj: object) -> Iterator[str]:
    """Describe what refers to the object in one that is not a container."""
    for kind, tell in _KINDS:
        if _is(holder, kind):
            yield tell(holder, obj)
            return
    names = list(_attributes(holder, obj))
    yield from (f"attribute `{name}` of {_thing(holder)}" for name in names)
    if not names:
        yield _thing(holder)


def _of_function(function: types.FunctionType, obj: object) -> str:
    what = "the defaults of " if obj is function.__defaults__ or obj is function.__kwdefaults__ else ""
    return f"{what}function {function.__qualname__}"


def _of_method(method: types.MethodType, obj: object) -> str:
    name = getattr(method.__func__, "__qualname__", "?")
    return f"bound method {name}" if method.__self__ is obj else f"a method of {_thing(method.__self__)}"


def _of_builtin(function: types.BuiltinFunctionType, _: object) -> str:
    return f"bound method {function.__qualname__}"


def _of_left_frame(frame: FrameType, obj: object) -> str:
    names = [name for name, value in _variables(frame).items() if value is obj]
    return f"local `{names[0]}` of {_site(frame)}, which was kept" if names else f"the kept {_site(frame)}"


def _of_suspended(holder: Any, obj: object) -> str:
    frame = next(
        (frame for name in ("gi_frame", "cr_frame", "ag_frame") if (frame := getattr(holder, name, None))),
        None,
    )
    names = [name for name, value in _variables(frame).items() if value is obj] if frame else []
    return f"local `{names[0]}` of {_site(frame)}, suspended" if frame and names else _thing(holder)


_KINDS: tuple[tuple[Any, Callable[[Any, object], str]], ...] = (
    (types.FunctionType, _of_function),
    (types.MethodType, _of_method),
    (types.BuiltinFunctionType, _of_builtin),
    (types.FrameType, _of_left_frame),
    ((types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType), _of_suspended),
)


def _attributes(holder: object, obj: object) -> Iterator[str]:
    """Yield an instance's attributes that are the object, without running code of its class."""
    for cls in type(holder).__mro__:
        for name, descriptor in list(vars(cls).items()):
            if _is(descriptor, types.MemberDescriptorType) and _get(descriptor, holder) is obj:
                yield name
    values = _namespace(holder)
    yield from (str(name) for name, value in list(values.items()) if value is obj)


def _get(descriptor: Any, holder: object) -> object:
    try:
        return descriptor.__get__(holder)
    except AttributeError:
        return None


def _namespace(holder: object) -> dict[Any, Any]:
    """Return the dict of an object's attributes; an empty one if it has none."""
    for cls in type(holder).__mro__:
        descriptor = vars(cls).get("__dict__")
        if _is(descriptor, types.GetSetDescriptorType):
            found = _get(descriptor, holder)
            return found if isinstance(found, dict) else {}
    return {}


def _owner(namespace: dict[Any, Any], referrers: Iterable[Any]) -> object:
    """Return the object whose attributes are in a dict; None if that is just a dict."""
    for holder in referrers:
        if _is(holder, type):
            if any(one is namespace for one in referents([holder])):
                return holder
        elif not _is(holder, types.FrameType | dict | list | tuple) and _namespace(holder) is namespace:
            return holder
    return None


def _modules() -> dict[int, str]:
    """Return the modules' names by identity of their dicts, without loading lazy modules."""
    found = [(name, module) for name, module in list(sys.modules.items()) if _is(module, types.ModuleType)]
    return {id(types.ModuleType.__getattribute__(module, "__dict__")): name for name, module in found}


def _thing(holder: Any) -> str:
    if _is(holder, type):
        return f"class {holder.__qualname__}"
    return f"a {type(holder).__qualname__} object"


def _short(key: object) -> str:
    """Return a key as text, if that runs no foreign code."""
    if not _is(key, str | bytes | int | float | bool | None):
        return f"of type {type(key).__qualname__}"
    text = repr(key)
    return text if len(text) <= 40 else f"{text[:37]}..."
