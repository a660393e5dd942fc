"""Facts and laws that scenarios share: computed from what was measured, never typed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.intervals import ratio_interval
from gilprobe.results import Fact, Law, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gilprobe.results import Arm

PARALLEL_SHARE = 0.95
"""Share of ``min(T, N)`` that counts as having reached it: start-up skew and stragglers cost the rest."""


UNSTABLE = 0.10
"""Interval, as a share of the value, beyond which a value outside its law says nothing."""


def scaling_facts(arms: Iterable[Arm]) -> tuple[Fact, ...]:
    """Return ``speedup_ARM_T`` and ``efficiency_ARM_T`` of each arm against its own single thread.

    Speedup is the ratio of the medians; efficiency is the speedup per thread.
    """
    arms = tuple(arms)
    single = {arm.name: arm for arm in arms if arm.threads == 1}
    facts = []
    for arm in arms:
        speedup = arm.median / single[arm.name].median
        facts.append(Fact(f"speedup_{arm.name}_{arm.threads}", speedup, ""))
        facts.append(Fact(f"efficiency_{arm.name}_{arm.threads}", speedup / arm.threads, ""))
    return tuple(facts)


def speedup_law(text: str, arm: Arm, single: Arm, low: float, high: float) -> Law:
    """Return the law that an arm's speedup lies between `low` and `high`; with `low` 0: is at most `high`.

    It does not hold when the whole 95 % interval of the measured speedup lies outside. It can't be tested
    when the speedup lies outside and its interval is so wide that it reaches inside all the same.
    """
    speedup, least, most = ratio_interval(arm, single)
    overlaps = least <= high and most >= low
    unstable = overlaps and not low <= speedup <= high and most - least > UNSTABLE * speedup
    return Law(
        text=f"{text}, {arm.threads} threads",
        expected=f"{low:.2f}x to {high:.2f}x" if low else f"<= {high:.2f}x",
        measured=f"{speedup:.2f}x ({least:.2f} to {most:.2f}{', unstable' if unstable else ''})",
        verdict="not testable here" if unstable else verdict(overlaps),
    )


def parallel_law(text: str, arm: Arm, single: Arm, cores: int) -> Law:
    """Return the law that an arm runs ``min(T, N)`` times as fast as its single thread."""
    if cores == 1:
        return untestable(f"{text}, {arm.threads} threads", f"min({arm.threads}, N)", "1 usable core")
    limit = min(arm.threads, cores)
    return speedup_law(text, arm, single, PARALLEL_SHARE * limit, limit * (2 - PARALLEL_SHARE))


def untestable(text: str, expected: str, reason: str) -> Law:
    """Return the law with the reason why it can't be tested here."""
    return Law(text=text, expected=expected, measured=reason, verdict="not testable here")


def verdict(holds: bool) -> Verdict:
    """Return the word for it."""
    return "holds" if holds else "does not hold"


def by_name(arms: Sequence[Arm], name: str) -> tuple[Arm, tuple[Arm, ...]]:
    """Return the single-threaded arm called `name`, and the others of that name."""
    named = [arm for arm in arms if arm.name == name]
    (single,) = [arm for arm in named if arm.threads == 1]
    return single, tuple(arm for arm in named if arm.threads > 1)
