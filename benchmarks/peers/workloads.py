"""The workloads of the comparison: the program, its duration, and the questions about it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .programs.turns import SETTLED_S
from .tools.base import FUNCTION, HELD, LINE, MEASURES, THREADS, WAIT, WORST

if TYPE_CHECKING:
    from collections.abc import Iterator

CULPRIT = (FUNCTION, LINE)
GRAINS_US = ((50.0, 1_600.0), (1_600.0, 50_000.0))
"""Periods of the holder are drawn from these, evenly in their logarithm."""


@dataclass(frozen=True)
class Workload:
    """One workload.

    Attributes
    ----------
    name : str
        Its name in the tables.
    program : str
        The function of `programs.threads` or `programs.costs`.
    parameters : dict
        Its arguments.
    seconds : float
        Its approximate duration.
    asked : tuple of str
        The questions about it.
    """

    name: str
    program: str
    parameters: dict[str, Any]
    seconds: float
    asked: tuple[str, ...] = MEASURES


def _grain(pick: random.Random, low: float, high: float) -> float:
    return round(low * (high / low) ** pick.random(), 1)


def _threads(number: int) -> str:
    return f"{number} thread{'s' if number > 1 else ''}"


def _holders(pick: random.Random, seconds: float) -> Iterator[Workload]:
    for percent in (0, 10, 30, 50, 90, 100):
        for low, high in GRAINS_US if 0 < percent < 100 else GRAINS_US[1:]:
            grain_us = _grain(pick, low, high)
            parameters = {"seconds": seconds, "duty": percent / 100, "grain_us": grain_us}
            length = f" of {grain_us:.0f} us" if 0 < percent < 100 else ""
            asked = (HELD, *(CULPRIT if percent else ()))
            yield Workload(f"holder {percent} %{length}", "holder", parameters, seconds, asked)


def accuracy(seed: int, *, seconds: float, quick: bool) -> list[Workload]:
    """Return the workloads with known truth; the seed draws the grains."""
    pick = random.Random(seed)
    every = {"seconds": seconds}
    stall = {"victims": 10, "held_ms": 100.0, "every_ms": 300.0 if quick else 1000.0, "nap_us": 2000.0}
    stall_s = seconds if quick else 3 * seconds
    burst_us = round(pick.uniform(900, 1100), 1)
    workloads = [
        *_holders(pick, seconds),
        Workload(
            f"bursts of {burst_us / 50:.0f} us",
            "holder",
            {**every, "duty": 0.02, "grain_us": burst_us},
            seconds,
            (HELD, *CULPRIT),
        ),
        *(
            Workload(
                f"{threads} spinners",
                "spinners",
                {**every, "threads": threads},
                seconds,
                (HELD, WAIT, WORST, *CULPRIT),
            )
            for threads in (2, 4)
        ),
        Workload(
            "2 hashers",
            "hashers",
            {**every, "threads": 2, "size_kib": pick.randint(512, 2048)},
            seconds,
            (HELD,),
        ),
        Workload(
            "convoy", "convoy", {**every, "sleepers": 4, "nap_us": 1000.0}, seconds, (WAIT, WORST, *CULPRIT)
        ),
        Workload("stall of 100 ms", "stall", {"seconds": stall_s, **stall}, stall_s, (WAIT, WORST, *CULPRIT)),
        Workload(
            "short threads",
            "short",
            {**every, "threads": 100 if quick else 1000, "held_us": 20.0},
            seconds,
            (THREADS,),
        ),
    ]
    if quick:
        kept = ("holder 30", "holder 90", "2 spinners", "convoy", "stall", "short")
        workloads = [one for one in workloads if one.name.startswith(kept)]
    return workloads


def costs(*, quick: bool) -> list[Workload]:
    """Return the workloads whose cost is measured."""
    steps, reads, seconds = (400_000, 20_000, 0.2) if quick else (8_000_000, 200_000, 0.5)
    return [
        *(
            Workload(
                f"pure Python, {_threads(threads)}",
                "cpu",
                {"threads": threads, "steps": steps},
                1,
            )
            for threads in (1, 2, 4)
        ),
        Workload(f"{reads:,} one-byte reads", "reads", {"threads": 1, "count": reads}, 1),
        Workload("echo server", "echo", {"connections": 4, "seconds": seconds}, seconds),
        Workload("start and end", "nothing", {}, 0.1),
    ]


def turns(*, quick: bool) -> list[Workload]:
    """Return the workloads whose cost is measured within one process."""
    pairs, turn_s = (4, 0.01) if quick else (100, 0.03)
    echo_pairs = 3 * pairs  # includes the kernel's network and scheduler: it varies most
    steps, reads = (20_000, 2_000) if quick else (700_000, 40_000)
    pair_s = 2.5 * (turn_s + SETTLED_S)
    seconds = pairs * pair_s
    return [
        *(
            Workload(
                f"pure Python, {_threads(threads)}",
                "cpu",
                {"threads": threads, "steps": steps, "pairs": pairs},
                seconds,
            )
            for threads in (1, 2, 4)
        ),
        Workload(
            f"{reads:,} one-byte reads", "reads", {"threads": 1, "count": reads, "pairs": pairs}, seconds
        ),
        Workload(
            "echo server",
            "echo",
            {"connections": 4, "turn_s": turn_s, "pairs": echo_pairs},
            echo_pairs * pair_s,
        ),
    ]


def scale(*, quick: bool) -> list[Workload]:
    """Return the workloads with growing numbers of threads or releases."""
    count, steps = (4_096, 200_000) if quick else (204_800, 4_000_000)
    numbers = (1, 8) if quick else (1, 2, 8, 64, 512)
    rates = (0, 2_000) if quick else (0, 1_000, 10_000, 100_000)
    return [
        *(
            Workload(
                f"{count:,} reads on {_threads(threads)}", "reads", {"threads": threads, "count": count}, 2
            )
            for threads in numbers
        ),
        *(
            Workload(f"2 threads, {releases:,} releases", "rate", {"releases": releases, "steps": steps}, 2)
            for releases in rates
        ),
    ]
