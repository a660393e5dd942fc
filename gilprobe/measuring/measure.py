"""Measure the same work done by teams of threads, in repeated, interleaved runs.

A team starts behind a gate; its time runs from the first member's start to the last member's end. The amount
of work is calibrated for each arm, so that every run takes about as long. The arms take turns, so that a
drift of the machine (heat, other load) affects all alike. The repeats are summed up by a median and its
bootstrap interval.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilprobe.durations import duration
from gilprobe.errors import InvalidTypeError, InvalidValueError, UnsupportedError
from gilprobe.measuring import host
from gilprobe.measuring.surroundings import Surroundings
from gilprobe.measuring.teams import run_team
from gilprobe.model.confidence import bootstrap_interval
from gilprobe.results import Arm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilprobe.measuring.teams import ArmPlan, Clock, TeamRun
    from gilprobe.model.machine import CpuTimes

Progress = Callable[[str, float], None]
"""Called between runs with the current step and the completed share (0 to 1)."""

MIN_ARM_NS = 50_000_000
"""The shortest run that is trusted: start-up skew is then well below 1 %."""

REPEATS = range(2, 1001)
"""Allowed numbers of repeats: one sample has no spread."""

_INTERVAL_LIMIT = 0.10


@dataclass(frozen=True, slots=True)
class Settings:
    """How to measure; tests can replace all of it.

    Attributes
    ----------
    repeat : int
        Samples of each arm.
    arm_ns, member_ns : int
        The least duration of a run when the work is calibrated, nanoseconds; and the least duration for each
        of its threads, since many threads with little work only show what starting them costs.
    clock, wall : callable
        The clock that times, and the time of day to check it against.
    cpu_times, load_average, cores, physical_cores : callable
        As in :mod:`gilprobe.measuring.host`.
    """

    repeat: int = 5
    arm_ns: int = 200_000_000
    member_ns: int = 4_000_000
    clock: Clock = time.perf_counter_ns
    wall: Clock = time.time_ns
    cpu_times: Callable[[], CpuTimes | None] = host.cpu_times
    load_average: Callable[[], float | None] = host.load_average
    cores: Callable[[], int] = host.usable_cores
    physical_cores: Callable[[], int | None] = host.physical_cores

    @classmethod
    def quick(cls) -> Settings:
        """Return settings for a quick look: fewer repeats of the shortest trusted runs."""
        return cls(repeat=3, arm_ns=MIN_ARM_NS, member_ns=2_000_000)

    def __post_init__(self) -> None:
        if type(self.repeat) is not int:
            raise InvalidTypeError(f"repeat must be an integer, got {self.repeat!r}")
        if self.repeat not in REPEATS:
            raise InvalidValueError(
                f"repeat must be between {REPEATS.start} and {REPEATS.stop - 1}, got {self.repeat}"
            )


@dataclass(frozen=True, slots=True)
class Measurement:
    """The result of :func:`measure`.

    Attributes
    ----------
    arms : tuple of Arm
        In the order of the plans.
    operations : tuple of int
        Calibrated operations per member, in the same order.
    warnings : tuple of str
        Doubts about the numbers.
    """

    arms: tuple[Arm, ...]
    operations: tuple[int, ...]
    warnings: tuple[str, ...]


def calibrate(plan: ArmPlan, *, arm_ns: int, clock: Clock = time.perf_counter_ns) -> int:
    """Find how many operations per member make a run last `arm_ns`; this also warms up.

    Raises
    ------
    UnsupportedError
        If the clock does not advance.
    """
    operations = 1
    standstills = 0
    foreseen_ns = 0.0
    while True:
        elapsed_ns = run_team(plan, operations, clock=clock).elapsed_ns
        if elapsed_ns > 2 * foreseen_ns:
            # Far longer than the run before suggests: on a busy machine mostly time in which others had the
            # cores, with too little work done. Repeat once.
            elapsed_ns = min(elapsed_ns, run_team(plan, operations, clock=clock).elapsed_ns)
        if elapsed_ns >= arm_ns:
            return operations
        standstills = standstills + 1 if elapsed_ns == 0 else 0
        if standstills == 6:
            raise UnsupportedError(f"the clock must advance, it stood still during {operations} operations")
        # Aim a tenth higher; grow at most a hundredfold, since a first short run is mostly start-up.
        growth = 1.1 * arm_ns / elapsed_ns if elapsed_ns else 10.0
        growth = min(max(growth, 1.2), 100.0)
        foreseen_ns = growth * elapsed_ns
        operations = math.ceil(operations * growth)


def interleave(arms: int, repeat: int) -> Iterator[tuple[int, ...]]:
    """Yield the order of the arms in each repeat: forth and back, then the same from the next arm on.

    A drift then affects all alike, and no arm always follows the same other one.
    """
    for number in range(repeat):
        shift = number // 2 % arms
        order = (*range(shift, arms), *range(shift))
        yield order[::-1] if number % 2 else order


@dataclass(frozen=True, slots=True)
class Trial:
    """One or more arms whose run returns their numbers, such as a server's rate and latencies.

    Attributes
    ----------
    name : str
        For example ``"2 spinning threads"``.
    threads : int
        Number of threads or other workers.
    units : mapping of str to str
        Metrics of a run and their units. ``""`` is the arm `name`; any other is an arm ``"name, metric"``.
    run : callable
        Runs once and returns a finite number for each of `units`.
    """

    name: str
    threads: int
    units: Mapping[str, str]
    run: Callable[[], Mapping[str, float]]

    def arm_name(self, metric: str) -> str:
        """Return the name of this metric's arm."""
        return f"{self.name}, {metric}" if metric else self.name


