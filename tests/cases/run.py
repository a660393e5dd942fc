#!/usr/bin/env python3
"""Run a folder of cases, programs that once showed a fault, on every interpreter, and print a table.

    tests/cases/run.py FOLDER [--python NAME ...] [WORD ...]

FOLDER holds a program `run`. It takes the python of a virtual environment with gilprobe and pytest, and words
that choose cases, and prints a line for each case: "ok" or "FAULT", and the case's name. The interpreters are
those that .ci/interpreters provides; without it, the one that runs this. Exit status 0: no case shows its
fault; 1: some do; 2: FOLDER can't be used.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PREPARE = CHECKOUT / ".ci" / "interpreters"
NAMES = ("3.11", "3.12", "3.13", "3.14", "3.15")
# What some cases need beside gilprobe: where it can't be installed, those cases say so.
WANTED = ("gevent", "eventlet")


def interpreters(names: list[str]) -> dict[str, tuple[str, str]]:
    """Return how and by which command each interpreter is had."""
    if not PREPARE.exists():
        return {f"{sys.version_info[0]}.{sys.version_info[1]}": ("native", sys.executable)}
    found = subprocess.run([PREPARE, *names], stdout=subprocess.PIPE, text=True, check=False).stdout
    rows = [line.split("\t") for line in found.splitlines()]
    return {name: (how, command) for name, how, command in rows}


def copy(folder: Path, target: Path) -> None:
    """Copy the checkout, changes that are not committed included, and the cases: beside it, apart."""
    listed = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.split(
        "\0"
    ):
        if name and (CHECKOUT / name).is_file():
            (target / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, target / "checkout" / name)
    shutil.copytree(folder, target / "cases")


def outcome(name: str, how: str, command: str, source: Path, words: list[str]) -> dict[str, str]:
    """Run the cases on one interpreter; return "ok" or "FAULT" for each."""
    python, start = (command, ["sh", "-c"]) if how == "native" else (f"python{name}", [command])
    lines = [
        *([] if how == "native" else ["cd /src"]),
        f"{shlex.quote(python)} -m venv .venv",
        ".venv/bin/pip install --quiet './checkout[test]'",
        f"(.venv/bin/pip install --quiet {' '.join(WANTED)} || true)",
        shlex.join([".venv/bin/python", "cases/run", ".venv/bin/python", *words]),
    ]
    # the cases start `python` of their environment by its absolute path
    shown: dict[str, str] = {}
    with subprocess.Popen(
        [*start, " && ".join(lines)], cwd=source, stdout=subprocess.PIPE, text=True
    ) as running:
        for line in running.stdout or ():
            print(f"{name}  {line}", end="", flush=True)
            verdict, _, rest = line.partition(" ")
            if verdict in ("ok", "FAULT"):
                shown[rest.split()[0]] = verdict
    return shown


def print_table(results: dict[str, dict[str, str]]) -> None:
    """Print a row a case and a column an interpreter."""
    cases = sorted({case for shown in results.values() for case in shown})
    width = max(map(len, cases), default=4)
    print(f"\n{'case':{width}}", *(f"{name:>6}" for name in results))
    for case in cases:
        print(f"{case:{width}}", *(f"{shown.get(case, 'n/a'):>6}" for shown in results.values()))


def main() -> int:
    """Do it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the cases are")
    parser.add_argument("words", nargs="*", metavar="WORD", help="only cases whose name holds one of these")
    parser.add_argument("--python", action="append", metavar="NAME", help="3.11, say; all, if not given")
    asked = parser.parse_intermixed_args()
    if not (asked.folder / "run").is_file():
        print(
            f"tests/cases/run.py: FOLDER must hold a program `run`, {asked.folder} does not", file=sys.stderr
        )
        return 2
    results = {}
    for name, (how, command) in interpreters(asked.python or list(NAMES)).items():
        with tempfile.TemporaryDirectory(prefix="gilprobe-cases.") as source:
            copy(asked.folder, Path(source))
            results[name] = outcome(name, how, command, Path(source), asked.words)
    print_table(results)
    faults = sum(verdict == "FAULT" for shown in results.values() for verdict in shown.values())
    empty = [name for name, shown in results.items() if not shown]
    print(f"{faults} faults" + (f"; nothing ran on {', '.join(empty)}" if empty else ""))
    return 1 if faults or empty else 0


if __name__ == "__main__":
    sys.exit(main())
