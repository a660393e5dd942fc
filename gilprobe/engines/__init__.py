"""Engines: what a program can run the same work on at the same time.

Threads of this process, interpreters with a GIL of their own, processes by each of multiprocessing's methods:
all behind one face (:mod:`gilprobe.engines.team`), timed by one clock.

A process that multiprocessing starts imports this package: it brings nothing that would be taken for the
process's own start-up.
"""

from __future__ import annotations

from gilprobe.errors import InvalidValueError

TYPE_CHECKING = False  # importing typing is start-up too
if TYPE_CHECKING:
    from gilprobe.engines.team import Engine

NAMES = ("threads", "interpreters", "fork", "forkserver", "spawn")
"""The engines, in the order in which they are shown."""


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
