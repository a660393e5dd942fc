"""The owner's side of a team's channels: orders and a gate to the workers, their reports, a flag.

The protocol is the same for threads, interpreters and processes.
"""

from __future__ import annotations

import mmap
import os
import select
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilprobe.engines import team_worker
from gilprobe.errors import UnsupportedError
from gilprobe.workers.group import above_the_standard_streams

if TYPE_CHECKING:
    from gilprobe.engines.team_worker import Ends


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """A report of a worker, or of its supervisor.

    Attributes
    ----------
    kind : int
        One of the constants of :mod:`gilprobe.engines.team_worker`.
    index : int
        The worker; negative: all of them.
    numbers : tuple of int
        Their meaning depends on the kind.
    text : str
        The error.
    """

    kind: int
    index: int
    numbers: tuple[int, ...]
    text: str


class Channels:
    """Three pipes and a byte of shared memory.

    Workers take their orders from one pipe: none can take a second one, since it waits at the gate until the
    owner has heard from all. At the gate all wait in the same read, which needs no GIL, and one write by the
    owner opens it for all.

    Raises
    ------
    UnsupportedError
        If there are not enough file descriptors.
    """

    def __init__(self) -> None:
        self._open: list[int] = []
        try:
            orders, self._orders = self._pipe()
            gate, self._gate = self._pipe()
            self._reports, reports = self._pipe()
            flag = _shared_byte()
            self._open.append(flag)
            self._off = mmap.mmap(flag, 1)
        except OSError as error:
            self._close_all()
            raise UnsupportedError(f"a team needs seven file descriptors: {error}") from None
        self.worker_ends: Ends = (orders, gate, reports, flag)
        self._heard = select.poll()
        self._heard.register(self._reports, select.POLLIN)

    def _pipe(self) -> tuple[int, int]:
        read, write = (above_the_standard_streams(end) for end in os.pipe())
        self._open += (read, write)
        return read, write

    def order(self, operations: int, workers: int) -> None:
        """Send each worker its number of operations; it reports back and goes to the gate."""
        os.write(self._orders, team_worker.ORDER.pack(operations) * workers)

    def open_gate(self, workers: int) -> None:
        """Open the gate."""
        os.write(self._gate, team_worker.OPEN * workers)

    def next_report(self, timeout_s: float) -> WorkerReport | None:
        """Return the next report; None if there is none in time."""
        if not self._heard.poll(max(0.0, timeout_s) * 1000):
            return None
        # Each report was one write of less than PIPE_BUF bytes, so it arrives complete.
        head = os.read(self._reports, team_worker.REPORT.size)
        kind, index, *numbers, size = team_worker.REPORT.unpack(head)
        text = os.read(self._reports, size).decode("utf-8", "replace") if size else ""
        return WorkerReport(kind, index, tuple(numbers), text)

    def call_off(self, workers: int) -> None:
        """End every worker: within chunked work, at the gate, or waiting for orders."""
        self._off[0] = 1
        # Closing the pipe is not enough: another fork of this process may keep a copy open.
        with suppress(OSError):
            self.order(team_worker.LEAVE, workers)
            os.write(self._gate, team_worker.SHUT * workers)

    def close(self) -> None:
        """Close all. No worker in this process may still use its ends: their numbers will be reused."""
        self._off.close()
        self._close_all()

    def _close_all(self) -> None:
        while self._open:
            os.close(self._open.pop())


def _shared_byte() -> int:
    if hasattr(os, "memfd_create"):
        flag = os.memfd_create("gilprobe-team")
    else:
        with tempfile.TemporaryFile() as file:
            flag = os.dup(file.fileno())
    os.truncate(flag, 1)
    return above_the_standard_streams(flag)
