"""The catalogue of experiments: each sets two or more arms side by side and says which law they obey.

Here is what a scenario is, where scenarios are found, the laws that they share, and how one is run; the
experiments themselves are in the rooms below. Nothing here prints or draws.
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
"""The name by which scripts know :class:`Settings`."""

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
    """Return the sizes of team to try on `cores` cores: 1, 2, 4, ... up to twice as many.

    At most six and none above 128: 1 and 2 always stay, and so do the largest. That keeps the default run
    below a minute on the largest machine. For a quick look: 1, 2 and as many as there are cores.
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
        For example ``"held-vs-released"``; ``gilprobe list`` shows them all. Or the path of a Python file
        that has one: ``"./my_scenario.py"``.
    threads : iterable of int, optional
        Sizes of team; 1 is always added, since speedup is measured against it. Without: 1, 2, 4, ... up to
        twice the usable cores.
    repeat : int, optional
        Samples of each arm, 2 to 1000. Without: 5, and 3 for a quick look.
    quick : bool
        Whether a first look is enough: shorter runs, fewer arms and repeats.
    progress : callable
        Called between the runs with what runs next and the share (0 to 1) of the scenario that is done.
    frame : Settings, optional
        Replaces how it is measured; `repeat` is then put into it.

    Returns
    -------
    ScenarioResult
        Arms, facts, laws, traces and doubts. Of a scenario that can't be shown by this interpreter and
        machine, only the reason.

    Raises
    ------
    UnknownScenarioError, ScenarioError
        If there is no such scenario, or the file has not exactly one.
    InvalidTypeError, InvalidValueError
        If `threads` or `repeat` is unusable.
    TimeLimitError
        If the scenario is not done at its ceiling. This is looked at between its runs: what hangs inside of
        one is cut by ``gilprobe run`` only, which measures in a process of its own.
    UnsupportedError
        If the system does not give that many threads.
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
    """Run a scenario that is at hand; otherwise as :func:`run`."""
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
    """Return `progress`, which now ends a scenario that has reached its ceiling."""
    latest = clock() + scenario.ceiling_s

    def report(label: str, share: float) -> None:
        nonlocal latest
        asked = clock()
        if asked > latest:
            raise TimeLimitError(
                f"{scenario.id} was cut: it may take {scenario.ceiling_s:g} s,"
                f" and {math.floor(100 * share)}% of it was done"
            )
        progress(label, share)
        latest += clock() - asked  # it may have waited for its turn, which is not the scenario's time

    return report


def _request(
    sizes: tuple[int, ...], settings: Settings, environment: Environment, progress: Progress, quick: bool
) -> Request:
    able = host.capabilities()
    if able.tracer == "none":
        return Request(sizes, settings, environment, None, able.tracer_reason, progress, quick)
    from gilprobe.tracing.tracer import trace

    return Request(sizes, settings, environment, trace, "", progress, quick, partial(trace, timeline=True))


def _build_warnings(environment: Environment) -> tuple[str, ...]:
    if environment.gil_enabled:
        return ()
    return ("no GIL: this interpreter runs without it, so that nothing is held, waited for or traced",)
