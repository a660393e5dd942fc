"""Start, watch and end a program with all its children, as a process group."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Pipe = Literal["stdout", "stderr"]

_READ = 1 << 16
_LOOK_S = 0.005  # where the kernel can't notify when a process ends
_STANDARD_STREAMS = 2  # the last of them


class ProcessGroup:
    """A program in its own session: the terminal's Ctrl-C reaches only its parent.

    It can't outlive the process that starts it: see :func:`_tie`. Its number is not reused until :meth:`end`,
    which reaps it.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments.
    stdin, stdout, stderr, pass_fds, cwd, env
        As for :class:`subprocess.Popen`. The parent's ends of pipes for its output do not block.

    Raises
    ------
    OSError
        If it can't be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        stdin: int = subprocess.PIPE,
        stdout: int = subprocess.PIPE,
        stderr: int | IO[bytes] = subprocess.PIPE,
        pass_fds: Sequence[int] = (),
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        watched, self._lifeline = map(above_the_standard_streams, os.pipe())
        try:
            self._process = subprocess.Popen(  # noqa: S603  # the callers choose what to start
                command,
                bufsize=0,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=(*pass_fds, watched),
                cwd=cwd,
                env=env,
                start_new_session=True,
            )
            _tie(watched, self._process.pid)
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(watched)
        outputs = {"stdout": self._process.stdout, "stderr": self._process.stderr}
        self._outputs = {name: pipe for name, pipe in outputs.items() if pipe is not None}
        for pipe in self._outputs.values():
            os.set_blocking(pipe.fileno(), False)
        self.pid = self._process.pid
        self.death_watch: int | None = None
        with suppress(AttributeError, OSError):  # Linux 5.3
            self.death_watch = os.pidfd_open(self.pid)

    def fileno(self, output: Pipe) -> int:
        """Return the descriptor of a requested pipe."""
        return self._outputs[output].fileno()

    def say(self, data: bytes) -> None:
        """Write to its input; ignore that it has ended."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.write(data)

    def take(self, output: Pipe) -> bytes | None:
        """Return what is in a pipe; ``b""`` at its end, None if more may come."""
        pipe = self._outputs[output]
        if pipe.closed:
            return b""
        with suppress(BlockingIOError):
            return os.read(pipe.fileno(), _READ)
        return None

    def take_next(self, output: Pipe, within_s: float) -> bytes | None:
        """Return what comes next from a pipe, as :meth:`take`; None if nothing in time."""
        return self.take(output) if _readable(self.fileno(output), within_s) else None

    def how_ended(self) -> str:
        """Return how the program ended; empty while it runs."""
        if self._process.returncode is None:
            with suppress(ChildProcessError):  # SIGCHLD is ignored, or other code waits for any child
                return _how(self.pid)
        return "has ended"

    def wait(self, within_s: float) -> bool:
        """Wait until the program ends; return whether it did in time."""
        latest = time.monotonic() + within_s
        while not self.how_ended():
            left_s = latest - time.monotonic()
            if left_s <= 0:
                return False
            if self.death_watch is None:
                time.sleep(min(left_s, _LOOK_S))
            else:
                _readable(self.death_watch, left_s)
        return True

    def interrupt(self) -> None:
        """Ask the program to clean up; the group must still be ended."""
        if not self.how_ended():
            os.kill(self.pid, signal.SIGINT)

    def close_input(self) -> None:
        """Close the program's input, so that it leaves; the group must still be ended."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def end(self) -> int:
        """End what is left of the group; return the program's status, negative: the signal that ended it."""
        if self._process.returncode is None:
            with self._process:  # closes the pipes, and waits
                with suppress(ChildProcessError, ProcessLookupError, PermissionError):
                    _how(self.pid)  # raises if it is no longer a child: the number may be reused
                    os.killpg(self.pid, signal.SIGKILL)
                for descriptor in (self._lifeline, self.death_watch):
                    if descriptor is not None:
                        os.close(descriptor)
        return self._process.returncode


def see_off(groups: Sequence[ProcessGroup], ask: Callable[[ProcessGroup], None], grace_s: float) -> None:
    """End groups: first ask, with `grace_s` seconds for all together, then by force."""
    latest = time.monotonic() + grace_s
    try:
        for group in groups:
            ask(group)
        for group in groups:
            group.wait(latest - time.monotonic())
    finally:  # also after a second Ctrl-C
        for group in groups:
            group.end()


def above_the_standard_streams(end: int) -> int:
    """Move an end with the number of a closed standard stream: a child has its own there."""
    if end > _STANDARD_STREAMS:
        return end
    moved = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _STANDARD_STREAMS + 1)
    os.close(end)
    return moved


def _tie(watched: int, group: int) -> None:
    """Have the kernel kill a group when the other end of its pipe is closed.

    fcntl(2), F_SETOWN and O_ASYNC: a pipe whose last writer has closed it signals its reader's owner
    (fs/pipe.c, pipe_release), a group to the last member. Nothing in the group has to watch the pipe, which
    the tracer would see, and it works even if a process hangs in C with the GIL held. A write would be
    signalled too, so the pipe has no other use.
    """
    with suppress(OSError):  # it has ended already, or the kernel does not support it
        fcntl.fcntl(watched, fcntl.F_SETOWN, -group)
        if hasattr(fcntl, "F_SETSIG"):  # Linux; elsewhere SIGIO, which by default ends a process
            fcntl.fcntl(watched, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(watched, fcntl.F_SETFL, fcntl.fcntl(watched, fcntl.F_GETFL) | os.O_ASYNC)


def _readable(descriptor: int, within_s: float) -> bool:
    """Wait until a descriptor is readable or at its end; return whether it was in time."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(max(0.0, within_s) * 1000))


def _how(pid: int) -> str:
    """Return how a child ended, empty if it has not; don't reap it. ChildProcessError if it was reaped."""
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    if found is None:
        return ""
    if found.si_code == os.CLD_EXITED:
        return f"ended with status {found.si_status}"
    with suppress(ValueError):
        return f"was killed by {signal.Signals(found.si_status).name}"
    return f"was killed by signal {found.si_status}"
