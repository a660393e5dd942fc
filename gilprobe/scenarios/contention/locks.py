"""How long threads wait for a lock that each of them holds for a tenth, a third or most of its time.

Each thread takes the lock, keeps it for some time, releases it, and does something else for some time, all of
it random. Such a loop of N threads around one lock is the oldest model of queueing theory, N machines and one
repairman: from how long the lock is held and how long not, mean value analysis tells how long a thread waits.
It is more than one would guess: two threads that each have a lock for 30 % of their own time already wait for
8 % of it, four for 28 %.

Threads keep the lock, and leave it alone, by sleeping: neither cores nor the GIL play a part. A trace of
locks must tell each thread's waits as that thread's clock does.
"""

from __future__ import annotations

import math
import random
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from gilprobe import kernels
from gilprobe.measuring.measure import Trial
from gilprobe.measuring.teams import ArmPlan, run_team
from gilprobe.model.locks import LOCK
from gilprobe.results import Fact, Law, fact_name
from gilprobe.scenarios.laws import Scale, claim, sampled, untestable, verdict, within_law
from gilprobe.scenarios.scenario import Findings, Request, Scenario, observe_trials

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gilprobe.measuring.teams import Clock
    from gilprobe.report import Report

HELD = (0.1, 0.3, 0.7)
"""Shares of a thread's own time in which it has the lock; a quick run has the middle one."""

SIZES = 2
"""Numbers of threads, the smallest ones above 1."""

HOLD_NS = 500_000
"""Mean length of a hold: the kernel ends a sleep some 60 microseconds late, which counts as held."""

ARMS = 2
"""Length of a run, as a multiple of that of an arm: it must have enough holds for a mean."""

TOLERANCE, POINTS = 0.10, 0.02
"""Wait by the law: so much of it, and so much of the threads' time, may it differ. Sleeps that end late are
less random than the law takes them for."""

CLOCKS_POINTS = 0.005
"""Of a thread's time: so much may the trace differ from the thread's own clock."""

EXPECTED = "by the law"
"""Name of the metric."""

_QUANTILES = 64


@dataclass(frozen=True, slots=True)
class Member:
    """What one thread did, by its own clock, nanoseconds."""

    native_id: int
    life_ns: int
    wait_ns: int
    hold_ns: int
    cycles: int


@dataclass(frozen=True, slots=True)
class LockRun:
    """What all threads of one run did."""

    members: tuple[Member, ...]

    @property
    def wait_share(self) -> float:
        """Share of the threads' time in which they waited for the lock."""
        return self._sum("wait_ns") / self._sum("life_ns")

    @property
    def expected_share(self) -> float:
        """The same by the law, from how long they held the lock and did something else."""
        cycles = max(1, self._sum("cycles"))
        hold_ns = self._sum("hold_ns") / cycles
        rest_ns = (self._sum("life_ns") - self._sum("wait_ns") - self._sum("hold_ns")) / cycles
        return wait_share(len(self.members), hold_ns, max(0.0, rest_ns))

    def _sum(self, name: str) -> int:
        return sum(getattr(member, name) for member in self.members)


def wait_share(threads: int, hold: float, rest: float) -> float:
    """Return the share of their time that threads wait for one lock, by mean value analysis.

    Reiser and Lavenberg, "Mean-Value Analysis of Closed Multichain Queuing Networks", Journal of the ACM 27
    (2), 1980: a thread that arrives finds what a system of one thread fewer has on average. Holds are
    exponentially distributed; what else threads do may last however long.

    Parameters
    ----------
    threads : int
        Number of threads.
    hold, rest : float
        Mean time with the lock, and between two of them, in the same unit.
    """
    at_lock = response = 0.0
    for number in range(1, threads + 1):
        response = hold * (1 + at_lock)
        at_lock = number * response / (response + rest)
    return (response - hold) / (response + rest)


class _Play:
    """One run: all threads take the lock over and over until its end."""

    def __init__(self, held: float, length_ns: int, seed: int, clock: Clock) -> None:
        self._rest_ns = HOLD_NS * (1 - held) / held
        self._length_ns = length_ns
        self._seeds = random.Random(seed)
        self._clock = clock
        self._guard = threading.Lock()
        self.members: list[Member] = []
        self.lock = threading.Lock()

    def play(self, _operations: int) -> None:
        with self._guard:
            lengths = _lengths(random.Random(self._seeds.random()))
        clock, lock = self._clock, self.lock
        start_ns = clock()
        kernels.sleep(int(next(lengths) * self._rest_ns), release_gil=True)
        wait_ns = hold_ns = cycles = 0
        now_ns = start_ns
        while now_ns - start_ns < self._length_ns:
            asked_ns = clock()
            with lock:
                taken_ns = clock()
                kernels.sleep(int(next(lengths) * HOLD_NS), release_gil=True)
                given_ns = clock()
            wait_ns += taken_ns - asked_ns
            hold_ns += given_ns - taken_ns
            cycles += 1
            kernels.sleep(int(next(lengths) * self._rest_ns), release_gil=True)
            now_ns = clock()
        member = Member(threading.get_native_id(), now_ns - start_ns, wait_ns, hold_ns, cycles)
        with self._guard:
            self.members.append(member)


def _lengths(draw: random.Random) -> Iterator[float]:
    """Yield exponentially distributed numbers of mean 1: the distribution's quantiles in random order."""
    numbers = [-math.log(1 - (index + 0.5) / _QUANTILES) for index in range(_QUANTILES)]
    whole = sum(numbers) / _QUANTILES
    while True:
        draw.shuffle(numbers)
        yield from (number / whole for number in numbers)


