"""Engines side by side: the same work by threads, interpreters and processes, and what each costs to start.

Threads that hold the GIL take turns: T of them do as much as one. There are three ways out. A compiled loop
can release the GIL; another interpreter (PEP 684, from CPython 3.12 on) has its own GIL; a process shares
nothing. All of them reach min(T, N) on N cores, and so do plain threads without a GIL. The price differs: a
thread starts at once and takes a few pages of memory, an interpreter imports its modules anew, a spawned
process starts a whole Python.

So the question is how long a task must be for an engine to pay off. Doing it in one thread takes t seconds;
with T workers that are S times as fast it takes startup + t / S. The engine is faster from ::

    t = startup / (1 - 1 / S)

seconds on. The start-up is that of the whole team, including one-time costs (the fork server,
multiprocessing's resource tracker). An engine with a speedup of 1 never pays off.

Speed is measured with teams that stay alive, start-up and memory with a new team each time. Memory is the
proportional set size (PSS), which divides shared pages. The trace adds who held the GIL; interpreters hold
their own GILs, so several hold at once.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilprobe import engines
from gilprobe.durations import duration
from gilprobe.engines.memory_use import proportional_bytes
from gilprobe.engines.team import Work
from gilprobe.measuring.measure import Trial, measure_trials
from gilprobe.model.confidence import ratio_interval
from gilprobe.results import Fact, Law
from gilprobe.scenarios.laws import (
    SECONDS,
    TIMES,
    by_name,
    claim,
    parallel_law,
    scaling_facts,
    speedup_law,
    times,
    untestable,
    value_law,
    verdict,
    within_law,
)
from gilprobe.scenarios.scenario import Findings, Request, Scenario, trace_trials
from gilprobe.scenarios.support.budget import shortened
from gilprobe.scenarios.support.costs import iteration_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from gilprobe.engines.team import Team
    from gilprobe.results import Arm, TracedArm

CEILING_S = 180.0
_LIMIT_S = CEILING_S / 4  # for a team's start, and for its run: shorter than the scenario's time limit

CHUNK = 1_000_000
"""Iterations in one call: 2 ms, so that threads can take turns, and teams be cancelled, between calls."""

HELD_RANGE = (0.90, 1.05)
"""Speedup that counts as none, as in held-vs-released."""

OTHERS = tuple(name for name in engines.NAMES if name != "threads")
"""The engines except threads, which come in two ways."""

QUICK = ("held", "interpreters", "spawn")
"""Engines of a quick run: each once, processes by the portable method.

Its time goes into starts; held-vs-released covers threads that release the GIL."""

STARTUP, MEMORY, ONCE = "start-up per worker", "memory per worker", "paid once"
"""Names of the metrics of a start."""

ORDER = ("threads", "interpreters", "spawn")
"""Expected order of start-up costs, cheapest first."""

PEP_703_S = {"threads": 100e-6, "spawn": 50e-3}
"""PEP 703's start-up of a thread and of a process, one digit each, on some machine."""

ORDER_OF_MAGNITUDE = 10.0

_STARTS_SHARE = 4  # cheap starts are repeated within a run, for this share of an arm's time
_SPEED_SHARE = 0.6  # share of the scenario's time


@dataclass(frozen=True, slots=True)
class EngineWay:
    """One way to do the work.

    Attributes
    ----------
    name : str
        The arm's name.
    engine : str
        One of :data:`gilprobe.engines.NAMES`.
    release_gil : bool
        Whether the loop runs without the GIL.
    """

    name: str
    engine: str
    release_gil: bool = False

    @property
    def work(self) -> Work:
        """The work of each worker."""
        return Work("gilprobe.kernels", "spin", {"release_gil": self.release_gil}, chunk=CHUNK)

    def start(self, workers: int) -> AbstractContextManager[Team]:
        """Start a team for it."""
        return engines.named(self.engine).start(workers, self.work, limit_s=_LIMIT_S)


def ways(request: Request) -> tuple[EngineWay, ...]:
    """Return the ways to compare, including unavailable ones."""
    held = EngineWay("held", "threads")
    all_ways = (held, EngineWay("released", "threads", release_gil=True), *map(EngineWay, OTHERS, OTHERS))
    chosen = [way for way in all_ways if way.name in QUICK or not request.quick]
    if not request.gil_enabled:  # there is nothing to hold
        chosen[0] = dataclasses.replace(held, name="free-threaded")
    return tuple(chosen)


def team_sizes(request: Request) -> tuple[int, ...]:
    """Return 1 and the largest requested size with a core per worker, at least 2."""
    most = max(2, request.environment.cores)
    return tuple(sorted({1, max(size for size in request.threads if size <= most)}))


def crossover_s(startup_s: float, speedup: float) -> float | None:
    """Return how long a task must take in one thread for a team to pay off; None if it never does.

    Parameters
    ----------
    startup_s : float
        Start-up of the team, seconds.
    speedup : float
        Its speedup over one thread.
    """
    return startup_s / (1 - 1 / speedup) if speedup > 1 else None


