"""The section on culprits of many kinds, from the file that benchmarks/culprit.py has written."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from .cells import OURS, number
from .tables import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EXPLANATION = """Each kind is [a small program](../benchmarks/kinds/__init__.py) with one culprit. Its victims
read the clock when they want the GIL and when they have it, the culprit when it begins and ends. The truth
is the culprit's share of the victims' waits. A cell says whether the tool's first row names the
culprit, and by how many percentage points its share differs. gilprobe's row is a line with all that it
called, of which the culprit must be told. A sampler knows no waits: its share is that of the samples
with the GIL in which the culprit's line is anywhere in the stack, and its first row is the line with the
most samples. That nobody held the GIL for a part of the waits is gilprobe's word.
The truth is an interval, wider in the runs of other tools, and the error is the distance to it."""


def is_culprits(document: dict[str, Any]) -> bool:
    """Whether benchmarks/culprit.py wrote it."""
    return document.get("benchmark") == "culprit"


def section(document: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the section."""
    rows = [row for row in document["rows"] if "kind" in row["details"]]
    tools = list(dict.fromkeys(row["details"]["tool"] for row in rows))
    cpus = list(dict.fromkeys(row["details"]["cpus"] for row in rows))
    environment, parameters = document["environment"], document["parameters"]
    yield "## The culprit, by kind of program"
    yield EXPLANATION
    yield ""
    yield (
        f"Measured {environment['started'][:10]}: CPython {environment['python']}, {environment['cpu']}, "
        f"{environment['cores']} cores; {_runs(parameters['runs'])} of {parameters['seconds']:g} s a kind."
    )
    yield from (f"Doubt: {doubt}." for doubt in document["doubts"])
    for some in cpus:
        yield ""
        yield from _table([row for row in rows if row["details"]["cpus"] == some], tools, some)


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"


def _table(rows: Sequence[dict[str, Any]], tools: Sequence[str], cpus: int) -> Iterator[str]:
    known = {(row["details"]["kind"], row["details"]["tool"]): row for row in rows}
    where = f"kind, on {cpus} CPU" if cpus else "kind"
    yield f"| {where} | truth | " + " | ".join(tools) + " |"
    yield "|---" * (2 + len(tools)) + "|"
    yield "| **in all: first** | | " + " | ".join(_in_all(rows, tool) for tool in tools) + " |"
    for kind in dict.fromkeys(name for name, _ in known):
        found = [known.get((kind, tool)) for tool in tools]
        cells = [escaped(kind), _truth(known.get((kind, OURS))), *map(_told, found)]
        yield "| " + " | ".join(cells) + " |"


def _in_all(rows: Sequence[dict[str, Any]], tool: str) -> str:
    right = [one for row in rows if row["details"]["tool"] == tool for one in row["details"].get("right", ())]
    return f"{sum(right)} of {len(right)} runs" if right else "-"


def _truth(row: dict[str, Any] | None) -> str:
    if row is None or not row["samples"]:
        return "-"
    return f"{statistics.median(row['details']['truth']):.0%}"


def _told(row: dict[str, Any] | None) -> str:
    if row is None:
        return "-"
    if not row["samples"]:
        return escaped(row["note"])
    right = row["details"]["right"]
    first = "first" if all(right) else f"first in {sum(right)} of {len(right)}" if any(right) else "not first"
    return f"{first}, {number(row['figure'], signed=True)}"
