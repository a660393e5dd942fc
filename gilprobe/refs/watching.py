"""Read the count of one object through a handle."""

from __future__ import annotations

import weakref
from typing import Any, Literal, overload

from gilprobe._native.references import Watch
from gilprobe.errors import DeadObjectError, InvalidTypeError

__all__ = ["Watch", "WeakWatch", "watch"]


class WeakWatch:
    """A watch that does not keep its object alive, and knows when it died; see :func:`watch`.

    Has the attributes of :class:`Watch`. All except `alive` raise :class:`DeadObjectError` once the object
    has been freed.

    Attributes
    ----------
    alive : bool
        Whether the object has not been freed.
    """

    __slots__ = ("__weakref__", "_reference", "_seen", "_what")

    def __init__(self, obj: object) -> None:
        self._what = type(obj).__qualname__
        try:
            self._reference = weakref.ref(obj)
        except TypeError:
            raise InvalidTypeError(
                f"obj must be weakly referenceable with hold=False, got an object of type {self._what}"
            ) from None
        self._seen: int | None = None

    def _look(self) -> Watch:
        """Return a temporary watch, whose reference is not counted."""
        obj = self._reference()
        if obj is None:
            raise DeadObjectError(f"the object must be alive, the {self._what} was freed")
        return Watch(obj)

    @property
    def alive(self) -> bool:
        """Whether the object has not been freed."""
        return self._reference() is not None

    @property
    def obj(self) -> Any:
        """The object."""
        return self._look().obj

    @property
    def count(self) -> int | None:
        """Counted references to the object; None if it is immortal."""
        return self._look().count

    @property
    def immortal(self) -> bool:
        """Whether the object is immortal: never freed, not counted."""
        return self._look().immortal

    @property
    def deferred(self) -> bool:
        """Whether references from the stacks of threads are not counted."""
        return self._look().deferred

    @property
    def owner(self) -> int | None:
        """Identifier of the thread that counts its references separately; None if none, or with a GIL."""
        return self._look().owner

    @property
    def local(self) -> int | None:
        """The owner's part of the count, including this call's reference; None with a GIL."""
        return self._look().local

    @property
    def shared(self) -> int | None:
        """The other threads' part; may be negative; None with a GIL."""
        return self._look().shared

    def delta(self) -> int:
        """Return the change of the count since the last call, or at first since the start."""
        before, self._seen = self._seen, self.count
        return 0 if before is None or self._seen is None else self._seen - before

    def __repr__(self) -> str:
        if not self.alive:
            return f"<watch on {self._what} object, freed>"
        count = self.count
        return f"<weak watch on {self._what} object: {'immortal' if count is None else f'count {count}'}>"


@overload
def watch(obj: object, *, hold: Literal[True] = True) -> Watch: ...
@overload
def watch(obj: object, *, hold: Literal[False]) -> WeakWatch: ...
@overload
def watch(obj: object, *, hold: bool) -> Watch | WeakWatch: ...


def watch(obj: object, *, hold: bool = True) -> Watch | WeakWatch:
    """Return a handle that reads the reference count of an object.

    Parameters
    ----------
    obj : object
        Any object.
    hold : bool
        Keep the object alive with one reference, which is not counted. Without it the object must be weakly
        referenceable, and may be freed while it is watched.

    Returns
    -------
    Watch or WeakWatch
        With ``count`` (references without the watch's own; None for an immortal object), ``immortal``,
        ``deferred``, ``alive``, ``delta()`` (change since the last ``delta()``, at first since the watch was
        made), ``obj``; and on free-threaded builds ``owner`` (a thread's identifier), ``local`` and
        ``shared``, the stored parts of the count including the watch's own: None elsewhere.

    Raises
    ------
    InvalidTypeError
        If `hold` is not a bool, or is False and the object can't be weakly referenced.

    Notes
    -----
    References of local variables and of the interpreter's stack count too: ``watch([]).count`` is 0, that of
    a list with one name is 1. A name that is only *borrowed* for a call, as from CPython 3.14 on, is no
    reference. A call that keeps its arguments elsewhere until it returns, such as ``watch(*objects)`` or
    ``map(watch, objects)``, has that reference in the first ``delta()``.

    Examples
    --------
    >>> things = ["a list"]
    >>> w = gilprobe.refs.watch(things)
    >>> w.count
    1
    >>> also = things
    >>> w.delta()
    1
    """
    if not isinstance(hold, bool):
        raise InvalidTypeError(f"hold must be a bool, got {hold!r}")
    made = Watch(obj) if hold else WeakWatch(obj)
    del obj  # so that the first delta() does not include this call's own argument
    made.delta()
    return made
