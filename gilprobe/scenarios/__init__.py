"""The catalogue of experiments: each sets two or more arms side by side and says which law they obey."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from gilprobe import machine
from gilprobe.errors import InvalidTypeError, InvalidValueError, UnknownScenarioError
from gilprobe.measure import Frame, Progress
from gilprobe.results import ScenarioResult
from gilprobe.scenarios.scenario import Request, Scenario

if TYPE_CHECKING:
    from gilprobe.environment import Environment

_MODULES = ("held_vs_released", "python_loop", "gil_mutex")

THREADS = range(1, 1025)
"""Sizes of team that a scenario can be asked for."""

_DEFAULT_SIZES = 6
_DEFAULT_MOST = 128

__all__ = ["Scenario", "catalogue", "check_threads", "default_threads", "find", "run"]


@cache
def catalogue() -> tuple[Scenario, ...]:
    """Return all scenarios, in the order in which ``gilprobe run`` runs them."""
    modules = (importlib.import_module(f"gilprobe.scenarios.{name}") for name in _MODULES)
    return tuple(module.SCENARIO for module in modules)


def find(scenario_id: str) -> Scenario:
    """Return the scenario of that identifier.

    Raises
    ------
    UnknownScenarioError
        If there is none; the message names those that look like it.
    """
    known = {scenario.id: scenario for scenario in catalogue()}
    if scenario_id in known:
        return known[scenario_id]
    import difflib

    near = difflib.get_close_matches(str(scenario_id), known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
    raise UnknownScenarioError(f"unknown scenario {ascii(scenario_id)[:60]}; {hint}")


def default_threads(cores: int) -> tuple[int, ...]:
    """Return the sizes of team to try on `cores` cores: 1, 2, 4, ... up to twice as many.

    At most six and none above 128: 1 and 2 always stay, and so do the largest. That keeps the default run
    below a minute on the largest machine.
    """
    most = min(2 * cores, _DEFAULT_MOST)
    sizes = [1 << power for power in range(most.bit_length()) if 1 << power < most] + [most]
    if len(sizes) > _DEFAULT_SIZES:
        sizes = sizes[:2] + sizes[2 - _DEFAULT_SIZES :]
    return tuple(sizes)


def check_threads(threads: Iterable[int]) -> tuple[int, ...]:
    """Return the sizes of team in rising order, each once, with 1 among them: speedup needs it.

    Raises
    ------
    InvalidTypeError
        If `threads` is not a sequence of integers.
    InvalidValueError
        If it is empty, or a size is out of range.
    """
    if isinstance(threads, str | bytes) or not isinstance(threads, Iterable):
        raise InvalidTypeError(f"threads must be a sequence of integers, got {ascii(threads)[:60]}")
    sizes = tuple(threads)
    if not sizes:
        raise InvalidValueError("threads must hold at least one number, got none")
    for size in sizes:
        if type(size) is not int:
            raise InvalidTypeError(f"threads must be integers, got {ascii(size)[:60]}")
        if size not in THREADS:
            raise InvalidValueError(f"threads must be between {THREADS[0]} and {THREADS[-1]}, got {size}")
    return tuple(sorted({1, *sizes}))


def run(
    scenario_id: str,
    *,
    threads: Iterable[int] | None = None,
    repeat: int = 5,
    progress: Progress = lambda _label, _share: None,
    frame: Frame | None = None,
) -> ScenarioResult:
    """Run one scenario of the catalogue.

    Parameters
    ----------
    scenario_id : str
        For example ``"held-vs-released"``; ``gilprobe list`` shows them all.
    threads : iterable of int, optional
        Sizes of team; 1 is always added, since speedup is measured against it. Without: 1, 2, 4, ... up to
        twice the usable cores.
    repeat : int
        Samples of each arm, 2 to 1000.
    progress : callable
        Called between the runs with what runs next and the share (0 to 1) of the scenario that is done.
    frame : Frame, optional
        Replaces how it is measured; `repeat` is then put into it.

    Returns
    -------
    ScenarioResult
        Arms, facts, laws, traces and doubts.

    Raises
    ------
    UnknownScenarioError
        If there is no such scenario.
    InvalidTypeError, InvalidValueError
        If `threads` or `repeat` is unusable.
    UnsupportedError
        If the system does not give that many threads.
    """
    scenario = find(scenario_id)
    frame = dataclasses.replace(frame or Frame(), repeat=repeat)
    sizes = check_threads(threads) if threads is not None else default_threads(machine.usable_cores())
    request = _request(sizes, frame, machine.read_environment(), progress)
    found = scenario.measure(request)
    progress("done", 1.0)
    return ScenarioResult(
        id=scenario.id,
        title=scenario.title,
        arms=found.arms,
        facts=found.facts,
        laws=found.laws,
        traces=found.traces,
        environment=request.environment,
        warnings=(*_build_warnings(request.environment), *found.warnings),
    )


def _request(sizes: tuple[int, ...], frame: Frame, environment: Environment, progress: Progress) -> Request:
    able = machine.capabilities()
    if able.tracer == "none":
        return Request(sizes, frame, environment, None, able.tracer_reason, progress)
    from gilprobe.tracer import trace

    return Request(sizes, frame, environment, trace, "", progress)


def _build_warnings(environment: Environment) -> tuple[str, ...]:
    if environment.gil_enabled:
        return ()
    return ("no GIL: this interpreter runs without it, so that nothing is held, waited for or traced",)
