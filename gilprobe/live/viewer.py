"""Watch a program until it ends or the user leaves: what to wait for, and what to do then."""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, Protocol

from gilprobe.errors import GilProbeError
from gilprobe.live.client import ReadingStream
from gilprobe.live.kept_files import keep_last_seconds, keep_report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilprobe.live.client import Listener
    from gilprobe.model.reading import Reading
    from gilprobe.report import Report

_END_S = 1.0  # a process that ends closes its files first
_LATE_S = 1.0  # an answer takes some milliseconds, unless the GIL is held
_POLL_S = 0.2  # where the kernel can't notify when a process ends
_PIPE_READS = 16  # a pipe holds 64 KiB, and at most 1 MiB unless root has raised it


class Face(Protocol):
    """Where readings are told."""

    def show(self, reading: Reading, report: Report) -> None:
        """Tell a reading, and the report of all since the start of the trace."""

    def printed(self, data: bytes) -> None:
        """Take what the program has printed."""

    def tick(self, late_s: float) -> None:
        """Note that time has passed; and for how long an answer is overdue."""

    def keyboard(self) -> int | None:
        """Return a descriptor that is readable when :meth:`typed` should be called; None: there is none."""

    def typed(self) -> bool:
        """Read what was typed; return whether the user asks for a recording of the last seconds."""

    def kept(self, message: str) -> None:
        """Tell that a file was written, or why not."""

    def left(self) -> bool:
        """Return whether the user wants to leave."""


class Viewed(Protocol):
    """The process that is watched."""

    pid: int
    death_watch: int | None

    def how_ended(self) -> str:
        """Return how the process ended; empty while it runs."""

    def wait(self, within_s: float) -> bool:
        """Wait until the process ends; return whether it did in time."""

    def fileno(self, output: Literal["stdout"]) -> int:
        """Return the descriptor of its output; KeyError if that goes elsewhere."""

    def take(self, output: Literal["stdout"]) -> bytes | None:
        """Return what is in its output; ``b""`` at its end, None if more may come."""


class Stranger:
    """A process that somebody else has started, as :class:`Viewed`. A context manager.

    Parameters
    ----------
    pid : int
        The process; it lives.

    Raises
    ------
    ProcessLookupError
        If there is none.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.death_watch: int | None = os.pidfd_open(pid)

    def __enter__(self) -> Stranger:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self.death_watch is not None:
            os.close(self.death_watch)

    def how_ended(self) -> str:
        """Return that the process has ended: how, only its parent knows."""
        return "has ended" if self.wait(0.0) else ""

    def wait(self, within_s: float) -> bool:
        """Wait until the process ends; return whether it did in time."""
        assert self.death_watch is not None  # noqa: S101
        return bool(select.select([self.death_watch], [], [], within_s)[0])

    def fileno(self, output: Literal["stdout"]) -> int:
        """Raise KeyError: its output is not ours."""
        raise KeyError(output)

    def take(self, output: Literal["stdout"]) -> bytes | None:  # noqa: ARG002  # as in Viewed
        """Return that there is no output."""
        return b""


class Viewer:
    """Watches one program.

    Parameters
    ----------
    group : Viewed
        The program. If its output is a pipe, that goes to the face.
    listener : Listener
        Where it connects.
    face : Face
        Where readings are told.
    interval_s : float
        Time between two readings, seconds.
    own : sequence of str
        Folders of the user's own code.
    keeps : bool
        Whether the program keeps its last seconds: then its end leaves a file.
    """

    def __init__(
        self,
        group: Viewed,
        listener: Listener,
        face: Face,
        *,
        interval_s: float,
        own: Sequence[str] = (),
        keeps: bool = False,
    ) -> None:
        self._group, self._listener, self._face = group, listener, face
        self._interval_s, self._own, self._keeps = interval_s, own, keeps
        self._stream: ReadingStream | None = None
        self._final = False
        self._output: int | None = None
        with suppress(KeyError):
            self._output = group.fileno("stdout")
        self._next_s = self._asked_s = time.monotonic()

    def run(self) -> bool:
        """Watch until the program ends, or the user leaves; return whether it has ended.

        Raises
        ------
        GilProbeError
            If the program can't be traced, or sends what it should not.
        """
        while not self._face.left():
            ready = self._wait()
            if self._group.how_ended():
                self._drain()
                return True
            if self._face.keyboard() in ready and self._face.typed():
                self.ask_last_seconds()
            if self._output in ready:
                self._read_output()
            if self._listener.fileno() in ready and self._stream is None:
                self._accept()
            elif self._stream is not None and not self._stream.ended and self._stream.fileno() in ready:
                self._take()
            self._ask()
        return False

    def ask_last_seconds(self) -> None:
        """Ask for a recording of the last seconds, which becomes a file; also from a signal's handler."""
        if self._stream is not None and self._keeps:
            self._stream.ask_last_seconds()

    def close(self) -> None:
        """Leave the program."""
        if self._stream is not None:
            self._stream.close()

    def _accept(self) -> None:
        connection = self._listener.accept(self._group.pid)
        if connection is not None:
            self._stream = ReadingStream(connection, self._own)
            self._next_s = time.monotonic() + self._interval_s

    def _wait(self) -> set[int | None]:
        """Wait until there is something to do; return the descriptors that are readable."""
        poll = select.poll()
        watched = [self._face.keyboard(), self._output, self._group.death_watch]
        if self._stream is None:
            watched.append(self._listener.fileno())
        elif not self._stream.ended:
            watched.append(self._stream.fileno())
        for descriptor in watched:
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        left_s = max(0.0, self._next_s - time.monotonic())
        if self._group.death_watch is None:
            left_s = min(left_s, _POLL_S)
        return {descriptor for descriptor, _ in poll.poll(1000 * left_s + 1)}

    def _ask(self) -> None:
        """Ask for the next reading when it is time, or say that the last one is overdue."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = max(self._next_s + self._interval_s, now_s)
        if self._stream is not None and self._stream.ready:
            self._stream.ask()
            self._asked_s = now_s
        late_s = now_s - self._asked_s if self._stream is not None and self._stream.asked else 0.0
        self._face.tick(late_s if late_s > _LATE_S else 0.0)

    def _take(self) -> None:
        if self._stream is not None:
            for reading in self._stream.take():
                self._final = reading.final
                if self._stream.report is not None:
                    self._face.show(reading, self._stream.report)
            for content in self._stream.recordings:
                self._face.kept(keep_last_seconds(self._group.pid, content))
            self._stream.recordings.clear()
            # A program of ours may run on; of another process there is nothing else to see.
            if self._stream.ended and isinstance(self._group, Stranger) and not self._group.wait(_END_S):
                raise GilProbeError(f"process {self._group.pid} answers no longer: its connection was closed")

    def _read_output(self) -> bool:
        data = self._group.take("stdout")
        if data == b"":
            self._output = None
        elif data is not None:
            self._face.printed(data)
        return bool(data)

    def _drain(self) -> None:
        """Take what the program has sent and printed before its end; others may still fill its pipe."""
        for _ in range(_PIPE_READS):
            if self._output is None or not self._read_output():
                break
        if self._stream is None:
            self._accept()
        self._take()
        # One that was killed has sent no recording: the last report is what can be had.
        if self._stream is not None and self._keeps and not self._final:
            self._face.kept(keep_report(self._group.pid, self._stream.report))
