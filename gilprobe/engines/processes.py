"""Processes, started by one of :mod:`multiprocessing`'s methods through a spawner process."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilprobe.engines.memory_use import proportional_bytes
from gilprobe.engines.team import START_S, assembled
from gilprobe.errors import UnsupportedError
from gilprobe.workers.group import ProcessGroup, see_off
from gilprobe.workers.pythons import this_python

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import IO

    from gilprobe.engines.channels import Channels
    from gilprobe.engines.team import Team, Work
    from gilprobe.engines.team_worker import Spec

_SCRIPT = """\
import sys
sys.path[:] = {path!r}
from gilprobe.engines.spawner import main
main({method!r}, {workers!r}, {work!r}, {ends!r})
"""


@dataclass(frozen=True, slots=True)
class ProcessEngine:
    """Processes by one of multiprocessing's methods.

    Attributes
    ----------
    name : {"fork", "forkserver", "spawn"}
        The method.
    """

    name: str
    module: str = "multiprocessing"

    def unavailable(self) -> str:
        """Return why this method is not available here; empty if it is."""
        if self.name not in multiprocessing.get_all_start_methods():
            return f"multiprocessing has no method {self.name!r} on {sys.platform}"
        if not sys.executable:
            return "the interpreter's executable is unknown"
        return ""

    def start(self, workers: int, work: Work, *, limit_s: float = START_S) -> AbstractContextManager[Team]:
        """Start a team; see :meth:`gilprobe.engines.team.Engine.start`."""
        return assembled(self, ProcessCrew(self.name), workers, work, limit_s)


class ProcessCrew:
    """Processes that a spawner starts and watches, until its input is closed."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._spawner: ProcessGroup | None = None
        self._messages: IO[bytes] | None = None

    def hire(self, workers: int, work: Spec, channels: Channels) -> None:
        """Start the spawner."""
        path = [os.path.abspath(entry) for entry in sys.path if isinstance(entry, str)]  # noqa: PTH100
        script = _SCRIPT.format(
            path=path, method=self._method, workers=workers, work=work, ends=channels.worker_ends
        )
        python = this_python()
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 - until end()
        try:
            self._spawner = ProcessGroup(
                [python.path, *python.flags, "-c", script],
                stdout=subprocess.DEVNULL,
                stderr=self._messages,
                pass_fds=channels.worker_ends,
            )
        except OSError as error:
            raise UnsupportedError(f"processes can't be started here: {error}") from None

    def fault(self) -> str:
        """Return how the spawner ended; empty while it lives."""
        if self._spawner is None or self._messages is None or not self._spawner.how_ended():
            return ""
        self._messages.seek(0)
        lines = self._messages.read().decode("utf-8", "replace").strip().splitlines()
        return f"the process that starts the workers ended: {lines[-1] if lines else 'it said nothing'}"

    def memory_per_worker(self, pids: tuple[int, ...]) -> float | None:
        """Return the mean of the processes' proportional set sizes, bytes."""
        sizes = [size for pid in pids if (size := proportional_bytes(pid)) is not None]
        return sum(sizes) / len(sizes) if len(sizes) == len(pids) else None

    def end(self, grace_s: float) -> bool:
        """Have the spawner end them, and kill what is left."""
        if self._spawner is not None:
            see_off([self._spawner], ProcessGroup.close_input, grace_s)
        if self._messages is not None:
            self._messages.close()
        return True
