"""Record an attached process until the tool ends."""

from __future__ import annotations

import _thread
import atexit
import os
import time
from contextlib import suppress

from gilprobe.attached.running import channel
from gilprobe.programs.program_recording import ProgramRecording, RecordOptions


def record(path: str, options: str, duration_s: float | None) -> None:
    """Record this process into a file until the tool says so, has ended, or the time is over.

    Parameters
    ----------
    path : str
        The file.
    options : str
        By :meth:`RecordOptions.to_text`.
    duration_s : float or None
        For how long at most.
    """
    began_s = time.monotonic()
    recording = EndsOnce(ProgramRecording(path, RecordOptions.from_text(options), told=False, later=False))
    atexit.register(recording.end)
    try:
        channel().send({"recording": True})
        left_s = None if duration_s is None else duration_s - (time.monotonic() - began_s)
        with suppress(TimeoutError):
            channel().receive(left_s)
    finally:
        recording.end()
        atexit.unregister(recording.end)


class EndsOnce:
    """A recording that ends once: its time is over, or the process ends."""

    def __init__(self, recording: ProgramRecording) -> None:
        self._recording = recording
        self._pid = os.getpid()
        self._ending = _thread.allocate_lock()

    @property
    def mine(self) -> bool:
        """Return whether it is this process's: else this is a forked child."""
        return os.getpid() == self._pid

    def end(self) -> None:
        """End it; nothing in a forked child, whose parent does it."""
        if self.mine:
            with self._ending:
                self._recording.close()
