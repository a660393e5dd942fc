"""Measures what tracing costs.

Every comparison has runs with and without a trace (or a bare interpreter and one that imports gilprobe) by
turns, forward and back, so that a drift of the machine affects both equally. Differences and slowdowns are
those of neighbouring runs. On a loaded machine a slowdown's CPU time says more than its wall-clock time.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

from typing import TYPE_CHECKING

import common
from common import Question, Row

from gilprobe.errors import UnsupportedError
from gilprobe.measuring.measure import calibrate, interleave
from gilprobe.measuring.teams import ArmPlan, TeamRun, run_team
from gilprobe.scenarios import run
from gilprobe.tracing.tracer import trace

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

US = 1000
KIB = 1024
SAMPLE_NS = 150_000_000
clock = time.perf_counter_ns


# What is recorded. The first arm has no trace.
ARMS: tuple[Callable[[], AbstractContextManager[object]], ...] = (
    nullcontext,
    trace,
    lambda: trace(timeline=True),
)

# ---- slowdown of pure Python


def _count(steps: int) -> None:
    total = 0
    for step in range(steps):
        total += step & 7


def slowdown(options: argparse.Namespace) -> Iterator[Row]:
    """Measure how much slower pure Python computes under a trace."""
    for threads in (1, 2):
        plan = ArmPlan(name="pure Python", threads=threads, work=_count)
        steps = calibrate(plan, arm_ns=options.sample_ns)

        def sample(arm: int, plan: ArmPlan = plan, steps: int = steps) -> TeamRun:
            with ARMS[arm]():
                return run_team(plan, steps)

        off, *taken = common.in_turns(sample, 3, max(2, options.repeat))
        for name, on in zip(("sites", "sites + timeline"), taken, strict=True):
            yield _slowed(
                f"slowdown of CPU-bound pure Python, {threads} thread{'s' if threads > 1 else ''}: {name}",
                off,
                on,
            )


def _slowed(what: str, off: list[TeamRun], on: list[TeamRun]) -> Row:
    elapsed = [[one.elapsed_ns / 1e6 for one in runs] for runs in (off, on)]
    slower = common.more(*elapsed)
    by_cpu = statistics.median(common.more([one.cpu_ns for one in off], [one.cpu_ns for one in on]))
    return Row(
        what,
        "<= 1 %",
        "%",
        slower,
        common.judge_figure(statistics.median(slower), lambda one: one <= 1),
        f"by CPU time {by_cpu:+.2f} %; ms: {common.ranges(*elapsed)}",
        {"off_ms": elapsed[0], "on_ms": elapsed[1], "by_cpu_time": by_cpu},
    )


# ---- import


def _start(source: str) -> float:
    start = clock()
    subprocess.run([sys.executable, "-I", "-c", source], check=True)
    return (clock() - start) / 1e6


# A module without a file was made by a compiled one: Cython's runtime has two.
MODULES = """
import json, sys
found = [name.partition(".")[0] for name, module in sys.modules.items() if getattr(module, "__file__", None)]
json.dump(sorted(set(found)), sys.stdout)
"""


def _modules(source: str) -> set[str]:
    command = [sys.executable, "-I", "-c", source + MODULES]
    return set(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def imports(options: argparse.Namespace) -> Iterator[Row]:
    """Compare a process that imports gilprobe with one that does nothing."""
    starts = common.in_turns(lambda arm: _start(("pass", "import gilprobe")[arm]), 2, options.repeat)
    yield common.difference(
        "import gilprobe over bare start-up", "<= 15 ms", "ms", starts[0], starts[1], 15.0
    )
    bare = _modules("")  # site may have loaded others, which don't count
    foreign = sorted(_modules("import gilprobe") - bare - sys.stdlib_module_names - {"gilprobe"})
    yield Row(
        "import gilprobe: third-party modules in sys.modules",
        "none",
        "",
        [float(len(foreign))],
        common.judge_figure(len(foreign), lambda number: number == 0),
        ", ".join(foreign),
    )


# ---- the main job


def speedups(options: argparse.Namespace) -> Iterator[Row]:
    """Run the scenario whose speedups are known in advance."""
    result = run("held-vs-released", threads=(1, 2), repeat=max(2, options.scenario_repeat))
    doubts = ", ".join(sorted({warning.partition(":")[0] for warning in result.warnings}))
    details = {"warnings": list(result.warnings)}
    for name, target, low, high in (
        ("released", ">= 1.9", 1.9, float("inf")),
        ("held", "0.9 .. 1.05", 0.9, 1.05),
    ):
        two, one = result.arm(name, 2), result.arm(name, 1)
        ratios = [above / below for above, below in zip(two.samples, one.samples, strict=True)]
        speedup = result.fact(f"speedup_{name}_2")
        if result.environment.cores < 2 or (name == "held" and not result.environment.gil_enabled):
            verdict = common.NOT_TESTABLE
        else:
            verdict = common.judge_figure(speedup, lambda x, low=low, high=high: low <= x <= high)  # type: ignore[misc]
        yield Row(
            f"held-vs-released: speedup of 2 threads, {name}",
            target,
            "x",
            ratios,
            verdict,
            doubts,
            details,
            speedup,
        )


# ---- memory and single operations

CHILD = """
import json, sys, threading, time
from contextlib import nullcontext
from gilprobe import trace