def measure(
    plans: Sequence[ArmPlan], settings: Settings, progress: Progress = lambda _label, _share: None
) -> Measurement:
    """Measure several arms against each other.

    Parameters
    ----------
    plans : sequence of ArmPlan
        The arms.
    settings : Settings
        How to measure.
    progress : callable
        Called between the runs with the progress.

    Returns
    -------
    Measurement
        The arms with median, interval and samples; the doubts.

    Raises
    ------
    UnsupportedError
        If the threads can't be started or the clock does not work.
    """
    steps = len(plans) * (settings.repeat + 2)
    surroundings = Surroundings(settings)
    operations = []
    for number, plan in enumerate(plans):
        progress(f"calibrating {_called(plan)}", 2 * number / steps)
        arm_ns = max(settings.arm_ns, plan.threads * settings.member_ns)
        operations.append(calibrate(plan, arm_ns=arm_ns, clock=settings.clock))
    done = 2 * len(plans)
    runs: list[list[TeamRun]] = [[] for _ in plans]
    for order in interleave(len(plans), settings.repeat):
        for index in order:
            progress(_called(plans[index]), done / steps)
            runs[index].append(run_team(plans[index], operations[index], clock=settings.clock))
            done += 1
    arms = tuple(_summarise(plan, ran) for plan, ran in zip(plans, runs, strict=True))
    doubts = [
        *surroundings.doubts(),
        *_core_doubts(plans, settings),
        *_spread_doubts(arms),
        *_short_doubts(arms, runs),
    ]
    return Measurement(arms=arms, operations=tuple(operations), warnings=tuple(doubts))


