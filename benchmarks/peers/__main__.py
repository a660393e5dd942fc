"""Runs the comparison, or makes its page: `python -m benchmarks.peers [page FILE ...]`."""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from . import accuracy, cost, counting, workloads
from .cells import cell_of, losses, pairs_lost
from .environments import REPOSITORY, Environments, UnavailableError, stage
from .machine import Busy, described
from .page import page
from .runs import Runner
from .tables import grids, text_of
from .tools import TOOLS
from .tools.base import Tool, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .cells import Cell

SCHEMA = 1
PARTS = ("accuracy", "turns", "cost", "scale", "counts")
SCALED = ("gilprobe", "uprobes", "gilknocker", "py-spy record")
OTHERS = ("sys.getrefcount", "objgraph", "psleak", "pytest-leaks", "ptime")


def progress(text: str) -> None:
    """Show on a terminal the current step."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


class Comparison:
    """One run of it."""

    def __init__(self, options: argparse.Namespace, runner: Runner, environments: Environments) -> None:
        self._start_s = time.monotonic()
        self._options = options
        self._runner = runner
        self._environments = environments
        self._only = set(options.only.split(",")) if options.only else set()
        self.described: list[dict[str, str]] = []
        self.tools = [tool for tool in self._wanted() if not self._unusable(tool)]

    def _wanted(self) -> list[Tool]:
        return [tool for tool in TOOLS if not self._only or tool.name in self._only]

    def _unusable(self, tool: Tool) -> str:
        """Install a tool; return why it can't be used."""
        progress(f"installing: {tool.name}")
        reason, versions = tool.missing(), ""
        if not reason:
            try:
                installed = self._environments.get(tool.environment, tool.interpreter).versions
                versions = tool.version(installed)
                tool.prepare(self._runner.place(tool, 0))
            except (UnavailableError, UnreadableError, OSError, subprocess.SubprocessError) as error:
                reason = str(error)
        self._describe(tool, versions, reason)
        return reason

    def _describe(self, tool: Tool, versions: str, reason: str) -> None:
        named = {"name": tool.name, "settings": tool.settings, "silence": tool.silence}
        self.described.append({**named, "versions": versions, "reason": reason})

    def _describe_counters(self) -> None:
        """Print the results of tools that count references, search leaks and audit."""
        for tool in (*counting.COUNTERS, *counting.HUNTERS, *counting.AUDITORS):
            if not self._only or tool.name in self._only:
                versions, reason = "", ""
                try:
                    versions = self._environments.get(tool.environment).versions
                except UnavailableError as error:
                    reason = str(error)
                self._describe(tool, versions if tool.name != "sys.getrefcount" else "", reason)

    def clean(self) -> None:
        """Undo the tools' preparations."""
        for tool in self.tools:
            tool.clean()

    def cells(self) -> Iterator[Cell]:
        """Measure everything."""
        options, runner = self._options, self._runner
        if "accuracy" in options.parts:
            known = workloads.accuracy(options.seed, seconds=options.seconds, quick=options.quick)
            yield from accuracy.measure(runner, self.tools, known, options.accuracy_repeat, progress)
        if "counts" in options.parts:
            self._describe_counters()
            repeat = max(2, options.repeat // 2)
            asked = {"quick": options.quick, "repeat": repeat, "seed": options.seed, "progress": progress}
            yield from counting.measure(runner, self._only, **asked)
        if "turns" in options.parts:
            asked_in_turns = workloads.turns(quick=options.quick)
            yield from cost.measure_in_turns(runner, self.tools, asked_in_turns, progress)
        if "scale" in options.parts:
            scaled = [tool for tool in self.tools if tool.name in SCALED]
            repeat = max(2, options.repeat // 2)
            yield from self._costs("scale", scaled, workloads.scale(quick=options.quick), repeat)
        if "cost" in options.parts:  # last: it gets what is left of the time
            yield from self._costs("cost", self.tools, workloads.costs(quick=options.quick), options.repeat)

    def _costs(
        self, table: str, tools: list[Tool], works: list[workloads.Workload], repeat: int
    ) -> Iterator[Cell]:
        until_s = self._start_s + 60 * self._options.minutes
        asked: dict[str, Any] = {
            "table": table,
            "repeat": repeat,
            "until_s": until_s,
            "seed": self._options.seed,
        }
        return cost.measure(self._runner, tools, works, **asked, progress=progress)


def compare(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the comparison in a folder and return the document."""
    start, busy, machine = time.monotonic(), Busy(), described()
    stage(folder)
    environments = Environments(Path(options.environments or folder / "environments"), options.python315)
    comparison = Comparison(options, Runner(folder, environments), environments)
    cells: list[Cell] = []
    doubts = ["quick: the runs were short, the numbers mean little"] if options.quick else []
    try:
        for cell in comparison.cells():
            cells.append(cell)  # one by one, to keep what was measured before an interrupt
    except KeyboardInterrupt:
        doubts.append("interrupted: the missing cells were not measured")
    finally:
        comparison.clean()
    progress("")
    doubts += filter(None, [busy.doubt()])
    kept = ("seed", "repeat", "accuracy_repeat", "seconds", "quick", "long", "only", "parts")
    return {
        "schema": SCHEMA,
        "benchmark": "peers",
        "machine": machine,
        "parameters": {name: getattr(options, name) for name in kept},
        "tools": comparison.described,
        "cells": [cell.to_dict() for cell in cells],
        "losses": [{"gilprobe": ours.to_dict(), "peer": best.to_dict()} for ours, best in losses(cells)],
        "doubts": doubts,
        "took_s": time.monotonic() - start,
    }


def show(document: dict[str, Any]) -> None:
    """Print the tables."""
    machine = document["machine"]
    where = f"CPython {machine['python']}, {machine['cpu']}, {machine['cores']} cores"
    print(f"peers: {where}, {machine['date']}, seed {document['parameters']['seed']}")
    for tool in document["tools"]:
        remark = tool["reason"] or tool["silence"] or tool["settings"]
        print(f"{tool['name']:20} {tool['versions'] or '-':20} {remark}")
    cells = [cell_of(values) for values in document["cells"]]
    for grid in grids(cells):
        print(f"\n{text_of(grid)}")
    print("\nWhere a peer beats gilprobe")
    for ours, best in losses(cells):
        figures = f"{ours.shown}, {best.tool} {best.shown} (pairs: {pairs_lost(ours, best)})"
        print(f"{ours.table}: {ours.workload}: {ours.measure}: {figures}")
    for doubt in document["doubts"]:
        print(f"doubt: {doubt}")


def positive(text: str) -> int:
    """Parse an integer from 1 on."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be an integer >= 1, got {text!r}")
    return number


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print the error and exit."""
        self.exit(2, f"{self.prog}: error: {message}\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = Parser(
        prog="python -m benchmarks.peers",
        description="Compare gilprobe with other tools. `page FILE ...`: print the page of what --json wrote,"
        " each part from the last FILE that has it.",
    )
    made.add_argument("--json", metavar="FILE", help="write all figures there")
    made.add_argument(
        "--page",
        metavar="FILE",
        help="write the page to this file; by default docs/comparison.md, with --json and nothing left out",
    )
    made.add_argument("--quick", action="store_true", help="a short trial: its numbers mean little")
    made.add_argument(
        "--long",
        action="store_true",
        help="three runs for each accuracy, 15 pairs for each cost: most of an hour",
    )
    made.add_argument("--only", metavar="TOOL,...", default="", help="just these tools")
    made.add_argument(
        "--parts", metavar="PART,...", default=",".join(PARTS), help="only these of %(default)s"
    )
    made.add_argument(
        "--seed",
        type=int,
        help="draws grains, sizes and the order of runs; by default random, and printed",
    )
    made.add_argument("--repeat", type=positive, help="pairs for each cost (7)")
    made.add_argument(
        "--minutes", type=positive, help="start no round of costs after this time (30; 60 with --long)"
    )
    made.add_argument(
        "--environments", metavar="DIR", help="keep the tools' environments there (a temporary folder)"
    )
    made.add_argument(
        "--python315",
        metavar="COMMAND",
        default="",
        help="a CPython 3.15, or a command that runs a shell command line where one is",
    )
    return made


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse and check the arguments."""
    made = parser()
    options = made.parse_args(arguments)
    names = {tool.name for tool in TOOLS} | set(OTHERS)
    unknown = [name for name in options.only.split(",") if options.only and name not in names]
    if unknown:
        made.error(f"argument --only: there is no tool {unknown[0]!r}; there are {', '.join(sorted(names))}")
    options.parts = options.parts.split(",")
    if not set(options.parts) <= set(PARTS):
        made.error(f"argument --parts: must be of {', '.join(PARTS)}, got {','.join(options.parts)!r}")
    for name in ("json", "page"):
        file = getattr(options, name)
        if file and not Path(file).absolute().parent.is_dir():
            made.error(f"argument --{name}: there is no folder {str(Path(file).parent)!r}")
    if options.environments and not _can_be_a_folder(Path(options.environments)):
        made.error(f"argument --environments: must name a folder, got {options.environments!r}")
    whole = options.json and not options.only and not options.quick and options.parts == list(PARTS)
    options.page = options.page or (str(REPOSITORY / "docs" / "comparison.md") if whole else None)
    options.repeat = options.repeat or (2 if options.quick else 15 if options.long else 7)
    options.accuracy_repeat = 3 if options.long else 1
    options.seconds = 0.3 if options.quick else 1.0
    options.minutes = options.minutes or (60 if options.long else 30)
    options.seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    return options


def _can_be_a_folder(path: Path) -> bool:
    """Whether the folder exists, or its parent does."""
    return path.is_dir() or (not path.exists() and path.absolute().parent.is_dir())


def print_page(files: Sequence[str]) -> int:
    """Print the page of the file of a run, or of several; later ones replace the parts that they measured."""
    try:
        print(page(*(json.loads(Path(file).read_text(encoding="utf-8")) for file in files)), end="")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        named = " and ".join(map(repr, files))
        print(f"not from this benchmark: {named}: {error}", file=sys.stderr)
        return 2
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run, print, write."""
    if arguments[:1] == ["page"] and len(arguments) > 1:
        return print_page(arguments[1:])
    options = parsed(arguments)
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        try:
            document = compare(options, Path(folder))
        except UnavailableError as error:
            print(error, file=sys.stderr)
            return 3
    show(document)
    if options.json:
        Path(options.json).write_text(json.dumps(document, indent=1), encoding="utf-8")
    if options.page:
        Path(options.page).write_text(page(document), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
