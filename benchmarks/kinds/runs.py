"""Runs a kind under a tool, each time in a process of its own."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peers.environments import Environments, UnavailableError
from peers.processes import Process, why
from peers.tools.base import Place, UnreadableError
from peers.tools.cpython_sampling import FRAME as SAMPLING_FRAME
from peers.tools.cpython_sampling import CPythonSampling
from peers.tools.py_spy import FRAME as PY_SPY_FRAME
from peers.tools.py_spy import PySpyRecord
from peers.tools.uprobes import Uprobes

from .base import Kind, short
from .told import Reading, Told, read_stacks, reading_of
from .truth import Facts

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

    from peers.tools.base import Tool

HERE = Path(__file__).parent
GILPROBE = "gilprobe"
READY_S = 60.0
ATTACH_S = 2.0
"""Time limits for a program to prepare its data, and for a tool's first output: then the work begins."""

FINISH_S = 15.0


@dataclass(frozen=True)
class Peer:
    """Another tool.

    Attributes
    ----------
    tool : Tool
        As in the comparison of benchmarks/peers.
    frame : re.Pattern or None
        A frame in the lines that it writes; None if it knows no code.
    """

    tool: Tool
    frame: re.Pattern[str] | None = None


PEERS = {
    "py-spy": Peer(PySpyRecord(), PY_SPY_FRAME),
    "profiling.sampling": Peer(CPythonSampling(), SAMPLING_FRAME),
    "uprobes": Peer(Uprobes()),
}


@dataclass(frozen=True)
class Outcome:
    """The result of one run.

    Attributes
    ----------
    facts : Facts or None
        The truth.
    reading : Reading or None
        What the tool told.
    reason : str
        Why one of them is missing, in one line.
    document : dict
        All that the program wrote.
    """

    facts: Facts | None
    reading: Reading | None
    reason: str
    document: dict[str, Any]


def compile_victims(folder: Path) -> Path:
    """Compile the victims' library into a folder; raises `UnavailableError`."""
    library = folder / "victims.so"
    command = [
        *shlex.split(os.environ.get("CC", "cc")),
        "-std=c11",
        "-D_GNU_SOURCE",
        "-O2",
        "-shared",
        "-fPIC",
    ]
    try:
        done = subprocess.run(
            [*command, "-o", str(library), str(HERE / "victims.c")],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except OSError as error:
        raise UnavailableError(f"needs a C compiler: {error}") from None
    if done.returncode:
        raise UnavailableError(f"the C compiler says: {done.stderr.strip()[:160]}")
    return library


class Runner:
    """Runs kinds in a folder.

    Parameters
    ----------
    folder : Path
        Where programs and tools write.
    python : str
        The interpreter that runs the kinds; it has gilprobe.
    cpus : int
        On how many CPUs they run; 0: on all.
    environments : Environments
        Where peers are installed.
    """

    def __init__(self, folder: Path, python: str, cpus: int, environments: Environments) -> None:
        self._folder, self._python, self._cpus = folder, python, cpus
        self._environments = environments
        self._library = compile_victims(folder)

    def run(self, kind: Kind, seconds: float, tool: str = "") -> Outcome:
        """Run a kind once, under gilprobe, under a peer or alone; an error is the outcome's reason."""
        for name in ("result.json", "tool-output", "tool-log", "program-log"):
            (self._folder / name).unlink(missing_ok=True)
        try:
            return self._run(kind, seconds, tool)
        except (UnavailableError, UnreadableError, OSError, ValueError, subprocess.SubprocessError) as error:
            return Outcome(None, None, str(error), {})

    def _run(self, kind: Kind, seconds: float, tool: str) -> Outcome:
        peer = PEERS.get(tool)
        place = self._place(peer, seconds) if peer else None
        arguments = [kind.name, str(seconds), str(self._library), "result.json"]
        options = [*(["--gilprobe"] if tool == GILPROBE else []), *(["--wait"] if peer else [])]
        command = [self._python, str(HERE / "run.py"), *arguments, *options, "--cpus", str(self._cpus)]
        process = Process(command, self._folder, "program-log", {}, 4 * seconds + 60)
        beside = None
        try:
            if peer and place and process.says("ready", READY_S):
                command = peer.tool.attach(place, process.pid)
                beside = Process(command, self._folder, "tool-log", {}, 2 * seconds + FINISH_S)
                beside.says("", ATTACH_S)
                process.say("go")
                beside.ends_within(2 * seconds + FINISH_S)
                process.say("done")
        finally:
            ended = process.wait()
        reason = why(ended, process.log)
        if beside is not None:
            reason = why(beside.wait(), beside.log) or reason
        file = self._folder / "result.json"
        document = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        reason = reason or document.get("missing", "") or ("" if document else "the program wrote no result")
        facts = Facts(**document["facts"]) if "facts" in document else None
        reading = reading_of(document["reading"]) if "reading" in document else None
        if peer and not reason:
            reading = read_stacks(kind, read_lines(self._folder / "tool-output", peer.frame))
        return Outcome(facts, reading, reason, document)

    def _place(self, peer: Peer, seconds: float) -> Place:
        if missing := peer.tool.missing():
            raise UnavailableError(missing)
        if peer.frame is None:
            raise UnavailableError("knows threads, but no code")
        if peer.tool.interpreter:
            code = f"import {peer.tool.name}"
            if subprocess.run([self._python, "-c", code], capture_output=True, check=False).returncode:
                raise UnavailableError(f"is a part of CPython {peer.tool.interpreter}")
            return Place(self._python, self._folder, seconds)
        return Place(self._environments.get(peer.tool.environment).python, self._folder, seconds)


def read_lines(file: Path, pattern: re.Pattern[str] | None) -> Iterator[tuple[list[Told], int]]:
    """Yield the stacks in lines `frame;frame;frame samples`, outermost frame first."""
    assert pattern is not None  # noqa: S101 (a peer without one is not run)
    for line in file.read_text(encoding="utf-8").splitlines():
        stack, _, count = line.rpartition(" ")
        if not count.isdigit():
            raise UnreadableError(f"a line {line[:80]!r} was not understood")
        frames = [found for text in stack.split(";") if (found := pattern.match(text))]
        yield (
            [Told(one["function"], f"{short(one['file'])}:{one['line'] or 0}") for one in frames],
            int(count),
        )
