"""Tools that a user would come across and that may not run: what came of trying is their row."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .base import Place, Tool, UnreadableError


class Tried(Tool):
    """A tool that is installed and asked for a sign of life, and not compared further.

    Parameters
    ----------
    name, environment, settings : str
        As every tool has them.
    check : list of str
        A program of its environment, with arguments, that must succeed.
    then : str
        Why it is not compared even then.
    """

    costs = False

    def __init__(self, name: str, environment: str, settings: str, check: list[str], then: str) -> None:
        self.name, self.environment, self.settings = name, environment, settings
        self._check, self.silence = check, then

    def prepare(self, place: Place) -> None:
        """Ask for a sign of life."""
        program, *arguments = self._check
        command = [place.tool(program), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        except subprocess.TimeoutExpired:
            raise UnreadableError(f"`{' '.join(self._check)}` hung: killed after 30 s") from None
        except OSError as error:
            raise UnreadableError(f"`{' '.join(self._check)}` does not start: {error.strerror}") from None
        if done.returncode:
            said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
            told = (said or ["no output"])[-1].replace(command[0], Path(command[0]).name)
            raise UnreadableError(f"`{' '.join(self._check)}` fails: {told[:200]}")


class ByHand(Tool):
    """A tool that no package has."""

    costs = False

    def __init__(self, name: str, why_not: str) -> None:
        self.name, self.why_not, self.settings = name, why_not, "-"


TRIED: tuple[Tool, ...] = (
    Tried(
        "perpetuo",
        "perpetuo",
        "perpetuo.instrument_gil(), perpetuo watch",
        ["python", "-c", "import perpetuo; perpetuo.instrument_gil()"],
        "runs here, but prints tracebacks of stalls and no figures",
    ),
    Tried(
        "austin 4",
        "austin-4",
        "-",
        ["austin", "--version"],
        "runs here, but is not compared yet: austin 3 is",
    ),
    Tried(
        "giltracer and per4m",
        "giltracer",
        "perf probe on take_gil and drop_gil, per4m giltracer",
        ["giltracer", "--help"],
        "its method is the row `uprobes`",
    ),
    ByHand(
        "gilstats.py",
        "a script for BCC's eBPF compiler, in no package, written for CPython 2's functions;"
        " its method, probes on take_gil and drop_gil, is the row `uprobes`",
    ),
)
