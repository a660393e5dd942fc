"""The experiment frame: the same work done by teams of threads, repeatedly, interleaved, with its own doubts.

A team starts behind a gate, and its time runs from the first member's start to the last member's end. The
amount of work is calibrated for each arm, so that every run lasts about as long; the arms take turns, so that
a drift of the machine (heat, other load) hits all alike; a median and its bootstrap interval sum the repeats
up.
"""

from __future__ import annotations

import math
import random
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

from gilprobe import machine
from gilprobe.errors import InvalidTypeError, InvalidValueError, UnsupportedError
from gilprobe.results import Arm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilprobe.machine import CpuTimes

Clock = Callable[[], int]
"""Nanoseconds since some moment; must not go backwards."""

Work = Callable[[int], object]
"""Do that many operations. Called by all members of a team at once."""

Progress = Callable[[str, float], None]
"""Told what runs now, and the share (0 to 1) of the whole that is done. Only called between runs."""

MIN_ARM_NS = 50_000_000
"""The shortest run that the frame calls a measurement: start-up skew is then well below 1 %."""

REPEATS = range(2, 1001)
"""How often a measurement can be repeated: one sample has no spread."""

_INTERVAL_LIMIT = 0.10
_OTHER_LOAD_LIMIT = 0.05
_STEAL_LIMIT = 0.01
_GOODBYE_S = 2.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One member's part in a team's run: when it computed, by the frame's clock, and its CPU time."""

    native_id: int
    start_ns: int
    end_ns: int
    cpu_ns: int


@dataclass(frozen=True, slots=True)
class TeamRun:
    """One run of a team.

    Attributes
    ----------
    operations : int
        Done by all members together.
    turns : tuple of Turn
        One a member.
    """

    operations: int
    turns: tuple[Turn, ...]

    @property
    def elapsed_ns(self) -> int:
        """From the first member's start to the last member's end, nanoseconds."""
        return max(turn.end_ns for turn in self.turns) - min(turn.start_ns for turn in self.turns)

    @property
    def cpu_ns(self) -> int:
        """CPU time of all members together, nanoseconds."""
        return sum(turn.cpu_ns for turn in self.turns)


def throughput(run: TeamRun) -> float:
    """Return operations a second of all members together."""
    return run.operations / (run.elapsed_ns / 1e9)


@dataclass(frozen=True, slots=True)
class ArmPlan:
    """One arm to measure.

    Attributes
    ----------
    name : str
        For example ``"held"``.
    threads : int
        Members of the team.
    work : callable
        Takes the number of operations and does them.
    unit : str
        Unit of the score.
    score : callable
        Turns a run into the arm's number; operations a second unless told.
    chunk : int or None
        At most so many operations in one call of `work`, so that a team can be called off; None if `work`
        ends by itself when it is interrupted.
    """

    name: str
    threads: int
    work: Work
    unit: str = "operations/s"
    score: Callable[[TeamRun], float] = throughput
    chunk: int | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """How to measure; everything that a test may want to replace.

    Attributes
    ----------
    repeat : int
        Samples of each arm.
    arm_ns, member_ns : int
        How long a run must last at least when the work is calibrated, nanoseconds; and how long for each of
        its threads, since many threads that do next to nothing only show what starting them costs.
    clock, wall : callable
        The clock that times, and the time of day that it is compared with.
    cpu_times, load_average, cores, physical_cores : callable
        As in :mod:`gilprobe.machine`.
    """

    repeat: int = 5
    arm_ns: int = 200_000_000
    member_ns: int = 4_000_000
    clock: Clock = time.perf_counter_ns
    wall: Clock = time.time_ns
    cpu_times: Callable[[], CpuTimes | None] = machine.cpu_times
    load_average: Callable[[], float | None] = machine.load_average
    cores: Callable[[], int] = machine.usable_cores
    physical_cores: Callable[[], int | None] = machine.physical_cores

    def __post_init__(self) -> None:
        if type(self.repeat) is not int:
            raise InvalidTypeError(f"repeat must be an integer, got {self.repeat!r}")
        if self.repeat not in REPEATS:
            raise InvalidValueError(
                f"repeat must be between {REPEATS.start} and {REPEATS.stop - 1}, got {self.repeat}"
            )


