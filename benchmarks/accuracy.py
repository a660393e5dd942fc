"""Measures how exact the holds and waits of the tracer are.

The reference is CLOCK_MONOTONIC, read by the measured threads themselves, never by the tracer.

**Lifetimes.** A thread's first and last actions read the clock. Its creator reads it before it starts the
thread, and after the operating system no longer has it. The lifetime in the report must lie between the two
spans, and hold + wait + off must equal it.

**Holds and waits.** `kernels.alternate` measures its own holds, releases and acquisitions. The code around it
in its thread (start-up, barrier) holds the GIL too, so each thread reads its own account right before and
right after the kernel. The difference is the kernel and its *surroundings*: some 10 us of Python and of the
reading itself, all of it a hold. Their length is the difference of the lifetimes minus the sum of the
kernel's four intervals. Counts check that they were held throughout: the kernel makes one acquisition a cycle
and no forced release. A run with other counts was interrupted, and is repeated. The row "control" is the same
with one empty cycle: its result is the error of the method.

The kernel reads the clock outside of the interpreter's functions, the tracer inside. So in one uncontended
cycle, some 20 ns before the release and after the acquisition are a hold for the tracer but not for the
kernel.

If a request is pending, a release takes until the other thread has the GIL. For the tracer this is off, for
the kernel it is part of `release_ns`. Hence two grids: one with the switch interval out of reach, so that
there is no request; one with the usual interval, where the wait must still be `reacquire_ns`.

**Spinners.** Pure Python never releases the GIL by itself: there should be no off time.

Errors that come from a loaded machine are not removed: see the doubts below the table, and the number of
preemptions in the notes.
"""

from __future__ import annotations

import os
import random
import resource
import statistics
import sys
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

from typing import TYPE_CHECKING

import common
from common import Question, Row

from gilprobe import kernels
from gilprobe._native import tracer
from gilprobe.tracing.assembling import TracePart
from gilprobe.tracing.tracer import trace

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator

    from gilprobe._native.recording import _Snapshot

US = 1000
MS = 1000_000
GRAINS = (10 * US, 100 * US, 1 * MS, 10 * MS)
THREADS = (1, 2, 4)
OUT_OF_REACH_S = 3600.0
ATTEMPTS = 10
clock = time.monotonic_ns


@dataclass(frozen=True)
class Account:
    """One thread's account, or the difference of two. Nanoseconds."""

    lifetime: int
    hold: int
    wait: int
    off: int
    acquisitions: int
    forced: int

    def __sub__(self, other: Account) -> Account:
        return Account(
            self.lifetime - other.lifetime,
            self.hold - other.hold,
            self.wait - other.wait,
            self.off - other.off,
            self.acquisitions - other.acquisitions,
            self.forced - other.forced,
        )


def share_held(snapshot: _Snapshot) -> float:
    """Return all holds as a share of the wall-clock time."""
    held_ns = sum(account["hold_ns"] for account in snapshot["accounts"])
    return held_ns / snapshot["totals"]["elapsed_ns"]


def own_account(session: tracer.Session) -> Account:
    """Return the calling thread's account up to now.

    Read from the native session: Trace.report asks threading for names, which takes a lock.
    """
    native_id = threading.get_native_id()
    accounts = TracePart.decode(*session.read()[0]).snapshot["accounts"]
    for account in reversed(accounts):
        if account["native_id"] == native_id:
            return Account(
                account["lifetime_ns"],
                account["hold_ns"],
                account["wait_ns"],
                account["off_ns"],
                account["acquisitions"],
                account["forced_releases"],
            )
    raise RuntimeError("the calling thread has no account")


def preemptions() -> int:
    """Return how often the calling thread was preempted."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


@contextmanager
def switch_interval(interval_s: float | None) -> Iterator[None]:
    """Set the switch interval for a while; None leaves it."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(before if interval_s is None else interval_s)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def run_threads(work: Callable[[], None], count: int) -> None:
    """Run `work` in threads that begin together, and raise what one of them raised."""
    barrier = threading.Barrier(count)
    errors: list[BaseException] = []

    def member() -> None:
        try:
            barrier.wait()
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=member) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


# ---- lifetimes


def _python(duration_s: float) -> None:
    end = clock() + int(duration_s * 1e9)
    count = 0
    while clock() < end:
        count += 1


def _pipe(duration_s: float) -> None:
    readable, writable = os.pipe()
    end = clock() + int(duration_s * 1e9)
    while clock() < end:
        os.write(writable, b"x")
        os.read(readable, 1)
    os.close(readable)
    os.close(writable)


_shared_lock = threading.Lock()


def _lock(duration_s: float) -> None:
    end = clock() + int(duration_s * 1e9)
    while clock() < end:
        with _shared_lock:
            time.sleep(0)


