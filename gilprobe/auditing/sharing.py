"""What threads lose by sharing objects in a call: here, and for a statement in a process of its own."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gilprobe.auditing import LIMIT_S, name_of, settings_for
from gilprobe.auditing.shared_use import SharingRequest, carry_out
from gilprobe.auditing.statements import Statement, first_call, prepare
from gilprobe.errors import InvalidTypeError, InvalidValueError
from gilprobe.measuring.teams import THREADS
from gilprobe.model import codec
from gilprobe.model.sharing_result import SharingResult
from gilprobe.workers.protocol import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilprobe.measuring.measure import Progress
    from gilprobe.workers.launch import TaskOutcome
    from gilprobe.workers.task_worker import Turns

SEARCH_S = 60.0
"""Default time limit of the measurements of one search."""


def sharing(
    function: Callable[..., object],
    *args: object,
    threads: int = 2,
    repeat: int | None = None,
    quick: bool = False,
    limit_s: float = SEARCH_S,
    name: str | None = None,
    progress: Progress = lambda _label, _share: None,
) -> SharingResult:
    """Find out which objects cost threads time by being shared, if several make the same call at once.

    The function is called in this process, many thousand times if it is short. Objects that were tried stay
    in memory. For untrusted code use ``gilprobe sharing``, which does the same in another process.

    Parameters
    ----------
    function : callable
        The function.
    *args : object
        Its arguments, the same in each call and each thread; for keywords take a :func:`functools.partial`.
    threads : int
        How many threads make the call at once, 2 to 1024.
    repeat : int, optional
        Samples, 2 to 1000. Default: 5, with `quick` 3.
    quick : bool
        Whether to take fewer samples.
    limit_s : float
        When to stop measuring, seconds.
    name : str, optional
        Name in the result; default: the function's own.
    progress : callable
        Called with the next step and the completed share (0 to 1).

    Returns
    -------
    SharingResult
        The factor that is lost, and by which objects.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If an argument is invalid.
    UnsupportedError
        On a Python with a GIL, where one thread runs at a time; with fewer cores than threads; or if the
        machine was so busy that the threads never ran at the same time.
    BaseException
        Whatever the function raises.
    """
    if not callable(function):
        raise InvalidTypeError(f"function must be callable, got {ascii(function)[:60]}")
    if name is not None and not isinstance(name, str):
        raise InvalidTypeError(f"name must be a string, got {ascii(name)[:60]}")
    if type(limit_s) not in (int, float):
        raise InvalidTypeError(f"limit_s must be a number, got {ascii(limit_s)[:60]}")
    if not limit_s > 0:
        raise InvalidValueError(f"limit_s must be above 0, got {limit_s}")
    settings = settings_for(quick, repeat, None)
    shown = name or name_of(function)
    request = SharingRequest(shown, function, args, check_size(threads), settings, limit_s, progress)
    return carry_out(request)


def check_size(threads: int) -> int:
    """Return the number of threads.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If it is no integer, or out of range: one thread shares with nobody.
    """
    if type(threads) is not int:
        raise InvalidTypeError(f"threads must be an integer, got {ascii(threads)[:60]}")
    if not 2 <= threads < THREADS.stop:
        raise InvalidValueError(f"threads must be between 2 and {THREADS[-1]}, got {threads}")
    return threads


@dataclass(frozen=True, slots=True)
class SharingOrder:
    """What to look into, and how: as for :func:`sharing`."""

    statement: Statement
    threads: int
    repeat: int | None
    quick: bool
    limit_s: float


def sharing_apart(
    order: SharingOrder, progress: Progress = lambda _label, _share: None
) -> TaskOutcome[SharingResult]:
    """Look into a statement in a worker; it is stopped if set-up and calls take far more than the limit."""
    from gilprobe.workers import turns
    from gilprobe.workers.pythons import this_python

    read = partial(codec.decode, SharingResult, where="result")
    task = Task(f"{__name__}:shared", order, read, "the statement", errors_are_whole=True)
    (outcome,) = turns.run_side_by_side(
        task, [this_python()], order.limit_s + LIMIT_S, lambda _who, label, share: progress(label, share)
    )
    return outcome


def shared(order: object, turns: Turns) -> SharingResult:
    """Look into a statement; the work of :func:`sharing_apart`."""
    wanted = codec.decode(SharingOrder, order, "order")
    turns.wait("running the set-up", 0.0)
    sys.path.append(str(Path.cwd()))  # last, so that the user's folder hides no installed module
    compiled = prepare(wanted.statement)
    first_call(compiled.call)
    settings = dataclasses.replace(settings_for(wanted.quick, wanted.repeat, None), cpu_times=turns.cpu_times)
    request = SharingRequest(
        wanted.statement.shown, compiled.call, (), wanted.threads, settings, wanted.limit_s, turns.wait
    )
    return carry_out(request)
