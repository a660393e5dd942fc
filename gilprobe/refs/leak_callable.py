"""Check and prepare a function for a hunt: its own code must run to its end in each call."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gilprobe.errors import InvalidTypeError, InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_LAZY = ((Coroutine, "coroutine"), (Generator, "generator"), (AsyncGenerator, "asynchronous generator"))
# Messages for arguments that don't fit: from ceval.c (Python functions), getargs.c and call.c (C), Cython's
# Utility/FunctionArguments.c.
_MISFIT = re.compile(
    r"missing (\d+ )?required|takes (at least |at most |exactly |from |no |\d)|required argument|"
    r"expected (at least |at most |exactly )?\d+ arguments?|unexpected keyword|multiple values for|"
    r"needs an argument"
)
_SKIPS = frozenset(
    {("_pytest.outcomes", "Skipped"), ("_pytest.outcomes", "XFailed"), ("unittest.case", "SkipTest")}
)


def function_name(function: object) -> str:
    """Return a function's qualified name with its module; for another object its type's name."""
    name = getattr(function, "__qualname__", None)
    module = getattr(function, "__module__", None)
    if not isinstance(name, str):
        return type(function).__qualname__
    return f"{module}.{name}" if isinstance(module, str) else name


@contextmanager
def running(function: Callable[..., object]) -> Iterator[Callable[..., object]]:
    """Yield a callable that runs `function` to its end in each call, also one of ``async def``.

    Coroutines run in one event loop, which exists before anything is counted, and is closed afterwards.

    Raises
    ------
    InvalidTypeError
        If the function only returns a generator.
    InvalidValueError
        If it is a coroutine function, and the thread already runs an event loop.
    """
    own = _own_code(function)
    if inspect.isgeneratorfunction(own) or inspect.isasyncgenfunction(own):
        raise _only_makes(function, "generator" if inspect.isgeneratorfunction(own) else _LAZY[2][1])
    if not inspect.iscoroutinefunction(own):
        yield function
        return
    import asyncio

    if asyncio._get_running_loop() is not None:
        raise InvalidValueError(
            f"a coroutine function must be called where no event loop runs: {function_name(function)}"
        )
    with asyncio.Runner() as runner:
        yield lambda *args, **kwargs: runner.run(function(*args, **kwargs))  # type: ignore[arg-type]


def check_ran(
    function: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object], outcome: object
) -> None:
    """Check, by the result or error of a call, that the function's body has run.

    Raises
    ------
    InvalidTypeError
        If the arguments don't fit, or the result is a coroutine or generator that has not run.
    InvalidValueError
        If it is a test that skipped itself.
    """
    for kind, word in _LAZY:
        if isinstance(outcome, kind):
            if isinstance(outcome, Coroutine):
                outcome.close()  # avoids a warning that it was never awaited
            raise _only_makes(function, word)
    if isinstance(outcome, TypeError) and (misfit := _misfit(function, args, kwargs, outcome)):
        raise InvalidTypeError(
            f"function must accept its arguments, {function_name(function)} does not: {misfit}"
        )
    if isinstance(outcome, BaseException) and _skips(outcome):
        reason = ascii(str(outcome))[:200]
        raise InvalidValueError(
            f"function must run to its end, {function_name(function)} skipped itself: {reason}"
        )


def _own_code(function: object) -> object:
    """Return the function behind partials, or behind an object with its own ``__call__``."""
    while isinstance(function, functools.partial | functools.partialmethod):
        function = function.func
    if inspect.isroutine(function) or isinstance(function, type):
        return function
    return getattr(type(function), "__call__", function)  # noqa: B004 - the method itself is wanted


def _only_makes(function: object, what: str) -> InvalidTypeError:
    return InvalidTypeError(
        f"function must run when it is called, got {function_name(function)}, which returns "
        f"{'an' if what[0] == 'a' else 'a'} {what}"
    )


def _misfit(
    function: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object], error: TypeError
) -> str:
    """Return why the arguments don't fit; ``""`` if the function's body raised the error.

    A signature alone is no proof: decorators such as ``mock.patch`` add arguments but show the wrapped
    signature.
    """
    message = str(error)
    try:
        signature = inspect.signature(function)
    except Exception:  # a C function without a text signature; an invalid __signature__
        return message if _MISFIT.search(message) else ""
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return message if _MISFIT.search(message) else ""
    return ""


def _skips(error: BaseException) -> bool:
    return any((kind.__module__, kind.__qualname__) in _SKIPS for kind in type(error).__mro__)
