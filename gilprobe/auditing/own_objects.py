"""The same call on objects that several threads share, and on some of each thread's own."""

from __future__ import annotations

import copy
import threading
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gilprobe.auditing.traced_calls import make_calls

if TYPE_CHECKING:
    from collections.abc import Callable


def on_own_objects(function: Callable[..., object], args: tuple[object, ...]) -> Callable[[], object] | None:
    """Return the call with copies of its arguments, and of the object whose method it is.

    Returns
    -------
    callable or None
        None if there is nothing to copy.

    Raises
    ------
    BaseException
        Whatever copying raises.
    """
    owner = getattr(function, "__self__", None)
    if isinstance(function, partial):
        function = copy.deepcopy(function)
    elif owner is not None and not isinstance(owner, ModuleType | type):
        function = getattr(copy.deepcopy(owner), function.__name__)
    elif not args:
        return None
    return partial(function, *copy.deepcopy(args))


class OwnCalls:
    """Calls for the members of a team, one for each.

    Parameters
    ----------
    calls : list of callable
        As many as there are members.
    """

    def __init__(self, calls: list[Callable[[], object]]) -> None:
        self._calls = calls
        self._arrived = 0
        self._mine = threading.local()  # not by identifier: those of ended threads are reused
        self._lock = threading.Lock()

    def make(self, times: int) -> None:
        """Make this thread's call so many times."""
        call: Any = getattr(self._mine, "call", None)
        if call is None:
            with self._lock:
                call = self._mine.call = self._calls[self._arrived % len(self._calls)]
                self._arrived += 1
        make_calls(call, times)
