"""Writing a recording: the file of a trace, and all that it says beside the tracer's numbers.

The numbers are written by native code that never takes the GIL (csrc/recording/gp_recorder.h); here are the
names.
"""

from __future__ import annotations

import atexit  # noqa: F401  # weakref.finalize imports it when a trace starts: too late
import contextlib
import os
import sys
import time
import weakref

from gilprobe._native import gil
from gilprobe._native.gil import encoded_number, encoded_string
from gilprobe.errors import InvalidValueError
from gilprobe.tracing import thread_names

try:
    from _json import encode_basestring_ascii
except ImportError:  # an interpreter without what json only uses for speed
    from json.encoder import py_encode_basestring_ascii as encode_basestring_ascii

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a process that is only recorded loads no typing
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_LOOK_S = 0.5  # between two looks at the file of a recording that goes on
_CHUNK_NAMES = 4096


class TemporaryFolder:
    """A folder of its own for one file; both go with the last reference, at the latest with the process.

    Unlike :class:`tempfile.TemporaryDirectory` they go without a warning and without a free file descriptor,
    and a forked child leaves them alone.

    Attributes
    ----------
    path : str
        Of the file, which is to be made.
    """

    def __init__(self) -> None:
        import tempfile

        folder = tempfile.mkdtemp(prefix="gilprobe-")
        self.path = os.path.join(folder, "timeline")  # noqa: PTH118
        weakref.finalize(self, _remove_place, folder, self.path, os.getpid())


def _remove_place(folder: str, path: str, process: int) -> None:
    if os.getpid() == process:
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108
        with contextlib.suppress(OSError):
            os.rmdir(folder)  # noqa: PTH106


class RecordingWriter:
    """A recording that is being written.

    Parameters
    ----------
    path : path-like
        The file; a regular file of that name is replaced by :meth:`commit`. Readable by its owner only (mode
        0600).
    timeline : bool
        Whether events come, which a thread must write.
    later : bool
        Make the file, which must not be there, when there is something to write.

    Attributes
    ----------
    recorder : gilprobe._native.gil.Recorder
        For the session that is to be recorded.
    started_unix_ns : int
        When it was begun, which is in the file; 0 before.

    Raises
    ------
    InvalidValueError
        If `path` has a zero byte.
    OSError
        If the file can't be made, or the thread, which is no matter of a file: without ``filename``.
    """

    def __init__(self, path: str | os.PathLike[str], *, timeline: bool, later: bool = False) -> None:
        name = os.fsdecode(path)
        if "\0" in name:
            raise InvalidValueError(f"path must have no zero byte, got {name!r}")
        self.path = os.path.abspath(name)  # noqa: PTH100  # the program may change its directory
        self.started_unix_ns = 0
        self._process = os.getpid()
        self.recorder = gil.Recorder(os.fsencode(self.path), timeline, later)
        self._root = _root()
        self._looked_s = 0.0  # when it was looked whether the file is still there
        self._found = ""
        self._listener = self.recorder.put_label

    @property
    def identity(self) -> tuple[int, int] | None:
        """Device and inode of the file; None if it has not been made."""
        return self.recorder.identity()

    def begin(self, environment: dict[str, Any], options: dict[str, Any]) -> None:
        """Write what is known at the start: the process, its environment, and the threads' names so far."""
        self.started_unix_ns = time.time_ns()
        self.recorder.put(b"META", _meta(environment, options, self.started_unix_ns))
        thread_names.listeners.append(self._listener)  # first: one that is new meanwhile comes twice
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
        """Replace an earlier file: everything else is set up."""
        try:
            self.recorder.commit()
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.path) from None

    def finish(self) -> None:
        """Write the rest and close the file, after the end of the trace. Nothing the second time."""
        if self._cease_to_listen():
            self._put_names()
        self.recorder.finish()

    def discard(self) -> None:
        """Leave no file, but an earlier one as it was."""
        self._cease_to_listen()
        self.recorder.discard()

    def _cease_to_listen(self) -> bool:
        try:
            thread_names.listeners.remove(self._listener)
        except ValueError:  # it has never begun, or is finished, perhaps by another thread
            return False
        return True

    def doubts(self) -> list[str]:
        """Return what keeps the file from being whole."""
        if os.getpid() != self._process:
            return [
                f"process {os.getpid()} was forked: the recording goes on in process {self._process} only"
            ]
        error, size, events = self.recorder.state()
        if error:
            return [f"the recording {self.path!r} ends after {events} events: {os.strerror(error)}"]
        # Each look lets the GIL go: a program that reports all the time would keep its other threads from it.
        if self._listener not in thread_names.listeners or time.monotonic() - self._looked_s > _LOOK_S:
            self._looked_s, self._found = time.monotonic(), self._lost(size)
        return [f"the recording {self.path!r} {self._found}"] if self._found else []

    def _lost(self, size: int) -> str:
        """Return what others have done to the file, of which `size` bytes have been written."""
        try:
            status = os.lstat(self.path)
        except FileNotFoundError:
            # from within another root nobody can look
            gone = self.identity is not None and _root() == self._root
            return "was removed, or renamed, while it was written" if gone else ""
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
    """Return the program's arguments, as far as they are text: it may have put anything there."""
    return [word for word in argv if type(word) is str] if isinstance(argv, list) else []


def _command() -> list[str]:
    """Return the process's arguments, with the code or the module that ``-c`` and ``-m`` stand for there."""
    own, whole = _words(getattr(sys, "argv", None)), _words(sys.orig_argv)
    if own[:1] in (["-c"], ["-m"]) and own[0] in whole:
        return whole[whole.index(own[0]) :]
    return own


def _meta(environment: dict[str, Any], options: dict[str, Any], started_unix_ns: int) -> bytes:
    document = {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "argv": _command(),
        "started_unix_ns": started_unix_ns,
        "options": options,
        "environment": environment,
    }
    return as_json(document).encode()


def as_json(value: Any) -> str:
    """Return what :func:`json.dumps` does, of dicts, lists and scalars, without loading :mod:`json`."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{as_json(key)}: {as_json(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(as_json, value))}]"
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    return repr(value) if type(value) in (int, float) else {None: "null", True: "true", False: "false"}[value]
