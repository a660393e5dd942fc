"""One run of a workload under a tool: the program, the tool, and the results of both."""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .environments import Environments, UnavailableError
from .processes import Ended, Process, why
from .tools.base import Place, Reading, Tool, UnreadableError, reading_of

if TYPE_CHECKING:
    from pathlib import Path

ATTACH_S = 0.8
"""Time limit for a tool's first output; a tool without output gets all of it."""

FINISH_S = 5.0
"""Time limit for a tool after the program's end."""

POLL_S = 0.1
"""How often a tool's memory is read."""

NONE = Tool()
"""No tool at all."""


@dataclass(frozen=True)
class Work:
    """What is run.

    Attributes
    ----------
    kind, program : str
        A module of `programs`, and its function.
    parameters : dict
        The function's arguments.
    seconds : float
        Its approximate duration.
    interpreter : str
        If it is not the tool's own: "3.15", or "" for the running one.
    """

    kind: str
    program: str
    parameters: dict[str, Any]
    seconds: float
    interpreter: str = ""

    @property
    def limit_s(self) -> float:
        """After this time it counts as hung."""
        return 2 * self.seconds + 6

    def arguments(self, tool: Tool) -> list[str]:
        """Return those of `inside.py`."""
        names = [tool.name or "none", self.kind, self.program, json.dumps(self.parameters), "result.json"]
        return [*names, "wait"] if tool.attaches else names


@dataclass(frozen=True)
class Outcome:
    """The result of one run.

    Attributes
    ----------
    document : dict or None
        The program's output.
    reading : Reading or None
        The tool's answer.
    reason : str
        Why there is none, in one line.
    elapsed_s : float
        Duration of the work itself, in the program.
    wall_s, cpu_s : float
        Those of the whole program; the CPU time includes the tool's own processes.
    peak_kib : int
        Peak memory of the program plus that of the tool's own process.
    """

    document: dict[str, Any] | None = None
    reading: Reading | None = None
    reason: str = ""
    elapsed_s: float = 0.0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_kib: int = 0


def _finished(beside: Process) -> Ended:
    """Wait for the end of an observer whose program has ended; tell it to end if it does not by itself."""
    if not beside.ends_within(FINISH_S):
        beside.signal(signal.SIGINT)
        if not beside.ends_within(2):
            beside.signal(signal.SIGKILL)
    return beside.wait()


class Runner:
    """Runs workloads in a folder, under tools in their environments."""

    def __init__(self, folder: Path, environments: Environments) -> None:
        self._folder = folder
        self._environments = environments

    def place(self, tool: Tool, seconds: float, interpreter: str = "") -> Place:
        """Return where the tool runs; raises `UnavailableError`."""
        made = self._environments.get(tool.environment, interpreter or tool.interpreter)
        return Place(made.python, self._folder, seconds)

    def run(self, tool: Tool, work: Work) -> Outcome:
        """Run once; an error becomes the outcome's reason."""
        for name in ("result.json", "tool-output", "tool-log", "program-log"):
            (self._folder / name).unlink(missing_ok=True)
        try:
            return self._run(tool, work)
        except (UnavailableError, UnreadableError) as error:
            return Outcome(reason=str(error))
        except (OSError, ValueError, LookupError, TypeError, subprocess.SubprocessError) as error:
            return Outcome(reason=f"can't be read: {type(error).__name__}: {error}")

    def _run(self, tool: Tool, work: Work) -> Outcome:
        environment = self._environments.get(tool.environment, work.interpreter or tool.interpreter)
        place = Place(environment.python, self._folder, work.seconds)
        command = [*tool.prefix(place), place.python, "inside.py", *work.arguments(tool)]
        variables = {"PEERS_HOLDS": "./holds.so", **tool.variables(place)}
        process = Process(environment.command(command), self._folder, "program-log", variables, work.limit_s)
        beside, beside_kib = None, 0
        observing = process if tool.prefix(place) else None
        try:
            if tool.attaches and process.says("ready", 5):
                command = environment.beside(process.pid, tool.attach(place, process.pid))
                beside, beside_kib = self._attached(process, command, work)
                observing = beside
            while not process.ends_within(POLL_S):
                beside_kib = max(beside_kib, observing.peak_kib() if observing else 0)
        except BaseException:
            process.signal(signal.SIGKILL)
            raise
        finally:
            ended = process.wait()
        reason, cpu_s = why(ended, process.log), ended.cpu_s
        if beside is not None:
            finished = _finished(beside)
            cpu_s += finished.cpu_s
            reason = reason or why(finished, beside.log)
        document = self._document()
        if document is None or reason:
            return Outcome(reason=reason or "the program wrote no result", wall_s=ended.wall_s)
        reading = None
        if work.kind == "threads" and tool.measures:
            reading = tool.read(place, document) or reading_of(dict(document["reading"]))
        peak_kib = document["peak_kib"] + beside_kib
        return Outcome(document, reading, "", document["elapsed_s"], ended.wall_s, cpu_s, peak_kib)

    def _attached(self, process: Process, command: list[str], work: Work) -> tuple[Process, int]:
        """Start an observer, start the program's work, and return the observer and its first memory.

        To measure costs, the observer must work from the start on. To read only the work, the program's work
        must start first.
        """
        begun = work.kind == "threads"
        if begun:
            process.say("go")
        beside = Process(command, self._folder, "tool-log", {}, work.limit_s)
        if not begun:
            beside.says("", ATTACH_S)
        at_first_kib = beside.peak_kib()
        if not begun:
            process.say("go")
        return beside, at_first_kib

    def _document(self) -> dict[str, Any] | None:
        with suppress(OSError, ValueError):
            document: dict[str, Any] = json.loads((self._folder / "result.json").read_text(encoding="utf-8"))
            return document
        return None
