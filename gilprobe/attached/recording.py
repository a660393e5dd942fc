"""Record an attached process until the tool ends."""

from __future__ import annotations

import _thread
import atexit
import os
import time

from gilprobe.attached.running import channel
from gilprobe.programs.program_recording import ProgramRecording, RecordOptions


def record(path: str, options: str, duration_s: float | None, children: str | None = None) -> None:
    """Record this process into a file until the tool says so, has ended, or the time is over.

    Parameters
    ----------
    path : str
        The file.
    options : str
        By :meth:`RecordOptions.to_text`.
    duration_s : float or None
        For how long at most.
    children : str, optional
        The tool's socket for forked children, which record themselves, too.
    """
    began_s = time.monotonic()
    recording = EndsOnce(ProgramRecording(path, RecordOptions.from_text(options), told=False, later=False))
    atexit.register(recording.end)
    try:
        if children is None:
            _wait(began_s, duration_s)
        else:
            from gilprobe.attached import following

            order = (path, options, children)
            following.begin(order)
            try:
                _wait(began_s, duration_s)
            finally:
                following.end(order)
    finally:
        recording.end()
        atexit.unregister(recording.end)


def _wait(began_s: float, duration_s: float | None) -> None:
    channel().send({"recording": True})
    left_s = None if duration_s is None else duration_s - (time.monotonic() - began_s)
    try:  # contextlib is not imported: what the process does not need would keep others from running
        channel().wait(left_s)
    except TimeoutError:
        return


_running: list[EndsOnce] = []
_hooked = False


class EndsOnce:
    """A recording that ends once: its time is over, or the process ends. Forked children go on without."""

    def __init__(self, recording: ProgramRecording) -> None:
        global _hooked
        self._recording = recording
        self._pid = os.getpid()
        self._ending = _thread.allocate_lock()
        if not _hooked:
            os.register_at_fork(after_in_child=_forked)
            _hooked = True
        _running.append(self)

    @property
    def mine(self) -> bool:
        """Return whether it is this process's: else this is a forked child."""
        return os.getpid() == self._pid

    def end(self) -> None:
        """End it; nothing in a forked child, whose parent does it."""
        if self.mine:
            with self._ending:
                self._recording.close()
                if self in _running:
                    _running.remove(self)


def _forked() -> None:
    """End the parent's traces in this process, a child; their files are the parent's."""
    while _running:
        try:
            _running.pop()._recording.close()
        except Exception:  # noqa: S112  # the child just runs
            continue