threads, traced = int(sys.argv[1]), sys.argv[2] == "on"

def memory():
    fields = {}
    for name in ("status", "smaps_rollup"):
        with open(f"/proc/self/{name}") as file:
            for line in file:
                key, _, rest = line.partition(":")
                if rest.split()[1:2] == ["kB"]:
                    fields[key] = fields.get(key, 0) + int(rest.split()[0])
    return [fields["VmSize"], fields["Private_Dirty"]]

go, end = threading.Event(), threading.Event()
turns = threading.Semaphore(0)

def work():
    go.wait()
    for _ in range(20):
        time.sleep(0.0002)
    turns.release()
    end.wait()

with trace() if traced else nullcontext():
    pass  # what the first trace of a process loads is not a thread's
alive = [threading.Thread(target=work) for _ in range(threads)]
for thread in alive:
    thread.start()
before = memory()
with trace() if traced else nullcontext():
    go.set()
    for _ in alive:
        turns.acquire()
    after = memory()
    end.set()
    for thread in alive:
        thread.join()
json.dump([y - x for x, y in zip(before, after)], sys.stdout)
"""


def _growth(threads: int, traced: bool) -> tuple[float, float]:
    """Return by how many KiB a thread the address space and the private memory of a process grew."""
    if not Path("/proc/self/smaps_rollup").exists():
        raise UnsupportedError("the platform does not tell how much memory a process uses")
    command = [sys.executable, "-I", "-c", CHILD, str(threads), "on" if traced else "off"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    size, dirty = json.loads(done.stdout)
    return size / threads, dirty / threads


def memory(options: argparse.Namespace) -> Iterator[Row]:
    """Compare how processes of many threads grow without and with a trace."""
    off: list[tuple[float, float]] = []
    on: list[tuple[float, float]] = []
    for order in interleave(2, min(options.repeat, 5)):
        for index in order:
            (on if index else off).append(_growth(options.memory_threads, bool(index)))
    for index, name in enumerate(("reserved", "used: short holds and waits")):
        yield common.difference(
            f"fixed memory of a trace, {name}",
            "<= 64 KiB a thread",
            "KiB",
            [sample[index] for sample in off],
            [sample[index] for sample in on],
            64.0,
        )


SHORT_LIVED = """
import json, sys, threading, time
from contextlib import nullcontext
from gilprobe import trace

count, traced = int(sys.argv[1]), sys.argv[2] == "on"

