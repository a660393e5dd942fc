"""One scenario on several interpreters in one table, and two saved results side by side."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from gilprobe.render.shared.page import MOST_ROWS, PLAIN, Look, Page
from gilprobe.render.shared.words import clipped, plural, scaled, visible
from gilprobe.render.terminal import VERDICT_STYLES, in_order, printed, python_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gilprobe.model.comparison import ArmPair, Comparison, ScenarioPair
    from gilprobe.model.environment import Environment
    from gilprobe.render.shared.sides import Side
    from gilprobe.results import Arm

_NONE = "-"


def render_pythons(sides: Iterable[tuple[str, str, Environment]], look: Look = PLAIN) -> str:
    """Render the measured interpreters (name, path, environment), and their machine."""
    page = Page(look)
    machine: Environment | None = None
    table = page.table("name", "interpreter", "program")
    for name, path, environment in sides:
        page.row(table, name, python_text(environment), path)
        machine = machine or environment
    page.show(table)
    if machine is not None:
        cores = plural(machine.cores, "usable core")
        page.line(f"{machine.cpu}, {cores}, {machine.platform}, gilprobe {machine.gilprobe}")
    return page.finished()


def render_machines(sides: Iterable[tuple[str, str, Environment]], look: Look = PLAIN) -> str:
    """Render the machines of a cluster (name, path of the interpreter, environment)."""
    page = Page(look)
    table = page.table("name", "interpreter", ">cores", "processor", "platform")
    for name, _, environment in sides:
        cells = str(environment.cores), clipped(environment.cpu, 60), clipped(environment.platform, 60)
        page.row(table, name, python_text(environment), *cells)
    page.show(table)
    return page.finished()


def render_results(sides: Sequence[Side], look: Look = PLAIN) -> str:
    """Render one scenario's results on several Pythons.

    Parameters
    ----------
    sides : sequence of (str, ScenarioResult)
        At least one; ratios are to the first.
    look : Look
        What the reader can show.

    Returns
    -------
    str
        Lines of text.
    """
    page = Page(look)
    _, first = sides[0]
    page.line(f"{first.id}: {first.title}", style="bold")
    page.line()
    _all_printed(page, sides)
    _arms(page, sides)
    _traces(page, sides)
    _facts(page, sides)
    _laws(page, sides)
    page.doubts([f"{name}: {text}" for name, result in sides for text in result.warnings])
    return page.finished()


def render_comparison(comparison: Comparison, look: Look = PLAIN) -> str:
    """Render two saved results side by side.

    Parameters
    ----------
    comparison : Comparison
        A is before, B is after.
    look : Look
        What the reader can show.

    Returns
    -------
    str
        Lines of text.
    """
    page = Page(look)
    page.line(f"A  {comparison.before}")
    page.line(f"B  {comparison.after}")
    page.line()
    page.doubts(comparison.warnings)
    known = Counter(pair.id for pair in comparison.scenarios)
    for pair in comparison.scenarios:
        _pair(page, pair, several=known[pair.id] > 1)
    for side, ids in (("A", comparison.only_before), ("B", comparison.only_after)):
        for one in ids:
            page.line(f"{one} is in {side} only")
    _method(page, comparison)
    return page.finished()


def _pair(page: Page, pair: ScenarioPair, *, several: bool) -> None:
    """Add a scenario; `several`: it was measured on several interpreters, and this is one of them."""
    page.line(f"{pair.id}: {pair.title}", style="bold")
    before, after = python_text(pair.before), python_text(pair.after)
    if before != after:
        page.line(f"A on {before}, B on {after}")
    elif several:
        page.line(f"on {before}")
    page.line()
    table = page.table("arm", ">threads", "unit", ">A", ">B", ">B : A", ">95% interval", ">p", "B is")
    arms = pair.arms
    if len(arms) > MOST_ROWS:  # first, so that no difference is left out
        arms = tuple(sorted(arms, key=lambda arm: arm.difference == "no difference shown"))
    for arm in arms:
        style = "" if arm.difference == "no difference shown" else "bold"
        sides = (with_spread(page, arm.before), with_spread(page, arm.after))
        cells = (arm.name, str(arm.threads), arm.unit, *sides, *_ratio_cells(arm), f"{arm.p_adjusted:.2g}")
        page.row(table, *cells, arm.difference, last=style)
    page.show(table)
    laws = page.table("law whose verdict differs", "A", "B")
    for law in pair.laws:
        page.row(laws, law.text, law.before, law.after)
    page.show(laws)
    for side, names in (("A", pair.only_before), ("B", pair.only_after)):
        for name in names:
            page.line(f"{name}: in {side} only")
    if pair.only_before or pair.only_after:
        page.line()
    page.doubts(pair.warnings)


def _ratio_cells(arm: ArmPair) -> tuple[str, str]:
    if arm.ratio is None or arm.low is None or arm.high is None:
        return _NONE, _NONE
    return f"{arm.ratio:.3g}x", f"{arm.low:.3g} to {arm.high:.3g}"


def _method(page: Page, comparison: Comparison) -> None:
    arms = sum(len(pair.arms) for pair in comparison.scenarios)
    if not arms:
        page.line("Nothing to compare: no arm is in both.")
        return
    scenarios = plural(len(comparison.scenarios), "scenario")
    page.line(
        f"{plural(arms, 'comparison')} in {scenarios}: p of the two-sided rank-sum test, adjusted for the"
        " number of arms of the scenario (Holm); a difference is shown at 0.05 or less."
    )


def _all_printed(page: Page, sides: Sequence[Side]) -> None:
    """Add the output; once, if it is the same everywhere."""
    if len({result.printed for _, result in sides}) == 1:
        printed(page, sides[0][1].printed)
        return
    for name, result in sides:
        printed(page, result.printed, f"Printed by {name}")


def _ratio_headings(sides: Sequence[Side]) -> list[str]:
    first, *others = (_heading(name) for name, _ in sides)
    return [f">{name}\n: {first}" for name in others]


def _heading(name: str) -> str:
    """Return a name from a worker, for the head of a column."""
    return visible(clipped(name, 60))


def ratio(value: float, first: float) -> str:
    """Return the ratio of `value` to `first`; ``"-"`` if meaningless."""
    if first == 0 or value == 0 or (value < 0) != (first < 0) or not math.isfinite(value / first):
        return _NONE
    return f"{value / first:.2f}x"


def with_spread(page: Page, arm: Arm) -> str:
    """Return an arm's median, and half its interval as a share of it."""
    (median,) = scaled(arm.median)
    half = (arm.high - arm.low) / 2
    sign = "±" if page.look.unicode else "+-"
    return f"{median} {sign} {half / abs(arm.median):.0%}" if arm.median else median


