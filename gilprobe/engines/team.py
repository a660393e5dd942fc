"""The interface of all engines: a team of workers that repeats the same named work.

::

    work = Work("gilprobe.kernels", "spin", {"release_gil": True}, chunk=1_000_000)
    with named("spawn").start(2, work) as team:
        run = team.run(10_000_000)
"""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from gilprobe.engines import team_worker
from gilprobe.engines.channels import Channels
from gilprobe.errors import InvalidTypeError, InvalidValueError, UnsupportedError, WorkerError
from gilprobe.measuring.teams import MemberRun

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from gilprobe.engines.channels import WorkerReport
    from gilprobe.engines.team_worker import Spec

Plain = None | bool | int | float | str | bytes
"""Types of arguments of work: the same in every interpreter and process."""

WORKERS = range(1, 1001)
"""Allowed numbers of workers: their orders must fit into a pipe."""

START_S = 60.0
RUN_S = 120.0
_LEAVE_S = 30.0
_GOODBYE_S = 3.0
_LOOK_S = 1.0  # time without reports before checking that the workers are alive
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Work:
    """The work of a team: an importable function, by name.

    Attributes
    ----------
    module : str
        The function's module. Every worker imports it, so importing must be harmless.
    function : str
        Its qualified name. It is called with a number of operations.
    arguments : mapping of str to plain values
        Further arguments, by keyword.
    chunk : int or None
        Limit of operations in one call, so that a team can be cancelled between calls. None only for a
        function that ends soon by itself, since threads can't be ended otherwise; never for interpreters.
    """

    module: str
    function: str
    arguments: Mapping[str, Plain] = field(default_factory=dict)
    chunk: int | None = None

    def __post_init__(self) -> None:
        for what, name in (("module", self.module), ("function", self.function)):
            if not isinstance(name, str):
                raise InvalidTypeError(f"{what} must be a string, got {name!r}")
            if not all(part.isidentifier() for part in name.split(".")):
                raise InvalidValueError(f"{what} must be a dotted name, got {name!r}")
        if self.module == "__main__":
            raise InvalidValueError("module must be importable by other processes, got '__main__'")
        for name, value in self.arguments.items():
            _check_plain(name, value)
        if self.chunk is not None:
            _check_count("chunk", self.chunk)

    @property
    def spec(self) -> Spec:
        """Return it as plain values, whose ``repr`` is Python code."""
        return self.module, self.function, dict(self.arguments), self.chunk


@dataclass(frozen=True, slots=True)
class EngineRun:
    """One run of a team.

    Attributes
    ----------
    operations : int
        Operations of all workers together.
    opened_ns : int
        Opening of the gate, by ``time.perf_counter_ns``.
    members : tuple of MemberRun
        One per worker, in order, by the same clock.
    """

    operations: int
    opened_ns: int
    members: tuple[MemberRun, ...]

    @property
    def elapsed_ns(self) -> int:
        """Return the time from the opening of the gate to the last worker's end, nanoseconds."""
        return max(member.end_ns for member in self.members) - self.opened_ns

    @property
    def cpu_ns(self) -> int:
        """Return the CPU time of all workers together, nanoseconds."""
        return sum(member.cpu_ns for member in self.members)


class Crew(Protocol):
    """The workers of a team, as their engine knows them."""

    def hire(self, workers: int, work: Spec, channels: Channels) -> None:
        """Start the workers; return without waiting until they are ready.

        Raises
        ------
        UnsupportedError
            If the system lacks resources; :meth:`end` then ends those that were started.
        """

    def fault(self) -> str:
        """Return why no more reports can come; empty while they can."""

    def memory_per_worker(self, pids: tuple[int, ...]) -> float | None:
        """Return bytes per worker, given their processes."""

    def end(self, grace_s: float) -> bool:
        """Wait until all have left, else end them if possible; return whether all are gone."""


class Engine(Protocol):
    """A way to run work in parallel."""

    @property
    def name(self) -> str:
        """One of :data:`gilprobe.engines.NAMES`."""

    @property
    def module(self) -> str:
        """The module of the standard library that provides it; empty if none."""

    def unavailable(self) -> str:
        """Return why the engine is not available here; empty if it is."""

    def start(self, workers: int, work: Work, *, limit_s: float = START_S) -> AbstractContextManager[Team]:
        """Start a team; it ends with the ``with`` block.

        Parameters
        ----------
        workers : int
            How many.
        work : Work
            Their work.
        limit_s : float
            Time limit to become ready, seconds.

        Raises
        ------
        InvalidTypeError, InvalidValueError
            If `workers` is not an integer in :data:`WORKERS`.
        UnsupportedError
            If the engine is not available, or the system lacks resources.
        WorkerError
            If a worker can't load the work, dies, or is not ready in time.
        """