def measure_trials(
    trials: Sequence[Trial],
    settings: Settings,
    progress: Progress = lambda _label, _share: None,
    *,
    warm_up: bool = True,
) -> Measurement:
    """Measure several trials against each other: each runs `settings.repeat` times, in turns.

    Parameters
    ----------
    trials : sequence of Trial
        The trials.
    settings : Settings
        How to measure. Its `arm_ns` is ignored.
    progress : callable
        Called between the runs with the progress.
    warm_up : bool
        Whether to run each once before, without counting.

    Returns
    -------
    Measurement
        The arms of each trial, in its order of metrics; without `operations`.

    Raises
    ------
    InvalidValueError
        If a run does not return a finite number for each metric.
    """
    steps = len(trials) * (settings.repeat + warm_up)
    surroundings = Surroundings(settings)
    done = 0
    for trial in trials if warm_up else ():
        progress(f"warming up {trial.name}", done / steps)
        trial.run()
        done += 1
    samples: list[dict[str, list[float]]] = [{metric: [] for metric in trial.units} for trial in trials]
    for order in interleave(len(trials), settings.repeat):
        for index in order:
            progress(_called(trials[index]), done / steps)
            _keep(trials[index], samples[index])
            done += 1
    arms = tuple(
        _arm(trial.arm_name(metric), trial.threads, unit, tuple(taken[metric]))
        for trial, taken in zip(trials, samples, strict=True)
        for metric, unit in trial.units.items()
    )
    return Measurement(arms=arms, operations=(), warnings=(*surroundings.doubts(), *_spread_doubts(arms)))


def _keep(trial: Trial, samples: dict[str, list[float]]) -> None:
    numbers = trial.run()
    if numbers.keys() != samples.keys():
        raise InvalidValueError(
            f"a run of {trial.name!r} must return {', '.join(map(repr, samples))},"
            f" got {', '.join(map(repr, numbers)) or 'nothing'}"
        )
    for metric, number in numbers.items():
        if not math.isfinite(number):
            raise InvalidValueError(f"{trial.arm_name(metric)!r} must be a finite number, got {number!r}")
        samples[metric].append(float(number))


def _arm(name: str, threads: int, unit: str, samples: tuple[float, ...]) -> Arm:
    low, high = bootstrap_interval(samples)
    return Arm(name, threads, unit, statistics.median(samples), low, high, samples)


def _called(plan: ArmPlan | Trial | Arm) -> str:
    return f"{plan.name}, {plan.threads} thread{'s' if plan.threads > 1 else ''}"


def _summarise(plan: ArmPlan, runs: list[TeamRun]) -> Arm:
    if any(run.elapsed_ns == 0 for run in runs):
        raise UnsupportedError(
            f"the clock must advance, it stood still during {runs[0].operations} operations"
        )
    return _arm(plan.name, plan.threads, plan.unit, tuple(plan.score(run) for run in runs))


def _spread_doubts(arms: Sequence[Arm]) -> Iterator[str]:
    for arm in arms:
        if not arm.low == arm.median == arm.high:  # a count that is always 0 is stable
            spread = (arm.high - arm.low) / abs(arm.median) if arm.median else math.inf
            if spread > _INTERVAL_LIMIT:
                yield f"unstable: the 95% interval of {_called(arm)} spans {spread:.0%} of its median"


def _short_doubts(arms: Sequence[Arm], runs: Sequence[Sequence[TeamRun]]) -> Iterator[str]:
    for arm, ran in zip(arms, runs, strict=True):
        shortest_ns = min(run.elapsed_ns for run in ran)
        if shortest_ns < MIN_ARM_NS:
            shortest = duration(shortest_ns / 1e9)
            yield f"short: a run of {_called(arm)} took {shortest} (50 ms or more is trusted)"


def _core_doubts(plans: Sequence[ArmPlan], settings: Settings) -> Iterator[str]:
    cores = settings.cores()
    crowded = sorted({plan.threads for plan in plans if plan.threads > cores})
    if crowded:
        counts = ", ".join(map(str, crowded))
        plural = "s" if cores > 1 else ""
        yield f"fewer cores than threads: {counts} threads share {cores} usable core{plural}"
    physical = settings.physical_cores()
    if physical is not None and physical < cores and max(plan.threads for plan in plans) > physical:
        yield f"shared cores: the {cores} usable cores are hardware threads of {physical} physical ones"