def _arms(page: Page, sides: Sequence[Side]) -> None:
    """Add the arms: median, half the interval, and ratio to the first."""
    found = [{(arm.name, arm.threads, arm.unit): arm for arm in result.arms} for _, result in sides]
    orders = [in_order(result) for _, result in sides]
    table = page.table(
        "arm", ">threads", "unit", *[f">{_heading(name)}" for name, _ in sides], *_ratio_headings(sides)
    )
    for key in sorted(dict.fromkeys(key for arms in found for key in arms), key=_by_name(orders)):
        arms = [side.get(key) for side in found]
        cells = [_NONE if arm is None else with_spread(page, arm) for arm in arms]
        ratios = [
            _NONE if arm is None or arms[0] is None else ratio(arm.median, arms[0].median) for arm in arms
        ]
        page.row(table, key[0], str(key[1]), key[2], *cells, *ratios[1:])
    page.show(table)


def _by_name(orders: Sequence[Callable[[str], int]]) -> Callable[[tuple[str, int, str]], list[int]]:
    return lambda key: [order(key[0]) for order in orders]


def _traces(page: Page, sides: Sequence[Side]) -> None:
    """Add where the time went, per arm: all threads would fill pages."""
    table = page.table(
        "traced run, all threads",
        "on",
        ">held",
        ">contended",
        ">handoffs",
        ">forced\nreleases",
        ">voluntary\nreleases",
    )
    keys = dict.fromkeys((one.name, one.threads) for _, result in sides for one in result.traces)
    for key in keys:
        for name, result in sides:
            for report in [one.report for one in result.traces if (one.name, one.threads) == key]:
                whole_ns = report.elapsed_ns or 1
                page.row(
                    table,
                    f"{key[0]} x {key[1]}",
                    name,
                    f"{report.held_ns / whole_ns:.0%}",
                    f"{report.contended_ns / whole_ns:.0%}",
                    str(report.handoffs),
                    str(sum(account.forced_releases for account in report.threads)),
                    str(sum(account.voluntary_releases for account in report.threads)),
                )
    page.show(table)


def _facts(page: Page, sides: Sequence[Side]) -> None:
    found = [{(fact.name, fact.unit): fact.value for fact in result.facts} for _, result in sides]
    table = page.table("fact", "unit", *[f">{_heading(name)}" for name, _ in sides], *_ratio_headings(sides))
    for key in dict.fromkeys(key for facts in found for key in facts):
        if key[0].startswith("efficiency_"):  # the speedup beside it shows the same
            continue
        values = [facts.get(key) for facts in found]
        cells = [_NONE if value is None else f"{value:.4g}" for value in values]
        first = values[0]
        ratios = [_NONE if value is None or first is None else ratio(value, first) for value in values]
        page.row(table, *key, *cells, *ratios[1:])
    page.show(table)


def _laws(page: Page, sides: Sequence[Side]) -> None:
    """Add each law once, with a row per interpreter: expectations may differ."""
    table = page.table("law", "on", "expected", "measured", "verdict")
    for text in dict.fromkeys(law.text for _, result in sides for law in result.laws):
        shown = text
        for name, result in sides:
            for law in result.laws:
                if law.text == text:
                    style = VERDICT_STYLES[law.verdict]
                    page.row(table, shown, name, law.expected, law.measured, law.verdict, last=style)
                    shown = ""
    page.show(table)
