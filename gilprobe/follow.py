"""Carry a recording into the children of this process: each leaves a file of its own.

Children by ``fork`` go on in this interpreter: a hook begins their recording. Children that start an
interpreter (``subprocess``, the ``spawn`` and ``forkserver`` methods of :mod:`multiprocessing`) inherit the
environment: a ``sitecustomize`` in a temporary folder, first on ``PYTHONPATH``, begins theirs, takes itself
off their path and gives way to the ``sitecustomize`` that it stands before. Nothing here ever makes a child
fail: one that can't be recorded just runs.
"""

from __future__ import annotations

import _thread
import atexit
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gilprobe import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    Begin = Callable[[Path, dict[str, Any]], Callable[[], object]]
    """Begins the recording of this process in a file, by options; returns what ends it."""

_FREE_THREADED = "free-threading" in sys.version
VARIABLE = "GILPROBE_FOLLOW"
"""The environment variable that tells a child what to do, as JSON."""

_PATH = "PYTHONPATH"
# A helper of multiprocessing that runs none of the program's code and outlives it.
_UNINTERESTING = "from multiprocessing.resource_tracker import main"

_SITECUSTOMIZE = f"""\
# Written by `gilprobe record --follow`, which removes it: records this process, too.
import os, sys

def _give_way():
    folder = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if entry != folder]
    sys.path_importer_cache.pop(folder, None)
    this = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # the one that this one stands before
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
    finally:
        if this is not None:  # the import system wants to find one
            sys.modules.setdefault("sitecustomize", this)

def _join():
    try:
        import gilprobe
        if gilprobe.__version__ == {__version__!r}:
            from gilprobe import follow, recorded_run
            follow.join(recorded_run.begin)
    except Exception:
        pass  # not recorded: no reason to disturb

try:
    _give_way()
finally:
    if {VARIABLE!r} in os.environ:
        _join()
"""


def child_path(target: Path, pid: int) -> Path:
    """Return the file for the process `pid` beside `target`: for ``a.gilprobe`` it is ``a.PID.gilprobe``.

    A process that replaces its program (``os.execv``) has several: ``a.PID-2.gilprobe``, ...
    """
    path = target.with_name(f"{target.stem}.{pid}{target.suffix}")
    number = 1
    while path.exists():
        number += 1
        path = target.with_name(f"{target.stem}.{pid}-{number}{target.suffix}")
    return path


class Follower:
    """Follows a process into its children.

    Parameters
    ----------
    target : pathlib.Path
        Absolute path of the first process's file.
    options : dict
        What is recorded, as JSON can write it.
    begin : callable
        Begins the recording of a child, given its file and the options; returns what ends it.
    """

    def __init__(self, target: Path, options: dict[str, Any], begin: Begin) -> None:
        self._target = target
        self._options = options
        self._begin = begin
        self._end: Callable[[], object] | None = None  # of this process's recording, if it is a child
        self._pid = os.getpid()
        self._folder: Path | None = None
        self._earlier: str | None = None
        self._active = True
        self._forks_safely = True
        # Registered before the program's own, and inherited by a fork: runs after them.
        atexit.register(self._stop)
        os.register_at_fork(before=self._before_fork, after_in_child=self._after_fork)

    def announce(self) -> None:
        """Have the interpreters that this process starts find what begins their recording."""
        import tempfile

        self._folder = Path(tempfile.mkdtemp(prefix="gilprobe-"))  # mode 0700
        (self._folder / "sitecustomize.py").write_text(_SITECUSTOMIZE, encoding="utf-8")
        self._earlier = os.environ.get(_PATH)
        os.environ[_PATH] = self._own_path()
        os.environ[VARIABLE] = json.dumps({"target": str(self._target), "options": self._options})

    def close(self) -> None:
        """Follow into no more children: those that are recorded go on."""
        self._active = False
        if self._folder is None or os.getpid() != self._pid:
            return
        if os.environ.get(_PATH) == self._own_path():  # else the program has put something there
            if self._earlier is None:
                del os.environ[_PATH]
            else:
                os.environ[_PATH] = self._earlier
        os.environ.pop(VARIABLE, None)
        import shutil

        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None

    def record(self) -> None:
        """Begin the recording of this process, a child."""
        self._pid = os.getpid()
        self._end = self._begin(child_path(self._target, self._pid), self._options)

    def _own_path(self) -> str:
        # an empty entry would be the current directory
        return f"{self._folder}{os.pathsep}{self._earlier}" if self._earlier else str(self._folder)

    def _before_fork(self) -> None:
        # Without a GIL every object has a lock, and one that another thread was about to get (Python/lock.c
        # hands it over) stays locked in the child for ever: sys.modules, say, which all that follows needs.
        self._forks_safely = not _FREE_THREADED or _thread._count() == 0

    def _after_fork(self) -> None:
        self._end = None  # the parent's, which is no business of ours
        if not (self._active and self._forks_safely):
            return
        with suppress(Exception):
            self.record()
        if (util := sys.modules.get("multiprocessing.util")) is not None:
            util.register_after_fork(self, Follower._before_hard_exit)

    def _before_hard_exit(self) -> None:
        """Stop before a child of :mod:`multiprocessing` ends by ``os._exit``.

        Called when it has forgotten what its parent wanted to have done at exit. From CPython 3.13 on it runs
        its own exit handlers, before that only its finalizers, lowest priority last.
        """
        if sys.version_info >= (3, 13):
            atexit.register(self._stop)
        else:
            from multiprocessing import util

            util.Finalize(None, self._stop, exitpriority=-sys.maxsize)

    def _stop(self) -> None:
        end, self._end = self._end, None
        if end is not None and os.getpid() == self._pid:
            with suppress(Exception):
                end()


def join(begin: Begin) -> None:
    """Record this process, a child that an environment made by :meth:`Follower.announce` reached.

    Raises
    ------
    Exception
        Whatever keeps it from being recorded. Other interpreters within it, which import their
        ``sitecustomize``, too, do not come so far: the native core loads once in a process.
    """
    if any(_UNINTERESTING in argument for argument in sys.orig_argv):
        return
    document = json.loads(os.environ[VARIABLE])
    Follower(Path(document["target"]), document["options"], begin).record()
