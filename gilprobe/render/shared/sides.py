"""Group saved results by interpreter."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gilprobe.model.environment import Environment
    from gilprobe.results import ScenarioResult

Side = tuple[str, "ScenarioResult"]
"""The name of a Python and what was measured on it."""


def sides_of(results: Iterable[ScenarioResult]) -> list[tuple[str, list[ScenarioResult]]]:
    """Return results grouped by interpreter, under its name, in saved order.

    Two equal interpreters, which ``--python`` allows, are distinguished by their order in each scenario.
    """
    found: dict[tuple[str, int], list[ScenarioResult]] = {}
    met: Counter[tuple[str, str]] = Counter()
    for result in results:
        name = _python_name(result.environment)
        met[name, result.id] += 1
        found.setdefault((name, met[name, result.id]), []).append(result)
    often = Counter(name for name, _ in found)
    return [(f"{name} ({number})" if often[name] > 1 else name, one) for (name, number), one in found.items()]


def _python_name(environment: Environment) -> str:
    name = environment.python
    if environment.build == "free-threaded":
        name += "t, GIL on" if environment.gil_enabled else "t"
    return name
