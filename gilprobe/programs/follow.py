"""Record the children of this process too, each in a file of its own.

Forked children keep this interpreter: a hook begins their recording. Children that start an interpreter
(``subprocess``, the ``spawn`` and ``forkserver`` methods of :mod:`multiprocessing`) inherit the environment:
the ``sitecustomize`` of ``gilprobe/programs/_follow``, first on ``PYTHONPATH``, begins theirs, removes itself
from their path and runs the ``sitecustomize`` behind it. No temporary files are made, so a process may
outlive its parent. Nothing here makes a child fail: one that can't be recorded just runs.
"""

from __future__ import annotations

import _thread
import atexit
import os
import sys
from contextlib import suppress

from gilprobe import __version__

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Callable

    Begin = Callable[[str, str], Callable[[], object]]
    """Begins to record this process, given a file and options; returns the function that ends it."""

_FREE_THREADED = "free-threading" in sys.version
VARIABLE = "GILPROBE_FOLLOW"
"""The environment variable that tells a child what to do: ``VERSION:OPTIONS:FILE``."""

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_follow")  # noqa: PTH100, PTH118, PTH120
"""The folder of the ``sitecustomize``, as safe from others as gilprobe itself."""

_PATH = "PYTHONPATH"
UNINTERESTING = "from multiprocessing.resource_tracker import main"
"""In the arguments of a helper of multiprocessing: it runs none of the program's code, and outlives it."""


def child_path(target: str, pid: int) -> str:
    """Return the file for the process `pid` beside `target`: for ``a.gilprobe`` it is ``a.PID.gilprobe``.

    A process that calls ``os.execv`` has several: ``a.PID-2.gilprobe``, ...
    """
    stem, suffix = os.path.splitext(target)  # noqa: PTH122
    path = f"{stem}.{pid}{suffix}"
    number = 1
    while os.path.exists(path):  # noqa: PTH110
        number += 1
        path = f"{stem}.{pid}-{number}{suffix}"
    return path


class Follower:
    """Records the children of a process.

    Parameters
    ----------
    target : str
        Absolute path of the first process's file.
    options : str
        What to record, for `begin`; without a colon.
    begin : callable
        Begins to record a child, given its file and the options; returns the function that ends it.
    """

    def __init__(self, target: str, options: str, begin: Begin) -> None:
        self._target = target
        self._options = options
        self._begin = begin
        self._end: Callable[[], object] | None = None  # of this process's recording, if it is a child
        self._pid = os.getpid()
        self._earlier: str | None = None
        self._announced = False
        self._active = True
        self._forks_safely = True
        # Registered before the program's own handlers, so it runs after them; a fork inherits it.
        atexit.register(self._stop)
        os.register_at_fork(before=self._before_fork, after_in_child=self._after_fork)

    def announce(self) -> None:
        """Prepare the environment so that interpreters started by this process record themselves."""
        self._announced = True
        self._earlier = os.environ.get(_PATH)
        os.environ[_PATH] = self._own_path()
        os.environ[VARIABLE] = f"{__version__}:{self._options}:{self._target}"

    def close(self) -> None:
        """Record no new children; running recordings continue."""
        self._active = False
        if not self._announced or os.getpid() != self._pid:
            return
        self._announced = False
        if os.environ.get(_PATH) == self._own_path():  # else the program has changed it
            if self._earlier is None:
                del os.environ[_PATH]
            else:
                os.environ[_PATH] = self._earlier
        os.environ.pop(VARIABLE, None)

    def record(self) -> None:
        """Begin the recording of this process, a child."""
        self._pid = os.getpid()
        self._end = self._begin(child_path(self._target, self._pid), self._options)

    def _own_path(self) -> str:
        # an empty entry would be the current directory
        return f"{FOLDER}{os.pathsep}{self._earlier}" if self._earlier else FOLDER

    def _before_fork(self) -> None:
        # Without a GIL every object has a lock. One that another thread was about to get (Python/lock.c hands
        # it over) stays locked in the child for ever: that of sys.modules, for example.
        self._forks_safely = not _FREE_THREADED or _thread._count() == 0

    def _after_fork(self) -> None:
        self._end = None  # the parent's
        if not (self._active and self._forks_safely):
            return
        with suppress(Exception):  # the child just runs
            self.record()

    def _stop(self) -> None:
        end, self._end = self._end, None
        if end is not None and os.getpid() == self._pid:
            with suppress(Exception):  # the program itself succeeded
                end()


def join(begin: Begin, options: str, target: str) -> None:
    """Record this process, a child with an environment made by :meth:`Follower.announce`.

    Raises
    ------
    Exception
        If it can't be recorded. That includes other interpreters within it, which also import
        ``sitecustomize``: the native core loads once in a process.
    """
    if any(UNINTERESTING in argument for argument in sys.orig_argv):
        return
    Follower(target, options, begin).record()
