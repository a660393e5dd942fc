"""The process that one scenario runs in: ``gilprobe run`` starts it, reads its messages, cuts it if need be.

A scenario may print, hang, start processes or crash. So what the worker has to tell goes through descriptors
that are its own, whatever is printed goes to standard error, and when the process that started it is gone,
the kernel ends the worker and all that it has started.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from gilprobe.errors import FormatError, GilProbeError
from gilprobe.scenarios import protocol
from gilprobe.scenarios.protocol import Failed, Hello, Offer, Progressed

if TYPE_CHECKING:
    from gilprobe.audited import AuditResult
    from gilprobe.auditing.statements import Statement
    from gilprobe.environment import CpuTimes
    from gilprobe.scenarios.protocol import Message, Task
    from gilprobe.scenarios.scenario import Scenario

_INTERRUPTED = 130


def main() -> NoReturn:
    """Say hello, do the task that is read, tell what came of it, and end the process."""
    line = Line.take_over()
    try:
        _serve(line)
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None
    raise SystemExit(0)


def _serve(line: Line) -> None:
    from gilprobe import __version__, machine

    line.send(Hello(__version__, machine.read_environment()))
    task = protocol.read_task(line.read())
    if not task.name:
        return
    try:
        line.send(_answer(task, line))
    except KeyboardInterrupt:
        raise
    except FormatError as error:  # of what it found: a number that is none
        line.send(Failed("FormatError", str(error)[: protocol.LONGEST_TEXT]))
    except BaseException as error:  # sys.exit() and worse: whatever ends a scenario is told
        line.send(Failed(type(error).__name__, _told(error)))


def _answer(task: Task, line: Line) -> Message:
    if task.audit is not None:
        return _audited(task, task.audit, line)
    return _result(task, line) if task.scenario else _offer(task)


def _audited(task: Task, statement: Statement, line: Line) -> AuditResult:
    from gilprobe.auditing import THREADS, audit_statement, frame_for

    turns = Turns(line)
    frame = dataclasses.replace(frame_for(task.quick, task.repeat, None), cpu_times=turns.cpu_times)
    turns.wait("runs the set-up", 0.0)
    sys.path.append(str(Path.cwd()))  # last: nothing in the user's folder takes the place of what is measured
    return audit_statement(statement, threads=task.threads or THREADS, frame=frame, progress=turns.wait)


def _offer(task: Task) -> Offer:
    from gilprobe import machine
    from gilprobe.scenarios.registry import find

    environment = machine.read_environment()
    return Offer(tuple(protocol.listed(scenario, environment) for scenario in find(task.name)))


def _result(task: Task, line: Line) -> Message:
    from gilprobe.measure import Frame
    from gilprobe.scenarios import measured

    scenario = _wanted(task)
    turns = Turns(line)
    frame = dataclasses.replace(Frame.quick() if task.quick else Frame(), cpu_times=turns.cpu_times)
    turns.wait("starts", 0.0)
    return measured(
        scenario,
        threads=task.threads,
        repeat=task.repeat,
        quick=task.quick,
        progress=turns.wait,
        frame=frame,
    )


def _wanted(task: Task) -> Scenario:
    from gilprobe.errors import ScenarioError
    from gilprobe.scenarios.registry import find

    for scenario in find(task.name):
        if scenario.id == task.scenario:
            return scenario
    raise ScenarioError(f"{task.name!a} must still have the scenario {task.scenario!a}")


def _told(error: BaseException) -> str:
    """Return an error in one line; of one that gilprobe did not raise on purpose, with the place."""
    text = " ".join(str(error).split())[: protocol.LONGEST_TEXT]
    if isinstance(error, GilProbeError):
        return text
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno}, in {frames[-1].name})" if frames else ""
    return f"{type(error).__name__}{': ' + text if text else ''}{place}"


class Turns:
    """The worker computes only while it has its turn; what goes on meanwhile is not its surroundings."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._away: CpuTimes | None = None

    def wait(self, label: str, share: float) -> None:
        """Tell how far the scenario is, and wait until it may go on."""
        from gilprobe import machine

        before = machine.cpu_times()
        self._line.send(Progressed(str(label)[:200], min(max(float(share), 0.0), 1.0)))
        if self._line.read() != protocol.GO_ON:
            raise FormatError("a worker must be told to go on")
        after = machine.cpu_times()
        if before is not None and after is not None:
            spent = _minus(after, before)
            self._away = spent if self._away is None else _plus(self._away, spent)

    def cpu_times(self) -> CpuTimes | None:
        """Return :func:`gilprobe.machine.cpu_times` without the time in which others had their turn."""
        from gilprobe import machine

        times = machine.cpu_times()
        return times if times is None or self._away is None else _minus(times, self._away)


def _plus(one: CpuTimes, other: CpuTimes) -> CpuTimes:
    return type(one)(*(getattr(one, f.name) + getattr(other, f.name) for f in dataclasses.fields(one)))


def _minus(one: CpuTimes, other: CpuTimes) -> CpuTimes:
    return type(one)(*(getattr(one, f.name) - getattr(other, f.name) for f in dataclasses.fields(one)))


class Line:
    """Both ends of the line to the process that started this one."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._owner = os.getpid()
        self._unread = b""

    @classmethod
    def take_over(cls) -> Line:
        """Keep standard input and output for messages; from now on the program's are elsewhere."""
        line = cls(os.dup(0), os.dup(1))  # neither is inherited by a program that is started
        nowhere = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nowhere, 0)
        os.close(nowhere)
        os.dup2(2, 1)
        with suppress(AttributeError):
            sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        return line

    def send(self, message: Message) -> None:
        """Send a message; a process that a scenario has forked off ends instead."""
        if os.getpid() != self._owner:
            os._exit(1)
        data = memoryview(protocol.write(message))
        try:
            while data:
                data = data[os.write(self._outgoing, data) :]
        except BrokenPipeError:
            self._hung_up()

    def read(self) -> bytes:
        """Return the next line that was sent; ends the process if none can come any more."""
        while b"\n" not in self._unread:
            data = os.read(self._incoming, 1 << 16)
            if not data:
                self._hung_up()
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line + b"\n"

    def _hung_up(self) -> NoReturn:
        if os.getpgrp() == self._owner:
            os.killpg(self._owner, signal.SIGKILL)
        os._exit(1)
