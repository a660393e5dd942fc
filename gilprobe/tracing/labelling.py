"""Labels: what the running code is for, such as a request, so that holds and waits can be told by it."""

from __future__ import annotations

import functools
import types

from gilprobe._native import tracer
from gilprobe._native.tracer import thread_times
from gilprobe.errors import InvalidTypeError, TracerStateError

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a monitored process loads no typing
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager
    from typing import Any, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["label", "thread_times"]

tracer.label_error = InvalidTypeError
tracer.not_traced_error = TracerStateError

_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200  # inspect.CO_GENERATOR and its kin


@types.coroutine
def in_steps(around: AbstractContextManager[Any], coroutine: Any) -> Generator[Any, Any, Any]:
    """Await a coroutine inside of a context manager, which is left while the coroutine waits.

    So what holds for the thread is right with every event loop, also with one that does not tell which
    context it enters.

    Parameters
    ----------
    around : context manager
        One that can be entered again.
    coroutine : coroutine
        What to await: it has ``send`` and ``throw``.

    Returns
    -------
    object
        What the coroutine returns.
    """
    value: Any = None
    error: BaseException | None = None
    while True:
        with around:
            try:
                awaited = coroutine.send(value) if error is None else coroutine.throw(error)
            except StopIteration as end:
                return end.value
        value = error = None
        try:
            value = yield awaited
        except BaseException as raised:  # a cancellation, say: for the coroutine
            error = raised


class label(tracer.Label):  # noqa: N801  # used like a function
    """Label what runs inside a ``with`` block, or in a function or ``async def``.

    Holds of the GIL, waits for it, and who waited behind whom are then told by label, in a monitor and in the
    report of a trace. An inner label stands for an outer one as long as it lasts. Labels follow
    :mod:`contextvars`: a task of asyncio keeps its label while others run.

    Parameters
    ----------
    name : str
        The label. At most 1,024 different ones are told apart in a process; more become "(other labels)". So
        use the route, ``"GET /search"``, and not the address.

    Raises
    ------
    InvalidTypeError
        If `name` is not a string, or what is decorated is a generator function.

    Examples
    --------
    >>> with gilprobe.monitor() as m:
    ...     with gilprobe.label("sum"):
    ...         total = sum(range(1_000_000))
    >>> m.read().labels[0].name
    'sum'
    """

    __slots__ = ()

    def __call__(self, function: F) -> F:
        """Return `function` with this label."""
        flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
        if not callable(function) or flags & (_GENERATOR | _ASYNC_GENERATOR):
            raise InvalidTypeError(f"a label is for a function or an async function, got {function!r}")
        if flags & _COROUTINE:

            @functools.wraps(function)
            async def labelled(*args: Any, **kwargs: Any) -> Any:
                return await in_steps(self, function(*args, **kwargs))

        else:

            @functools.wraps(function)
            def labelled(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return function(*args, **kwargs)

        return labelled  # type: ignore[return-value]