def contend(held: float, threads: int, length_ns: int, seed: int, clock: Clock) -> LockRun:
    """Let threads contend for a lock, and return what each of them did."""
    game = _Play(held, length_ns, seed, clock)
    run_team(ArmPlan("locks", threads, game.play), 1, clock=clock)
    return LockRun(tuple(game.members))


@dataclass(frozen=True, slots=True)
class LockPlan:
    """One arm: how much each thread holds the lock, and how many threads there are."""

    held: float
    threads: int

    @property
    def name(self) -> str:
        """The arm's name."""
        return f"held {self.held:.0%}"


class _Plays:
    """Runs of one arm, each with other random numbers, and the last one."""

    def __init__(self, plan: LockPlan, request: Request) -> None:
        self._plan = plan
        self._request = request
        self._runs = 0
        self.last: LockRun | None = None

    def run(self) -> Mapping[str, float]:
        frame = self._request.frame
        self._runs += 1
        seed = self._runs * 1000 + self._plan.threads
        length_ns = ARMS * frame.arm_ns
        self.last = contend(self._plan.held, self._plan.threads, length_ns, seed, frame.clock)
        return {"": self.last.wait_share, EXPECTED: self.last.expected_share}


def measure(request: Request) -> Findings:
    """Measure the waits for a lock that each thread holds for some of its time."""
    shares = HELD[1:2] if request.quick else HELD
    sizes = [size for size in request.threads if size > 1][:SIZES] or [2]
    plans = [LockPlan(held, size) for held in shares for size in sizes]
    plays = [_Plays(plan, request) for plan in plans]
    units = {"": "share", EXPECTED: "share"}
    trials = [
        Trial(plan.name, plan.threads, units, partial(_Plays.run, play))
        for plan, play in zip(plans, plays, strict=True)
    ]
    seen = observe_trials(request.tracing_locks(), trials, warm_up=False)
    arms = {(arm.name, arm.threads): arm for arm in seen.measurement.arms}
    facts: list[Fact] = []
    laws: list[Law] = []
    for number, (plan, play) in enumerate(zip(plans, plays, strict=True)):
        measured = arms[plan.name, plan.threads]
        expected = arms[f"{plan.name}, {EXPECTED}", plan.threads]
        facts.append(Fact(fact_name("wait_share", plan.name.rstrip("%"), plan.threads), measured.median, ""))
        laws.append(_law(plan, measured.samples, expected.samples))
        if seen.traces and play.last is not None:
            worst = worst_difference(seen.traces[number].report, play.last)
            facts.append(Fact(fact_name("traced_differs", plan.name.rstrip("%"), plan.threads), worst, ""))
            laws.append(_trace_law(plan, worst))
    if not seen.traces:
        expected_text = f"<= {_points(CLOCKS_POINTS)}"
        laws.append(
            untestable("the trace agrees with each thread's clock", expected_text, request.trace_locks_reason)
        )
    # Without a GIL a trace has no holds and waits that the table of an arm's threads could show.
    traces = seen.traces if request.gil_enabled else ()
    return Findings(tuple(arms.values()), tuple(facts), tuple(laws), traces, _doubts(seen.warnings))


def _doubts(warnings: tuple[str, ...]) -> tuple[str, ...]:
    """Drop the doubts about spread: waits are random, and the law is judged by differences run by run."""
    return tuple(text for text in warnings if not text.startswith("unstable:"))


def _points(share: float) -> str:
    return f"{100 * share:+.2f} points" if share < 0 else f"{100 * share:.2f} points"


POINTS_SCALE = Scale("share", _points)


def _law(plan: LockPlan, measured: tuple[float, ...], expected: tuple[float, ...]) -> Law:
    middle = sorted(expected)[len(expected) // 2]
    allowed = TOLERANCE * middle + POINTS
    differences = [one - other for one, other in zip(measured, expected, strict=True)]
    text = f"{plan.name}: threads wait {middle:.1%} of their time, measured less that, {plan.threads} threads"
    return within_law(text, sampled(differences), -allowed, allowed, POINTS_SCALE)


def worst_difference(report: Report, played: LockRun) -> float:
    """Return by how much a trace and a thread's own clock differ at most, as a share of its time."""
    traced = {member.native_id: 0 for member in played.members}
    for row in report.lock_waits or ():
        # Not the gate behind which a team starts, which is in another file.
        if (report.locks or ())[row.lock].kind == LOCK and row.waiter_filename == __file__:
            traced[row.waiter_id] = traced.get(row.waiter_id, 0) + row.wait_ns
    return max(abs(traced[one.native_id] - one.wait_ns) / one.life_ns for one in played.members)


def _trace_law(plan: LockPlan, worst: float) -> Law:
    return Law(
        f"{plan.name}: the trace agrees with each thread's clock, {plan.threads} threads",
        f"<= {_points(CLOCKS_POINTS)}",
        f"{_points(worst)} at worst",
        verdict(worst <= CLOCKS_POINTS),
        claim(worst, 0.0, CLOCKS_POINTS, "share", about=plan.name),
    )


SCENARIO = Scenario(
    id="locks",
    title="How long threads wait for a lock that each holds for 10, 30 or 70 % of its time",
    group="contention",
    measure=measure,
    ceiling_s=90.0,
)