@dataclass(frozen=True, slots=True)
class Measurement:
    """What :func:`measure` found.

    Attributes
    ----------
    arms : tuple of Arm
        In the order of the plans.
    operations : tuple of int
        Calibrated operations of each member, in the same order.
    warnings : tuple of str
        What makes the numbers doubtful.
    """

    arms: tuple[Arm, ...]
    operations: tuple[int, ...]
    warnings: tuple[str, ...]


class _Team:
    """Threads that start together, do the same work once, and can be called off at any moment."""

    def __init__(self, plan: ArmPlan, operations: int, clock: Clock) -> None:
        self._plan = plan
        self._operations = operations
        self._clock = clock
        self._lock = threading.Lock()
        self._arrived = 0
        self._ended = 0
        self._ready: SimpleQueue[None] = SimpleQueue()
        self._finished: SimpleQueue[None] = SimpleQueue()
        # A lock for each member, and not a Barrier: opening them all takes microseconds, while the members of
        # a Barrier wake one after another, each needing the GIL that the first may already be holding for
        # long.
        self._gates = [threading.Lock() for _ in range(plan.threads)]
        for gate in self._gates:
            gate.acquire()
        self._turns: list[Turn] = []
        self._error: BaseException | None = None
        self._off = False

    def run(self) -> TeamRun:
        members: list[threading.Thread] = []
        whole = False
        try:
            for gate in self._gates:
                member = threading.Thread(
                    target=self._member, args=(gate,), name=f"worker {len(members) + 1}", daemon=True
                )
                _start(member, self._plan.threads)
                members.append(member)
            self._ready.get()
            self._open_gates()
            # SimpleQueue.get is C: one wake-up, by the last member, and Ctrl-C interrupts it.
            self._finished.get()
            whole = True
        finally:
            self._dismiss(members, whole=whole)
        if self._error is not None:
            raise self._error
        return TeamRun(operations=self._operations * self._plan.threads, turns=tuple(self._turns))

    def _open_gates(self) -> None:
        while self._gates:
            self._gates.pop().release()

    def _dismiss(self, members: list[threading.Thread], *, whole: bool) -> None:
        """Send every member home; one that does not listen after an interruption stays behind, a daemon."""
        self._off = self._off or not whole
        self._open_gates()
        deadline = time.monotonic() + _GOODBYE_S
        for member in members:
            member.join(None if whole else max(0.0, deadline - time.monotonic()))

    def _member(self, gate: threading.Lock) -> None:
        native_id = threading.get_native_id()
        with self._lock:
            self._arrived += 1
            if self._arrived == self._plan.threads:
                self._ready.put(None)
        gate.acquire()
        start_ns = self._clock()
        cpu_ns = time.thread_time_ns()
        try:
            self._do()
        except BaseException as error:  # whatever it is, run() raises it again
            with self._lock:
                self._error = self._error or error
            self._off = True
        end_ns = self._clock()
        turn = Turn(native_id, start_ns, end_ns, time.thread_time_ns() - cpu_ns)
        with self._lock:
            self._turns.append(turn)
            self._ended += 1
            if self._ended == self._plan.threads:
                self._finished.put(None)

    def _do(self) -> None:
        left = self._operations
        chunk = self._plan.chunk or left
        while left > 0 and not self._off:
            step = min(left, chunk)
            self._plan.work(step)
            left -= step


def _start(member: threading.Thread, threads: int) -> None:
    try:
        member.start()
    except RuntimeError as error:  # "can't start new thread"
        raise UnsupportedError(f"{threads} threads can't run here: {error}") from None


def run_team(plan: ArmPlan, operations: int, *, clock: Clock = time.perf_counter_ns) -> TeamRun:
    """Let a team do its work once.

    Parameters
    ----------
    plan : ArmPlan
        The team's size and work.
    operations : int
        For each member.
    clock : callable
        Stamps every member's start and end.

    Returns
    -------
    TeamRun
        What it took.

    Raises
    ------
    UnsupportedError
        If the system does not give that many threads, or the clock went backwards.
    BaseException
        The first that a member raised; the others are called off.
    """
    run = _Team(plan, operations, clock).run()
    if run.elapsed_ns < 0:
        raise UnsupportedError(f"the clock must not go backwards, did by {-run.elapsed_ns} ns")
    return run


