"""What each tool costs: the same work without and with it, in turns, in fresh processes."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from .cells import Cell
from .runs import NONE, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .runs import Runner
    from .tools.base import Tool
    from .workloads import Workload

SLOWER = "slowdown"
CPU = "CPU of all processes"
MEMORY = "peak memory"
FEWER = "fewer requests"
P99 = "99th percentile"
STARTED = "start-up"
ADDED = "added to each release"


def measure(
    runner: Runner,
    tools: list[Tool],
    workloads: list[Workload],
    *,
    table: str,
    repeat: int,
    seed: int,
    progress: Callable[[str], None],
) -> Iterator[Cell]:
    """Run every workload without any tool and with each, in a new order each round."""
    able = [tool for tool in tools if not tool.missing() and tool.costs]
    order = random.Random(seed)
    for workload in workloads:
        arms: list[tuple[Tool, str]] = [(tool, tool.interpreter) for tool in able]
        bases = sorted({interpreter for _, interpreter in arms})
        rounds: dict[tuple[str, str], list[Outcome]] = {}
        for _ in range(repeat):
            turns = [*((NONE, interpreter) for interpreter in bases), *arms]
            for tool, interpreter in order.sample(turns, len(turns)):
                taken = rounds.setdefault((tool.name, interpreter), [])
                if len(taken) >= 2 and not any(one.document for one in taken):
                    continue  # it never works here: once more would only take time
                progress(f"{table}: {workload.name}: {tool.name or 'without a tool'}")
                taken.append(
                    runner.run(
                        tool, "costs", workload.program, workload.parameters, workload.seconds, interpreter
                    )
                )
        for tool, interpreter in arms:
            yield from _cells(table, workload, tool, rounds["", interpreter], rounds[tool.name, interpreter])


def _cells(
    table: str, workload: Workload, tool: Tool, off: list[Outcome], on: list[Outcome]
) -> Iterator[Cell]:
    pairs = [(a, b) for a, b in zip(off, on, strict=False) if a.document and b.document]
    failed = [one.reason for one in on if one.reason]
    reason = f"{len(failed)} of {len(on)} runs: {failed[0]}" if failed else ""
    columns: list[tuple[str, str, Callable[[Outcome], float], bool]] = []
    if workload.program == "echo":
        columns = [
            (FEWER, "%", lambda one: 1 / _figure(one, "requests_per_s"), True),
            (P99, "%", lambda one: _figure(one, "p99_ms"), True),
        ]
    elif workload.program == "nothing":
        if tool.in_process:
            columns = [(STARTED, "ms", lambda one: 1e3 * one.wall_s, False)]
        columns.append((MEMORY, "MiB", lambda one: one.peak_kib / 1024, False))
    elif table == "scale" and workload.program == "reads":
        count = workload.parameters["count"]
        columns = [(ADDED, "ns", lambda one: 1e9 * one.elapsed_s / count, False)]
    else:
        columns = [(SLOWER, "%", lambda one: one.elapsed_s, True)]
    if table == "cost" and workload.program != "nothing":
        columns.append((CPU, "%", lambda one: one.cpu_s, True))
    for measured, unit, of, relative in columns:
        values = [(of(a), of(b)) for a, b in pairs]
        samples = [100 * (b / a - 1) if relative else b - a for a, b in values]
        if measured == FEWER:
            samples = [100 * (1 - a / b) for a, b in values]
        details = {"off": [a for a, _ in values], "on": [b for _, b in values]}
        yield Cell(table, workload.name, measured, tool.name, unit, samples, "", reason, details)


def _figure(outcome: Outcome, name: str) -> float:
    assert outcome.document is not None  # noqa: S101 (only pairs that have one)
    return float(outcome.document["figures"][name])
