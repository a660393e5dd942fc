"""Measures how much a scenario's headline number differs from one run of the scenario to the next.

Each scenario of the catalogue runs ten times by turns with all others, so that a drift of the machine affects
all of them equally. Its headline number is a ratio of arms if it has one: an effect of the machine on both
arms then cancels out. The spread is the largest number minus the smallest, as a share of the median; no run
is left out.
"""

from __future__ import annotations

import statistics
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

from typing import TYPE_CHECKING

import common
from common import Question, Row

from gilprobe import scenarios
from gilprobe.measuring import host

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from gilprobe.results import ScenarioResult

LIMIT = 5.0
"""Largest spread of the headline number of a CPU-bound scenario on an idle machine, per cent."""


@dataclass(frozen=True)
class Headline:
    """A scenario's most important number.

    Attributes
    ----------
    what : str
        In words.
    read : callable
        Takes it from a result and the number of threads.
    cpu_bound : bool
        Whether its spread has a limit: numbers that depend on timers, disks and processes have none.
    """

    what: str
    read: Callable[[ScenarioResult, int], float]
    cpu_bound: bool = False


def fact(name: str, *, cpu_bound: bool = False) -> Headline:
    """Return the headline: the first fact whose name begins so; ``{T}`` is the number of threads."""

    def read(result: ScenarioResult, threads: int) -> float:
        beginning = name.format(T=threads)
        for one in result.facts:
            if one.name.startswith(beginning):
                return one.value
        raise KeyError(beginning)

    return Headline(name, read, cpu_bound)


def arm(name: str) -> Headline:
    """Return the headline: the number of an arm of T threads."""
    return Headline(name, lambda result, threads: result.arm(name, threads).median)


def ratio(above: str, below: str, *, cpu_bound: bool = False, single: bool = False) -> Headline:
    """Return the headline: the ratio of two arms of T threads, or of T and of one."""
    what = f"{above} / {below}{' of one thread' if single else ''}"

    def read(result: ScenarioResult, threads: int) -> float:
        return result.arm(above, threads).median / result.arm(below, 1 if single else threads).median

    return Headline(what, read, cpu_bound)


HEADLINES: dict[str, Headline] = {
    "thread-start": fact("exit_delay"),
    "thread-daemon": fact("exit_delay_in_a_kernel"),
    "thread-join": fact("time_ratio_3"),
    "thread-pool": fact("rounds_4_tasks_3"),
    "gil-mutex": ratio("spin", "spin", cpu_bound=True, single=True),
    "race-python": arm("sleep"),
    "lock-deadlock": fact("second_acquire_Lock"),
    "producer-consumer": fact("acquisitions_per_message_one_slot_two_locks"),
    "semaphore": fact("max_inside_2"),
    "timer": fact("late_p50_beside"),
    "barrier": fact("release_skew_then_compute_{T}"),
    "held-vs-released": fact("speedup_released_{T}", cpu_bound=True),
    "python-loop": fact("speedup_countdown_{T}", cpu_bound=True),
    "amdahl": fact("speedup_50_{T}", cpu_bound=True),
    "grain": fact("speedup_1ms_{T}", cpu_bound=True),
    "switch-interval": fact("throughput_1ms", cpu_bound=True),
    "convoy": fact("slowdown_1_5ms"),
    "stall": fact("stall_over_call_held_"),
    "fairness": fact("jain_{T}", cpu_bound=True),
    "io-overlap": fact("speedup_sleep_{T}"),
    "memory": fact("speedup_stream_{T}", cpu_bound=True),
    "locks": fact("wait_share_held_30_{T}"),
    "stop-the-world": fact("share_"),  # nothing stops where there is a GIL
    "false-sharing": fact("slowdown_atomic_{T}", cpu_bound=True),
    "shared-objects": ratio("dict shared", "dict private", cpu_bound=True),
    "stdlib-audit": fact("step_hashlib.sha256"),
    "refcount-lifecycle": fact("counted_of_1000_references_to_none"),
    "refcount-race": ratio("atomic, CPU time", "held, CPU time", cpu_bound=True),
    "refcount-scaling": fact("cost_ratio_own_{T}", cpu_bound=True),
    "engines": fact("speedup_released_{T}", cpu_bound=True),
}


def run_all(options: argparse.Namespace) -> dict[str, list[float]]:
    """Run every scenario in turns; return the headline numbers."""
    threads = max(2, host.usable_cores())
    wanted = [name for name in HEADLINES if options.only in name]
    numbers: dict[str, list[float]] = {name: [] for name in wanted}

    def sample(index: int) -> None:
        name = wanted[index]
        common.progress(f"{name}, {len(numbers[name]) + 1} of {options.repeat}")
        result = scenarios.run(name, threads=(1, threads), quick=options.quick or options.short)
        with suppress(KeyError):
            numbers[name].append(HEADLINES[name].read(result, threads))

    common.in_turns(sample, len(wanted), options.repeat)
    # in_turns warms each up once
    return {name: taken[1:] for name, taken in numbers.items()}


def spread(numbers: dict[str, list[float]], name: str, _options: argparse.Namespace) -> Iterable[Row]:
    """Measure the spread of a scenario's headline numbers."""
    headline, taken = HEADLINES[name], numbers[name]
    target = f"<= {LIMIT:g} %" if headline.cpu_bound else ""
    if not taken:
        yield Row(name, target, "", (), common.NOT_TESTABLE, "a short run leaves its headline number out")
        return
    median = statistics.median(taken)
    apart = 100 * (max(taken) - min(taken)) / abs(median) if median else 0.0
    verdict = common.judge_figure(apart, lambda one: one <= LIMIT) if target else common.NO_TARGET
    quarter = statistics.quantiles(taken, n=4) if len(taken) > 1 else [median] * 3
    middle = 100 * (quarter[2] - quarter[0]) / abs(median) if median else 0.0
    note = f"spread {apart:.1f} % (the middle half {middle:.1f} %) of {headline.what}"
    yield Row(name, target, "", taken, verdict, note, {"spread_percent": apart, "middle_percent": middle})


def main() -> int:
    """Run the benchmark."""
    made = common.parser("How much does a scenario's headline number differ from run to run?", repeat=10)
    made.add_argument("--short", action="store_true", help="short runs, as of `gilprobe run --quick`")
    options = made.parse_args()
    common.check_file(options, made)
    if options.quick:
        options.repeat = min(options.repeat, 2)
    numbers: dict[str, list[float]] = {}

    def answer(name: str, given: argparse.Namespace) -> Iterable[Row]:
        if not numbers:
            numbers.update(run_all(given))
        return spread(numbers, name, given)

    questions = [
        Question(name, f"<= {LIMIT:g} %" if one.cpu_bound else "", partial(answer, name), traces=False)
        for name, one in HEADLINES.items()
    ]
    return common.main("scenario_noise", options, questions)


if __name__ == "__main__":
    sys.exit(main())