def calibrate(plan: ArmPlan, *, arm_ns: int, clock: Clock = time.perf_counter_ns) -> int:
    """Find how many operations a member must do for a run to last at least `arm_ns`; warms up on the way.

    Raises
    ------
    UnsupportedError
        If the clock stands still.
    """
    operations = 1
    standstills = 0
    while True:
        elapsed_ns = run_team(plan, operations, clock=clock).elapsed_ns
        if elapsed_ns >= arm_ns:
            return operations
        standstills = standstills + 1 if elapsed_ns == 0 else 0
        if standstills == 6:
            raise UnsupportedError(f"the clock must advance, stood still during {operations} operations")
        # A tenth above the aim; never more than a hundredfold, since a first short run is mostly start-up.
        growth = 1.1 * arm_ns / elapsed_ns if elapsed_ns else 10.0
        operations = math.ceil(operations * min(max(growth, 1.2), 100.0))


def interleave(arms: int, repeat: int) -> Iterator[tuple[int, ...]]:
    """Yield the order of the arms in each repeat: there and back, then the same begun at the next arm.

    A drift then hits all alike, and no arm always runs in the wake of the same other.
    """
    for number in range(repeat):
        shift = number // 2 % arms
        order = (*range(shift, arms), *range(shift))
        yield order[::-1] if number % 2 else order


def bootstrap_interval(
    samples: Sequence[float], *, confidence: float = 0.95, resamples: int = 2000, seed: int = 20240229
) -> tuple[float, float]:
    """Return the bootstrap interval of the median, by the percentile method.

    Efron and Tibshirani, *An Introduction to the Bootstrap* (1993), chapter 13: draw as many samples with
    replacement as there are, take their median, repeat; the interval lies between the quantiles of these
    medians.

    Parameters
    ----------
    samples : sequence of float
        At least one.
    confidence : float
        Share of the medians inside the interval.
    resamples : int
        How often to draw.
    seed : int
        The same samples always give the same interval.

    Returns
    -------
    (float, float)
        Low and high end; the samples' median lies between them.

    Raises
    ------
    InvalidValueError
        If there are no samples.
    """
    if not samples:
        raise InvalidValueError("samples must hold at least one number, got none")
    draw = random.Random(seed).choices
    size = len(samples)
    medians = sorted(statistics.median(draw(samples, k=size)) for _ in range(resamples))
    tail = (1 - confidence) / 2
    low = medians[math.floor(tail * (resamples - 1))]
    high = medians[math.ceil((1 - tail) * (resamples - 1))]
    median = statistics.median(samples)
    return min(low, median), max(high, median)


def ratio_interval(above: Arm, below: Arm) -> tuple[float, float, float]:
    """Return the ratio of two arms' medians with the bootstrap interval of their ratio repeat by repeat.

    The arms took turns, so the samples of one repeat saw the same machine: their ratio is steadier than
    either.
    """
    ratios = [over / under for over, under in zip(above.samples, below.samples, strict=True)]
    ratio = above.median / below.median
    low, high = bootstrap_interval(ratios)
    return ratio, min(low, ratio), max(high, ratio)


def measure(
    plans: Sequence[ArmPlan], frame: Frame, progress: Progress = lambda _label, _share: None
) -> Measurement:
    """Measure several arms against each other.

    Parameters
    ----------
    plans : sequence of ArmPlan
        The arms.
    frame : Frame
        How to measure.
    progress : callable
        Told between the runs how far this is.

    Returns
    -------
    Measurement
        The arms with median, interval and samples; the doubts.

    Raises
    ------
    UnsupportedError
        If the threads or a working clock are not to be had.
    """
    steps = len(plans) * (frame.repeat + 2)
    surroundings = _Surroundings(frame)
    operations = []
    for number, plan in enumerate(plans):
        progress(f"calibrates {_called(plan)}", 2 * number / steps)
        arm_ns = max(frame.arm_ns, plan.threads * frame.member_ns)
        operations.append(calibrate(plan, arm_ns=arm_ns, clock=frame.clock))
    done = 2 * len(plans)
    runs: list[list[TeamRun]] = [[] for _ in plans]
    for order in interleave(len(plans), frame.repeat):
        for index in order:
            progress(_called(plans[index]), done / steps)
            runs[index].append(run_team(plans[index], operations[index], clock=frame.clock))
            done += 1
    arms = tuple(_summarise(plan, ran) for plan, ran in zip(plans, runs, strict=True))
    doubts = [*surroundings.doubts(), *_core_doubts(plans, frame), *_arm_doubts(arms, runs)]
    return Measurement(arms=arms, operations=tuple(operations), warnings=tuple(doubts))


