"""The catalogue of experiments: each compares two or more arms and tests the laws about them.

Here are the definition of a scenario, the search for scenarios, common laws, and how to run one; the
experiments themselves are in the folders below. Nothing here prints or draws.
"""

from __future__ import annotations

import dataclasses
import math
import time
from functools import partial
from typing import TYPE_CHECKING

from gilprobe.errors import InvalidValueError, TimeLimitError
from gilprobe.measuring import host
from gilprobe.measuring.measure import Progress, Settings, Trial
from gilprobe.measuring.teams import ArmPlan, check_threads
from gilprobe.results import Arm, Fact, Law, ScenarioResult, TracedArm
from gilprobe.scenarios.laws import untestable, verdict
from gilprobe.scenarios.registry import Catalogue, catalogue, find
from gilprobe.scenarios.scenario import Findings, Request, Scenario, observe, observe_trials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gilprobe.model.environment import Environment

Frame = Settings
"""The public name of :class:`Settings`."""

_DEFAULT_SIZES = 6
_DEFAULT_MOST = 128

__all__ = [
    "Arm",
    "ArmPlan",
    "Catalogue",
    "Fact",
    "Findings",
    "Frame",
    "Law",
    "Request",
    "Scenario",
    "Settings",
    "TracedArm",
    "Trial",
    "catalogue",
    "check_threads",
    "default_threads",
    "find",
    "measured",
    "observe",
    "observe_trials",
    "run",
    "untestable",
    "verdict",
]


def default_threads(cores: int, *, quick: bool = False) -> tuple[int, ...]:
    """Return the sizes of teams for `cores` cores: 1, 2, 4, ... up to twice as many.

    At most six and none above 128: 1, 2 and the largest stay. That keeps the default run below a minute on
    the largest machine. With `quick`: 1, 2 and the number of cores.
    """
    if quick:
        return tuple(sorted({1, 2, min(cores, _DEFAULT_MOST)}))
    most = min(2 * cores, _DEFAULT_MOST)
    sizes = [1 << power for power in range(most.bit_length()) if 1 << power < most] + [most]
    if len(sizes) > _DEFAULT_SIZES:
        sizes = sizes[:2] + sizes[2 - _DEFAULT_SIZES :]
    return tuple(sizes)


def run(
    scenario_id: str,
    *,
    threads: Iterable[int] | None = None,
    repeat: int | None = None,
    quick: bool = False,
    progress: Progress = lambda _label, _share: None,
    frame: Settings | None = None,
) -> ScenarioResult:
    """Run one scenario of the catalogue, or of a file.

    Parameters
    ----------
    scenario_id : str
        For example ``"held-vs-released"``; ``gilprobe list`` shows all. Or the path of a Python file with
        one: ``"./my_scenario.py"``.
    threads : iterable of int, optional
        Numbers of threads; 1 is always added, as the base of speedups. Default: 1, 2, 4, ... up to twice the
        usable cores.
    repeat : int, optional
        Samples of each arm, 2 to 1000. Default: 5, with `quick` 3.
    quick : bool
        Whether to make shorter runs of fewer arms and repeats.
    progress : callable
        Called between the runs with the next step and the scenario's completed share (0 to 1).
    frame : Settings, optional
        How to measure; `repeat` replaces its own.

    Returns
    -------
    ScenarioResult
        Arms, facts, laws, traces and doubts. If this interpreter and machine can't run it, only the reason.

    Raises
    ------
    UnknownScenarioError, ScenarioError
        If there is no such scenario, or the file does not have exactly one.
    InvalidTypeError, InvalidValueError
        If `threads` or `repeat` is invalid.
    TimeLimitError
        If the scenario exceeds its time limit. This is checked between its runs: only ``gilprobe run``, which
        uses another process, can stop a run that hangs.
    UnsupportedError
        If the system can't start so many threads.
    """
    found = find(scenario_id)
    if len(found) != 1:
        ids = ", ".join(scenario.id for scenario in found)
        raise InvalidValueError(f"{scenario_id!a} must have one scenario, got {ids}")
    return measured(found[0], threads=threads, repeat=repeat, quick=quick, progress=progress, frame=frame)


def measured(
    scenario: Scenario,
    *,
    threads: Iterable[int] | None = None,
    repeat: int | None = None,
    quick: bool = False,
    progress: Progress = lambda _label, _share: None,
    frame: Settings | None = None,
) -> ScenarioResult:
    """Run a given scenario; otherwise as :func:`run`."""
    settings = frame or (Settings.quick() if quick else Settings())
    if repeat is not None:
        settings = dataclasses.replace(settings, repeat=repeat)
    if threads is not None:
        sizes = check_threads(threads)
    else:
        sizes = default_threads(host.usable_cores(), quick=quick)
    request = _request(sizes, settings, host.read_environment(), limited(scenario, progress), quick)
    reason = scenario.missing(request.environment)
    if reason:
        found = Findings((), (), (untestable(scenario.title, "", reason),))
    else:
        found = scenario.measure(request)
    progress("done", 1.0)
    return ScenarioResult(
        id=scenario.id,
        title=scenario.title,
        arms=found.arms,
        facts=found.facts,
        laws=found.laws,
        printed=found.printed,
        traces=found.traces,
        environment=request.environment,
        warnings=(*_build_warnings(request.environment), *found.warnings),
    )


def limited(scenario: Scenario, progress: Progress, clock: Callable[[], float] = time.monotonic) -> Progress:
    """Wrap `progress` so that it ends a scenario at its time limit."""
    latest = clock() + scenario.ceiling_s

    def report(label: str, share: float) -> None:
        nonlocal latest
        asked = clock()
        if asked > latest:
            raise TimeLimitError(
                f"{scenario.id} was stopped after its limit of {scenario.ceiling_s:g} s,"
                f" {math.floor(100 * share)}% done"
            )
        progress(label, share)
        latest += clock() - asked  # waiting for its turn does not count

    return report


def _request(
    sizes: tuple[int, ...], settings: Settings, environment: Environment, progress: Progress, quick: bool
) -> Request:
    able = host.capabilities()
    from gilprobe.tracing.tracer import trace

    gil_reason = "" if able.tracer == "exact" else able.tracer_reason
    locks_reason = (gil_reason if able.gil_enabled else "") or able.locks_reason
    return Request(
        sizes,
        settings,
        environment,
        None if gil_reason else trace,
        gil_reason,
        progress,
        quick,
        None if gil_reason else partial(trace, timeline=True),
        None if locks_reason else partial(trace, locks=True),
        locks_reason,
    )


def _build_warnings(environment: Environment) -> tuple[str, ...]:
    if environment.gil_enabled:
        return ()
    return ("no GIL: this interpreter runs without it, so nothing is held, waited for or traced",)
