"""Results of scenarios as words, numbers and pictures for the page's scripts."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING, Any

from gilprobe.render.html.results.bullets import bullet
from gilprobe.render.html.results.number_text import kind_of, number_text, unit_beside
from gilprobe.render.html.results.pictures import pictures
from gilprobe.render.html.results.scenario_findings import finding
from gilprobe.render.html.results.traced_data import accounts_table, traced_pictures
from gilprobe.render.shared.words import clipped, plural, visible
from gilprobe.render.terminal import in_order, python_text
from gilprobe.results import fact_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilprobe.model.environment import Environment
    from gilprobe.render.shared.sides import Side
    from gilprobe.results import Arm, ScenarioResult

VERDICTS = ("holds", "does not hold", "not testable here")
_LONGEST = 2000  # characters of a text on the page


def described(sides: Sequence[tuple[str, Sequence[ScenarioResult]]]) -> dict[str, Any]:
    """Return the data of a page about results.

    Parameters
    ----------
    sides : sequence of (str, sequence of ScenarioResult)
        Names of interpreters, and their results.

    Returns
    -------
    dict
        For :mod:`json`; control and direction characters in its texts are escaped.
    """
    sides = [(name, results) for name, results in sides if results]
    scenarios = [_scenario(found) for found in _together(sides)]
    whole: dict[str, Any] = _shown(
        {
            "title": _title(sides, scenarios),
            "headline": _headline(sides, scenarios),
            "sides": [_side(name, results[0].environment) for name, results in sides],
            "scenarios": scenarios,
        }
    )
    return whole


def _together(sides: Sequence[tuple[str, Sequence[ScenarioResult]]]) -> list[list[Side]]:
    """Return the results of each scenario, in the first interpreter's order."""
    found: dict[str, list[Side]] = {}
    for name, results in sides:
        for result in results:
            found.setdefault(result.id, []).append((name, result))
    return list(found.values())


def _title(sides: Sequence[tuple[str, object]], scenarios: Sequence[dict[str, Any]]) -> str:
    what = scenarios[0]["id"] if len(scenarios) == 1 else plural(len(scenarios), "scenario")
    return f"{what} on Python {' and '.join(name for name, _ in sides)}"


def _headline(
    sides: Sequence[tuple[str, Sequence[ScenarioResult]]], scenarios: Sequence[dict[str, Any]]
) -> list[str]:
    verdicts: Counter[str] = Counter()
    for scenario in scenarios:
        verdicts.update(scenario["verdicts"])
    measured = plural(len(scenarios), "scenario")
    where = "" if len(sides) == 1 else f" on {plural(len(sides), 'interpreter')}"
    tested = verdicts["holds"] + verdicts["does not hold"]
    said = "no law could be tested"
    if tested and verdicts["does not hold"]:
        said = f"{verdicts['holds']} of {plural(tested, 'law')} held, {verdicts['does not hold']} did not"
    elif tested:
        said = f"all {plural(tested, 'law')} held" if tested > 1 else "the only law held"
    sentences = [f"{measured}{where}: {said}."]
    if untested := verdicts["not testable here"]:
        sentences.append(f"{plural(untested, 'law')} could not be tested here.")
    broken = [one["id"] for one in scenarios if one["verdicts"]["does not hold"]]
    if broken:
        sentences.append(f"Look at {_listed(broken)} first.")
    return sentences


def _listed(names: Sequence[str], most: int = 4) -> str:
    shown = list(names[:most])
    if len(names) > most:
        shown.append(f"{len(names) - most} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _side(name: str, environment: Environment) -> dict[str, Any]:
    load = environment.load_average
    return {
        "name": name,
        "interpreter": python_text(environment),
        "compiler": environment.compiler,
        "cpu": environment.cpu,
        "cores": f"{environment.cores} of {environment.cores_online}",
        "platform": f"{environment.platform}, {environment.machine}",
        "load": "unknown" if load is None else f"{load:.2f}",
        "clock": environment.clock,
        "started": environment.started,
        "gilprobe": environment.gilprobe,
    }


def _scenario(sides: Sequence[Side]) -> dict[str, Any]:
    _, first = sides[0]
    drawn = pictures(sides)
    return {
        "id": first.id,
        "title": first.title,
        "finding": finding(drawn, [name for name, _ in sides]),
        "sides": [name for name, _ in sides],
        "verdicts": {
            verdict: sum(law.verdict == verdict for _, result in sides for law in result.laws)
            for verdict in VERDICTS
        },
        "pictures": [dataclasses.asdict(picture) for picture in drawn],
        "traced": [dataclasses.asdict(picture) for picture in traced_pictures(sides)],
        "accounts": accounts_table(sides),
        "arms": [_arm_row(name, result, arm) for name, result in sides for arm in _ordered(result)],
        "facts": _facts(sides),
        "laws": _laws(sides),
        "printed": _printed(sides),
        "doubts": [
            f"{name}: {text}" if len(sides) > 1 else text
            for name, result in sides
            for text in result.warnings
        ],
    }


def _ordered(result: ScenarioResult) -> list[Arm]:
    order = in_order(result)
    return sorted(result.arms, key=lambda arm: order(arm.name))


def _arm_row(side: str, result: ScenarioResult, arm: Arm) -> dict[str, Any]:
    kind = kind_of(arm.unit)
    facts = {fact.name: fact.value for fact in result.facts}
    speedup = facts.get(fact_name("speedup", arm.name, arm.threads))
    return {
        "side": side,
        "name": arm.name,
        "threads": arm.threads,
        "median": number_text(arm.median, kind),
        "low": number_text(arm.low, kind),
        "high": number_text(arm.high, kind),
        "unit": unit_beside(arm.unit),
        "samples": len(arm.samples),
        "speedup": "" if speedup is None else number_text(speedup, "ratio"),
    }


def _facts(sides: Sequence[Side]) -> list[list[str]]:
    """Return a row per fact that the arms do not show: name, unit, a value per interpreter."""
    found = [{(fact.name, fact.unit): fact.value for fact in result.facts} for _, result in sides]
    keys = dict.fromkeys(key for facts in found for key in facts)
    return [
        [*key, *("-" if key not in facts else f"{facts[key]:.4g}" for facts in found)]
        for key in keys
        if not key[0].startswith(("speedup_", "efficiency_"))
    ]


def _laws(sides: Sequence[Side]) -> list[dict[str, Any]]:
    """Return each law once, with each interpreter's outcome."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, result in sides:
        for law in result.laws:
            found.setdefault(law.text, []).append(
                {
                    "side": name,
                    "expected": law.expected,
                    "measured": law.measured,
                    "verdict": law.verdict,
                    "bullet": None if law.claim is None else bullet(law.claim),
                }
            )
    return [{"text": text, "sides": rows} for text, rows in found.items()]


def _printed(sides: Sequence[Side]) -> list[dict[str, Any]]:
    """Return the printed lines; once, if they are the same everywhere."""
    texts = [(name, result.printed) for name, result in sides]
    if len({text for _, text in texts}) == 1:
        texts = [("", texts[0][1])]
    return [
        {"side": name, "lines": text.expandtabs().removesuffix("\n").split("\n")}
        for name, text in texts
        if text
    ]


def _shown(value: Any) -> Any:
    """Return the data with every text escaped and clipped: it contains foreign names."""
    if isinstance(value, str):
        return visible(clipped(value, _LONGEST))
    if isinstance(value, dict):
        return {key: _shown(one) for key, one in value.items()}
    return [_shown(one) for one in value] if isinstance(value, list | tuple) else value
