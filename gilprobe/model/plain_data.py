"""Frozen dataclasses that cost little to make: these are loaded into other people's processes.

:mod:`dataclasses` loads :mod:`inspect` and compiles six methods a class, which cost a trace more than all
else that it loads. Here all classes share their methods. They are dataclasses all the same: their fields are
described when someone asks.
"""

from __future__ import annotations

from _operator import attrgetter  # without what :mod:`operator` loads

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass as dataclass  # type checkers know only that one
    from typing import Any, NoReturn
else:

    def dataclass(*, frozen: bool, slots: bool) -> Callable[[type[Any]], type[Any]]:
        """Return the decorator. The options say what the class is, and must both be True."""
        if not (frozen and slots):
            raise ValueError(f"frozen and slots must be True, got {frozen!r} and {slots!r}")
        return _made


class _Described:
    """An attribute of a class that :mod:`dataclasses` or :mod:`inspect` makes when it is asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, _made: object, owner: type[PlainData]) -> Any:
        import dataclasses
        import inspect

        body = {"__annotations__": owner.__annotations__, "__module__": owner.__module__, **owner._defaults}
        standard: Any = dataclasses.dataclass(frozen=True, slots=True)(type(owner.__name__, (), body))
        standard.__signature__ = inspect.signature(standard)
        for name in ("__dataclass_fields__", "__dataclass_params__", "__signature__"):
            setattr(owner, name, getattr(standard, name))
        return getattr(owner, self._name)


class PlainData:
    """What all these classes share."""

    __slots__ = ()
    __dataclass_fields__ = _Described("__dataclass_fields__")
    __dataclass_params__ = _Described("__dataclass_params__")
    __signature__ = _Described("__signature__")
    if TYPE_CHECKING:  # each class has its own; hints at run time are those of fields only
        __match_args__: tuple[str, ...]
        _defaults: dict[str, Any]
        _puts: tuple[Callable[[Any, Any], None], ...]
        _values: Callable[[Any], tuple[Any, ...]]

    def __init__(self, *values: Any, **named: Any) -> None:
        names = self.__match_args__
        if named or len(values) != len(names):
            if len(values) + len(named) == len(names) and not named.keys() - names[len(values) :]:
                values += tuple([named[name] for name in names[len(values) :]])
            else:
                values = self._completed(values, named)
        for put, value in zip(self._puts, values):  # noqa: B905  # of one length, and reports have many rows
            put(self, value)
        self.__post_init__()

    def __post_init__(self) -> None:
        """Check the values; for classes to replace."""

    def _completed(self, values: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
        """Return the values of all fields; the errors are those of a function with these parameters."""
        names = self.__match_args__
        where = f"{type(self).__qualname__}.__init__()"
        if len(values) > len(names):
            raise TypeError(
                f"{where} takes {len(names) + 1} positional arguments but {len(values) + 1} were given"
            )
        given = dict(zip(names, values, strict=False))
        for name in named:
            if name in given:
                raise TypeError(f"{where} got multiple values for argument {name!r}")
            if name not in names:
                raise TypeError(f"{where} got an unexpected keyword argument {name!r}")
        given = self._defaults | given | named
        missing = [name for name in names if name not in given]
        if missing:
            plural = "" if len(missing) == 1 else "s"
            listed = " and ".join(map(repr, missing))
            raise TypeError(f"{where} missing {len(missing)} required positional argument{plural}: {listed}")
        return tuple([given[name] for name in names])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PlainData) or other.__class__ is not self.__class__:
            return NotImplemented
        return self._values(self) == self._values(other)

    def __hash__(self) -> int:
        return hash(self._values(self))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__qualname__}({fields})"

    def __setattr__(self, name: str, _value: object) -> NoReturn:
        raise _is_frozen("assign to", name)

    def __delattr__(self, name: str) -> NoReturn:
        raise _is_frozen("delete", name)

    def __getstate__(self) -> tuple[Any, ...]:
        return self._values(self)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        for put, value in zip(self._puts, state, strict=True):
            put(self, value)

    def __replace__(self, /, **changes: Any) -> Any:
        from dataclasses import replace

        return replace(self, **changes)  # type: ignore[type-var]  # each class that is made has fields


def _is_frozen(what: str, name: str) -> AttributeError:
    from dataclasses import FrozenInstanceError

    return FrozenInstanceError(f"cannot {what} field {name!r}")


def _made(owner: type[Any]) -> Any:
    """Return `owner` with slots for its fields, two at least, and with what these classes share."""
    names = tuple(owner.__annotations__)
    left_out = {*names, "__dict__", "__weakref__"}
    body = {name: value for name, value in owner.__dict__.items() if name not in left_out}
    body |= {"__slots__": names, "__match_args__": names}
    bases = tuple(base for base in owner.__bases__ if base is not object)
    kind: Any = type(owner)
    made = kind(owner.__name__, (*bases, PlainData), body)
    made.__qualname__ = owner.__qualname__
    made._defaults = {name: owner.__dict__[name] for name in names if name in owner.__dict__}
    made._values = attrgetter(*names)
    made._puts = tuple([made.__dict__[name].__set__ for name in names])
    return made
