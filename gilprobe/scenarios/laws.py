"""Common facts and laws of scenarios, computed from measurements."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilprobe.durations import duration
from gilprobe.model.confidence import bootstrap_interval, ratio_interval
from gilprobe.results import Claim, Fact, Law, Verdict, fact_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gilprobe.results import Arm

PARALLEL_SHARE = 0.95
"""Share of ``min(T, N)`` that counts as reached: start-up skew and stragglers cost the rest."""


UNSTABLE = 0.10
"""A value outside its law's range means nothing if its interval is wider than this share of it."""


def scaling_facts(arms: Iterable[Arm]) -> tuple[Fact, ...]:
    """Return ``speedup_ARM_T`` and ``efficiency_ARM_T`` of each arm against its own single thread.

    Speedup is the ratio of the medians; efficiency is the speedup per thread.
    """
    arms = tuple(arms)
    single = {arm.name: arm for arm in arms if arm.threads == 1}
    facts = []
    for arm in arms:
        speedup = arm.median / single[arm.name].median
        facts.append(Fact(fact_name("speedup", arm.name, arm.threads), speedup, ""))
        facts.append(Fact(fact_name("efficiency", arm.name, arm.threads), speedup / arm.threads, ""))
    return tuple(facts)


def speedup_law(text: str, arm: Arm, single: Arm, low: float, high: float) -> Law:
    """Return the law that an arm's speedup lies between `low` and `high`; with `low` 0: is at most `high`.

    It does not hold if the whole 95 % interval of the measured speedup lies outside. It can't be tested if
    the speedup lies outside but its wide interval reaches inside.
    """
    low = low or -math.inf  # a speedup of 0 or more means nothing
    ratio = ratio_interval(arm, single)
    text = f"{text}, {arm.threads} threads"
    if arm.name == single.name and single.threads == 1:
        return within_law(text, ratio, low, high, TIMES, speedup_of=arm)
    return within_law(text, ratio, low, high, TIMES)


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
    """Return the verdict."""
    return "holds" if holds else "does not hold"


def by_name(arms: Sequence[Arm], name: str) -> tuple[Arm, tuple[Arm, ...]]:
    """Return the single-threaded arm `name`, and the others of that name."""
    named = [arm for arm in arms if arm.name == name]
    (single,) = [arm for arm in named if arm.threads == 1]
    return single, tuple(arm for arm in named if arm.threads > 1)


@dataclass(frozen=True, slots=True)
class Scale:
    """The unit and the format of a law's numbers."""

    unit: str
    show: Callable[[float], str]


def within_law(
    text: str,
    measured: tuple[float, float, float],
    low: float,
    high: float,
    scale: Scale,
    *,
    value_of: Arm | None = None,
    speedup_of: Arm | None = None,
) -> Law:
    """Return the law that a number lies between `low` and `high`.

    Parameters
    ----------
    text : str
        The law in words.
    measured : (float, float, float)
        The value and both ends of its interval.
    low, high : float
        The expected range; an end may be infinite.
    scale : Scale
        Unit of the numbers.
    value_of, speedup_of : Arm, optional
        The arm whose own number, or whose ratio to its single thread, was measured.
    """
    value, least, most = measured
    overlaps = least <= high and most >= low
    unstable = overlaps and not low <= value <= high and most - least > UNSTABLE * abs(value)
    show = scale.show
    if math.isinf(high):
        expected = f">= {show(low)}"
    elif math.isinf(low):
        expected = f"<= {show(high)}"
    else:
        expected = f"{show(low)} to {show(high)}"
    return Law(
        text=text,
        expected=expected,
        measured=f"{show(value)} ({show(least)} to {show(most)}{', unstable' if unstable else ''})",
        verdict="not testable here" if unstable else verdict(overlaps),
        claim=claim(measured, low, high, scale.unit, value_of=value_of, speedup_of=speedup_of),
    )


def claim(
    measured: float | tuple[float, float, float],
    low: float | None,
    high: float | None,
    unit: str,
    *,
    value_of: Arm | None = None,
    speedup_of: Arm | None = None,
    about: str | None = None,
) -> Claim:
    """Return a law's numbers.

    Parameters
    ----------
    measured : float or (float, float, float)
        A number to judge; or one with both ends of its interval, which is then judged.
    low, high : float or None
        The expected range; None or infinite: open.
    unit : str
        See :class:`~gilprobe.results.Claim`.
    value_of, speedup_of : Arm, optional
        The arm whose own number, or whose ratio to its single thread, was measured.
    about : str, optional
        The name of the law's arm, if the number is not the arm's own.
    """
    arm = value_of or speedup_of
    value, least, most = measured if isinstance(measured, tuple) else (measured,) * 3
    return Claim(
        quantity="value" if value_of else "speedup" if speedup_of else "other",
        unit=unit,
        judged="interval" if isinstance(measured, tuple) else "value",
        value=value,
        value_low=least,
        value_high=most,
        arm=about if arm is None else arm.name,
        threads=None if arm is None else arm.threads,
        low=_end(low),
        high=_end(high),
    )


def _end(of_range: float | None) -> float | None:
    return None if of_range is None or math.isinf(of_range) else of_range


def every_law(text: str, yes: int, of: int, what: str = "runs") -> Law:
    """Return the law that something is true in each of several runs."""
    return Law(text, f"in {of} of {of} {what}", f"in {yes}", verdict(yes == of > 0))


def once_law(text: str, yes: bool) -> Law:
    """Return the law that something is true, checked once."""
    return Law(text, "yes", "yes" if yes else "no", verdict(yes))


def sampled(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median of numbers from single runs, and its interval, for :func:`within_law`."""
    return statistics.median(values), *bootstrap_interval(values)


def value_law(text: str, arm: Arm, low: float, high: float, scale: Scale) -> Law:
    """Return the law that an arm's own number lies between `low` and `high`."""
    return within_law(text, spread(arm), low, high, scale, value_of=arm)


def spread(arm: Arm) -> tuple[float, float, float]:
    """Return an arm's median and both ends of its interval."""
    return arm.median, arm.low, arm.high


def times(ratio: float) -> str:
    """Write a ratio: ``2.00x``."""
    return f"{ratio:.2f}x"


TIMES = Scale("x", times)
SECONDS = Scale("s", duration)