def measure(request: Request) -> Findings:
    """Measure speed, start-up and memory of each available engine; derive what pays off, and laws."""
    sizes = team_sizes(request)
    here = tuple(way for way in ways(request) if not engines.named(way.engine).unavailable())
    request = shortened(request, len(here) * len(sizes))
    operations = max(1, round(request.frame.arm_ns / iteration_ns(request.frame.clock)))
    rates, once, doubts = _speeds(request, here, sizes, operations)
    starts, more_doubts = _starts(request, here, sizes[-1:] if request.quick else sizes, once)
    traces, trace_doubts = _traces(request, here, sizes[-1], operations)
    crossovers = {way.name: _crossover(way, rates, starts, here[0].name) for way in here}
    facts = (*scaling_facts(rates), *_start_facts(starts), *_crossover_facts(crossovers))
    return Findings(
        arms=(*rates, *starts),
        facts=facts,
        laws=(
            *_speedup_laws(request, rates),
            _own_gil_law(traces, sizes[-1], request.trace_reason),
            *_start_laws(starts),
            *_pep_laws(starts),
        ),
        traces=traces,
        warnings=tuple(dict.fromkeys((*doubts, *more_doubts, *trace_doubts))),
        printed=_printed(here, crossovers, sizes[-1]),
    )


def _speeds(
    request: Request, here: Sequence[EngineWay], sizes: Sequence[int], operations: int
) -> tuple[tuple[Arm, ...], frozenset[str], tuple[str, ...]]:
    """Measure throughput; also return the engines with one-time costs, and the doubts."""
    trials: list[Trial] = []
    once = set()
    with ExitStack() as teams:
        for size in sizes:
            for way in here:
                request.progress(f"starting {way.name}", 0.0)
                team = teams.enter_context(way.start(size))
                trials.append(Trial(way.name, size, {"": "operations/s"}, _runner(team, operations)))
                if team.once_ns:
                    once.add(way.engine)
        progress = _part(request, 0.0, _SPEED_SHARE)
        measured = measure_trials(trials, request.frame, progress, warm_up=not request.quick)
    return measured.arms, frozenset(once), measured.warnings


def _runner(team: Team, operations: int) -> Callable[[], Mapping[str, float]]:
    def run() -> Mapping[str, float]:
        ran = team.run(operations, limit_s=_LIMIT_S)
        return {"": ran.operations / (ran.elapsed_ns / 1e9)}

    return run


def _starts(
    request: Request, here: Sequence[EngineWay], sizes: Sequence[int], once: frozenset[str]
) -> tuple[tuple[Arm, ...], tuple[str, ...]]:
    """Measure the start of a new team, for each engine."""
    by_engine = {way.engine: way for way in here}
    trials = []
    for size in sizes:
        for name, way in by_engine.items():
            units = {STARTUP: "s", ONCE: "s"} if name in once else {STARTUP: "s"}
            if proportional_bytes() is not None:
                units[MEMORY] = "bytes"
            trials.append(Trial(name, size, units, _starter(request, way, size, tuple(units))))
    measured = measure_trials(trials, request.frame, _part(request, _SPEED_SHARE, 0.95), warm_up=False)
    return measured.arms, measured.warnings


def _starter(
    request: Request, way: EngineWay, workers: int, metrics: tuple[str, ...]
) -> Callable[[], Mapping[str, float]]:
    clock = request.frame.clock

    def run() -> Mapping[str, float]:
        seen: dict[str, list[float]] = {metric: [] for metric in metrics}
        end_ns = clock() + request.frame.arm_ns // _STARTS_SHARE
        while not seen[STARTUP] or clock() < end_ns:
            with way.start(workers) as team:
                memory = team.memory_per_worker() if MEMORY in metrics else None
            taken = {STARTUP: team.startup_ns / 1e9 / workers, ONCE: team.once_ns / 1e9}
            taken[MEMORY] = 0.0 if memory is None else memory
            for metric in metrics:
                seen[metric].append(taken[metric])
        return {metric: statistics.median(values) for metric, values in seen.items()}

    return run


def _traces(
    request: Request, here: Sequence[EngineWay], workers: int, operations: int
) -> tuple[tuple[TracedArm, ...], tuple[str, ...]]:
    """Trace the engines within this process, each with a team that starts and runs once."""

    def runner(way: EngineWay) -> Callable[[], Mapping[str, float]]:
        def run() -> Mapping[str, float]:
            with way.start(workers) as team:
                return _runner(team, operations)()

        return run

    trials = [
        Trial(way.name, workers, {"": "operations/s"}, runner(way))
        for way in here
        if way.engine in ("threads", "interpreters")
    ]
    return trace_trials(request, trials, _part(request, 0.95, 1.0))


def _part(request: Request, begin: float, end: float) -> Callable[[str, float], None]:
    """Return a progress function for a part of the scenario's range."""
    return lambda label, share: request.progress(label, begin + (end - begin) * share)


