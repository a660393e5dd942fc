"""Is `gilprobe leaks` right about released packages? ``python benchmarks/leaks_released.py``.

leaks_released.toml has functions that use packages, and says in which versions they leak. Each version is
installed from wheels into its own environment, and ``gilprobe leaks`` runs there. The rows about CPython
itself need no installation: ``--quick`` asks only these.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

import common
from common import Question, Row
from peers.environments import Environments, UnavailableError

import gilprobe
from gilprobe.errors import UnsupportedError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

TABLE = Path(__file__).with_suffix(".toml")
CPYTHON = "CPython"
FOUND, CLEAN = "found", "clean"
LIMIT_S = 300
FILE = "released.py"


@dataclass(frozen=True)
class Case:
    """One version of one package: what is called, and what is known about it.

    Attributes
    ----------
    known : str
        The public report that says so; "" of what is not known to leak.
    requires : tuple of str
        What pip is told to install, its options included; empty for what comes with the interpreter.
    code : str
        A module with a function ``call``.
    """

    package: str
    version: str
    what: str
    expected: str
    known: str
    requires: tuple[str, ...]
    code: str

    @property
    def name(self) -> str:
        """Return what the row is called."""
        return f"{self.package} {self.version}: {self.what}"


def cases() -> Iterator[Case]:
    """Yield what the table asks, for the running interpreter."""
    with TABLE.open("rb") as file:
        functions = tomllib.load(file)["function"]
    for function in functions:
        if function["package"] == CPYTHON:
            yield _of_cpython(function)
        else:
            yield from _of_package(function)


def _of_package(function: dict[str, Any]) -> Iterator[Case]:
    wheels = () if function.get("build") else ("--only-binary", ":all:")
    for expected in (FOUND, CLEAN):
        for version in function.get(expected, ()):
            pinned = f"{function['package']}=={version}"
            requires = (*wheels, pinned, *function.get("with", ()))
            yield _case(function, version, expected, requires)


def _of_cpython(function: dict[str, Any]) -> Case:
    leaks = any(_is_between(*pair.split(" - ")) for pair in function["leaks"])
    version = ".".join(map(str, sys.version_info[:3]))
    return _case(function, version, FOUND if leaks else CLEAN, ())


def _is_between(first: str, mended: str) -> bool:
    begin, end = (tuple(map(int, text.split("."))) for text in (first, mended))
    return begin <= sys.version_info[:3] < end


def _case(function: dict[str, Any], version: str, expected: str, requires: tuple[str, ...]) -> Case:
    known = function.get("known", "")
    return Case(function["package"], version, function["what"], expected, known, requires, function["code"])


class Hunter:
    """Runs `gilprobe leaks` in environments, which it keeps in a folder."""

    def __init__(self, folder: Path) -> None:
        self._environments = Environments(folder)
        self._folder = folder

    def report(self, case: Case) -> dict[str, Any]:
        """Return the report of one search.

        Raises
        ------
        UnsupportedError
            If the version can't be installed for this interpreter.
        """
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            Path(name, FILE).write_text(case.code, encoding="utf-8")
            command = [self._python(case), "-m", "gilprobe", "leaks", f"{FILE}::call", "--json", "-"]
            done = subprocess.run(
                command, cwd=name, capture_output=True, text=True, timeout=LIMIT_S, check=False
            )
        if not done.stdout.startswith("{"):  # a search that broke off is as wrong as one that misses
            return {"told": (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]}
        report: dict[str, Any] = json.loads(done.stdout)
        return {**report, "told": FOUND if report["leaking"] else CLEAN}

    def _python(self, case: Case) -> str:
        if not case.requires:
            return sys.executable
        try:
            python = self._environments.install(f"{case.package}-{case.version}", list(case.requires))
        except UnavailableError as error:
            raise UnsupportedError(str(error)) from None
        _lend_gilprobe(Path(python).parent.parent)
        return python


def _lend_gilprobe(environment: Path) -> None:
    """Let an environment find the running gilprobe and its requirements, after what is installed there."""
    (site,) = environment.glob("lib/python*/site-packages")
    here = Path(gilprobe.__file__).parent.parent
    (site / "gilprobe.pth").write_text(f"{here}\n", encoding="utf-8")


def row(case: Case, reports: list[dict[str, Any]]) -> Row:
    """Return the results of the searches in one function."""
    right = [report["told"] == case.expected for report in reports]
    wrong = reports[right.index(False)] if False in right else reports[0]
    told = wrong["told"]
    details = {"package": case.package, "version": case.version, "call": case.what, "known": case.known}
    details |= {"expected": case.expected, "told": told, "finding": finding(wrong)}
    details |= {"calls": wrong.get("calls", 0), "uncertain": wrong.get("uncertain")}
    details |= {"warnings": wrong.get("warnings", [])}
    seconds = [report.get("elapsed_s", 0.0) for report in reports]
    verdict = common.judge([float(one) for one in right], bool)
    note = ": ".join(filter(None, (told, details["finding"], details["uncertain"])))
    return Row(case.name, case.expected, "s", seconds, verdict, note, details)


def finding(report: dict[str, Any]) -> str:
    """Return the first finding in one line; empty if there is none."""
    findings = report.get("findings", [])
    if not findings:
        return ""
    first, more = findings[0], len(findings) - 1
    return f"{first['what']} {first['per_call']:+.3g}" + (f", and {more} more" if more else "")


def hunt(case: Case, hunter: Hunter, options: argparse.Namespace) -> Iterator[Row]:
    """Search as often as asked."""
    if options.quick and case.requires:
        raise UnsupportedError("quick: nothing is installed")
    yield row(case, [hunter.report(case) for _ in range(options.repeat)])


def questions(folder: Path) -> tuple[Question, ...]:
    """Return what is asked: a question a version."""
    hunter = Hunter(folder)
    return tuple(
        Question(case.name, case.expected, partial(hunt, case, hunter), traces=False) for case in cases()
    )


if __name__ == "__main__":
    made = common.parser("Is `gilprobe leaks` right about released packages?", repeat=1)
    made.add_argument(
        "--environments", metavar="DIR", help="keep the environments there (a temporary folder)"
    )
    given = made.parse_args()
    common.check_file(given, made)
    if given.environments and not Path(given.environments).is_dir():
        made.error(f"argument --environments: there is no folder {given.environments!r}")
    with tempfile.TemporaryDirectory() as temporary:
        kept = Path(given.environments or temporary).absolute()
        sys.exit(common.main("leaks_released", given, questions(kept)))
