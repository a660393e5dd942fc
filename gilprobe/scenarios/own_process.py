"""Run scenarios in other processes: the order to a worker, and its work."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from gilprobe.errors import FormatError, ScenarioError
from gilprobe.measuring import host
from gilprobe.measuring.measure import Settings
from gilprobe.model import codec
from gilprobe.model.environment import Environment
from gilprobe.results import ScenarioResult
from gilprobe.scenarios import measured
from gilprobe.scenarios.registry import find
from gilprobe.scenarios.scenario import Group, Scenario
from gilprobe.workers import protocol
from gilprobe.workers.protocol import Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilprobe.workers.launch import TaskOutcome
    from gilprobe.workers.pythons import Python
    from gilprobe.workers.task_worker import Turns
    from gilprobe.workers.turns import Told


@dataclass(frozen=True, slots=True)
class ScenarioOrder:
    """Which scenario a worker is to run, and how.

    Attributes
    ----------
    name : str
        An identifier, or the path of a file.
    scenario : str
        One of the scenarios of `name`.
    threads, repeat, quick
        As for :func:`gilprobe.run`; None: its default.
    """

    name: str
    scenario: str
    threads: tuple[int, ...] | None = None
    repeat: int | None = None
    quick: bool = False


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A scenario's entry in the catalogue.

    Attributes
    ----------
    id, title, group, headline, ceiling_s
        As in :class:`~gilprobe.scenarios.Scenario`.
    missing : str
        Why this interpreter and machine can't run it; ``""`` if they can.
    """

    id: str
    title: str
    group: Group
    headline: bool
    ceiling_s: float
    missing: str  # why this interpreter and machine can't show it; "" if they can


@dataclass(frozen=True, slots=True)
class Offer:
    """The scenarios found under a name."""

    scenarios: tuple[CatalogueEntry, ...]


def listed(scenario: Scenario, environment: Environment) -> CatalogueEntry:
    """Return a scenario's entry in the catalogue, for an interpreter and machine."""
    try:
        missing = scenario.missing(environment)
    except Exception as error:  # foreign scenarios are listed too
        missing = f"it fails: {type(error).__name__}: {error}"[: protocol.LONGEST_TEXT]
    return CatalogueEntry(
        id=scenario.id,
        title=scenario.title,
        group=scenario.group,
        headline=scenario.headline,
        ceiling_s=float(scenario.ceiling_s),
        missing=missing,
    )


def look_into(path: str, python: Python) -> tuple[CatalogueEntry, ...]:
    """Return the scenarios in a file; a worker imports it, never this process.

    Raises
    ------
    ScenarioError
        If it has none, fails, or does not end.
    """
    from gilprobe.workers import turns

    read = partial(codec.decode, Offer, where="offer")
    task = Task(f"{__name__}:offer", path, read, path, "list its scenarios", True)
    (outcome,) = turns.run_side_by_side(task, [python])
    if outcome.answer is None:
        raise ScenarioError(outcome.complaint)
    return outcome.answer.scenarios


def run_side_by_side(
    order: ScenarioOrder, pythons: Sequence[Python], ceiling_s: float, told: Told
) -> tuple[TaskOutcome[ScenarioResult], ...]:
    """Run one scenario on several interpreters; see :func:`gilprobe.workers.turns.run_side_by_side`."""
    from gilprobe.workers import turns

    def read(document: object) -> ScenarioResult:
        found = codec.decode(ScenarioResult, document, "result")
        if found.id != order.scenario:
            raise FormatError(f"a worker sent an unexpected result of {found.id[:60]!a}")
        return found

    task = Task(f"{__name__}:result", order, read, order.scenario, "list its scenarios")
    return turns.run_side_by_side(task, pythons, ceiling_s, told)


def offer(name: object, _turns: Turns) -> Offer:
    """Return the available scenarios; the work of :func:`look_into`."""
    environment = host.read_environment()
    return Offer(tuple(listed(scenario, environment) for scenario in find(str(name))))


def result(order: object, turns: Turns) -> ScenarioResult:
    """Run a scenario; the work of :func:`run_side_by_side`."""
    wanted = codec.decode(ScenarioOrder, order, "order")
    scenario = next((one for one in find(wanted.name) if one.id == wanted.scenario), None)
    if scenario is None:
        raise ScenarioError(f"{wanted.name!a} must still have the scenario {wanted.scenario!a}")
    settings = Settings.quick() if wanted.quick else Settings()
    turns.wait("starts", 0.0)
    return measured(
        scenario,
        threads=wanted.threads,
        repeat=wanted.repeat,
        quick=wanted.quick,
        progress=turns.wait,
        frame=dataclasses.replace(settings, cpu_times=turns.cpu_times),
    )
