"""Measure a call's speedup with threads, and its limit by holds and cores."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gilprobe.auditing.traced_calls import make_calls
from gilprobe.measuring.measure import measure
from gilprobe.measuring.teams import ArmPlan
from gilprobe.model.audit_result import Speedup
from gilprobe.model.confidence import ratio_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gilprobe.measuring.measure import Progress, Settings


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
) -> tuple[tuple[Speedup, ...], tuple[str, ...]]:
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

    Returns
    -------
    tuple of Speedup, tuple of str
        One for each size except 1; their doubts.
    """
    if len(threads) < 2:
        return (), ()
    plans = [ArmPlan("calls", size, partial(make_calls, call), unit="calls/s") for size in threads]
    found = measure(plans, settings, progress)
    single, *teams = found.arms
    cores = settings.cores()
    speedups = []
    for arm in teams:
        ratio, low, high = ratio_interval(arm, single)
        most = None if shares is None else allowed(arm.threads, *shares, cores)
        speedups.append(Speedup(arm.threads, ratio, low, high, most))
    return tuple(speedups), found.warnings
