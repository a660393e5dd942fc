"""Engines: ways to run the same work several times in parallel.

Threads of this process, interpreters with their own GIL, and processes by multiprocessing's methods have one
interface (:mod:`gilprobe.engines.team`) and are timed by one clock.

A process that multiprocessing starts imports this package: it loads nothing that would count as start-up.
"""

from __future__ import annotations

from gilprobe.errors import InvalidValueError

TYPE_CHECKING = False  # importing typing would count as start-up
if TYPE_CHECKING:
    from gilprobe.engines.team import Engine

NAMES = ("threads", "interpreters", "fork", "forkserver", "spawn")
"""The engines, in display order."""


def named(name: str) -> Engine:
    """Return the engine of this name.

    Raises
    ------
    InvalidValueError
        If there is no such engine.
    """
    if name == "threads":
        from gilprobe.engines.threads import ThreadEngine

        return ThreadEngine()
    if name == "interpreters":
        from gilprobe.engines.interpreters import InterpreterEngine

        return InterpreterEngine()
    if name in NAMES:
        from gilprobe.engines.processes import ProcessEngine

        return ProcessEngine(name)
    raise InvalidValueError(f"engine must be one of {', '.join(NAMES)}, got {name!r}")
