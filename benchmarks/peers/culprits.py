"""The section on culprits of many kinds, from the files that benchmarks/culprit.py has written."""

from __future__ import annotations

import itertools
import re
import statistics
from typing import TYPE_CHECKING, Any

from .cells import OURS, number
from .tables import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

EXPLANATION = """Each kind is [a small program](../benchmarks/kinds/__init__.py) with one culprit. Its victims
read the clock when they want the GIL and when they have it, the culprit when it begins and ends. The truth
is the culprit's share of the victims' waits. A cell says whether the tool's first row names the
culprit, and by how many percentage points its share differs. gilprobe's row is a line with all that it
called, of which the culprit must be told. A sampler knows no waits: its share is that of the samples
with the GIL in which the culprit's line is anywhere in the stack, and its first row is the line with the
most samples. That nobody held the GIL for a part of the waits is gilprobe's word. Who lets go in a call,
where no clock sees it, is not to blame for the time in which the GIL was free meanwhile.
The truth is an interval, wider in the runs of other tools, and the error is the distance to it. If no
processor is free, the truth is too large in some kinds: after a forced release the culprit's clock goes
on until its thread runs again, though nobody may have the GIL; and collections in a victim's thread,
after it has read the clock, count for the culprit. Truth and time without a holder can be more than all
then."""


def is_culprits(document: dict[str, Any]) -> bool:
    """Whether benchmarks/culprit.py wrote it."""
    return document.get("benchmark") == "culprit"


def section(documents: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the section.

    A run with other tools is a table of its own. If gilprobe ran alone, too, all its runs are one table, with
    a column for each interpreter and way of running it.
    """
    yield "## The culprit, by kind of program"
    yield EXPLANATION
    columns: dict[tuple[str, int, float], list[dict[str, Any]]] = {}
    alone = False
    for document in documents:
        rows = [row for row in document["rows"] if "kind" in row["details"]]
        tools = list(dict.fromkeys(row["details"]["tool"] for row in rows))
        for cpus in dict.fromkeys(row["details"]["cpus"] for row in rows):
            column = document["environment"]["python"], cpus, document["parameters"]["seconds"]
            columns.setdefault(column, []).append(document)
            if len(tools) == 1:
                alone = True
            else:
                yield from ("", *_measured([document], cpus), "")
                yield from _table([row for row in rows if row["details"]["cpus"] == cpus], tools, cpus)
    if alone:
        yield from _columns(columns)
    yield from _misses(documents)


def _measured(documents: Sequence[dict[str, Any]], cpus: int) -> Iterator[str]:
    """Say how these were measured; they differ in nothing but the time and the load."""
    environment, parameters = documents[0]["environment"], documents[0]["parameters"]
    days = [one["environment"]["started"][:10] for one in documents]
    runs = sum(one["parameters"]["runs"] for one in documents)
    cores = f"{cpus} of {environment['cores']}" if cpus else environment["cores"]
    yield (
        f"Measured {_range(days, key=str)}: CPython {environment['python']}, {environment['cpu']}, "
        f"{cores} cores; {_runs(runs)} of {parameters['seconds']:g} s a kind."
    )
    doubts = [doubt for document in documents for doubt in document["doubts"]]
    yield from (f"Doubt: {doubt}." for doubt in together(doubts))


NUMBER = re.compile(r"\d+(?:\.\d+)?")


def together(doubts: Iterable[str]) -> Iterator[str]:
    """Yield doubts; those that differ only in numbers as one, with the lowest and the highest."""
    known: dict[tuple[str, ...], list[list[str]]] = {}
    for doubt in doubts:
        known.setdefault(tuple(NUMBER.split(doubt)), []).append(NUMBER.findall(doubt))
    for words, numbers in known.items():
        ranges = [_range(those, key=float) for those in zip(*numbers, strict=True)]
        yield "".join(itertools.chain(*itertools.zip_longest(words, ranges, fillvalue="")))


def _range(texts: Sequence[str], key: Callable[[str], Any]) -> str:
    low, high = min(texts, key=key), max(texts, key=key)
    return low if low == high else f"{low} to {high}"


def _columns(columns: dict[tuple[str, int, float], list[dict[str, Any]]]) -> Iterator[str]:
    yield ""
    yield "All runs of gilprobe: how often its first row was the culprit, and the median error of its share."
    heads, cells = [], list[dict[str, str]]()
    for (python, cpus, seconds), documents in sorted(columns.items()):
        yield from ("", *_measured(documents, cpus))
        rows = [row for one in documents for row in one["rows"] if _is_ours(row, cpus)]
        heads.append(f"{python}, {seconds:g} s" + (f", {cpus} CPU" if cpus else ""))
        by_kind: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            by_kind.setdefault(row["details"]["kind"], []).append(row)
        column = {"**in all: first**": _in_all(rows, OURS)}
        cells.append(column | {escaped(kind): _often(found) for kind, found in by_kind.items()})
    yield ""
    yield "| kind | " + " | ".join(heads) + " |"
    yield "|---" * (1 + len(heads)) + "|"
    for kind in dict.fromkeys(itertools.chain(*cells)):
        yield f"| {kind} | " + " | ".join(column.get(kind, "-") for column in cells) + " |"


def _is_ours(row: dict[str, Any], cpus: int) -> bool:
    details = row["details"]
    return "kind" in details and details["tool"] == OURS and details["cpus"] == cpus


def _often(rows: Sequence[dict[str, Any]]) -> str:
    """Return what all runs of a kind together say."""
    right = [one for row in rows for one in row["details"].get("right", ())]
    if not right:
        return escaped(rows[0]["note"])
    error = statistics.median(sample for row in rows for sample in row["samples"])
    return f"{sum(right)} of {len(right)}, {number(error, signed=True)}"


def _misses(documents: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield what gilprobe's first row was where it was not the culprit, and what of that is true."""
    missed = [
        (document["environment"]["python"], row["details"]["kind"], run)
        for document in documents
        for row in document["rows"]
        if row["details"].get("tool") == OURS
        for run in row["details"].get("runs", ())
        if run.get("told") and not run["told"]["right"]
    ]
    if missed:
        yield ""
        yield "Where the first row of gilprobe was not the culprit:"
        yield ""
    for python, kind, run in missed:
        facts, told = run["facts"], run["told"]
        first = f"`{told['first']}`" if told["first"] else "nothing"
        if told["rows"]:
            first += f", {told['rows'][0]['share']:.0%}"
        truth = f"{facts['least']:.0%} to {facts['most']:.0%} in {facts['worked']} acts"
        rest = f"at most {facts['other_share']:.0%} for the rest of its thread"
        ours = f"{told['share']:.0%}, with a standard error of {100 * (told['error'] or 0):.1f} points"
        yield f"- {python}, {kind}: the truth is {truth}, and {rest}; first was {first}; the culprit {ours}."


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
