"""Measures what a timeline costs: events a second, size on disk, time to read it back.

The events are real: threads release the GIL and take it back under a trace. Two threads hand it to each other
by turns, as fast as the hardware can. Without turns they fight for it and make many more events, few of them
handoffs, and more than the target; so there is also an arm limited to 3 million events a second. A run is
long enough to fill the ring several times over if nothing drained it.

A recording is read in its own process, timed by the clock from start to end.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

from typing import TYPE_CHECKING

import common
from common import Question, Row

from gilprobe._native import kernels
from gilprobe.tracing.recording_reader import Recording
from gilprobe.tracing.tracer import trace

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeAlias

    Work: TypeAlias = Callable[[float, list[int], int], None]
    Maker: TypeAlias = Callable[[], Work]

KIB = 1024
MIB = 1024 * KIB
SPRINT = 10_000
STEP = 500
PACE = 3e6
LEAST_RATE = 2e6
PAUSE_S = 0.01
BURST = 100_000

clock = time.perf_counter


@dataclass(frozen=True)
class Load:
    """What threads did in a run, and how much of it a recording has (without a trace nothing)."""

    elapsed_s: float
    cycles: int
    events: int = 0
    dropped: int = 0
    size: int = 0
    handoffs: int = 0

    @property
    def cycles_per_s(self) -> float:
        """Releases a second."""
        return self.cycles / self.elapsed_s

    @property
    def per_s(self) -> float:
        """Events a second that the file has."""
        return self.events / self.elapsed_s


BYTES: dict[str, list[float]] = {}
"""Bytes an event, of all recordings."""


def _wrestle(end_s: float, done: list[int], _: int) -> None:
    cycles = 0
    while clock() < end_s:
        kernels.cycle(SPRINT)
        cycles += SPRINT
    done.append(cycles)


def _paced(end_s: float, done: list[int], _: int) -> None:
    """Make half of the events a second that two threads should make."""
    cycles, begin_s = 0, clock()
    while (now_s := clock()) < end_s:
        if cycles > (now_s - begin_s) * PACE / 2:
            time.sleep(STEP / PACE)
            continue
        kernels.cycle(STEP)
        cycles += STEP
    done.append(cycles)


class _Turns:
    """Two threads that wake each other, by turns."""

    def __init__(self) -> None:
        self._locks = (threading.Lock(), threading.Lock())
        self._locks[1].acquire()

    def __call__(self, end_s: float, done: list[int], number: int) -> None:
        mine, other = self._locks[number], self._locks[1 - number]
        cycles, goes_on = 0, True
        while goes_on and mine.acquire(timeout=10.0):
            goes_on = clock() < end_s
            cycles += goes_on
            other.release()  # the last time, too: a thread that waits for its turn must see the end by itself
        done.append(cycles)


def _bare(_: str, threads: int, work: Work, duration_s: float) -> Load:
    done: list[int] = []
    start = clock()
    running = [threading.Thread(target=work, args=(start + duration_s, done, n)) for n in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return Load(clock() - start, sum(done))


def _recorded(name: str, threads: int, work: Work, duration_s: float) -> Load:
    with tempfile.TemporaryDirectory(prefix="gilprobe-") as folder:
        path = Path(folder, "load.gilprobe")
        with trace(timeline=True, path=path) as recording:
            load = _bare(name, threads, work, duration_s)
        size, read = path.stat().st_size, Recording.open(path)
        BYTES.setdefault(name, []).append(size / max(1, read.event_count))
        return Load(
            load.elapsed_s, load.cycles, read.event_count, read.dropped, size, recording.report().handoffs
        )


# Events made, target, least rate, number of threads, and method.
MAKERS: tuple[tuple[str, str, float, int, Maker], ...] = (
    ("two threads in turns, by locks", "no drop, whatever the rate", 0.0, 2, _Turns),
    ("two threads, held back", ">= 2 million without a drop", LEAST_RATE, 2, lambda: _paced),
    ("two threads, all they can", "", 0.0, 2, lambda: _wrestle),
    ("one thread, all it can", "", 0.0, 1, lambda: _wrestle),
)


def rates(options: argparse.Namespace) -> Iterator[Row]:
    """Make events as fast as the threads can, and count those in the file and those that are missing."""
    for name, target, least, threads, work in MAKERS:

        def sample(arm: int, name: str = name, threads: int = threads, work: Maker = work) -> Load:
            return (_recorded if arm else _bare)(name, threads, work(), options.work)

        bare, loads = common.in_turns(sample, 2, options.repeat)
        pace = [100 * on.cycles_per_s / off.cycles_per_s for off, on in zip(bare, loads, strict=True)]
        dropped = sum(load.dropped for load in loads)
        kept_up = dropped == 0 and statistics.median(load.per_s for load in loads) >= least
        verdict = (common.REACHED if kept_up else common.MISSED) if target else common.NO_TARGET
        share = dropped / max(1, dropped + sum(load.events for load in loads))
        yield Row(
            f"events a second: {name}",
            target,
            "/s",
            [load.per_s for load in loads],
            verdict,
            f"{dropped} dropped ({share:.2%}); cycles a second: {min(pace):.0f} .. {max(pace):.0f} % of those"
            f" without a trace; handoffs a second: {max(one.handoffs / one.elapsed_s for one in loads):.0f}",
            {
                "dropped": [load.dropped for load in loads],
                "pace": pace,
                "handoffs": [load.handoffs for load in loads],
            },
        )


def sizes(options: argparse.Namespace) -> Iterable[Row]:
    """Divide the sizes of the files by the numbers of their events."""
    if not BYTES:
        _recorded("one thread, all it can", 1, _wrestle, options.work)
        _recorded("two threads, all they can", 2, _wrestle, options.work)
    for name, samples in BYTES.items():
        yield Row(
            f"bytes an event on disk: {name}",
            "<= 16",
            "bytes",
            samples,
            common.judge(samples, lambda size: size <= 16),
            "all of the file",
        )


def _make(path: Path, events: int) -> int:
    """Record so many events of three threads, with breaks so that none is dropped; return how many."""
    with trace(timeline=True, path=path):
        for burst in range(0, events, BURST):
            maker = threading.Thread(target=kernels.cycle, args=(BURST,), name=f"maker-{burst // BURST % 3}")
            maker.start()
            maker.join()
            time.sleep(PAUSE_S)
    return Recording.open(path).event_count


def _run(command: list[str]) -> tuple[float, float]:
    """Run a process; return its seconds and its peak memory in MiB."""
    start = clock()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    elapsed_s = clock() - start
    if process.returncode != 0:
        raise RuntimeError(f"{command} ended with status {process.returncode}")
    return elapsed_s, usage.ru_maxrss * KIB / MIB


WALK = """
import sys
from gilprobe.tracing.loading import load

