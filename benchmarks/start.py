"""Measure what a trace costs that records nothing: start, stop and report, whole processes, and memory.

Processes with and without gilprobe take turns, so that the machine's drift affects all equally. Wall time
is what a user waits for; CPU time is the better figure on a machine that does other work, too. Memory is what
the process has for itself in RAM, as Linux counts it (``/proc/self/smaps_rollup``).
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

from common import NO_TARGET, Question, Row, check_file, in_turns, judge_figure, main, parser, shown

from gilprobe.errors import UnsupportedError
from gilprobe.model.confidence import bootstrap_interval

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

START_LIMIT_MS, RECORD_LIMIT_MS, CHILD_LIMIT_MS, MEMORY_LIMIT_KIB = 8.0, 60.0, 25.0, 1024.0
CHILDREN = 5
QUICK = 2

EMPTY = """
import threading, time
def lasts():
    began = time.process_time(), time.perf_counter()
    import gilprobe
    with gilprobe.trace() as trace:
        pass
    trace.report()
    return [1e3 * (now - then) for now, then in zip((time.process_time(), time.perf_counter()), began)]
first = lasts()
print(*first, *min(lasts() for _ in range(20)))
"""

PARENT = f"""
import resource, subprocess, sys
def used():
    times = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e3 * (times.ru_utime + times.ru_stime)
subprocess.run([sys.executable, "-c", "pass"], check=True)
before = used()
for _ in range({CHILDREN}):
    subprocess.run([sys.executable, "-c", "pass"], check=True)
print((used() - before) / {CHILDREN})
"""

MEMORY = """
import sys, threading, time
import gilprobe
def kib():
    with open("/proc/self/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_"))
def work():
    for _ in range(2):
        meet.wait()
        for _ in range(2000):
            time.sleep(0)
        sum(range(200_000))
        meet.wait()
options = {name: True for name in sys.argv[1:]}
with gilprobe.trace(**options) as trace:
    pass
trace.report()
meet = threading.Barrier(21)
threads = [threading.Thread(target=work) for _ in range(20)]
for thread in threads: thread.start()
meet.wait(), meet.wait()
trace = gilprobe.trace(**options)
before = kib()
trace.start()
meet.wait(), meet.wait()
during = kib()
trace.stop()
print(during - before, kib() - before)
"""


@dataclass(frozen=True)
class Figure:
    """One row: what it is, its limit, and the arm and column of the samples."""

    what: str
    unit: str
    limit: float | None
    arm: int
    column: int


def told(command: Sequence[str], folder: str) -> list[float]:
    """Return wall and CPU time of a process, milliseconds, then the numbers that it prints."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise UnsupportedError(f"{' '.join(command)[:60]}: {done.stderr.strip()[-200:]}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [1e3 * took, 1e3 * used, *map(float, done.stdout.split())]


def recorded(python: str, code: str, *options: str) -> list[str]:
    """Return the command that records `code`, as the installed command does it."""
    script = Path(python).with_name("gilprobe")
    start = [str(script)] if script.exists() else [python, "-m", "gilprobe"]
    return [*start, "record", "-o", "start.gilprobe", *options, "-c", code]


def rows(
    options: argparse.Namespace, figures: Sequence[Figure], commands: Callable[[str], list[list[str]]]
) -> Iterator[Row]:
    """Run the commands of each interpreter by turns; yield the figures of each."""
    pythons = [sys.executable, *options.beside]
    arms = [command for python in pythons for command in commands(python)]
    each = len(arms) // len(pythons)
    with tempfile.TemporaryDirectory() as folder:
        taken = in_turns(
            lambda arm: told(arms[arm], folder), len(arms), QUICK if options.quick else options.repeat
        )
    for number, python in enumerate(pythons):
        for figure in figures:
            arm = number * each + figure.arm
            yield row(figure, [one[figure.column] for one in taken[arm]], arms[arm], python, number)


