"""The process that does one task; its owner starts it, reads its messages, and stops it if necessary.

The work may print, hang, start processes or crash. So messages use separate descriptors, and all printed
output goes to standard error.
"""

from __future__ import annotations

import dataclasses
import os
import pkgutil
import signal
import sys
import traceback
from contextlib import suppress
from operator import add, sub
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from gilprobe import __version__
from gilprobe.errors import FormatError, GilProbeError
from gilprobe.measuring import host
from gilprobe.workers import protocol
from gilprobe.workers.protocol import Done, Failed, Hello, Progressed

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilprobe.model.environment import Environment
    from gilprobe.model.machine import CpuTimes
    from gilprobe.workers.protocol import Message


def main() -> None:
    """Say hello, read a task, do it, and send the outcome."""
    try:
        _serve(OwnerLine())
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _serve(line: OwnerLine) -> None:
    line.send(Hello(__version__))
    work, order = protocol.read_task(line.read())
    try:
        line.send(Done(pkgutil.resolve_name(work)(order, Turns(line))))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit() and worse: anything that ends the work is reported
        line.send(Failed(type(error).__name__, _told(error)))


def environment(_order: object, _turns: Turns) -> Environment:
    """Return this interpreter's environment; the work of :func:`gilprobe.workers.turns.meet`."""
    return host.read_environment()


def _told(error: BaseException) -> str:
    """Return an error in one line; with the place, unless gilprobe raised it on purpose."""
    text = " ".join(str(error).split())[: protocol.LONGEST_TEXT]
    if isinstance(error, GilProbeError):
        return text
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno}, in {frames[-1].name})" if frames else ""
    return f"{type(error).__name__}{': ' + text if text else ''}{place}"


class Turns:
    """Lets the worker compute only in its turn; other turns don't count as its surroundings."""

    def __init__(self, line: OwnerLine) -> None:
        self._line = line
        self._away: CpuTimes | None = None

    def wait(self, label: str, share: float) -> None:
        """Report the progress, and wait for the next turn."""
        before = host.cpu_times()
        self._line.send(Progressed(str(label)[:200], min(max(float(share), 0.0), 1.0)))
        if self._line.read() != protocol.GO_ON:
            raise FormatError("a worker must be told to go on")
        after = host.cpu_times()
        if before is not None and after is not None:
            spent = _each(sub, after, before)
            self._away = spent if self._away is None else _each(add, self._away, spent)

    def cpu_times(self) -> CpuTimes | None:
        """Return the CPU times of the host, without other workers' turns."""
        times = host.cpu_times()
        return times if times is None or self._away is None else _each(sub, times, self._away)


def _each(operation: Callable[[float, float], float], one: CpuTimes, other: CpuTimes) -> CpuTimes:
    names = [field.name for field in dataclasses.fields(one)]
    return type(one)(*(operation(getattr(one, name), getattr(other, name)) for name in names))


class OwnerLine:
    """The connection to the process that started this one: the original standard input and output.

    The program gets other ones.
    """

    def __init__(self) -> None:
        # Child programs inherit neither.
        self._incoming = open(os.dup(0), "rb", closefd=False)  # noqa: SIM115
        self._outgoing = open(os.dup(1), "wb", closefd=False)  # noqa: SIM115
        self._owner = os.getpid()
        nowhere = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nowhere, 0)
        os.close(nowhere)
        os.dup2(2, 1)
        with suppress(AttributeError):
            sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]

    def send(self, message: Message) -> None:
        """Send a message; a process forked by the work ends instead."""
        if os.getpid() != self._owner:
            os._exit(1)
        try:
            self._outgoing.write(protocol.write(message))
            self._outgoing.flush()
        except BrokenPipeError:
            self._hung_up()

    def read(self) -> bytes:
        """Return the next line; end the process if none can come any more."""
        return self._incoming.readline() or self._hung_up()

    def _hung_up(self) -> NoReturn:
        if os.getpgrp() == self._owner:
            os.killpg(self._owner, signal.SIGKILL)
        os._exit(1)