def resident():
    with open("/proc/self/status") as file:
        (line,) = [line for line in file if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024

def live(count):
    for _ in range(count // 10):
        threads = [threading.Thread(target=int) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

with trace() if traced else nullcontext():
    live(100)  # what the first ones load is not theirs
before, start = resident(), time.perf_counter()
with trace() if traced else nullcontext() as recording:
    live(count)
    spent, grown = time.perf_counter() - start, resident() - before
missing = 0
if traced:
    threads = recording.report().threads
    missing = count // 10 * 10 + 1 - sum(thread.merged for thread in threads)
json.dump([grown, spent / count * 1e6, missing], sys.stdout)
"""


def short_lived(options: argparse.Namespace) -> Iterator[Row]:
    """Compare the growth of processes that start and end very many threads, ten at a time."""
    if not Path("/proc/self/status").exists():
        raise UnsupportedError("the platform does not tell how much memory a process uses")
    taken: tuple[list[list[float]], list[list[float]]] = ([], [])
    for order in interleave(2, min(options.repeat, 5)):
        for index in order:
            command = [sys.executable, "-I", "-c", SHORT_LIVED, str(options.short_threads)]
            done = subprocess.run(
                [*command, ("off", "on")[index]], check=True, capture_output=True, text=True
            )
            taken[index].append(json.loads(done.stdout))
    what = f"{options.short_threads:,} short threads"
    for column, (name, target, unit, limit) in enumerate(
        (("added memory", "<= 100 MiB", "MiB", 100.0), ("added time, each", "", "us", None))
    ):
        off, on = ([sample[column] for sample in samples] for samples in taken)
        yield common.difference(f"{what}: {name}", target, unit, off, on, limit)
    missing = [sample[2] for sample in taken[1]]
    yield Row(
        f"{what}: missing in the report", "0", "", missing, common.judge(missing, lambda number: number == 0)
    )


def _timed(work: Callable[[], object]) -> float:
    start = clock()
    work()
    return (clock() - start) / US


def operations(options: argparse.Namespace) -> Iterator[Row]:
    """Time the calls of a trace's user."""
    end = threading.Event()
    alive = [threading.Thread(target=end.wait) for _ in range(9)]
    times: dict[str, list[float]] = {"start": [], "report while running, 10 threads": [], "stop": []}
    for thread in alive:
        thread.start()
    try:
        for _ in range(max(10, options.repeat)):
            recording = trace()
            for name, call in zip(times, (recording.start, recording.report, recording.stop), strict=True):
                times[name].append(_timed(call))
    finally:
        end.set()
        for thread in alive:
            thread.join()
    for name, samples in times.items():
        yield Row(f"trace: {name}", "", "us", samples)


QUESTIONS = (
    Question("slowdown of CPU-bound pure Python", "<= 1 %", slowdown),
    Question("import gilprobe", "<= 15 ms over bare start-up", imports, traces=False),
    Question("held-vs-released", "released >= 1.9, held 0.9 .. 1.05", speedups, traces=False),
    Question("fixed memory of a trace", "<= 64 KiB a thread", memory),
    Question("short threads", "<= 100 MiB for 100,000", short_lived),
    Question("trace: start, report, stop", "", operations),
)


def main() -> int:
    """Run the benchmark."""
    made = common.parser("What does tracing cost?", repeat=25)
    made.add_argument(
        "--sample",
        type=common.seconds,
        default=SAMPLE_NS / 1e9,
        help="least seconds of a sample of pure Python (%(default)s)",
    )
    made.add_argument("--memory-threads", type=common.positive, default=200, help="(%(default)s)")
    made.add_argument("--short-threads", type=common.positive, default=100_000, help="(%(default)s)")
    made.add_argument(
        "--scenario-repeat", type=common.positive, default=5, help="of held-vs-released (%(default)s)"
    )
    options = made.parse_args()
    common.check_file(options, made)
    if options.quick:
        options.repeat, options.sample = min(options.repeat, 2), 0.01
        options.memory_threads, options.short_threads, options.scenario_repeat = 20, 2000, 2
    options.sample_ns = int(options.sample * 1e9)
    return common.main("overhead", options, QUESTIONS)


if __name__ == "__main__":
    sys.exit(main())
