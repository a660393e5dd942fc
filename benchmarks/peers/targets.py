"""gilprobe's targets in the comparison, and whether it reached them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .cells import OURS, Cell, better, number
from .cost import ADDED, FEWER, SLOWER, TURNS
from .tools import TOOLS
from .tools.base import FUNCTION, HELD, LINE, WAIT, WORST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

REACHED, MISSED, UNKNOWN = "reached", "**missed**", "not measured"
PEERS = [tool for tool in TOOLS if tool.name != OURS]
EACH_EVENT = [tool.name for tool in PEERS if tool.each_event]
IN_PROCESS = [tool.name for tool in PEERS if tool.in_process]


@dataclass(frozen=True)
class Target:
    """One target, the worst result, and the verdict."""

    what: str
    wanted: str
    found: str
    verdict: str


def targets(cells: Sequence[Cell]) -> list[Target]:
    """Judge all targets."""
    return [
        _worst(
            cells, "held share", "error at most 0.5 points", HELD, lambda cell: abs(cell.figure or 0) <= 0.5
        ),
        _worst(
            cells,
            "wait share of each thread",
            "error at most 0.5 points",
            WAIT,
            lambda cell: abs(cell.figure or 0) <= 0.5,
        ),
        _worst(cells, "worst wait", "within 1 % or 20 us", WORST, _close),
        _worst(cells, "culprit's function", "always named", FUNCTION, lambda cell: not cell.figure),
        _worst(cells, "culprit's line", "always named", LINE, lambda cell: not cell.figure),
        *_slowdowns(cells, TURNS, "while it works"),
        *_slowdowns(cells, "cost", "from begin to end"),
        _flat(cells),
    ]


def _slowdowns(cells: Sequence[Cell], table: str, when: str) -> Iterator[Target]:
    def named(name: str) -> list[Cell]:
        return [cell for cell in cells if cell.table == table and name in cell.workload]

    python, echo = named("pure Python"), named("echo")
    for found, what, measure, most in (
        (python, f"slowdown of pure Python, {when}", SLOWER, 1),
        (echo, f"fewer requests of an echo server, {when}", FEWER, 3),
    ):
        yield _worst(
            found, what, f"at most {most} %", measure, lambda cell, most=most: (cell.figure or 0) <= most
        )
        yield _smallest(found, what, measure, IN_PROCESS, "the smallest of the tools in the process")
    what, wanted = f"slowdown of tiny releases, {when}", "smaller than any tool that records each event"
    yield _smallest(named("one-byte"), what, SLOWER, EACH_EVENT, wanted)


def _ours(cells: Sequence[Cell], measure: str) -> list[Cell]:
    return [cell for cell in cells if cell.tool == OURS and cell.measure == measure and cell.samples]


def _worst(
    cells: Sequence[Cell], what: str, wanted: str, measure: str, reaches: Callable[[Cell], bool]
) -> Target:
    ours = _ours(cells, measure)
    if not ours:
        return Target(what, wanted, "-", UNKNOWN)
    worst = max(ours, key=lambda cell: (not reaches(cell), abs(cell.figure or 0)))
    return Target(
        what,
        wanted,
        f"{worst.shown} {worst.unit} ({worst.workload})",
        REACHED if all(map(reaches, ours)) else MISSED,
    )


def _close(cell: Cell) -> bool:
    runs = cell.details.get("runs", [])
    return all(abs(run["error"]) <= max(0.02, 0.01 * run["truth"]) for run in runs)


def _smallest(cells: Sequence[Cell], what: str, measure: str, rivals: Sequence[str], wanted: str) -> Target:
    found = list(_comparisons(cells, measure, rivals))
    if not found:
        return Target(what, wanted, "-", UNKNOWN)
    lost = [text for smaller, text in found if not smaller]
    return Target(what, wanted, "; ".join(lost) or "in every workload", MISSED if lost else REACHED)


def _comparisons(cells: Sequence[Cell], measure: str, rivals: Sequence[str]) -> Iterator[tuple[bool, str]]:
    for ours in _ours(cells, measure):
        others = [
            cell for cell in cells if cell.question == ours.question and cell.tool in rivals and cell.samples
        ]
        if others:
            best = min(others, key=lambda cell: cell.figure or 0)
            text = f"{ours.workload}: {ours.shown} %, {best.tool} {best.shown} %"
            yield not better(best, ours), text


def _flat(cells: Sequence[Cell]) -> Target:
    """Compare the whole cost of a release under gilprobe with more threads to that with 2 threads."""
    what, wanted = "a release under gilprobe, 2 to 512 threads", "within 20 %"
    ours = [cell for cell in _ours(cells, ADDED) if not cell.workload.endswith(" 1 thread")]
    ratios = [
        min(b / a for a, b in zip(cell.details["off"], cell.details["on"], strict=True)) for cell in ours
    ]
    if len(ratios) < 2:
        return Target(what, wanted, "-", UNKNOWN)
    spread = 100 * (max(ratios) / ratios[0] - 1)
    return Target(
        what,
        wanted,
        f"{number(spread, signed=True)} % at most, as times the cost without",
        REACHED if spread <= 20 else MISSED,
    )
