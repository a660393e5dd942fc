"""Find scenarios: in this package, in installed ones, and in files."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from gilprobe.errors import ScenarioError, UnknownScenarioError
from gilprobe.scenarios.scenario import Group, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import EntryPoint
    from types import ModuleType

ENTRY_POINTS = "gilprobe.scenarios"
"""The group of entry points by which packages register scenarios, or modules with scenarios."""

_MODULES = (
    "lessons.thread_start",
    "lessons.thread_daemon",
    "lessons.thread_join",
    "lessons.thread_pool",
    "contention.gil_mutex",
    "reference_counts.refcount_lifecycle",
    "reference_counts.refcount_race",
    "contention.race_python",
    "lessons.lock_deadlock",
    "lessons.producer_consumer",
    "lessons.semaphore",
    "lessons.timer",
    "lessons.barrier",
    "contention.held_vs_released",
    "contention.python_loop",
    "contention.amdahl",
    "contention.grain",
    "contention.switch_interval",
    "contention.convoy",
    "contention.stall",
    "contention.fairness",
    "contention.io_overlap",
    "contention.memory",
    "reference_counts.refcount_scaling",
    "reference_counts.shared_objects",
    "contention.locks",
    "contention.stop_the_world",
    "contention.false_sharing",
    "contention.stdlib_audit",
    "contention.engines",
)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All registered scenarios.

    Attributes
    ----------
    scenarios : tuple of Scenario
        By group; within a group in order, other packages' last.
    problems : tuple of str
        Why scenarios of installed packages are missing.
    """

    scenarios: tuple[Scenario, ...]
    problems: tuple[str, ...]


@cache
def catalogue() -> Catalogue:
    """Return the scenarios of this package and of installed ones."""
    own = [scenario for name in _MODULES for scenario in _own(name)]
    found, problems = list(own), []
    for entry in _entry_points():
        try:
            added = scenarios_of(entry.load(), f"entry point {entry.name!r}")
        except Exception as error:  # foreign code: its errors must not hide our scenarios
            problems.append(f"{entry.value}: {_one_line(error)}")
            continue
        for scenario in added:
            if scenario.id in {known.id for known in found}:
                problems.append(f"{entry.value}: there is another scenario {scenario.id!r}")
            else:
                found.append(scenario)
    groups = get_args(Group)
    found.sort(key=lambda scenario: groups.index(scenario.group))
    return Catalogue(tuple(found), tuple(problems))


def _own(name: str) -> tuple[Scenario, ...]:
    return scenarios_of(importlib.import_module(f"gilprobe.scenarios.{name}"), name)


def _entry_points() -> Iterator[EntryPoint]:
    from importlib.metadata import entry_points

    yield from sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.value)


def scenarios_of(found: object, where: str) -> tuple[Scenario, ...]:
    """Return the scenarios of an object.

    Parameters
    ----------
    found : Scenario or module
        A module has ``SCENARIO`` or, for several, ``SCENARIOS``.
    where : str
        Its name for the message.

    Raises
    ------
    ScenarioError
        If there are none.
    """
    if isinstance(found, Scenario):
        return (found,)
    scenarios = getattr(found, "SCENARIOS", None)
    if scenarios is None and hasattr(found, "SCENARIO"):
        scenarios = (found.SCENARIO,)
    if not (isinstance(scenarios, tuple | list) and scenarios):
        raise ScenarioError(f"{where} must have SCENARIO or a tuple SCENARIOS, got {ascii(scenarios)[:60]}")
    for scenario in scenarios:
        if not isinstance(scenario, Scenario):
            raise ScenarioError(
                f"{where} must have SCENARIO = gilprobe.scenarios.Scenario(...), got {ascii(scenario)[:60]}"
            )
    return tuple(scenarios)


def is_file(name: str) -> bool:
    """Return whether `name` is a path and not an identifier."""
    return name.endswith(".py") or os.sep in name


@cache
def load_file(path: str) -> tuple[Scenario, ...]:
    """Run a file and return its scenarios.

    Its folder is not put on ``sys.path``: it can import only what any program can.

    Raises
    ------
    ScenarioError
        If it can't be read or run, or has no scenario.
    """
    whole = Path(path)
    if not whole.is_file():
        raise ScenarioError(f"a scenario's file must exist, got {path!a}")
    name = f"gilprobe_scenario_{abs(hash(str(whole.resolve()))):x}"
    spec = importlib.util.spec_from_file_location(name, whole)
    if spec is None or spec.loader is None:
        raise ScenarioError(f"a scenario's file must be Python, got {path!a}")
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look up a class's module there
    try:
        spec.loader.exec_module(module)
        return scenarios_of(module, ascii(path))
    except ScenarioError:
        raise
    except Exception as error:
        raise ScenarioError(f"{path!a} fails: {_one_line(error)}") from error


def find(name: str) -> tuple[Scenario, ...]:
    """Return the scenario with that identifier, or the scenarios of that file.

    Raises
    ------
    UnknownScenarioError
        If there is none; the message names similar ones.
    ScenarioError
        If a file has no scenario that can run.
    """
    if isinstance(name, str) and is_file(name):
        return load_file(name)
    end = "." + str(name).replace("-", "_")
    for module in [module for module in _MODULES if module.endswith(end)]:
        # so that a measuring process loads no other code
        named = tuple(scenario for scenario in _own(module) if scenario.id == name)
        if named:
            return named
    known = {scenario.id: scenario for scenario in catalogue().scenarios}
    if name in known:
        return (known[name],)
    import difflib

    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else "see gilprobe list"
    raise UnknownScenarioError(f"unknown scenario {ascii(name)[:60]}; {hint}")


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {ascii(str(error))[1:-1][:200]}"