def row(figure: Figure, samples: list[float], command: list[str], python: str, number: int) -> Row:
    """Return one row; the note has the command, or what it is beside of."""
    what = figure.what if number == 0 else f"{figure.what}, {python}"
    limit = figure.limit
    verdict = NO_TARGET
    if limit is not None:
        verdict = judge_figure(statistics.median(samples), lambda median: median <= limit)
    note = " ".join("..." if "\n" in word else word for word in command)
    target = "" if limit is None else f"<= {limit:g} {figure.unit}"
    return Row(what, target, figure.unit, samples, verdict, note)


def empty_trace(options: argparse.Namespace) -> Iterator[Row]:
    """Yield what a trace costs that sees nothing: the first of a process, and one of the next."""
    figures = [
        Figure("first start, stop and report, CPU", "ms", None, 0, 2),
        Figure("first start, stop and report", "ms", START_LIMIT_MS, 0, 3),
        Figure("another start, stop and report", "ms", None, 0, 5),
    ]
    return rows(options, figures, lambda python: [[python, "-c", EMPTY]])


def whole_process(options: argparse.Namespace) -> Iterator[Row]:
    """Yield time and CPU time of ``record -c pass``, beside ``python -c pass``."""
    figures = [
        Figure("python -c pass", "ms", None, 0, 0),
        Figure("python -c pass, CPU", "ms", None, 0, 1),
        Figure("gilprobe record -c pass", "ms", RECORD_LIMIT_MS, 1, 0),
        Figure("gilprobe record -c pass, CPU", "ms", None, 1, 1),
    ]
    return rows(options, figures, lambda python: [[python, "-c", "pass"], recorded(python, "pass")])


def followed_child(options: argparse.Namespace) -> Iterator[Row]:
    """Yield the CPU time of a child ``python -c pass``, followed and not, and what following adds."""
    figures = [
        Figure("child, CPU", "ms", None, 0, 2),
        Figure("followed child, CPU", "ms", None, 1, 2),
    ]
    made = list(
        rows(
            options,
            figures,
            lambda python: [[python, "-c", PARENT], recorded(python, PARENT, "--follow", "--quiet")],
        )
    )
    for plain, followed in zip(made[::2], made[1::2], strict=True):
        yield plain
        yield followed
        added = [on - off for off, on in zip(plain.samples, followed.samples, strict=True)]
        low, high = bootstrap_interval(added)
        yield Row(
            followed.what.replace("followed child", "followed child: added"),
            f"<= {CHILD_LIMIT_MS:g} ms",
            "ms",
            added,
            judge_figure(statistics.median(added), lambda median: median <= CHILD_LIMIT_MS),
            f"between {shown(low)} and {shown(high)} ms more",
        )


def memory(options: argparse.Namespace) -> Iterator[Row]:
    """Yield the memory of a trace with 20 threads that contend for the GIL."""
    kinds = ((), ("stacks",), ("stacks", "timeline"))
    figures = []
    for arm, kind in enumerate(kinds):
        name = " + ".join(kind) or "sites"
        limit = None if "timeline" in kind else MEMORY_LIMIT_KIB
        figures += [
            Figure(f"memory with 20 threads: {name}", "KiB", limit, arm, 2),
            Figure(f"memory with 20 threads: {name}, with the report", "KiB", limit, arm, 3),
        ]
    return rows(options, figures, lambda python: [[python, "-c", MEMORY, *kind] for kind in kinds])


QUESTIONS = (
    Question("start, stop and report", f"<= {START_LIMIT_MS:g} ms", empty_trace),
    Question("gilprobe record -c pass", f"<= {RECORD_LIMIT_MS:g} ms", whole_process),
    Question("followed child", f"<= {CHILD_LIMIT_MS:g} ms", followed_child),
    Question("memory with 20 threads", f"<= {MEMORY_LIMIT_KIB:g} KiB", memory),
)


if __name__ == "__main__":
    made = parser("What does a trace cost before it records anything?", repeat=30)
    made.add_argument(
        "--beside",
        metavar="PYTHON",
        action="append",
        default=[],
        help="measure in turns also the gilprobe of this interpreter",
    )
    chosen = made.parse_args()
    check_file(chosen, made)
    sys.exit(main("start", chosen, QUESTIONS))
