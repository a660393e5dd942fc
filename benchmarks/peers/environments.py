"""An environment for each tool: a venv of the running interpreter with the packages of versions.toml."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
PREPARE = REPOSITORY.parent / "shared" / "interpreters" / "prepare"
LIMIT_S = 600
STAGED = ("inside.py", "tools", "programs")


class UnavailableError(Exception):
    """An environment can't be made; the message says why in one line."""


@dataclass(frozen=True)
class Environment:
    """An interpreter with a tool's packages.

    Attributes
    ----------
    python : str
        The path for commands that run in it.
    wrapper : str
        A command that runs a shell command line in another root, with the current folder at /src; "" if none.
    versions : str
        What is installed, for the page.
    """

    python: str
    wrapper: str = ""
    versions: str = ""

    def command(self, arguments: list[str]) -> list[str]:
        """Return the command that runs a command in it, from the current folder."""
        if not self.wrapper:
            return arguments
        return [self.wrapper, f"cd /src && exec {shlex.join(arguments)}"]

    def beside(self, pid: int, arguments: list[str]) -> list[str]:
        """Return the command that runs a command in its root, with its view of the files."""
        if not self.wrapper:
            return arguments
        return ["nsenter", "--target", str(pid), "--mount", "--root", "--wd", *arguments]


def requirements() -> dict[str, list[str]]:
    """Return what is installed for each tool."""
    with (HERE / "versions.toml").open("rb") as file:
        return {name: table["requires"] for name, table in tomllib.load(file).items()}


class Environments:
    """Those of one folder."""

    def __init__(self, folder: Path, python315: str = "") -> None:
        self._folder = folder
        self._python315 = python315
        self._made: dict[str, Environment | str] = {}

    def get(self, name: str, interpreter: str = "") -> Environment:
        """Return a tool's environment, made if it is not there yet."""
        key = interpreter or name or "gilprobe"
        if key not in self._made:
            try:
                self._made[key] = self._make(key)
            except UnavailableError as error:
                self._made[key] = str(error)
        made = self._made[key]
        if isinstance(made, str):
            raise UnavailableError(made)
        return made

    def _make(self, key: str) -> Environment:
        if key == "3.15":
            return _python315(self._python315)
        if key == "gilprobe":
            here = _gilprobe_here()
            return Environment(
                sys.executable if here else self.install(key, [str(REPOSITORY)]), versions=here
            )
        wanted = requirements()[key]
        return Environment(self.install(key, wanted), versions=", ".join(wanted))

    def install(self, name: str, wanted: list[str]) -> str:
        """Return the interpreter of an environment with these packages; create it if it is missing."""
        folder = self._folder / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
        python, done = folder / "bin" / "python", folder / "installed"
        if done.exists() and done.read_text() == "\n".join(wanted):
            return str(python)
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
        options = ["--quiet", "--disable-pip-version-check", "--no-input"]
        _run([sys.executable, "-m", "pip", "--python", str(python), "install", *options, *wanted])
        done.write_text("\n".join(wanted))
        return str(python)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"can't be installed: pip took longer than {LIMIT_S} s") from None
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise UnavailableError(f"can't be installed: {(lines or done.stderr.split(chr(10)))[-1][:160]}")


@cache
def _gilprobe_here() -> str:
    """Return the version of the gilprobe that the running interpreter has, not counting a checkout."""
    code = "import gilprobe; print(gilprobe.__version__)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    return f"gilprobe {done.stdout.strip()}" if done.returncode == 0 else ""


def _python315(given: str) -> Environment:
    found = given or shutil.which("python3.15") or ""
    if not found and PREPARE.exists():
        done = subprocess.run([PREPARE, "3.15"], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            found = done.stdout.split("\t")[-1].strip()
    if not found:
        raise UnavailableError("no CPython 3.15 on this machine (--python315 COMMAND names one)")
    wrapper = "" if Path(found).name.startswith("python") else found
    made = Environment("python3.15" if wrapper else found, wrapper)
    code = "import platform, profiling.sampling; print(platform.python_version())"
    command = made.command([made.python, "-c", code])
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(f"the CPython 3.15 that was found does not start: {error}") from None
    if done.returncode:
        raise UnavailableError("the CPython 3.15 that was found has no profiling.sampling")
    return Environment(made.python, wrapper, f"CPython {done.stdout.strip()}")


def stage(folder: Path) -> None:
    """Copy the programs that run in the environments, and compile the library that holds and releases."""
    for name in STAGED:
        source = HERE / name
        if source.is_dir():
            shutil.copytree(
                source, folder / name, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
            )
        else:
            shutil.copy(source, folder / name)
    compiler = shlex.split(os.environ.get("CC", "cc"))
    command = [
        *compiler,
        "-std=c11",
        "-D_GNU_SOURCE",
        "-O2",
        "-shared",
        "-fPIC",
        "-o",
        "holds.so",
        "programs/holds.c",
    ]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    except OSError as error:
        raise UnavailableError(f"needs a C compiler: {error}") from None
    if done.returncode:
        raise UnavailableError(f"the C compiler says: {done.stderr.strip()[:160]}")
