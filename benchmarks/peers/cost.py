"""What each tool costs: the same work with and without it, by turns, in fresh processes."""

from __future__ import annotations

import random
import statistics
import time
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from .cells import Cell
from .runs import NONE, Outcome, Work

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

TURNS = "turns"

LEAST = 2
"""Rounds that always run."""


def measure(
    runner: Runner,
    tools: list[Tool],
    workloads: list[Workload],
    *,
    table: str,
    repeat: int,
    until_s: float,
    seed: int,
    progress: Callable[[str], None],
) -> Iterator[Cell]:
    """Run every workload without any tool and with each, in a new order each round.

    There are `repeat` rounds, or, from the second on, as many as begin before `until_s` of the clock.
    """
    able = [tool for tool in tools if not tool.missing() and tool.costs]
    arms = [(tool, tool.interpreter) for tool in able]
    turns = [*((NONE, interpreter) for interpreter in sorted({one for _, one in arms})), *arms]
    order = random.Random(seed)
    taken: dict[tuple[str, str, str], list[Outcome]] = defaultdict(list)
    for number in range(repeat):
        if number >= LEAST and time.monotonic() > until_s:
            break
        for workload in workloads:
            for tool, interpreter in order.sample(turns, len(turns)):
                outcomes = taken[workload.name, tool.name, interpreter]
                if len(outcomes) >= LEAST and not any(one.document for one in outcomes):
                    continue  # it never works here: another try would only take time
                progress(f"{table}: round {number + 1}: {workload.name}: {tool.name or 'without a tool'}")
                asked = (workload.program, workload.parameters, workload.seconds, interpreter)
                outcomes.append(runner.run(tool, Work("costs", *asked)))
    for workload in workloads:
        named = replace(workload, name=_name(workload, taken[workload.name, "", ""]))
        for tool, interpreter in arms:
            off, on = (taken[workload.name, name, interpreter] for name in ("", tool.name))
            yield from _cells(table, named, tool, off, on)


def measure_in_turns(
    runner: Runner, tools: list[Tool], workloads: list[Workload], progress: Callable[[str], None]
) -> Iterator[Cell]:
    """Run every workload once under each tool that can start and stop within one process."""
    for workload in workloads:
        for tool in tools:
            if not tool.restarts or tool.missing():
                continue
            progress(f"turns: {workload.name}: {tool.name}")
            outcome = runner.run(tool, Work("turns", workload.program, workload.parameters, workload.seconds))
            measured = FEWER if workload.program == "echo" else SLOWER
            figures = outcome.document["figures"] if outcome.document else {"off": [], "on": []}
            samples = [
                100 * (1 - off / on) if measured == FEWER else 100 * (on / off - 1)
                for off, on in zip(figures["off"], figures["on"], strict=True)
            ]
            yield Cell(TURNS, workload.name, measured, tool.name, "%", samples, "", outcome.reason, figures)


def _name(workload: Workload, off: list[Outcome]) -> str:
    """Return the workload's name; with its releases a second if these grow."""
    elapsed_s = [one.elapsed_s for one in off if one.document]
    if workload.program != "rate" or not elapsed_s:
        return workload.name
    per_s = workload.parameters["releases"] / statistics.median(elapsed_s)
    return f"{workload.name} ({float(f'{per_s:.1g}'):,.0f} a second)"


def _cells(
    table: str, workload: Workload, tool: Tool, off: list[Outcome], on: list[Outcome]
) -> Iterator[Cell]:
    pairs = [(a, b) for a, b in zip(off, on, strict=False) if a.document and b.document]
    failed = [one.reason for one in on if one.reason]
    reason = f"{len(failed)} of {len(on)} runs: {failed[0]}" if failed else ""
    for measured, unit, of, relative in _columns(table, workload, tool):
        values = [(of(a), of(b)) for a, b in pairs]
        samples = [100 * (b / a - 1) if relative else b - a for a, b in values]
        if measured == FEWER:
            samples = [100 * (1 - a / b) for a, b in values]
        details = {"off": [a for a, _ in values], "on": [b for _, b in values]}
        yield Cell(table, workload.name, measured, tool.name, unit, samples, "", reason, details)


def _columns(
    table: str, workload: Workload, tool: Tool
) -> Iterator[tuple[str, str, Callable[[Outcome], float], bool]]:
    """Yield the questions about a workload: name, unit, the value of a run, and whether it is relative."""
    if workload.program == "echo":
        yield FEWER, "%", lambda one: 1 / _figure(one, "requests_per_s"), True
        yield P99, "%", lambda one: _figure(one, "p99_ms"), True
    elif workload.program == "nothing" and tool.in_process:
        yield STARTED, "ms", lambda one: 1e3 * one.wall_s, False
    elif table == "scale" and workload.program == "reads":
        count = workload.parameters["count"]
        yield ADDED, "ns", lambda one: 1e9 * one.elapsed_s / count, False
    elif workload.program != "nothing":
        yield SLOWER, "%", lambda one: one.elapsed_s, True
    if table == "cost" and workload.program != "nothing":
        yield CPU, "%", lambda one: one.cpu_s, True
    if workload.program in ("nothing", "echo"):
        yield MEMORY, "MiB", lambda one: one.peak_kib / 1024, False


def _figure(outcome: Outcome, name: str) -> float:
    assert outcome.document is not None  # noqa: S101 (only pairs that have one)
    return float(outcome.document["figures"][name])
