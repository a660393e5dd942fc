"""Carry a recording into the children of this process: each leaves a file of its own.

Children by ``fork`` go on in this interpreter: a hook begins their recording. Children that start an
interpreter (``subprocess``, the ``spawn`` and ``forkserver`` methods of :mod:`multiprocessing`) inherit the
environment: the ``sitecustomize`` of ``gilprobe/programs/_follow``, first on ``PYTHONPATH``, begins theirs,
takes itself off their path and gives way to the ``sitecustomize`` that it stands before. Nothing is made that
would have to be removed, so a process may outlive the one that started it. Nothing here ever makes a child
fail: one that can't be recorded just runs.
"""

from __future__ import annotations

import _thread
import atexit
import os
import sys
from contextlib import suppress

from gilprobe import __version__

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a process that is only recorded loads no typing
if TYPE_CHECKING:
    from collections.abc import Callable

    Begin = Callable[[str, str], Callable[[], object]]
    """Begins the recording of this process in a file, by options; returns what ends it."""

_FREE_THREADED = "free-threading" in sys.version
VARIABLE = "GILPROBE_FOLLOW"
"""The environment variable that tells a child what to do: ``VERSION:OPTIONS:FILE``."""

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_follow")  # noqa: PTH100, PTH118, PTH120
"""Where the ``sitecustomize`` is: as safe from others as gilprobe itself."""

_PATH = "PYTHONPATH"
# A helper of multiprocessing that runs none of the program's code and outlives it.
_UNINTERESTING = "from multiprocessing.resource_tracker import main"


def child_path(target: str, pid: int) -> str:
    """Return the file for the process `pid` beside `target`: for ``a.gilprobe`` it is ``a.PID.gilprobe``.

    A process that replaces its program (``os.execv``) has several: ``a.PID-2.gilprobe``, ...
    """
    stem, suffix = os.path.splitext(target)  # noqa: PTH122
    path = f"{stem}.{pid}{suffix}"
    number = 1
    while os.path.exists(path):  # noqa: PTH110
        number += 1
        path = f"{stem}.{pid}-{number}{suffix}"
    return path


class Follower:
    """Follows a process into its children.

    Parameters
    ----------
    target : str
        Absolute path of the first process's file.
    options : str
        What is recorded, as `begin` understands it; without a colon.
    begin : callable
        Begins the recording of a child, given its file and the options; returns what ends it.
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
        # Registered before the program's own, and inherited by a fork: runs after them.
        atexit.register(self._stop)
        os.register_at_fork(before=self._before_fork, after_in_child=self._after_fork)

    def announce(self) -> None:
        """Have the interpreters that this process starts find what begins their recording."""
        self._announced = True
        self._earlier = os.environ.get(_PATH)
        os.environ[_PATH] = self._own_path()
        os.environ[VARIABLE] = f"{__version__}:{self._options}:{self._target}"

    def close(self) -> None:
        """Follow into no more children: those that are recorded go on."""
        self._active = False
        if not self._announced or os.getpid() != self._pid:
            return
        self._announced = False
        if os.environ.get(_PATH) == self._own_path():  # else the program has put something there
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
        # Without a GIL every object has a lock, and one that another thread was about to get (Python/lock.c
        # hands it over) stays locked in the child for ever: sys.modules, say, which all that follows needs.
        self._forks_safely = not _FREE_THREADED or _thread._count() == 0

    def _after_fork(self) -> None:
        self._end = None  # the parent's, which is no business of ours
        if not (self._active and self._forks_safely):
            return
        with suppress(Exception):  # it just runs
            self.record()

    def _stop(self) -> None:
        end, self._end = self._end, None
        if end is not None and os.getpid() == self._pid:
            with suppress(Exception):  # the program has ended well
                end()


def join(begin: Begin, options: str, target: str) -> None:
    """Record this process, a child that an environment made by :meth:`Follower.announce` reached.

    Raises
    ------
    Exception
        Whatever keeps it from being recorded. Other interpreters within it, which import their
        ``sitecustomize``, too, do not come so far: the native core loads once in a process.
    """
    if any(_UNINTERESTING in argument for argument in sys.orig_argv):
        return
    Follower(target, options, begin).record()
