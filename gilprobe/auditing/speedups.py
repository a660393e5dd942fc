"""Measure a call's speedup with threads, and its limit by holds and cores."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gilprobe.auditing.own_objects import OwnCalls
from gilprobe.auditing.traced_calls import make_calls
from gilprobe.measuring.measure import measure
from gilprobe.measuring.teams import ArmPlan
from gilprobe.model.audit_result import Speedup
from gilprobe.model.confidence import ratio_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gilprobe.measuring.measure import Progress, Settings
    from gilprobe.results import Arm


OWN = "calls on own objects"
"""Name of the arm."""


def allowed(threads: int, held_share: float, cpu_share: float, cores: int) -> float:
    """Return the largest possible speedup.

    Parameters
    ----------
    threads : int
        Number of threads.
    held_share : float
        Share of the call with the GIL, which only one thread can hold: Amdahl's law.
    cpu_share : float
        Cores that one thread's calls keep busy, including helper threads.
    cores : int
        Number of cores.
    """
    limits = [float(threads)]
    if held_share > 0:
        limits.append(1 / held_share)
    if cpu_share > 0:
        limits.append(max(1.0, cores / cpu_share))
    return min(limits)


def measured(
    call: Callable[[], object],
    threads: Sequence[int],
    settings: Settings,
    progress: Progress,
    shares: tuple[float, float] | None,
    own_calls: Sequence[Callable[[], object]] = (),
) -> tuple[tuple[Speedup, ...], tuple[Speedup, ...], tuple[str, ...]]:
    """Measure the call in teams, in turns with a single thread.

    Parameters
    ----------
    call : callable
        The call that all members make.
    threads : sequence of int
        Sizes of team, the first of them 1.
    settings : Settings
        How to measure.
    progress : callable
        Called between the runs with the progress.
    shares : (float, float) or None
        The held share and the CPU share, for :func:`allowed`; None if the first is unknown.
    own_calls : sequence of callable
        The same call on objects of its own for each member of the largest team; empty: don't measure that.

    Returns
    -------
    tuple of Speedup, tuple of Speedup, tuple of str
        One for each size except 1; the same with objects of their own; doubts.
    """
    if len(threads) < 2:
        return (), (), ()
    plans = [ArmPlan("calls", size, partial(make_calls, call), unit="calls/s") for size in threads]
    if own_calls:
        plans += [
            ArmPlan(OWN, size, OwnCalls(list(own_calls)).make, unit="calls/s") for size in (1, threads[-1])
        ]
    found = measure(plans, settings, progress)
    shared, own = ([arm for arm in found.arms if (arm.name == OWN) == of_own] for of_own in (False, True))
    cores = settings.cores()

    def speedup(arm: Arm, single: Arm) -> Speedup:
        ratio, low, high = ratio_interval(arm, single)
        most = None if shares is None else allowed(arm.threads, *shares, cores)
        return Speedup(arm.threads, ratio, low, high, most)

    return (
        tuple(speedup(arm, shared[0]) for arm in shared[1:]),
        tuple(speedup(arm, own[0]) for arm in own[1:]),
        found.warnings,
    )