def _crossover(way: EngineWay, rates: Sequence[Arm], starts: Sequence[Arm], one: str) -> float | None:
    """Return the seconds of work from which the largest team pays off; None if not faster than a thread.

    The whole interval must be faster, or a speedup of 1.003 would pay off after a minute.
    """
    single, _ = by_name(rates, one)
    _, teams = by_name(rates, way.name)
    if not teams:
        return None
    speedup, least, _ = ratio_interval(teams[-1], single)
    if least <= HELD_RANGE[1]:
        return None
    workers = teams[-1].threads
    found = {arm.name: arm.median for arm in starts if arm.threads == workers}
    startup_s = found[f"{way.engine}, {STARTUP}"] * workers + found.get(f"{way.engine}, {ONCE}", 0.0)
    return crossover_s(startup_s, speedup)


def _crossover_facts(crossovers: Mapping[str, float | None]) -> Iterator[Fact]:
    for name, value in crossovers.items():
        if value is not None:
            yield Fact(f"crossover_{name}", value, "s")


def _start_facts(starts: Sequence[Arm]) -> Iterator[Fact]:
    """Yield the costs of each engine's smallest team, per worker."""
    called = {STARTUP: "startup", MEMORY: "memory", ONCE: "once"}
    for arm in starts:
        engine, _, metric = arm.name.partition(", ")
        if arm.threads == starts[0].threads:
            yield Fact(f"{called[metric]}_{engine}", arm.median, arm.unit)


def _speedup_laws(request: Request, rates: Sequence[Arm]) -> Iterator[Law]:
    for way in ways(request):
        text = f"{way.name}: min(T, N)"
        if reason := engines.named(way.engine).unavailable():
            yield untestable(text, "min(T, N)", reason)
            continue
        single, teams = by_name(rates, way.name)
        for arm in teams:
            if way.name == "held":
                yield speedup_law("held: as fast as one", arm, single, *HELD_RANGE)
            else:
                yield parallel_law(text, arm, single, request.environment.cores)


def _own_gil_law(traces: Sequence[TracedArm], workers: int, trace_reason: str) -> Law:
    """Return the law that interpreters hold at the same time, which is impossible with a shared GIL."""
    text = f"interpreters: all holds together last longer than the workers live, {workers} workers"
    expected = "> 1.00x"
    reason = engines.named("interpreters").unavailable() or trace_reason
    if not reason and workers == 1:
        reason = "one worker has nobody to share with"
    accounts = [
        account
        for traced in traces
        if traced.name == "interpreters"
        for account in traced.report.threads
        if account.interpreter
    ]
    if reason or not accounts:
        return untestable(text, expected, reason or "the trace shows no interpreter with a GIL of its own")
    ratio = sum(account.hold_ns for account in accounts) / max(account.lifetime_ns for account in accounts)
    return Law(text, expected, times(ratio), verdict(ratio > 1), claim(ratio, 1.0, math.inf, "x"))


def _start_laws(starts: Sequence[Arm]) -> Iterator[Law]:
    """Yield the laws that each engine takes longer to start than the previous available one."""
    found = {name: arm for name in ORDER if (arm := _startup(starts, name)) is not None}
    for cheap, dear in zip(found, [*found][1:], strict=False):
        measured = ratio_interval(found[dear], found[cheap])
        yield within_law(f"start-up: {dear} against {cheap}", measured, 1.0, math.inf, TIMES)
    for name in ORDER:
        if name not in found:
            text = f"start-up: {name} between {ORDER[0]} and {ORDER[-1]}"
            yield untestable(text, "", engines.named(name).unavailable())


def _pep_laws(starts: Sequence[Arm]) -> Iterator[Law]:
    for name, figure_s in PEP_703_S.items():
        text = f"start-up: {name} about PEP 703's {duration(figure_s)}, by order of magnitude"
        arm = _startup(starts, name)
        low, high = figure_s / ORDER_OF_MAGNITUDE, figure_s * ORDER_OF_MAGNITUDE
        if arm is None:
            yield untestable(text, f"{duration(low)} to {duration(high)}", engines.named(name).unavailable())
        else:
            yield value_law(text, arm, low, high, SECONDS)


def _startup(starts: Sequence[Arm], engine: str) -> Arm | None:
    return next((arm for arm in starts if arm.name == f"{engine}, {STARTUP}"), None)


def _printed(here: Sequence[EngineWay], crossovers: Mapping[str, float | None], workers: int) -> str:
    """Return a line per side: the module that provides it, and when it pays off."""
    lines = []
    for way in here:
        line = f"{way.name} ({engines.named(way.engine).module})"
        value = crossovers[way.name]
        if value is not None:
            line += f": {workers} workers pay off for tasks of {duration(value)} or more in one thread"
        elif workers > 1:
            line += f": {workers} workers never pay off here, they are not reliably faster than one thread"
        lines.append(line)
    return "\n".join(lines) + "\n"


SCENARIO = Scenario(
    id="engines",
    title="The same work by threads, interpreters and processes: speed, start-up, memory, and what pays off",
    group="engines",
    measure=measure,
    ceiling_s=CEILING_S,
)
