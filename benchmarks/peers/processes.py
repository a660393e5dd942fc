"""Processes with a time limit: they run to their end or are killed with all that they started."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it and its children used.

    Attributes
    ----------
    status : int
        Its exit status; negative: the signal.
    hung : bool
        Whether it was killed at its time limit.
    wall_s, cpu_s : float
        Its own, with all children that it waited for.
    """

    status: int
    hung: bool
    wall_s: float
    cpu_s: float


TELLING = ("error", "panic", "fatal", "abort", "assert")


def surroundings() -> dict[str, str]:
    """Return the environment's variables without the one that hides modules in a program's folder."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}


class Process:
    """A process in a group of its own, which writes to a file."""

    def __init__(
        self, command: list[str], folder: Path, log: str, variables: dict[str, str], limit_s: float
    ) -> None:
        self._log = folder / log
        self._start = time.perf_counter()
        self._hung = False
        with self._log.open("wb") as output:
            self._process: subprocess.Popen[Any] = subprocess.Popen(
                command,
                cwd=folder,
                env={**surroundings(), **variables},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._ending = os.pidfd_open(self._process.pid)
        self._timer = threading.Timer(limit_s, self.give_up)
        self._timer.daemon = True
        self._timer.start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def log(self) -> str:
        """Its output so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def give_up(self) -> None:
        """Kill it as hanging."""
        self._hung = True
        self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        """Send a signal to the process and all that it started."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return

    def say(self, line: str) -> None:
        """Write a line to its input."""
        assert self._process.stdin is not None  # noqa: S101 (asked for above)
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            return

    def says(self, text: str, limit_s: float) -> bool:
        """Wait until it has written a text, up to a time limit."""
        end = time.perf_counter() + limit_s
        while text not in self.log or not self.log:
            if time.perf_counter() > end or self.has_ended():
                return text in self.log and bool(self.log)
            time.sleep(0.005)
        return True

    def has_ended(self) -> bool:
        """Whether it has ended; it can still be waited for."""
        return self.ends_within(0)

    def peak_kib(self) -> int:
        """Return its peak memory so far; 0 if it has ended."""
        try:
            lines = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines()
        except OSError:
            return 0
        return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)

    def ends_within(self, limit_s: float) -> bool:
        """Wait for its end, up to a time limit."""
        watching = select.poll()
        watching.register(self._ending, select.POLLIN)
        return bool(watching.poll(1000 * limit_s))

    def wait(self) -> Ended:
        """Wait for its end, kill what it left, and return the result."""
        _, status, usage = os.wait4(self.pid, 0)
        self._timer.cancel()
        os.close(self._ending)
        wall_s = time.perf_counter() - self._start
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self.signal(signal.SIGKILL)
        assert self._process.stdin is not None  # noqa: S101 (asked for above)
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        cpu_s = usage.ru_utime + usage.ru_stime
        return Ended(self._process.returncode, self._hung, wall_s, cpu_s)


def why(ended: Ended, log: str) -> str:
    """Return in one line why a process failed; "" if it did not."""
    if ended.hung:
        return f"hung: killed after {ended.wall_s:.1f} s"
    if ended.status == 0:
        return ""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    told = [line for line in lines if any(word in line.lower() for word in TELLING)] or lines
    if ended.status < 0:
        return ": ".join(["crashed", signal.Signals(-ended.status).name, *(line[:160] for line in told[:1])])
    return f"failed with status {ended.status}: {told[-1][:160] if told else 'no output'}"
