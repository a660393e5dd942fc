"""Audit calls: how far they release the GIL, how long they hold it, and how they scale with threads.

What threads lose by sharing objects, without a GIL, is measured here, too: :mod:`gilprobe.auditing.sharing`.
Calls are made, traced and judged here. The results are data (:mod:`gilprobe.model.audit_result`); renderers
are elsewhere.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any

from gilprobe.auditing.auditor import NOTHING, AuditRequest, carry_out
from gilprobe.auditing.own_objects import on_own_objects
from gilprobe.auditing.statements import Leftovers, Statement, first_call, prepare, switches_of_the_gil
from gilprobe.errors import InvalidTypeError
from gilprobe.measuring import host
from gilprobe.measuring.measure import Settings
from gilprobe.measuring.teams import check_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

    from gilprobe.measuring.measure import Progress
    from gilprobe.model.audit_result import AuditResult, AuditSet

THREADS = (1, 2)
"""Default numbers of threads."""

LIMIT_S = 120.0
"""Default time limit of one statement's audit in its own process, including set-up."""

__all__ = ["LIMIT_S", "THREADS", "Statement", "audit", "audit_module", "audit_statement", "prepare"]


def audit(
    function: Callable[..., object],
    *args: object,
    threads: int | Iterable[int] = THREADS,
    repeat: int | None = None,
    quick: bool = False,
    name: str | None = None,
    progress: Progress = lambda _label, _share: None,
    frame: Settings | None = None,
) -> AuditResult:
    """Find out whether a call releases the GIL, how long it holds it, and how it scales with threads.

    The function is called in this process, some thousand times if it is short. For untrusted code use
    ``gilprobe audit``, which does the same in another process.

    Parameters
    ----------
    function : callable
        The function.
    *args : object
        Its arguments, the same in each call and each thread; for keywords take a :func:`functools.partial`.
    threads : int or iterable of int
        Numbers of threads that make the call at once; 1 is always added. With only 1 no speedup is measured.
    repeat : int, optional
        Samples, 2 to 1000. Default: 5, with `quick` 3.
    quick : bool
        Whether to make fewer and shorter runs.
    name : str, optional
        Name in the result; default: the function's own.
    progress : callable
        Called between the runs with the next step and the completed share (0 to 1).
    frame : Settings, optional
        How to measure; `repeat` replaces its own.

    Returns
    -------
    AuditResult
        Numbers per call, the locks that threads waited for, and a verdict in words. Without a GIL the verdict
        says whether it scales, and whether it does on copies of its arguments.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If an argument is invalid.
    UnsupportedError
        If there is a GIL which can't be traced here.
    BaseException
        Whatever the function raises.

    Examples
    --------
    >>> found = gilprobe.audit(hashlib.sha256, bytes(10**7), threads=(1,))
    >>> found.released_fraction > 0.5
    True
    """
    if not callable(function):
        raise InvalidTypeError(f"function must be callable, got {ascii(function)[:60]}")
    if name is not None and not isinstance(name, str):
        raise InvalidTypeError(f"name must be a string, got {ascii(name)[:60]}")
    call = partial(function, *args)
    request = AuditRequest(
        name=name or name_of(function),
        call=call,
        nothing=NOTHING,
        threads=check_threads((threads,) if isinstance(threads, int) else threads),
        settings=settings_for(quick, repeat, frame),
        progress=progress,
        own=partial(on_own_objects, function, args),
    )
    with switches_of_the_gil() as culprits:
        if not host.gil_enabled():
            call()  # it may import what switches the GIL on
    return _with_culprit(carry_out(request), culprits)


def _with_culprit(found: AuditResult, culprits: list[str]) -> AuditResult:
    """Return the audit with the module that switched the GIL on, if one did."""
    if not culprits:
        return found
    doubt = f"importing {culprits[0]} switched the GIL on"
    return dataclasses.replace(
        found, gil_switched_on_by=culprits[0], warnings=tuple(dict.fromkeys((doubt, *found.warnings)))
    )


def audit_statement(
    statement: Statement, *, threads: Iterable[int], settings: Settings, progress: Progress
) -> AuditResult:
    """Audit a statement, which is foreign code: call this in another process.

    Raises
    ------
    BaseException
        Whatever the statement raises.
    """
    with switches_of_the_gil() as culprits:
        compiled = prepare(statement)
        leftovers = Leftovers()
        first_call(compiled.call)  # the statement's own imports may switch it too
    found = carry_out(
        AuditRequest(
            statement.shown,
            compiled.call,
            compiled.nothing,
            check_threads(threads),
            settings,
            progress,
            # What the set-up makes is shared: a further set-up makes own objects.
            own=lambda: prepare(statement).call if statement.setup.strip() else None,
        )
    )
    warnings = tuple(dict.fromkeys((*leftovers.doubts(), *found.warnings)))
    return _with_culprit(dataclasses.replace(found, warnings=warnings), culprits)


def audit_module(
    module: str | ModuleType,
    *,
    threads: int | Iterable[int] = 1,
    repeat: int | None = None,
    quick: bool = True,
    limit_s: float = LIMIT_S,
    progress: Progress = lambda _label, _share: None,
) -> AuditSet:
    """Audit a module's functions with generated arguments.

    Each runs in its own process, in a temporary folder: one that hangs, exits or crashes affects no other.
    Functions and modules known to act on the system are skipped; other people's functions may act all the
    same.

    Parameters
    ----------
    module : str or module
        For example ``"zlib"``. It is imported here, for its names.
    threads, repeat, quick
        As for :func:`audit`; default: a quick look without speedups.
    limit_s : float
        Time limit of one function's audit, seconds.
    progress : callable
        Called with the next function and the completed share (0 to 1).

    Returns
    -------
    AuditSet
        The audits, and why some functions could not be audited.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If an argument is invalid, or the module acts on the system.
    """
    name = module if isinstance(module, str) else getattr(module, "__name__", None)
    if not isinstance(name, str):
        raise InvalidTypeError(f"module must be a module or its name, got {ascii(module)[:60]}")
    settings_for(quick, repeat, None)
    sizes = check_threads((threads,) if isinstance(threads, int) else threads)
    from gilprobe.auditing.generated import audit_functions

    return audit_functions(name, sizes, repeat=repeat, quick=quick, limit_s=limit_s, progress=progress)


def settings_for(quick: bool, repeat: int | None, settings: Settings | None) -> Settings:
    """Return how to measure."""
    settings = settings or (Settings.quick() if quick else Settings())
    return settings if repeat is None else dataclasses.replace(settings, repeat=repeat)


def name_of(function: Callable[..., Any]) -> str:
    """Return a callable's name with its module; without a name its repr."""
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
    if not isinstance(name, str):
        return name_of(function.func) if isinstance(function, partial) else ascii(function)[:60]
    module = getattr(function, "__module__", None)
    return f"{module}.{name}" if isinstance(module, str) and module != "builtins" else name
