"""Run teams of threads that start together and do the same work, timed from first start to last end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from queue import SimpleQueue

from gilprobe.errors import InvalidTypeError, InvalidValueError, UnsupportedError

Clock = Callable[[], int]
"""Nanoseconds since some moment; must not go backwards."""

MemberWork = Callable[[int], object]
"""Does so many operations. All members of a team call it at once."""

THREADS = range(1, 1025)
"""Allowed sizes of a team."""

_GOODBYE_S = 2.0


def check_threads(threads: Iterable[int]) -> tuple[int, ...]:
    """Return the sizes of teams in rising order, each once, and 1 always: speedup needs it.

    Raises
    ------
    InvalidTypeError
        If `threads` is not a sequence of integers.
    InvalidValueError
        If it is empty, or a size is out of range.
    """
    if isinstance(threads, str | bytes) or not isinstance(threads, Iterable):
        raise InvalidTypeError(f"threads must be a sequence of integers, got {ascii(threads)[:60]}")
    sizes = tuple(threads)
    if not sizes:
        raise InvalidValueError("threads must contain at least one number, got none")
    for size in sizes:
        if type(size) is not int:
            raise InvalidTypeError(f"threads must be integers, got {ascii(size)[:60]}")
        if size not in THREADS:
            raise InvalidValueError(f"threads must be between {THREADS[0]} and {THREADS[-1]}, got {size}")
    return tuple(sorted({1, *sizes}))


@dataclass(frozen=True, slots=True)
class MemberRun:
    """One member's part in a run: start and end by the settings' clock, and CPU time."""

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
        Operations of all members together.
    members : tuple of MemberRun
        One per member.
    """

    operations: int
    members: tuple[MemberRun, ...]

    @property
    def elapsed_ns(self) -> int:
        """Return the time from the first member's start to the last member's end, nanoseconds."""
        return max(member.end_ns for member in self.members) - min(member.start_ns for member in self.members)

    @property
    def cpu_ns(self) -> int:
        """Return the CPU time of all members together, nanoseconds."""
        return sum(member.cpu_ns for member in self.members)


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
        Does the given number of operations.
    unit : str
        Unit of the score.
    score : callable
        Turns a run into the arm's number; default: operations a second.
    chunk : int or None
        Limit of operations in one call of `work`, so that a team can be cancelled; None if `work` itself ends
        when interrupted.
    """

    name: str
    threads: int
    work: MemberWork
    unit: str = "operations/s"
    score: Callable[[TeamRun], float] = throughput
    chunk: int | None = None


class _ThreadTeam:
    """Threads that start together, do the same work once, and can be cancelled at any moment."""

    def __init__(self, plan: ArmPlan, operations: int, clock: Clock) -> None:
        self._plan = plan
        self._operations = operations
        self._clock = clock
        self._lock = threading.Lock()
        self._arrived = 0
        self._ended = 0
        self._ready: SimpleQueue[None] = SimpleQueue()
        self._finished: SimpleQueue[None] = SimpleQueue()
        # A lock for each member, not a Barrier: releasing all locks takes microseconds, while the members of
        # a Barrier wake one after another, and each needs the GIL that the first may hold for long.
        self._gates = [threading.Lock() for _ in range(plan.threads)]
        for gate in self._gates:
            gate.acquire()
        self._members: list[MemberRun] = []
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
        return TeamRun(operations=self._operations * self._plan.threads, members=tuple(self._members))

    def _open_gates(self) -> None:
        while self._gates:
            self._gates.pop().release()

    def _dismiss(self, members: list[threading.Thread], *, whole: bool) -> None:
        """End all members; one that does not react after an interruption stays as a daemon."""
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
        except BaseException as error:  # run() raises it again
            with self._lock:
                self._error = self._error or error
            self._off = True
        end_ns = self._clock()
        member = MemberRun(native_id, start_ns, end_ns, time.thread_time_ns() - cpu_ns)
        with self._lock:
            self._members.append(member)
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
        Times every member's start and end.

    Returns
    -------
    TeamRun
        Its times.

    Raises
    ------
    UnsupportedError
        If the system can't start so many threads, or the clock went backwards.
    BaseException
        The first that a member raised; the others are cancelled.
    """
    run = _ThreadTeam(plan, operations, clock).run()
    if run.elapsed_ns < 0:
        raise UnsupportedError(f"the clock must not go backwards, it did by {-run.elapsed_ns} ns")
    return run