timeline = load(sys.argv[1]).timeline
print(sum(sum(batch.durations_ns) for batch in timeline.batches()))
"""


def loading(options: argparse.Namespace) -> Iterator[Row]:
    """Let another process read a long recording: first its totals, then each event, too."""
    with tempfile.TemporaryDirectory(prefix="gilprobe-") as folder:
        path = Path(folder, "long.gilprobe")
        events = _make(path, options.events)
        size = path.stat().st_size / MIB
        for name, command in (
            ("load and summarise", ["-m", "gilprobe", "report", str(path)]),
            ("load, and look at each event", ["-c", WALK, str(path)]),
        ):
            runs = [_run([sys.executable, "-I", *command]) for _ in range(options.repeat)]
            what = f"{name}: recording of {events / 1e6:.3g} million events"
            seconds = [elapsed_s for elapsed_s, _ in runs]
            memory = [mib for _, mib in runs]
            note = f"{size:.1f} MiB, in a new process"
            yield Row(what, "<= 5 s", "s", seconds, common.judge(seconds, lambda s: s <= 5), note)
            yield Row(
                f"{what}, peak memory",
                "<= 500 MB",
                "MiB",
                memory,
                common.judge(memory, lambda mib: mib * MIB <= 500e6),
                note,
            )


QUESTIONS = (
    Question("events a second", ">= 2 million without a drop", rates),
    Question("bytes an event on disk", "<= 16", sizes),
    Question("load and summarise", "<= 5 s, <= 500 MB", loading),
)


def main() -> int:
    """Run the benchmark."""
    made = common.parser("What does a timeline cost?", repeat=5)
    made.add_argument("--work", type=common.seconds, default=1.0, help="seconds a run (%(default)s)")
    made.add_argument(
        "--events",
        type=common.positive,
        default=10_000_000,
        help="in the recording that is read (%(default)s)",
    )
    options = made.parse_args()
    common.check_file(options, made)
    if options.quick:
        options.repeat, options.work, options.events = min(options.repeat, 2), 0.03, 200_000
    return common.main("recording", options, QUESTIONS)


if __name__ == "__main__":
    sys.exit(main())