WORKLOADS: dict[str, Callable[[float], object]] = {
    "pure Python": _python,
    "held kernel": lambda s: kernels.spin(int(s * 5e8)),
    "released kernel": lambda s: kernels.spin(int(s * 5e8), release_gil=True),
    "alternate": lambda s: kernels.alternate(int(s * 1e4), held_ns=50_000, released_ns=50_000),
    "sleep": time.sleep,
    "pipe": _pipe,
    "contended lock": _lock,
    "short threads": lambda _: None,
}


@dataclass(frozen=True)
class Span:
    """A thread's life by CLOCK_MONOTONIC: at least `inner_ns`, at most `outer_ns`."""

    inner_ns: int
    outer_ns: int


def live(workload: str, duration_s: float, threads: int) -> list[tuple[str, Span, int, int]]:
    """Run a workload; return (who, span, lifetime by the report, hold + wait + off) of every thread."""
    work = WORKLOADS[workload]
    begins: dict[int, int] = {}
    inner: dict[int, int] = {}
    outer: dict[int, int] = {}

    def member(before: int) -> None:
        first = clock()
        native_id = threading.get_native_id()
        begins[native_id] = before
        work(duration_s)
        inner[native_id] = clock() - first

    before_trace = clock()
    recording = trace().start()
    inside_trace = clock()
    team = 1 if workload == "short threads" else threads
    for _ in range(0, threads, team):
        alive = [threading.Thread(target=member, args=(clock(),)) for _ in range(team)]
        for thread in alive:
            thread.start()
        for thread in alive:
            thread.join()
            native_id = thread.native_id or 0
            # Thread.join may return a little before the thread is gone.
            while Path(f"/proc/self/task/{native_id}").exists():
                time.sleep(0.0001)
            outer[native_id] = clock() - begins[native_id]
    ending = clock()
    report = recording.stop()
    after_trace = clock()
    spans = {native_id: Span(inner[native_id], outer[native_id]) for native_id in inner}
    spans[threading.get_native_id()] = Span(ending - inside_trace, after_trace - before_trace)
    return [
        (
            account.name,
            spans[account.native_id],
            account.lifetime_ns,
            account.hold_ns + account.wait_ns + account.off_ns,
        )
        for account in report.threads
        if account.native_id in spans
    ]


def lifetimes(options: argparse.Namespace) -> Iterator[Row]:
    """Compare sums and lifetimes."""
    duration_s = options.work / 4
    target = "<= 1 us + 1e-6 of the lifetime"
    for workload in WORKLOADS:
        sums, outside, widths, shares = [], [], [], []
        missing = 0
        threads = 200 if workload == "short threads" else 3
        for _ in range(options.repeat):
            lives = live(workload, duration_s, threads)
            missing += threads + 1 - len(lives)
            allowed = [1000 + 1e-6 * span.outer_ns for _, span, _, _ in lives]
            wrong = [abs(total - life) for _, _, life, total in lives]
            out = [max(0, span.inner_ns - life, life - span.outer_ns) for _, span, life, _ in lives]
            sums.append(float(max(wrong)))
            outside.append(float(max(out)))
            shares.append(max(a / b for a, b in zip(map(max, wrong, out), allowed, strict=True)))
            widths.append(statistics.median(span.outer_ns - span.inner_ns for _, span, _, _ in lives))
        yield Row(
            f"hold + wait + off against lifetime: {workload}",
            target,
            "ns",
            sums,
            common.judge(shares, lambda share: share <= 1),
            f"lifetime outside of its bounds by {max(outside):.0f} ns at most; they are "
            f"{statistics.median(widths) / US:.0f} us apart" + (f"; {missing} missing" if missing else ""),
            {"outside_ns": outside, "bounds_apart_ns": widths, "missing_threads": missing},
        )


# ---- holds and waits


@dataclass(frozen=True)
class Part:
    """The same time by one thread's kernel and by its account. Nanoseconds a cycle."""

    cycles: int
    booked: Account
    spent: kernels.Alternation
    preemptions: int

    @property
    def inside(self) -> int:
        """The kernel's time."""
        spent = self.spent
        return spent.held_ns + spent.release_ns + spent.released_ns + spent.reacquire_ns

    @property
    def surroundings(self) -> int:
        """Time between the two readings of the account that was not the kernel's."""
        return self.booked.lifetime - self.inside

    @property
    def cut(self) -> bool:
        """Whether the surroundings were more than one hold."""
        return self.booked.forced != 0 or self.booked.acquisitions != self.cycles

    @property
    def hold_error(self) -> float:
        """Booked hold minus true hold, a cycle."""
        return (self.booked.hold - self.spent.held_ns - self.surroundings) / self.cycles

    @property
    def wait_error(self) -> float:
        """Booked wait minus `reacquire_ns`, a cycle."""
        return (self.booked.wait - self.spent.reacquire_ns) / self.cycles

    def hold_allowed(self) -> float:
        """Return the allowed error, a cycle."""
        return 0.01 * self.spent.held_ns / self.cycles + 100

    def wait_allowed(self) -> float:
        """Return the allowed error, a cycle."""
        return 0.01 * self.spent.reacquire_ns / self.cycles + 100


