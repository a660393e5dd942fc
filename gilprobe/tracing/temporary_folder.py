"""A folder for the file of a timeline that nobody has named."""

from __future__ import annotations

import atexit  # noqa: F401  # weakref.finalize imports it when a trace starts: too late
import contextlib
import os
import tempfile
import weakref


class TemporaryFolder:
    """A temporary folder for one file; both are removed with the last reference, once kept also at exit.

    Unlike :class:`tempfile.TemporaryDirectory`, it gives no warning, needs no free file descriptor, and a
    forked child leaves it alone.

    Attributes
    ----------
    path : str
        Path of the file, which does not exist yet.
    """

    def __init__(self) -> None:
        folder = tempfile.mkdtemp(prefix="gilprobe-")
        self.path = os.path.join(folder, "timeline")  # noqa: PTH118
        self._removal = weakref.finalize(self, _remove_place, folder, self.path, os.getpid())
        self._removal.atexit = False

    def keep(self) -> None:
        """Say that the file is open: removed at exit before, a daemon that begins a trace would fail."""
        self._removal.atexit = True


def _remove_place(folder: str, path: str, process: int) -> None:
    if os.getpid() == process:
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108
        with contextlib.suppress(OSError):
            os.rmdir(folder)  # noqa: PTH106
