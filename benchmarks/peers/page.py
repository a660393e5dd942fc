"""docs/comparison.md, from the file that a run has written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cells import Cell, cell_of, losses, pairs_lost
from .cost import TURNS
from .culprits import is_culprits, section
from .tables import escaped, grids, markdown_of
from .targets import targets
from .why import WHY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

INTRODUCTION = """# gilprobe beside the other tools

This page compares gilprobe with every tool that you could use instead, under the same workloads. The truth
comes from the workloads, not from gilprobe: they hold and release the GIL in a small C library that reads the
clock before and after ([holds.c](../benchmarks/peers/programs/holds.c)), or note when the clock jumped. If a
moment is known only to lie between two readings of the clock, the truth is an interval, and the error is the
distance to it.

The system may move the threads of each program from core to core, as it does elsewhere. A trace of a server
that is kept on one core costs less than in truth; [server.py](../benchmarks/server.py) measures both.

**Bold**: the figure, as shown, is better than gilprobe's. `n/a`: the tool does not measure this. A number in
brackets refers to the notes below the table.
"""

PATH = re.compile(r"(?<![\w./])(?:/[\w.+-]+){2,}/?")
ADDRESS = re.compile(r"\b(?:https?|file)://\S+|(?<=host=)'[^']*'")


# Most tools do not run there, so no table can have them.
FREE_THREADED = Path(__file__).with_name("free_threaded.md")


def private(text: str) -> str:
    """Return a text without paths and addresses of the machine."""
    return PATH.sub("PATH", ADDRESS.sub("ADDRESS", text))


def page(document: dict[str, Any], *others: dict[str, Any]) -> str:
    """Return the page. A table that a later run has measured again has the later numbers.

    Documents of benchmarks/culprit.py become a section of their own; without any other it is the page.
    """
    of_culprits = [one for one in (document, *others) if is_culprits(one)]
    culprits = ["\n".join(section(of_culprits))] if of_culprits else []
    documents = [one for one in (document, *others) if not is_culprits(one)]
    if not documents:
        return private("\n\n".join(culprits)) + "\n"
    document, *later = documents
    cells = [cell_of(values) for values in document["cells"]]
    again = []
    for other in later:
        measured = [cell_of(values) for values in other["cells"]]
        tables = {cell.table for cell in measured}
        cells = [cell for cell in cells if cell.table not in tables] + measured
        again.append(_measured_again(other, tables))
    parts = [
        INTRODUCTION,
        "\n".join((*_circumstances(document, cells), *again)),
        "\n".join(_beaten(cells)),
        "\n".join(_targets(cells)),
        *culprits,
        *(markdown_of(grid) for grid in grids(cells)),
        FREE_THREADED.read_text(encoding="utf-8"),
        "\n".join(_tools(document)),
        "\n".join(_again(document)),
    ]
    return private("\n\n".join(part.strip() for part in parts)).rstrip() + "\n"


def _circumstances(document: dict[str, Any], cells: Sequence[Cell]) -> Iterator[str]:
    machine, parameters = document["machine"], document["parameters"]
    where = f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}"
    pairs = max((len(cell.samples) for cell in cells if cell.table == "cost"), default=0)
    yield f"Measured {machine['date']}: CPython {machine['python']}, {where}."
    turns = sorted({len(cell.samples) for cell in cells if cell.table == TURNS and cell.samples})
    if turns:
        yield f"{' or '.join(map(str, turns))} pairs of turns."
    yield f"Seed {parameters['seed']} (draws grains, sizes and orders); {pairs} pairs for each cost,"
    yield f"{parameters['accuracy_repeat']} run for each accuracy; {document['took_s']:.0f} s altogether."
    for doubt in document["doubts"]:
        yield f"Doubt: {doubt}."


def _measured_again(document: dict[str, Any], tables: set[str]) -> str:
    parameters, took_s = document["parameters"], document["took_s"]
    doubts = "".join(f" Doubt: {doubt}." for doubt in document["doubts"])
    return (
        f"Measured again {document['machine']['date']}, in a run of its own: {', '.join(sorted(tables))};"
        f" seed {parameters['seed']}, {took_s:.0f} s.{doubts}"
    )


def _beaten(cells: Sequence[Cell]) -> Iterator[str]:
    yield "## Where a peer beats gilprobe"
    lost = losses(cells)
    if not lost:
        yield "In no cell."
    else:
        yield (
            "In brackets the lowest and highest figure; last, in how many pairs the peer is better: half"
            " is chance."
        )
        yield ""
        yield "| table | workload | measure | gilprobe | best peer | pairs |"
        yield "|---|---|---|---|---|---|"
    for ours, best in lost:
        rival = f"{best.tool} {best.shown} ({_spread(best)})"
        cells_of_row = (ours.table, ours.workload, _with_unit(ours), f"{ours.shown} ({_spread(ours)})", rival)
        yield "| " + " | ".join((*cells_of_row, pairs_lost(ours, best))) + " |"
    yield from _reasons(lost)


def _reasons(lost: Sequence[tuple[Cell, Cell]]) -> Iterator[str]:
    asked = dict.fromkeys((ours.table, ours.measure) for ours, _ in lost)
    known = [(table, measure, WHY.get(table, {}).get(measure)) for table, measure in asked]
    if any(why for _, _, why in known):
        yield "\nWhy:\n"
    yield from (f"- {table}, {measure}: {why}" for table, measure, why in known if why)


def _with_unit(cell: Cell) -> str:
    return f"{cell.measure}, {cell.unit}" if cell.unit else cell.measure


def _spread(cell: Cell) -> str:
    if len(cell.samples) < 2:
        return "one run"
    return f"{min(cell.samples):.3g} to {max(cell.samples):.3g}"


def _targets(cells: Sequence[Cell]) -> Iterator[str]:
    yield "## What gilprobe must reach"
    yield "| what | target | worst cell | |"
    yield "|---|---|---|---|"
    for target in targets(cells):
        yield f"| {target.what} | {target.wanted} | {target.found} | {target.verdict} |"


def _tools(document: dict[str, Any]) -> Iterator[str]:
    yield "## The tools, and how each was run"
    yield "| tool | version | settings | |"
    yield "|---|---|---|---|"
    for tool in document["tools"]:
        remark = tool["reason"] or tool["silence"]
        row = (tool["name"], tool["versions"] or "-", tool["settings"], remark)
        yield "| " + " | ".join(escaped(text) for text in row) + " |"


def _again(document: dict[str, Any]) -> Iterator[str]:
    yield "## Run it again"
    yield "From the checkout; the first command writes this page, too."
    yield "```sh"
    yield f"python -m benchmarks.peers --json out.json --seed {document['parameters']['seed']}"
    yield "python -m benchmarks.peers page out.json > docs/comparison.md"
    yield "```"