class Team:
    """Workers that are ready.

    Attributes
    ----------
    engine : str
        The engine's name.
    workers : int
        How many.
    startup_ns : int
        From the beginning of the first worker's start until the last was ready, with the function imported.
    startup_each_ns : tuple of int
        The same for each worker.
    once_ns : int
        One-time cost before that: the fork server, the resource tracker.
    """

    def __init__(self, engine: str, workers: int, channels: Channels, crew: Crew, limit_s: float) -> None:
        self.engine = engine
        self.workers = workers
        self.once_ns = 0
        self._channels = channels
        self._crew = crew
        self._lost = ""
        ready = self._collect(team_worker.READY, limit_s, "become ready")
        begun_ns = [report.numbers[0] for report in ready]
        ready_ns = [report.numbers[1] for report in ready]
        self._pids = tuple(report.numbers[2] for report in ready)
        self.startup_ns = max(ready_ns) - min(begun_ns)
        self.startup_each_ns = tuple(end - begin for begin, end in zip(begun_ns, ready_ns, strict=True))

    def run(self, operations: int, *, limit_s: float = RUN_S) -> EngineRun:
        """Have all workers do the work once, at the same time.

        Parameters
        ----------
        operations : int
            Operations per worker.
        limit_s : float
            Time limit, seconds.

        Raises
        ------
        InvalidTypeError, InvalidValueError
            If `operations` is not an integer from 1 to 2**63 - 1.
        WorkerError
            If a worker raises, dies, or has not finished in time; the team can then not be used again.
        KeyboardInterrupt
            Also if it ended a worker's work.
        """
        _check_count("operations", operations)
        if self._lost:
            raise WorkerError(self._lost)
        self._lost = f"{self.engine}: the team was interrupted in an earlier run"
        try:
            self._channels.order(operations, self.workers)
            self._collect(team_worker.ARMED, limit_s, "come to the gate")
            opened_ns = time.perf_counter_ns()
            self._channels.open_gate(self.workers)
            done = self._collect(team_worker.DONE, limit_s, "finish")
        except WorkerError as error:
            self._lost = str(error)
            raise
        self._lost = ""
        members = tuple(
            MemberRun(native_id, start_ns, end_ns, cpu_ns)
            for start_ns, end_ns, cpu_ns, native_id in (report.numbers for report in done)
        )
        return EngineRun(operations * self.workers, opened_ns, members)

    def memory_per_worker(self) -> float | None:
        """Return a worker's memory, bytes.

        Returns
        -------
        float or None
            For processes the mean of the workers' proportional set sizes (PSS), which divide pages shared
            with each other and with the forking process. For others the growth of this process's PSS since
            before the team's start, per worker: negative if it returned memory meanwhile. None if unknown.
        """
        return self._crew.memory_per_worker(self._pids)

    def _collect(self, kind: int, limit_s: float, task: str) -> list[WorkerReport]:
        """Return a report of the given kind from each worker."""
        found: dict[int, WorkerReport] = {}
        deadline = time.monotonic() + limit_s
        while len(found) < self.workers:
            left_s = deadline - time.monotonic()
            report = self._channels.next_report(min(left_s, _LOOK_S))
            if report is not None:
                self._heed(report)
                if report.kind == kind:
                    found[report.index] = report
            elif fault := self._crew.fault():
                raise WorkerError(f"{self.engine}: {fault}")
            elif left_s <= 0:
                missing = self.workers - len(found)
                raise WorkerError(
                    f"{self.engine}: workers must {task} within {limit_s:g} s, {missing} of {self.workers} "
                    "did not"
                )
        return [found[index] for index in range(self.workers)]

    def _heed(self, report: WorkerReport) -> None:
        if report.kind == team_worker.ONCE:
            self.once_ns = report.numbers[0]
        if report.kind not in (team_worker.FAILED, team_worker.DIED):
            return
        if report.text.startswith("KeyboardInterrupt"):  # Ctrl-C may end a thread's kernel first
            raise KeyboardInterrupt
        who = f"worker {report.index + 1}" if report.index >= 0 else "the process that starts the workers"
        verb = "failed: " if report.kind == team_worker.FAILED else ""
        raise WorkerError(f"{self.engine}: {who} {verb}{report.text}")


@contextmanager
def assembled(engine: Engine, crew: Crew, workers: int, work: Work, limit_s: float) -> Iterator[Team]:
    """Start a team, yield it when ready, and end it; the common part of the engines' ``start``."""
    _check_count("workers", workers)
    if workers not in WORKERS:
        raise InvalidValueError(f"workers must be between 1 and {WORKERS.stop - 1}, got {workers}")
    if reason := engine.unavailable():
        raise UnsupportedError(f"{engine.name} can't be used here: {reason}")
    channels = Channels()
    whole = False
    try:
        crew.hire(workers, work.spec, channels)
        yield Team(engine.name, workers, channels, crew, limit_s)
        whole = True
    finally:
        channels.call_off(workers)
        # Descriptors that a remaining worker still reads stay open, or it would read another file.
        gone = crew.end(_LEAVE_S if whole else _GOODBYE_S)
        if gone:
            channels.close()
    if not gone:
        raise WorkerError(f"{engine.name}: workers must leave within {_LEAVE_S:g} s, some did not")


def _check_plain(name: str, value: Plain) -> None:
    if value is not None and type(value) not in (bool, int, float, str, bytes):
        raise InvalidTypeError(f"argument {name} must be a plain value, got {type(value).__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidValueError(f"argument {name} must be finite, got {value!r}")


def _check_count(name: str, value: int) -> None:
    if type(value) is not int:
        raise InvalidTypeError(f"{name} must be an integer, got {value!r}")
    if not 1 <= value <= _LARGEST:
        raise InvalidValueError(f"{name} must be between 1 and 2**63 - 1, got {value}")
