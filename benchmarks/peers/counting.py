"""Reference counts, leaks and audits: gilprobe and the tools used today."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from .cells import NOT_MEASURED, Cell
from .runs import Work
from .tools.base import Place, Tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .runs import Outcome, Runner

ERROR, ONE_NS, MANY_MS, VERDICT, TOOK = "error", "time a read", "time", "leak or not", "time of the hunt"
RELEASED, AUDITED = "released share", "time of the audit"


class Counter(Tool):
    """A tool of this kind: its name, what it installs, its environment variables."""

    def __init__(self, name: str, key: str, settings: str, environment: str = "", **variables: str) -> None:
        self.name, self.key, self.settings, self.environment = name, key, settings, environment
        self._variables = variables

    def variables(self, place: Place) -> dict[str, str]:
        """Return the environment variables that its documentation asks for."""
        del place
        return self._variables


COUNTERS = (
    Counter("gilprobe", "gilprobe", "refs.watch(obj).count; refs.counts(objects)"),
    Counter("sys.getrefcount", "getrefcount", "sys.getrefcount(obj), in a list comprehension for many"),
)
HUNTERS = (
    Counter("gilprobe", "gilprobe", "refs.find_leaks(function)"),
    Counter(
        "psleak",
        "psleak",
        "MemoryLeakTestCase().execute(function), PYTHONMALLOC=malloc",
        "psleak",
        PYTHONMALLOC="malloc",
    ),
    Counter(
        "objgraph", "objgraph", "growth() behind 100 calls and a collection, before and after", "objgraph"
    ),
)
AUDITORS = (
    Counter("gilprobe", "gilprobe", "gilprobe.audit(function)"),
    Counter("ptime", "ptime", "%ptime -n2 of 20 calls", "ptime"),
)
LEAKS = {
    "nothing": False,
    "a cache with an end": False,
    "objects that are kept": True,
    "references to new objects": True,
    "references to one object": True,
    "memory of C's heap": True,
}
"""Whether there is a leak in the functions of `programs.counts`."""

CALLS = {"hashlib.sha256(1 MiB)": 1.0, "json.dumps": 0.0, "a call that releases half of its time": 0.5}
"""Roughly the share of each call without the GIL."""

DEBUG_BUILD = "pytest-leaks 0.3.1 needs a debug build of CPython (sys.gettotalrefcount)"
BY_TYPE = "counts objects by type, not references"


def measure(
    runner: Runner, only: set[str], *, quick: bool, repeat: int, seed: int, progress: Callable[[str], None]
) -> Iterator[Cell]:
    """Ask every chosen tool every question."""
    pick = random.Random(seed)

    def ask(tool: Counter, program: str, parameters: dict[str, Any]) -> Outcome:
        progress(f"{program}: {tool.name}")
        return runner.run(tool, Work("counts", program, {"tool": tool.key, **parameters}, 10))

    def wanted(tools: tuple[Counter, ...]) -> list[Counter]:
        return [tool for tool in tools if not only or tool.name in only]

    counts = list(_counts(ask, wanted(COUNTERS), pick, quick=quick, repeat=repeat))
    yield from counts
    if counts and (not only or "objgraph" in only):
        yield Cell("counts", counts[0].workload, ERROR, "objgraph", reason=f"{NOT_MEASURED}: {BY_TYPE}")
    yield from _leaks(ask, wanted(HUNTERS), quick=quick)
    if not only or "pytest-leaks" in only:
        yield Cell("leaks", next(iter(LEAKS)), VERDICT, "pytest-leaks", reason=DEBUG_BUILD)
    yield from _audits(ask, wanted(AUDITORS), quick=quick)


def _counts(
    ask: Callable[..., Outcome], tools: list[Counter], pick: random.Random, *, quick: bool, repeat: int
) -> Iterator[Cell]:
    references, objects = pick.randint(2, 50), 10_000 if quick else 1_000_000
    times = 10_000 if quick else 1_000_000
    answers: dict[str, tuple[list[Outcome], list[Outcome]]] = {tool.name: ([], []) for tool in tools}
    for _ in range(repeat):
        for tool in tools:
            answers[tool.name][0].append(ask(tool, "one", {"references": references, "times": times}))
            answers[tool.name][1].append(ask(tool, "many", {"objects": objects}))
    for tool in tools:
        alone, together = answers[tool.name]
        yield _cell(
            "counts", f"an object with {references} references", ERROR, tool, "references", alone, "error"
        )
        yield _cell("counts", f"an object with {references} references", ONE_NS, tool, "ns", alone, "ns")
        yield _cell("counts", f"{objects:,} objects", MANY_MS, tool, "ms", together, "ms")


def _figures(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    return [one.document["figures"] for one in outcomes if one.document is not None]


def _cell(
    table: str, workload: str, measure: str, tool: Tool, unit: str, outcomes: list[Outcome], key: str
) -> Cell:
    samples = [one[key] for one in _figures(outcomes)]
    reason = next((one.reason for one in outcomes if one.reason), "")
    return Cell(table, workload, measure, tool.name, unit, samples, "", reason)


def _leaks(ask: Callable[..., Outcome], tools: list[Counter], *, quick: bool) -> Iterator[Cell]:
    for kind in list(LEAKS)[:3] if quick else LEAKS:
        for tool in tools:
            outcome = ask(tool, "leak", {"kind": kind})
            for figures in _figures([outcome]):
                right = figures["found"] == LEAKS[kind]
                text = f"{'right' if right else 'wrong'}: {'leaks' if figures['found'] else 'no leak'}"
                yield Cell("leaks", kind, VERDICT, tool.name, "", [float(not right)], text, "", figures)
                yield Cell("leaks", kind, TOOK, tool.name, "s", [figures["s"]])
            if outcome.document is None:
                yield Cell("leaks", kind, VERDICT, tool.name, reason=outcome.reason)


def _audits(ask: Callable[..., Outcome], tools: list[Counter], *, quick: bool) -> Iterator[Cell]:
    for call in list(CALLS)[2:] if quick else CALLS:
        for tool in tools:
            outcome = ask(tool, "audit", {"call": call})
            for figures in _figures([outcome]):
                yield _audited(call, tool, figures)
                yield Cell("audit", call, AUDITED, tool.name, "s", [figures["s"]])
            if outcome.document is None:
                yield Cell("audit", call, RELEASED, tool.name, reason=outcome.reason)


def _audited(call: str, tool: Tool, figures: dict[str, Any]) -> Cell:
    """Return the error of the released share; ptime gives only a speedup, which becomes a note."""
    if figures["released"] is None:
        told = f"{NOT_MEASURED}: tells a speedup, {figures['speedup']:.2f}x"
        return Cell("audit", call, RELEASED, tool.name, reason=told, details=figures)
    error = 100 * (figures["released"] - CALLS[call])
    text = f"{100 * figures['released']:.1f} % of {100 * CALLS[call]:.0f} %"
    return Cell("audit", call, RELEASED, tool.name, "points", [abs(error)], text, "", figures)
