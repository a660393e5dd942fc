"""Write a recording: the file of a trace, and its texts beside the tracer's numbers.

Native code that never takes the GIL writes the numbers (csrc/recording/gp_recorder.h); here are the names.
"""

from __future__ import annotations

import os
import sys
import time

from gilprobe._native import tracer
from gilprobe._native.tracer import encoded_number, encoded_string
from gilprobe.errors import InvalidValueError
from gilprobe.tracing import thread_names

try:
    from _json import encode_basestring_ascii
except ImportError:  # an interpreter without json's accelerator
    from json.encoder import py_encode_basestring_ascii as encode_basestring_ascii

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_LOOK_S = 0.5  # between two checks of a running recording's file
_CHUNK_NAMES = 4096


class RecordingWriter:
    """A recording while it is written.

    Parameters
    ----------
    path : path-like
        The file, mode 0600; :meth:`commit` replaces a regular file of that name.
    timeline : bool
        Whether there are events, which a thread must write.
    later : bool
        Create the file, which must not exist, only when there is something to write.

    Attributes
    ----------
    recorder : gilprobe._native.tracer.Recorder
        For the recorded session.
    started_unix_ns : int
        When it began, as the file says; 0 before.

    Raises
    ------
    InvalidValueError
        If `path` has a zero byte.
    OSError
        If the file can't be made, or (without ``filename``) the thread.
    """

    def __init__(self, path: str | os.PathLike[str], *, timeline: bool, later: bool = False) -> None:
        name = os.fsdecode(path)
        if "\0" in name:
            raise InvalidValueError(f"path must have no zero byte, got {name!r}")
        self.path = os.path.abspath(name)  # noqa: PTH100  # the program may change its directory
        self.started_unix_ns = 0
        self._process = os.getpid()
        self.recorder = tracer.Recorder(os.fsencode(self.path), timeline, later)
        self._root = _root()
        self._looked_s = 0.0  # time of the last check that the file still exists
        self._found = ""
        self._listener = self.recorder.put_label

    @property
    def identity(self) -> tuple[int, int] | None:
        """Device and inode of the file; None if it has not been made."""
        return self.recorder.identity()

    def begin(self, environment: dict[str, Any], options: dict[str, Any]) -> None:
        """Write the process, its environment, and the threads' names so far."""
        self.started_unix_ns = time.time_ns()
        self.recorder.put(b"META", meta_of(environment, options, self.started_unix_ns))
        thread_names.listeners.append(
            self._listener
        )  # first: a name that comes meanwhile is written twice, not lost
        self._put_labels(thread_names.labels())
        self._put_names()

    def _put_labels(self, names: Iterable[tuple[int, str]]) -> None:
        entries = [encoded_number(number) + encoded_string(name) for number, name in names]
        for first in range(0, len(entries), _CHUNK_NAMES):
            self.recorder.put(b"LABL", b"".join(entries[first : first + _CHUNK_NAMES]))

    def _put_names(self) -> None:
        names = thread_names.alive().items()
        self.recorder.put(
            b"NAME",
            b"".join(encoded_number(native_id << 1) + encoded_string(name) for native_id, name in names),
        )

    def commit(self) -> None:
        """Replace an earlier file, when everything else is set up."""
        try:
            self.recorder.commit()
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.path) from None

    def finish(self) -> None:
        """Write the rest and close the file, after the end of the trace. A second call does nothing."""
        if self._cease_to_listen():
            self._put_names()
        self.recorder.finish()

    def discard(self) -> None:
        """Remove the file; an earlier one stays unchanged."""
        self._cease_to_listen()
        self.recorder.discard()

    def _cease_to_listen(self) -> bool:
        try:
            thread_names.listeners.remove(self._listener)
        except ValueError:  # never begun, or finished, perhaps by another thread
            return False
        return True

    def doubts(self) -> list[str]:
        """Return why the file is incomplete, if it is."""
        if os.getpid() != self._process:
            return [f"process {os.getpid()} was forked: only process {self._process} is recorded"]
        error, size, events = self.recorder.state()
        if error:
            return [f"the recording {self.path!r} ends after {events} events: {os.strerror(error)}"]
        # Not each time: a check releases the GIL, which costs a program that reports all the time.
        if self._listener not in thread_names.listeners or time.monotonic() - self._looked_s > _LOOK_S:
            self._looked_s, self._found = time.monotonic(), self._lost(size)
        return [f"the recording {self.path!r} {self._found}"] if self._found else []

    def _lost(self, size: int) -> str:
        """Return what others did to the file, of which `size` bytes were written."""
        try:
            status = os.lstat(self.path)
        except FileNotFoundError:
            # can't be checked from another root
            gone = self.identity is not None and _root() == self._root
            return "was removed or renamed while it was written" if gone else ""
        except OSError:
            return ""
        if self.identity not in (None, (status.st_dev, status.st_ino)):
            return "was replaced by another file while it was written"
        return "was shortened while it was written" if status.st_size < size else ""


def _root() -> tuple[int, int] | None:
    try:
        status = os.lstat("/")
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _words(argv: object) -> list[str]:
    """Return the program's arguments that are text: it may have put anything there."""
    return [word for word in argv if type(word) is str] if isinstance(argv, list) else []


def _command() -> list[str]:
    """Return the process's arguments, with the code or module after ``-c`` and ``-m``."""
    own, whole = _words(getattr(sys, "argv", None)), _words(sys.orig_argv)
    if own[:1] in (["-c"], ["-m"]) and own[0] in whole:
        return whole[whole.index(own[0]) :]
    return own


def meta_of(environment: dict[str, Any], options: dict[str, Any], started_unix_ns: int) -> bytes:
    """Return what a recording tells of this process: the payload of META."""
    document = {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "host": os.uname().nodename,
        "argv": _command(),
        "started_unix_ns": started_unix_ns,
        "options": options,
        "environment": environment,
    }
    return as_json(document).encode()


def as_json(value: Any) -> str:
    """Return dicts, lists and scalars as :func:`json.dumps` does, without loading :mod:`json`."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{as_json(key)}: {as_json(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(as_json, value))}]"
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    return repr(value) if type(value) in (int, float) else {None: "null", True: "true", False: "false"}[value]
