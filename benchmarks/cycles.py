"""Measures what a trace adds to one release and re-acquisition of the GIL.

Beside it stands the least that a tracer can do: hooks in the same calls that read the clock twice a cycle,
and nothing else (cycles.c, which needs a C compiler). The caches are warm, or the program has touched memory
without the GIL, as programs do that release it for a reason. All arms take turns in one process.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

from typing import TYPE_CHECKING

import common
from common import Question, Row

from gilprobe.errors import UnsupportedError
from gilprobe.tracing.tracer import trace

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

TOP = Path(__file__).parents[1]
SOURCES = ("benchmarks/cycles.c", "csrc/hooks/gp_hooks.c", "csrc/base/gp_clock.c")
KIB = 1024
DEPTH = 20
READS = 40_000
BURSTS = 20
clock = time.perf_counter_ns

# Touched between release and re-acquisition, bytes; how many cycles; what sites may add, ns.
CASES = (
    ("warm", 0, 200_000, None),
    ("256 KiB touched", 256 * KIB, 2_000, 60.0),
    ("4 MiB touched", 4096 * KIB, 100, 120.0),
)
BARE, STACKS = "bare clock reads", "stacks of 20 frames"


class Cycles:
    """The compiled part."""

    def __init__(self, folder: str) -> None:
        compiler = shutil.which(os.environ.get("CC", "cc"))
        if compiler is None:
            raise UnsupportedError("there is no C compiler: set CC to one")
        library = Path(folder, "cycles.so")
        sources = [str(TOP / name) for name in SOURCES]
        subprocess.run(
            [compiler, "-O2", "-shared", "-fPIC", f"-I{TOP / 'csrc'}", "-o", library, *sources], check=True
        )
        if not ctypes.CDLL(library).cycles_prepare():  # lets the GIL go meanwhile
            raise UnsupportedError("the interpreter's calls can't be hooked")
        self._library = ctypes.PyDLL(str(library))
        self._library.cycles_time.restype = ctypes.c_double
        self._library.cycles_time.argtypes = [ctypes.c_uint64, ctypes.c_char_p, ctypes.c_size_t]
        self._memory = bytes(CASES[-1][1])

    def time(self, count: int, size: int) -> float:
        """Return the nanoseconds of a release and re-acquisition."""
        return float(self._library.cycles_time(count, self._memory, size))

    @contextmanager
    def bare(self) -> Iterator[None]:
        """Read the clock in the interpreter's calls, and do nothing else."""
        if not self._library.cycles_hook():
            raise UnsupportedError("the interpreter's calls can't be hooked")
        try:
            yield
        finally:
            self._library.cycles_unhook()


# ---- the arms


def _arms(cycles: Cycles) -> dict[str, Callable[[], AbstractContextManager[object]]]:
    return {
        "": nullcontext,
        BARE: cycles.bare,
        "no sites": lambda: trace(sites=False),
        "sites": trace,
        "sites + timeline": lambda: trace(timeline=True),
        STACKS: lambda: trace(stacks=True),
    }


@contextmanager
def _company() -> Iterator[None]:
    """Have an idle thread: with one thread glibc's locks are cheaper, and the recorder is a second one."""
    end = threading.Event()
    idle = threading.Thread(target=end.wait)
    idle.start()
    try:
        yield
    finally:
        end.set()
        idle.join()


def _deep(work: Callable[[], float], levels: int) -> float:
    """Call it so many levels deeper in the stack."""
    return work() if levels == 0 else _deep(work, levels - 1)


def _levels() -> int:
    """Return how many levels are missing here to a stack of 20 frames."""
    depth, frame = 0, sys._getframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back  # type: ignore[assignment]
    return max(0, DEPTH - depth)


def _reads(count: int) -> float:
    file = os.open("/dev/zero", os.O_RDONLY)
    try:
        start = clock()
        for _ in itertools.repeat(None, count):
            os.read(file, 1)
        return (clock() - start) / count
    finally:
        os.close(file)


# ---- the questions


def _samples(
    arms: dict[str, Callable[[], AbstractContextManager[object]]],
    work: Callable[[int], float],
    count: int,
    repeat: int,
) -> dict[str, list[float]]:
    ways, levels = list(arms.values()), _levels()

    def sample(arm: int) -> float:
        with ways[arm]():
            work(count // 10)  # opens the account
            return _deep(partial(work, count), levels)

    with _company():
        return dict(zip(arms, common.in_turns(sample, len(arms), repeat), strict=True))


def added(options: argparse.Namespace) -> Iterator[Row]:
    """Compare a cycle under each kind of trace with one without, and with bare clock reads."""
    with tempfile.TemporaryDirectory(prefix="gilprobe-") as folder:
        cycles = Cycles(folder)
        arms = _arms(cycles)
        for case, size, count, limit in CASES:
            work = partial(_cycles, cycles, size)
            taken = _samples(arms, work, max(BURSTS, count // options.shorter), options.repeat)
            yield from _rows(f"added to a cycle, {case}", taken, limit)
            if size == 0:
                yield _over(f"a cycle, {case}", taken, "sites", BARE, 12.0)
                yield _over(f"a cycle, {case}", taken, STACKS, "sites", 20.0)
        taken = _samples(arms, _reads, READS // options.shorter, options.repeat)
        yield from _rows("added to os.read of a byte", taken, None)
        yield _percent(taken)


def _cycles(cycles: Cycles, size: int, count: int) -> float:
    """Return the median of short bursts, most of which nothing interrupts."""
    burst = max(1, count // BURSTS)
    return statistics.median(cycles.time(burst, size) for _ in range(BURSTS))


def _rows(what: str, taken: dict[str, list[float]], limit: float | None) -> Iterator[Row]:
    for name, on in list(taken.items())[1:]:
        judged = limit if name == "sites" else None
        target = "" if judged is None else f"<= {judged:g} ns"
        yield common.difference(f"{what}: {name}", target, "ns", taken[""], on, judged)


def _over(what: str, taken: dict[str, list[float]], name: str, other: str, limit: float) -> Row:
    return common.difference(
        f"{what}: {name} over {other}", f"<= {limit:g} ns", "ns", taken[other], taken[name], limit
    )


def _percent(taken: dict[str, list[float]]) -> Row:
    """Return how many points of slowdown are not due to the clock."""
    slower = [common.more(taken[""], taken[name]) for name in (BARE, "sites")]
    points = [on - bare for bare, on in zip(*slower, strict=True)]
    note = f"{BARE} {statistics.median(slower[0]):+.1f} %, sites {statistics.median(slower[1]):+.1f} %"
    verdict = common.judge_figure(statistics.median(points), lambda one: one <= 6)
    return Row(f"os.read of a byte: sites over {BARE}", "<= 6 points", "points", points, verdict, note)


QUESTIONS = (Question("added to a cycle", "bare clock reads + 12 ns", added),)


def main() -> int:
    """Run the benchmark."""
    made = common.parser("What does a trace add to a release and re-acquisition of the GIL?", repeat=25)
    options = made.parse_args()
    common.check_file(options, made)
    options.shorter = 1
    if options.quick:
        options.repeat, options.shorter = min(options.repeat, 2), 20
    return common.main("cycles", options, QUESTIONS)


if __name__ == "__main__":
    sys.exit(main())
