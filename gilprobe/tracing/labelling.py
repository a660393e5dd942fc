"""Labels: what the running code is for, such as a request, so that holds and waits can be told by it."""

from __future__ import annotations

import functools

from gilprobe.errors import InvalidTypeError, TracerStateError

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a monitored process loads no typing
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class label:  # noqa: N801  # used like a function
    """Label what runs inside a ``with`` block, or in a function.

    Holds of the GIL, waits for it, and who waited behind whom are then told by label, in a monitor and in the
    report of a trace. Labels follow :mod:`contextvars`: a task of asyncio keeps its label while others run.
    An inner label stands for an outer one as long as it lasts.

    Parameters
    ----------
    name : str
        The label. At most 1,024 different ones are told apart; more become "(other labels)". So use the
        route, ``"GET /search"``, and not the address.

    Raises
    ------
    InvalidTypeError
        If `name` is not a string.

    Examples
    --------
    >>> with gilprobe.monitor() as m:
    ...     with gilprobe.label("sum"):
    ...         total = sum(range(1_000_000))
    """

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise InvalidTypeError(f"name must be a string, got {name!r}")
        self.name = name

    def __enter__(self) -> label:
        return self

    def __exit__(self, *_exception: object) -> None:
        pass

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function` with this label; it may be an ``async def`` or a generator."""

        @functools.wraps(function)
        def labelled(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return labelled


def thread_times() -> tuple[int, int, int]:
    """Return how long the calling thread has held the GIL, waited for it, and done neither, in nanoseconds.

    Exact up to the moment of the call, and cheap: subtract what it returned before a piece of work from what
    it returns after it. The times count from the start of the monitor or trace that runs longest, or from the
    start of the thread.

    Returns
    -------
    hold_ns, wait_ns, off_ns : int

    Raises
    ------
    TracerStateError
        If neither a monitor nor a trace is running.
    """
    raise TracerStateError("a monitor or a trace must be running to tell a thread's times")