def alternate(threads: int, cycles: int, held_ns: int, released_ns: int) -> tuple[list[Part], float]:
    """Run the kernel in some threads at once; return their parts, and all holds as a share of the wall."""
    parts: list[Part] = []
    session = tracer.Session()

    def member() -> None:
        preempted = preemptions()
        before = own_account(session)
        spent = kernels.alternate(cycles, held_ns=held_ns, released_ns=released_ns)
        after = own_account(session)
        parts.append(Part(cycles, after - before, spent, preemptions() - preempted))

    run_threads(member, threads)
    session.stop()
    snapshot = TracePart.decode(*session.read()[0]).snapshot
    return parts, share_held(snapshot)


Cell = tuple[float | None, int, int]
"""Switch interval to set (None: as it is), threads, grain."""


class Grid:
    """All runs of `alternate`: made once, asked by several questions."""

    def __init__(self) -> None:
        self.runs: dict[Cell, list[list[Part]]] = defaultdict(list)
        self.shares: list[float] = []
        self.cut = 0

    def fill(self, options: argparse.Namespace) -> None:
        """Make the runs, in an order of their own in each repeat."""
        if self.runs:
            return
        cells = [(s, t, g) for s in (OUT_OF_REACH_S, None) for t in THREADS for g in options.grains]
        draw = random.Random(options.seed)
        for number in range(options.repeat):
            draw.shuffle(cells)
            for cell in cells:
                common.progress(f"alternate, repeat {number + 1} of {options.repeat}: {_called(cell)}")
                self.runs[cell].append(self._run(cell, options.work))

    def cells(self) -> list[Cell]:
        """Return the cells in the order of the table: without requests first."""
        return sorted(self.runs, key=lambda cell: (cell[0] is None, cell[1:]))

    def _run(self, cell: Cell, work_s: float) -> list[Part]:
        interval_s, threads, grain = cell
        cycles = max(10, int(work_s * 1e9 / (2 * grain)))
        for _ in range(ATTEMPTS):
            with switch_interval(interval_s):
                parts, share = alternate(threads, cycles, grain, grain)
            self.shares.append(share)
            if not any(part.cut for part in parts):
                return parts
            self.cut += 1
        raise RuntimeError(f"all {ATTEMPTS} runs of {_called(cell)} were cut: this machine is too busy")


GRID = Grid()


def _called(cell: Cell) -> str:
    interval_s, threads, grain = cell
    interval = "own interval" if interval_s is None else "no requests"
    return f"{threads} thread{'s' if threads > 1 else ''}, {grain // US} us, {interval}"


def _compare(
    what: str, cells: list[Cell], error: Callable[[Part], float], allowed: Callable[[Part], float]
) -> Iterator[Row]:
    for cell in cells:
        runs = GRID.runs[cell]
        # the worst thread of each run
        worst = [max(parts, key=lambda part: abs(error(part)) / allowed(part)) for parts in runs]
        shares = [abs(error(part)) / allowed(part) for part in worst]
        cycles = worst[0].cycles
        of_cycle = max(abs(error(part)) * cycles / part.inside for part in worst)
        median = {
            "hold_ns": statistics.median(part.spent.held_ns / cycles for part in worst),
            "release_ns": statistics.median(part.spent.release_ns / cycles for part in worst),
            "reacquire_ns": statistics.median(part.spent.reacquire_ns / cycles for part in worst),
            "allowed_ns": statistics.median(map(allowed, worst)),
            "share_of_allowed": statistics.median(shares),
            "worst_share_of_allowed": max(shares),
            "worst_share_of_cycle": of_cycle,
            "surroundings_ns": statistics.median(part.surroundings / cycles for part in worst),
            "preemptions": sum(part.preemptions for parts in runs for part in parts),
        }
        yield Row(
            f"{what}: {_called(cell)}",
            "within 1 % + 0.1 us a cycle",
            "ns/cycle",
            [error(part) for part in worst],
            common.judge(shares, lambda share: share <= 1),
            f"{max(shares):.0%} of what is allowed, {of_cycle:.2%} of the cycle at worst; {_shown(median)}",
            median,
        )


def _shown(median: dict[str, float]) -> str:
    """Return the parts of a cycle of the worst thread, medians of the repeats."""
    parts = ", ".join(f"{name} {median[name + '_ns'] / US:.2f}" for name in ("hold", "release", "reacquire"))
    return f"a cycle: {parts} us; {median['preemptions']:.0f} preemptions"


