"""Measures how long a search for leaks takes, and how often its verdict is wrong.

Other benchmarks include ``questions()``. The functions of the standard library do not leak: each verdict
against them is a false alarm.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

from typing import TYPE_CHECKING

import common
from common import Question, Row
from leak_free import LEAK_FREE

from gilprobe.refs import find_leaks

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

RUNS = 200
MOST_S = 1.0


def work() -> int:
    """Take about a microsecond."""
    return sum(range(40))


def duration(options: argparse.Namespace) -> Iterator[Row]:
    """Time searches of 10,000 counted calls."""
    samples = []
    for _ in range(options.repeat):
        begun = time.perf_counter()
        report = find_leaks(work, warmup=2, repeats=10, calls=1000)
        samples.append(time.perf_counter() - begun)
        assert not report.leaking  # noqa: S101
    verdict = common.judge(samples, lambda one: one <= MOST_S)
    yield Row("find_leaks over a 1 us function, 10,000 calls", f"<= {MOST_S:g} s", "s", samples, verdict)


def among_noise(options: argparse.Namespace) -> Iterator[Row]:
    """Count how often one reference in ten calls is found while other objects come and go."""
    del options
    found = 0
    for run in range(10):
        kept: list[object] = []
        state = {"call": 0, "random": run + 1}
        wave: list[object] = [None] * 64

        def leak(kept=kept, state=state, wave=wave) -> None:  # type: ignore[no-untyped-def]
            state["call"] += 1
            state["random"] = (state["random"] * 1103515245 + 12345) % 2**31
            wave[state["random"] // 65536 % 64] = [None] if state["random"] % 3 else None
            if state["call"] % 10 == 0:
                kept.append([])

        report = find_leaks(leak)
        first = report.findings[0] if report.findings else None
        found += first is not None and abs(first.per_call - 0.1) < 0.02
    verdict = common.judge_figure(found, lambda one: one == 10)
    yield Row("one object in 10 calls among noise", "10 of 10", "of 10", value=found, verdict=verdict)


def false_alarms(options: argparse.Namespace) -> Iterator[Row]:
    """Search leak-free functions of the standard library."""
    runs = 20 if options.quick else RUNS
    names = list(LEAK_FREE)
    wrong = []
    for run in range(runs):
        name = names[run % len(names)]
        common.progress(f"{run} of {runs}: {name}")
        report = find_leaks(LEAK_FREE[name])
        if report.leaking:
            wrong.append(f"{name}: {report.findings[0].what} {report.findings[0].per_call:.3g}")
    verdict = common.judge_figure(len(wrong), lambda one: one == 0)
    what = f"false alarms in {runs} runs over {len(names)} functions of the standard library"
    yield Row(what, "0", "", value=len(wrong), verdict=verdict, note="; ".join(wrong))


def questions() -> tuple[Question, ...]:
    """Return what is asked."""
    return (
        Question("find_leaks: duration", f"<= {MOST_S:g} s", duration, traces=False),
        Question("find_leaks: a leak among noise", "10 of 10", among_noise, traces=False),
        Question("find_leaks: false alarms", "0", false_alarms, traces=False),
    )


if __name__ == "__main__":
    made = common.parser(__doc__ or "", repeat=10)
    given = made.parse_args()
    common.check_file(given, made)
    sys.exit(common.main("leaks", given, questions()))
