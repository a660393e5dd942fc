"""Writing a recording: the file of a trace, and all that it says beside the tracer's numbers.

The numbers are written by a native thread that never takes the GIL (csrc/gp_recorder.h); here are the names.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from gilprobe import codec, thread_names
from gilprobe._native import gil

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gilprobe.environment import Environment

_STRING_MAX = 0xFFFF  # docs/recording-format.md
_CHUNK_NAMES = 4096


class RecordingWriter:
    """A recording that is being written.

    Parameters
    ----------
    path : path-like
        The file; a regular file of that name is replaced. Readable by its owner only (mode 0600).

    Attributes
    ----------
    recorder : gilprobe._native.gil.Recorder
        For the session that is to be recorded.

    Raises
    ------
    OSError
        If the file can't be made.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(os.fsdecode(path))  # noqa: PTH100  # the program may change its directory
        self.recorder = gil.Recorder(os.fsencode(self.path), True)
        self._process = os.getpid()

    def begin(self, environment: Environment, options: dict[str, Any]) -> None:
        """Write what is known at the start: the process, its environment, and the threads' names so far."""
        self.recorder.put(b"META", _meta(environment, options))
        self._put_labels(thread_names.labels())
        self._put_names()
        thread_names.listeners.append(self._put_label)

    def _put_label(self, number: int, name: str) -> None:
        self.recorder.put(b"LABL", _number(number) + _string(name))

    def _put_labels(self, names: Iterable[tuple[int, str]]) -> None:
        entries = [_number(number) + _string(name) for number, name in names]
        for first in range(0, len(entries), _CHUNK_NAMES):
            self.recorder.put(b"LABL", b"".join(entries[first : first + _CHUNK_NAMES]))

    def _put_names(self) -> None:
        names = thread_names.alive().items()
        self.recorder.put(
            b"NAME", b"".join(_number(native_id << 1) + _string(name) for native_id, name in names)
        )

    def finish(self) -> None:
        """Write the rest and close the file, after the end of the trace. Nothing the second time."""
        if self._put_label in thread_names.listeners:
            thread_names.listeners.remove(self._put_label)
            self._put_names()
        self.recorder.finish()

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


def _meta(environment: Environment, options: dict[str, Any]) -> bytes:
    document = {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "argv": [str(word) for word in getattr(sys, "argv", [])],
        "started_unix_ns": time.time_ns(),
        "options": options,
        "environment": codec.encode(environment),
    }
    return json.dumps(document).encode()


def _number(value: int) -> bytes:
    """Encode an unsigned LEB128 varint."""
    groups = bytearray()
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def _string(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogatepass")[:_STRING_MAX]
    return _number(len(encoded)) + encoded