def holds(options: argparse.Namespace) -> Iterator[Row]:
    """Compare the hold with the kernel's."""
    GRID.fill(options)
    yield from _compare("hold against held_ns", GRID.cells(), lambda part: part.hold_error, Part.hold_allowed)


def waits(options: argparse.Namespace) -> Iterator[Row]:
    """Compare the wait with the kernel's acquisition."""
    GRID.fill(options)
    yield from _compare(
        "wait against reacquire_ns", GRID.cells(), lambda part: part.wait_error, Part.wait_allowed
    )


def control(options: argparse.Namespace) -> Iterator[Row]:
    """Measure the error of the method: one empty cycle."""
    errors: dict[str, list[float]] = {"hold": [], "wait": []}
    around = []
    for _ in range(max(20, options.repeat)):
        (part,), _ = alternate(1, 1, 0, 0)
        errors["hold"].append(part.hold_error)
        errors["wait"].append(part.wait_error)
        around.append(float(part.surroundings))
    for name, samples in errors.items():
        yield Row(f"control: {name} error of one empty cycle", "", "ns", samples)
    yield Row("control: surroundings", "", "ns", around, note="in the whole run, not in each cycle")


# ---- spinners


@dataclass(frozen=True)
class Spun:
    """One spinner's own time, and how it was booked. Nanoseconds."""

    running: int
    booked: Account
    preemptions: int

    @property
    def share(self) -> float:
        """Hold + wait without the surroundings, as a share of the running time."""
        surroundings = self.booked.lifetime - self.running
        return (self.booked.hold + self.booked.wait - surroundings) / self.running


def spin(threads: int, duration_s: float) -> tuple[list[Spun], float]:
    """Let threads spin in pure Python; return them, and all holds as a share of the wall."""
    spun: list[Spun] = []
    session = tracer.Session()

    def member() -> None:
        preempted = preemptions()
        before = own_account(session)
        first = clock()
        _python(duration_s)
        running = clock() - first
        after = own_account(session)
        spun.append(Spun(running, after - before, preemptions() - preempted))

    run_threads(member, threads)
    session.stop()
    snapshot = TracePart.decode(*session.read()[0]).snapshot
    return spun, share_held(snapshot)


def spinners(options: argparse.Namespace) -> Iterator[Row]:
    """Check whether pure Python is ever off."""
    for threads, least in ((1, 0.995), (2, 0.995), (4, 0.99)):
        shares, preempted = [], 0
        for _ in range(options.repeat):
            spun, held = spin(threads, options.work)
            GRID.shares.append(held)
            preempted += sum(one.preemptions for one in spun)
            shares.append(min(one.share for one in spun))
        yield Row(
            f"{threads} pure-Python spinner{'s' if threads > 1 else ''}: hold + wait of the running time",
            f">= {100 * least:g} %",
            "%",
            [100 * share for share in shares],
            common.judge(shares, lambda share, least=least: share >= least),  # type: ignore[misc]
            f"of the worst thread; {preempted} preemptions",
        )


def held_sum(options: argparse.Namespace) -> Iterable[Row]:
    """Compare all holds with the wall time, over every run above."""
    if not GRID.shares:
        GRID.shares.extend(spin(2, options.work)[1] for _ in range(options.repeat))
    yield Row(
        "sum of all holds against wall time",
        "<= 100.1 %",
        "%",
        [100 * share for share in GRID.shares],
        common.judge(GRID.shares, lambda share: share <= 1.001),
        f"{len(GRID.shares)} runs; {GRID.cut} of them done again, since the surroundings were cut",
    )


QUESTIONS = (
    Question("hold + wait + off against lifetime", "<= 1 us + 1e-6 of the lifetime", lifetimes),
    Question("control", "", control),
    Question("hold against held_ns", "within 1 % + 0.1 us a cycle", holds),
    Question("wait against reacquire_ns", "within 1 % + 0.1 us a cycle", waits),
    Question("pure-Python spinners", ">= 99.5 % (four: 99 %)", spinners),
    Question("sum of all holds against wall time", "<= 100.1 %", held_sum),
)


def main() -> int:
    """Run the benchmark."""
    made = common.parser("How exact are the holds and waits of the tracer?", repeat=5)
    made.add_argument("--work", type=common.seconds, default=0.4, help="seconds a run (%(default)s)")
    options = made.parse_args()
    common.check_file(options, made)
    options.grains = GRAINS
    if options.quick:
        options.repeat, options.work, options.grains = min(options.repeat, 2), 0.02, GRAINS[:2]
    return common.main("accuracy", options, QUESTIONS)


if __name__ == "__main__":
    sys.exit(main())