def _called(plan: ArmPlan | Arm) -> str:
    return f"{plan.name}, {plan.threads} thread{'s' if plan.threads > 1 else ''}"


def _summarise(plan: ArmPlan, runs: list[TeamRun]) -> Arm:
    if any(run.elapsed_ns == 0 for run in runs):
        raise UnsupportedError(f"the clock must advance, stood still during {runs[0].operations} operations")
    samples = tuple(plan.score(run) for run in runs)
    low, high = bootstrap_interval(samples)
    return Arm(plan.name, plan.threads, plan.unit, statistics.median(samples), low, high, samples)


def _arm_doubts(arms: Sequence[Arm], runs: Sequence[Sequence[TeamRun]]) -> Iterator[str]:
    for arm, ran in zip(arms, runs, strict=True):
        spread = (arm.high - arm.low) / abs(arm.median) if arm.median else math.inf
        if spread > _INTERVAL_LIMIT:
            yield f"unstable: the 95% interval of {_called(arm)} spans {spread:.0%} of its median"
        shortest_ns = min(run.elapsed_ns for run in ran)
        if shortest_ns < MIN_ARM_NS:
            yield f"short: a run of {_called(arm)} took {shortest_ns / 1e6:.1f} ms (50 ms or more is trusted)"


def _core_doubts(plans: Sequence[ArmPlan], frame: Frame) -> Iterator[str]:
    cores = frame.cores()
    crowded = sorted({plan.threads for plan in plans if plan.threads > cores})
    if crowded:
        counts = ", ".join(map(str, crowded))
        plural = "s" if cores > 1 else ""
        yield f"fewer cores than threads: {counts} threads share {cores} usable core{plural}"
    physical = frame.physical_cores()
    if physical is not None and physical < cores and max(plan.threads for plan in plans) > physical:
        yield f"shared cores: the {cores} usable cores are hardware threads of {physical} physical ones"


class _Surroundings:
    """What else went on while a measurement ran: other processes, the hypervisor, a clock that was set."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._load = frame.load_average()
        self._times = frame.cpu_times()
        self._clock_ns = frame.clock()
        self._wall_ns = frame.wall()

    def doubts(self) -> Iterator[str]:
        elapsed_ns = self._frame.clock() - self._clock_ns
        wall_ns = self._frame.wall() - self._wall_ns
        if abs(elapsed_ns - wall_ns) > 0.01 * elapsed_ns + 20e6:
            yield (
                f"clock: {elapsed_ns / 1e9:.2f} s by the clock were {wall_ns / 1e9:.2f} s by the time of day "
                "(clock set, or machine suspended)"
            )
        times = self._frame.cpu_times()
        if self._times is None or times is None or times.total_s <= self._times.total_s:
            yield from self._load_doubt()
        else:
            yield from _time_doubts(self._times, times)

    def _load_doubt(self) -> Iterator[str]:
        if self._load is not None and self._load > 0.5:
            yield f"other load: the load average was {self._load:.2f} before the measurement"


def _time_doubts(before: CpuTimes, after: CpuTimes) -> Iterator[str]:
    total_s = after.total_s - before.total_s
    own_s = after.own_s - before.own_s
    other = (after.busy_s - before.busy_s - own_s) / total_s
    steal = (after.steal_s - before.steal_s) / total_s
    if total_s < 1.0:  # /proc/stat counts in hundredths of a second
        return
    if other > _OTHER_LOAD_LIMIT:
        yield f"other load: other processes used {other:.0%} of the usable cores' time (limit 5%)"
    if steal > _STEAL_LIMIT:
        yield f"steal: the hypervisor took {steal:.0%} of the usable cores' time (limit 1%)"
