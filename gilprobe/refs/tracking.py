"""Track how a block of code changes the counts of some objects."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from gilprobe._native.references import Watch
from gilprobe.errors import InvalidTypeError, InvalidValueError, ReferenceCountError, TracerStateError
from gilprobe.refs import argument_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import FrameType

MOST_REFERRERS = 10
"""Limit of referrers per object in a message."""


class Deltas(dict[str, int]):
    """The change of each count by name, or by object: ``deltas[obj]``."""

    def __init__(self, rows: Iterable[tuple[str, int]], watches: Sequence[Watch]) -> None:
        super().__init__(rows)
        self._watches = dict(zip(self, watches, strict=True))

    def __getitem__(self, key: object) -> int:
        if isinstance(key, str) and super().__contains__(key):
            return super().__getitem__(key)
        for name, watch in self._watches.items():
            if watch.obj is key:
                return super().__getitem__(name)
        raise KeyError(key)


class Tracking:
    """Tracks the counts of objects while its block runs; see :func:`track`."""

    def __init__(self, objects: dict[str, object], *, expect: int | None) -> None:
        self._names = tuple(objects)
        self._watches = tuple(map(Watch, objects.values()))
        self._expect = expect
        self._start: tuple[int | None, ...] | None = None
        self._deltas: Deltas | None = None

    def __enter__(self) -> Tracking:
        self._deltas = None
        self._start = self._read()
        return self

    def __exit__(self, exception_type: type[BaseException] | None, *_exception: object) -> None:
        self._deltas = self._changes()
        if exception_type is None and self._expect is not None:
            self._check(self._deltas, self._expect, sys._getframe(1))

    @property
    def deltas(self) -> Deltas:
        """The change of each object's count: so far inside the block, later at its end.

        Raises
        ------
        TracerStateError
            If the block has not begun.
        """
        return self._changes() if self._deltas is None else self._deltas

    def _read(self) -> tuple[int | None, ...]:
        return tuple([watch.count for watch in self._watches])

    def _changes(self) -> Deltas:
        if self._start is None:
            raise TracerStateError("the block of a tracking must begin before its deltas are read")
        pairs = zip(self._start, self._read(), strict=True)
        # an immortal object, before or after, has no change
        changes = [0 if before is None or after is None else after - before for before, after in pairs]
        return Deltas(zip(self._names, changes, strict=True), self._watches)

    def _check(self, deltas: Deltas, expect: int, frame: FrameType) -> None:
        wrong = [
            (name, delta, watch)
            for (name, delta), watch in zip(deltas.items(), self._watches, strict=True)
            if delta != expect and not watch.immortal
        ]
        if wrong:
            lines = [line for name, delta, watch in wrong for line in _report(name, delta, watch, frame)]
            raise ReferenceCountError(
                "\n".join([f"each count must change by {expect:+d} over the block", *lines])
            )


def track(*objects: object, expect: int | None = None, **named: object) -> Tracking:
    """Track the reference counts of objects over a block of code.

    Parameters
    ----------
    *objects : object
        Objects, named as in the source of the call.
    expect : int, optional
        Expected change of each object's count over the block, 0 for no new references; else an error says who
        refers to it. Immortal objects never change.
    **named : object
        More objects, with names.

    Returns
    -------
    Tracking
        A context manager whose ``deltas`` is a dict of name (or object) to int.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If there is no object, or `expect` is not an int.
    ReferenceCountError
        At the end of the block, an AssertionError. An exception from the block takes precedence.

    Examples
    --------
    >>> cache = {}
    >>> with gilprobe.refs.track(cache) as d:
    ...     keep = [cache, cache]
    >>> d.deltas
    {'cache': 2}
    """
    if expect is not None and (isinstance(expect, bool) or not isinstance(expect, int)):
        raise InvalidTypeError(f"expect must be an int, got {expect!r}")
    if not objects and not named:
        raise InvalidValueError("track must be given at least 1 object, got 0")
    names = argument_names.names(sys._getframe(1), objects)
    names = argument_names.distinct([*names, *named])
    return Tracking(dict(zip(names, [*objects, *named.values()], strict=True)), expect=expect)


def _report(name: str, delta: int, watch: Watch, frame: FrameType) -> Iterable[str]:
    from gilprobe.refs import referrers

    count = watch.count  # before the search, which has its own references
    found = referrers.describe(watch.obj, frame)
    yield f"  {name} changed by {delta:+d} to {count}: {_what(watch.obj)} is referred to by"
    yield from (f"    {text}" for text in found[:MOST_REFERRERS])
    if len(found) > MOST_REFERRERS:
        yield f"    and {len(found) - MOST_REFERRERS} more"
    if not found:
        yield "    nothing that Python can find: native code, or a reference that was never released"


def _what(obj: Any) -> str:
    return f"the {type(obj).__qualname__} at {id(obj):#x}"
