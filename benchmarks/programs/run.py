"""Records real programs, and shows the headline beside what each program's own clock tells.

    python benchmarks/programs/run.py [--only TEXT] [--json FILE]

A program whose packages are not installed is left out, and told.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).parent
LIMIT_S = 300


@dataclass(frozen=True)
class Program:
    """A program: its file, how it is started, and the packages that it needs."""

    file: str
    needs: tuple[str, ...] = ()
    module: tuple[str, ...] = ()


PROGRAMS = (
    Program("celery_worker.py", ("celery",)),
    Program("fastapi_service.py", ("fastapi", "uvicorn")),
    Program("pandas_pool.py", ("pandas",)),
    Program("qt_application.py", ("PyQt6",)),
    Program(
        "suite.py", ("pytest",), ("-m", "pytest", "-q", "-s", "-c", "/dev/null", "-p", "no:cacheprovider")
    ),
)


@dataclass(frozen=True)
class Shown:
    """What one run has shown.

    Attributes
    ----------
    program : str
        Its file.
    spent : list of str
        What its clocks tell, most first.
    headline : list of str
        The first lines of gilprobe's report.
    """

    program: str
    spent: list[str]
    headline: list[str]


def missing(program: Program) -> str:
    """Return the first package that is not installed; "" if all are."""
    return next((one for one in program.needs if importlib.util.find_spec(one) is None), "")


def show(program: Program, folder: Path) -> Shown:
    """Record one program."""
    target = [
        *program.module,
        *(["--rootdir", str(HERE)] if program.module else []),
        str(HERE / program.file),
    ]
    recording = str(folder / f"{program.file}.gilprobe")
    command = [sys.executable, "-m", "gilprobe", "record", "-o", recording, *target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False, cwd=folder)
    spent = [line.removeprefix("spent: ") for line in done.stdout.splitlines() if line.startswith("spent: ")]
    lines = done.stderr.splitlines()
    first = next((number for number, line in enumerate(lines) if line.startswith("Traced ")), None)
    if done.returncode or first is None:
        raise SystemExit(f"{program.file} failed with status {done.returncode}:\n{done.stdout}{done.stderr}")
    headline = lines[first:]
    return Shown(program.file, spent, headline[: headline.index("")])


def main() -> None:
    """Record all programs that can run here."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    made.add_argument("--only", metavar="TEXT", default="", help="only the programs with this in their name")
    made.add_argument("--json", metavar="FILE", help="also write what was shown to this file")
    options = made.parse_args()
    shown = []
    with tempfile.TemporaryDirectory() as folder:
        for program in (one for one in PROGRAMS if options.only in one.file):
            print(program.file)
            if package := missing(program):
                print(f"  needs {package}, which is not installed")
                continue
            shown.append(show(program, Path(folder)))
            for title, lines in (("its own clock", shown[-1].spent), ("gilprobe", shown[-1].headline)):
                for line in lines:
                    print(f"  {title:<14} {line}")
    if options.json:
        text = json.dumps([asdict(one) for one in shown], indent=1)
        Path(options.json).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
