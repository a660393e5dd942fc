"""Threads of this process. Whether they hold or release the GIL depends on the work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilprobe.engines import team_worker
from gilprobe.engines.memory_use import proportional_bytes
from gilprobe.engines.team import START_S, assembled
from gilprobe.errors import UnsupportedError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from gilprobe.engines.channels import Channels
    from gilprobe.engines.team import Team, Work
    from gilprobe.engines.team_worker import Spec

WorkerLife = Callable[[int, int], None]
"""The body of a worker's thread, given the worker's index and the time of its start."""


@dataclass(frozen=True, slots=True)
class ThreadEngine:
    """Python threads in this process."""

    name: str = "threads"
    module: str = "threading"

    def unavailable(self) -> str:
        """Return an empty string: threads are always available."""
        return ""

    def start(self, workers: int, work: Work, *, limit_s: float = START_S) -> AbstractContextManager[Team]:
        """Start a team; see :meth:`gilprobe.engines.team.Engine.start`."""
        return assembled(self, ThreadCrew(_life), workers, work, limit_s)


class ThreadCrew:
    """Threads of this process, each one worker.

    Parameters
    ----------
    prepare : callable
        Makes the thread's body from the work and the channels.
    """

    def __init__(self, prepare: Callable[[Spec, Channels], WorkerLife]) -> None:
        self._prepare = prepare
        self._before: int | None = None
        self._threads: list[threading.Thread] = []

    def hire(self, workers: int, work: Spec, channels: Channels) -> None:
        """Start the threads."""
        self._before = proportional_bytes()
        life = self._prepare(work, channels)
        for index in range(workers):
            arguments = (index, time.perf_counter_ns())
            # A daemon: one that can't be cancelled must not keep the process alive.
            thread = threading.Thread(target=life, args=arguments, name=f"worker {index + 1}", daemon=True)
            self._threads.append(thread)  # before its start, which Ctrl-C may interrupt
            try:
                thread.start()
            except RuntimeError as error:  # "can't start new thread"
                raise UnsupportedError(f"{workers} threads can't run here: {error}") from None

    def fault(self) -> str:
        """Return an empty string: a thread reports its own end."""
        return ""

    def memory_per_worker(self, pids: tuple[int, ...]) -> float | None:
        """Return the growth of this process since before the first start, per worker, bytes."""
        now = proportional_bytes()
        if now is None or self._before is None:
            return None
        return (now - self._before) / len(pids)

    def end(self, grace_s: float) -> bool:
        """Join all; return whether all ended in time."""
        deadline = time.monotonic() + grace_s
        for thread in self._threads:
            if thread.ident is not None:  # it was started
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)


def _life(work: Spec, channels: Channels) -> WorkerLife:
    ends = channels.worker_ends
    return lambda index, begun_ns: team_worker.serve(index, begun_ns, work, ends)
