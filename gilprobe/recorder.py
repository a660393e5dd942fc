"""Writing a recording: the file of a trace, and all that it says beside the tracer's numbers.

The numbers are written by native code that never takes the GIL (csrc/gp_recorder.h); here are the names.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
import weakref
from typing import TYPE_CHECKING, Any

from gilprobe import codec, thread_names
from gilprobe._native import gil
from gilprobe._native.gil import encoded_number, encoded_string
from gilprobe.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gilprobe.environment import Environment

_CHUNK_NAMES = 4096


class TemporaryPlace:
    """A folder of its own for one file; both go with the last reference, at the latest with the process.

    Unlike :class:`tempfile.TemporaryDirectory` they go without a warning and without a free file descriptor,
    and a forked child leaves them alone.

    Attributes
    ----------
    path : str
        Of the file, which is to be made.
    """

    def __init__(self) -> None:
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

    Attributes
    ----------
    recorder : gilprobe._native.gil.Recorder
        For the session that is to be recorded.

    Raises
    ------
    InvalidValueError
        If `path` has a zero byte.
    OSError
        If the file can't be made, or the thread, which is no matter of a file: without ``filename``.
    """

    def __init__(self, path: str | os.PathLike[str], *, timeline: bool) -> None:
        name = os.fsdecode(path)
        if "\0" in name:
            raise InvalidValueError(f"path must have no zero byte, got {name!r}")
        self.path = os.path.abspath(name)  # noqa: PTH100  # the program may change its directory
        self.recorder = gil.Recorder(os.fsencode(self.path), timeline)
        self._process = os.getpid()
        self._listener = self.recorder.put_label

    def begin(self, environment: Environment, options: dict[str, Any]) -> None:
        """Write what is known at the start: the process, its environment, and the threads' names so far."""
        self.recorder.put(b"META", _meta(environment, options))
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
        error, _, events = self.recorder.state()
        if error:
            return [f"the recording {self.path!r} ends after {events} events: {os.strerror(error)}"]
        return []


def _words(argv: object) -> list[str]:
    """Return the program's arguments, as far as they are text: it may have put anything there."""
    return [word for word in argv if type(word) is str] if isinstance(argv, list) else []


def _meta(environment: Environment, options: dict[str, Any]) -> bytes:
    document = {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "argv": _words(getattr(sys, "argv", None)),
        "started_unix_ns": time.time_ns(),
        "options": options,
        "environment": codec.encode(environment),
    }
    return json.dumps(document).encode()
