"""How exact each tool is: its readings for workloads whose truth is known."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .cells import KNOWN, NOT_MEASURED, Cell, number
from .runs import ATTACH_S, Work
from .tools.base import HELD, WAIT, WORST
from .truth import UNITS, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .runs import Outcome, Runner
    from .tools.base import Tool
    from .workloads import Workload


def measure(
    runner: Runner, tools: list[Tool], workloads: list[Workload], repeat: int, progress: Callable[[str], None]
) -> Iterator[Cell]:
    """Run every workload under every tool that measures anything, the tools in turns."""
    able = [tool for tool in tools if tool.measures and not tool.missing()]
    for workload in workloads:
        outcomes: dict[str, list[Outcome]] = {tool.name: [] for tool in able}
        for _ in range(repeat):
            for tool in able:
                if not any(asked in tool.measures for asked in workload.asked):
                    continue
                progress(f"accuracy: {workload.name}: {tool.name}")
                outcomes[tool.name].append(_run(runner, tool, workload))
        cells = [
            _cell(workload, asked, tool, outcomes[tool.name]) for tool in able for asked in workload.asked
        ]
        yield from _truths(workload, cells)
        yield from cells


def _run(runner: Runner, tool: Tool, workload: Workload) -> Outcome:
    """Run once; longer with a tool that attaches while the work goes on."""
    parameters = dict(workload.parameters)
    if tool.attaches:
        parameters["seconds"] += ATTACH_S
    return runner.run(tool, Work("threads", workload.program, parameters, workload.seconds))


def _truths(workload: Workload, cells: list[Cell]) -> Iterator[Cell]:
    """Yield how exactly the truth is known, from the first tool's runs."""
    for asked in (HELD, WAIT, WORST):
        cell = next((cell for cell in cells if cell.measure == asked and cell.samples), None)
        if cell is not None:
            within = [run["within"] for run in cell.details["runs"]]
            yield Cell("accuracy", workload.name, asked, KNOWN, cell.unit, within, f"±{number(max(within))}")


def _cell(workload: Workload, asked: str, tool: Tool, outcomes: list[Outcome]) -> Cell:
    if asked not in tool.measures:
        return Cell("accuracy", workload.name, asked, tool.name, reason=NOT_MEASURED)
    judged = []
    details: list[dict[str, Any]] = []
    for outcome in outcomes:
        if outcome.document is None or outcome.reading is None:
            continue
        one = judge(asked, outcome.document, outcome.reading)
        if one is not None:
            judged.append(one)
            details.append(asdict(one))
    failed = [outcome.reason for outcome in outcomes if outcome.reason]
    reason = f"{len(failed)} of {len(outcomes)} runs: {failed[0]}" if failed else ""
    if not judged:
        notes = [one.reading.note for one in outcomes if one.reading is not None and one.reading.note]
        reason = reason or (notes or ["says nothing here"])[0]
    errors = [one.error for one in judged]
    text = ""
    if judged and not UNITS[asked]:
        right = sum(1 for error in errors if error == 0)
        text = (
            "named"
            if right == len(errors)
            else f"named in {right} of {len(errors)}"
            if right
            else "not named"
        )
        wrong = next((one.text for one in judged if one.error), "")
        reason = reason or wrong
    return Cell(
        "accuracy", workload.name, asked, tool.name, UNITS[asked], errors, text, reason, {"runs": details}
    )
