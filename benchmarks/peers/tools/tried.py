"""Tools that a user may find but that may not run: their row has the result of a try."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .base import Place, Tool, UnreadableError


class Tried(Tool):
    """A tool that is installed and started once, but not compared.

    Parameters
    ----------
    name, environment, settings : str
        As in every tool.
    check : list of str
        A program of its environment, with arguments, that must succeed.
    then : str
        Why it is not compared even if it starts.
    """

    costs = False

    def __init__(self, name: str, environment: str, settings: str, check: list[str], then: str) -> None:
        self.name, self.environment, self.settings = name, environment, settings
        self._check, self.silence = check, then

    def prepare(self, place: Place) -> None:
        """Start it once."""
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
    """A tool without a package."""

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
