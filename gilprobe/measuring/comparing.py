"""Compare two saved results: which numbers differ by more than chance."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from typing import TYPE_CHECKING, TypeVar

from gilprobe.errors import FormatError
from gilprobe.measuring.measure import REPEATS
from gilprobe.measuring.significance import holm, rank_sum_test, smallest_p
from gilprobe.model.comparison import ArmPair, Comparison, LawPair, ScenarioPair
from gilprobe.model.confidence import independent_ratio_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from gilprobe.model.comparison import Difference
    from gilprobe.model.environment import Environment
    from gilprobe.results import Arm, ResultSet, ScenarioResult

T = TypeVar("T")

SIGNIFICANT = 0.05
"""Largest adjusted p at which a difference is shown."""

MOST_ARMS = 1 << 15
"""Limit of arms in one result, all scenarios together."""

_MACHINE = {
    "cpu": "processor",
    "machine": "architecture",
    "cores": "usable cores",
    "platform": "platform",
    "gilprobe": "gilprobe",
    "implementation": "implementation",
    "python": "Python",
    "build": "build",
    "gil_enabled": "GIL on",
    "compiler": "compiler",
    "switch_interval_s": "switch interval",
}


def compare(before: ResultSet, after: ResultSet, names: tuple[str, str] = ("before", "after")) -> Comparison:
    """Compare two results.

    Scenarios are matched by identifier; if a result has one several times, for several interpreters, the
    first with the first, the second with the second. Arms are matched by name, threads and unit.

    Parameters
    ----------
    before, after : ResultSet
        The results.
    names : (str, str)
        Their names; doubts call them A and B.

    Returns
    -------
    Comparison
        Pairs of what both have, and what only one has.

    Raises
    ------
    FormatError
        If an arm has no samples, or there are too many samples or arms.
    """
    for name, found in zip(names, (before, after), strict=True):
        _check_arms(name, [arm for one in found.scenarios for arm in one.arms])
    pairs, only_before, only_after = _paired(before.scenarios, after.scenarios, lambda one: one.id)
    compared = tuple(_scenario(one, other) for one, other in pairs)
    unequal = dict.fromkeys(
        line for one, other in pairs for line in _unequal(one.environment, other.environment)
    )
    return Comparison(
        before=names[0],
        after=names[1],
        scenarios=compared,
        only_before=tuple(one.id for one in only_before),
        only_after=tuple(one.id for one in only_after),
        warnings=tuple(unequal),
    )


def _check_arms(name: str, arms: Sequence[Arm]) -> None:
    if len(arms) > MOST_ARMS:
        raise FormatError(f"{name!r}: there must be at most {MOST_ARMS} arms, got {len(arms)}")
    for arm in arms:
        if not 1 <= len(arm.samples) < REPEATS.stop:
            raise FormatError(
                f"{name!r}: an arm must have 1 to {REPEATS.stop - 1} samples, "
                f"{arm.name[:60]!a} has {len(arm.samples)}"
            )


def _paired(
    before: Iterable[T], after: Iterable[T], key: Callable[[T], Hashable]
) -> tuple[list[tuple[T, T]], list[T], list[T]]:
    """Pair items with the same key, the first with the first; return also what is left of both sides."""
    waiting: dict[Hashable, deque[T]] = {}
    for other in after:
        waiting.setdefault(key(other), deque()).append(other)
    pairs, only_before = [], []
    for one in before:
        found = waiting.get(key(one))
        if found:
            pairs.append((one, found.popleft()))
        else:
            only_before.append(one)
    return pairs, only_before, [other for left in waiting.values() for other in left]


def _unequal(before: Environment, after: Environment) -> Iterator[str]:
    """Yield one line with all differences between the machines and interpreters, if any."""
    parts = [
        f"{word} {_shown(getattr(before, name))} and {_shown(getattr(after, name))}"
        for name, word in _MACHINE.items()
        if getattr(before, name) != getattr(after, name)
    ]
    if parts:
        yield f"unequal: {'; '.join(parts)}"


def _shown(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _scenario(before: ScenarioResult, after: ScenarioResult) -> ScenarioPair:
    pairs, only_before, only_after = _paired(
        before.arms, after.arms, lambda arm: (arm.name, arm.threads, arm.unit)
    )
    laws, _, _ = _paired(before.laws, after.laws, lambda law: law.text)
    doubts = [
        *(f"A: {text}" for text in before.warnings),
        *(f"B: {text}" for text in after.warnings),
        *_sample_doubts(pairs),
    ]
    return ScenarioPair(
        id=before.id,
        title=before.title,
        before=before.environment,
        after=after.environment,
        arms=_arms(pairs),
        only_before=tuple(map(_called, only_before)),
        only_after=tuple(map(_called, only_after)),
        laws=tuple(
            LawPair(one.text, one.verdict, other.verdict)
            for one, other in laws
            if one.verdict != other.verdict
        ),
        warnings=tuple(doubts),
    )


def _arms(pairs: Sequence[tuple[Arm, Arm]]) -> tuple[ArmPair, ...]:
    values = [rank_sum_test(after.samples, before.samples) for before, after in pairs]
    whole = zip(pairs, values, holm(values), strict=True)
    return tuple(_arm(before, after, p, adjusted) for (before, after), p, adjusted in whole)


def _arm(before: Arm, after: Arm, p: float, adjusted: float) -> ArmPair:
    ratio, low, high = independent_ratio_interval(after.samples, before.samples) or (None, None, None)
    return ArmPair(
        name=before.name,
        threads=before.threads,
        unit=before.unit,
        before=before,
        after=after,
        ratio=ratio,
        low=low,
        high=high,
        p=p,
        p_adjusted=adjusted,
        difference=_direction(before, after) if adjusted <= SIGNIFICANT else "no difference shown",
    )


def _direction(before: Arm, after: Arm) -> Difference:
    """Return the direction in which most pairs of samples differ, as the test sees it."""
    ordered = sorted(before.samples)
    ahead = sum(
        bisect_left(ordered, over) + bisect_right(ordered, over) - len(ordered) for over in after.samples
    )
    return "higher" if ahead > 0 else "lower"


def _sample_doubts(pairs: Sequence[tuple[Arm, Arm]]) -> Iterator[str]:
    """Yield a doubt if no difference could be shown with so few samples, and how many it takes."""
    if not pairs:
        return
    counts = [(len(before.samples), len(after.samples)) for before, after in pairs]
    best = min(smallest_p(*sizes) for sizes in set(counts))
    if best * len(pairs) > SIGNIFICANT:
        enough = next(n for n in range(2, REPEATS.stop) if smallest_p(n, n) * len(pairs) <= SIGNIFICANT)
        yield (
            f"few samples: with {len(pairs)} arms no difference can be shown "
            f"(p {best:.2g} at best); use --repeat {enough}"
        )


def _called(arm: Arm) -> str:
    return f"{arm.name}, {arm.threads} thread{'s' if arm.threads != 1 else ''}, {arm.unit}"
