"""Which calls of the standard library let other threads run, and from which argument size on.

C code may release the GIL while it computes or waits; for a small argument the release costs more than it
gains. The documentation names a few of these calls, and CPython's sources the sizes. Here one thread makes
each call repeatedly under the exact tracer: the share of the call in which the thread was off is what others
could have used. If a call releases the GIL for one size and not for another, bisection finds the size at
which that changes, to the byte.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from gilprobe.auditing.auditor import NOTHING
from gilprobe.auditing.release_size import least_releasing_size
from gilprobe.auditing.traced_calls import (
    MOST_CALLS,
    Baseline,
    Overhead,
    Sample,
    calls_within,
    does_release,
    released_shares,
    sample,
)
from gilprobe.auditing.verdicts import SLOWED, UNSTABLE
from gilprobe.measuring.measure import interleave
from gilprobe.measuring.surroundings import Surroundings
from gilprobe.model.confidence import bootstrap_interval
from gilprobe.results import Arm, Fact, Law, fact_name
from gilprobe.scenarios.laws import claim, spread, untestable, verdict
from gilprobe.scenarios.scenario import Findings, Request, Scenario
from gilprobe.scenarios.support.stdlib_calls import CALLS, Call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


RUN_SHARE = 40
"""Duration of a run as a share of an arm: there are many, and one trace sees thousands of releases."""

BLOCKING_SHARE = 0.95
"""Least share of a call that only waits; Python's part of a millisecond's sleep is a hundredth."""

HASHES = ("hashlib.md5", "hashlib.sha256", "hashlib.blake2b")
CHECKSUMS = ("zlib.crc32", "zlib.adler32")
CHECKSUM_STEP = 5 * 1024 + 1
"""Smallest size at which a checksum releases the GIL: Modules/zlibmodule.c."""


@dataclass(slots=True)
class SizedCall:
    """One call with one argument size, and its samples."""

    call: Call
    size: int
    make: Callable[[], object]
    calls: int
    samples: list[Sample]

    @property
    def does_release(self) -> bool:
        """Return whether the call releases the GIL."""
        return does_release(self.samples)


def measure(request: Request) -> Findings:
    """Sample every call with every size in turns, then find the sizes at which it begins to release."""
    if request.trace is None:
        law = untestable("calls of the standard library release the GIL", "a share", request.trace_reason)
        return Findings((), (), (law,))
    surroundings = Surroundings(request.frame)
    with ExitStack() as stack:
        all_sized, lacking = _prepare(request, stack)
        overhead = _sample_all(request, all_sized)
        steps = dict(_steps(request, all_sized))
    arms = tuple(_arm(sized, overhead) for sized in all_sized)
    facts = [
        Fact("trace_overhead", overhead.trace_ns, "ns"),
        Fact("loop_overhead", overhead.call_ns, "ns"),
        *(Fact(fact_name("step", name), float(size), "bytes") for name, size in steps.items()),
        *(Fact(fact_name("slowdown", name), times, "") for name, times in slowed(all_sized)),
    ]
    laws = [
        *never_laws(all_sized, arms),
        *step_laws(all_sized, steps, expected_steps(request.environment.python)),
        *blocking_laws(arms),
    ]
    doubts = (*surroundings.doubts(), *_spread_doubts(arms), *_slow_doubts(all_sized), *lacking)
    return Findings(arms, tuple(facts), tuple(laws), warnings=doubts)


def _prepare(request: Request, stack: ExitStack) -> tuple[list[SizedCall], list[str]]:
    """Return the calls that work here, and what the others lack."""
    budget_ns = request.frame.arm_ns // RUN_SHARE
    all_sized, lacking = [], []
    for call in CALLS:
        if request.quick and not call.quick:
            continue
        request.progress(f"preparing {call.name}", 0.0)
        try:
            for size in call.sizes[:3] if request.quick else call.sizes:
                make = call.prepare(size, stack)
                all_sized.append(SizedCall(call, size, make, calls_within(make, budget_ns), []))
        except ImportError as error:
            lacking.append(f"not in this interpreter: {call.name} ({error})")
        except OSError as error:
            lacking.append(f"not possible here: {call.name} ({error})")
    return all_sized, lacking


def _sample_all(request: Request, all_sized: Sequence[SizedCall]) -> Overhead:
    """Sample the cells and an empty call in turns; return the overhead in the samples."""
    baseline = Baseline(NOTHING)
    calls = min(MOST_CALLS, request.frame.arm_ns // 1000)
    total = len(all_sized) * request.frame.repeat
    done = 0
    for order in interleave(len(all_sized), request.frame.repeat):
        baseline.take(calls)
        for index in order:
            sized = all_sized[index]
            request.progress(sized.call.label(sized.size), 0.9 * done / total)
            sized.samples.append(sample(sized.make, sized.calls))
            done += 1
    return baseline.overhead()


def _steps(request: Request, all_sized: Sequence[SizedCall]) -> Iterator[tuple[str, int]]:
    """Yield the smallest size at which each call releases the GIL, if it does so for some sizes only."""
    for below, above in pairwise(all_sized):
        if below.call is above.call and above.does_release and not below.does_release:
            request.progress(f"bisecting {above.call.name}", 0.95)
            yield above.call.name, least_size(above.call, below.size, above.size)


def least_size(call: Call, below: int, above: int) -> int:
    """Return the smallest size at which a call releases the GIL; it does for `above`, and not for `below`."""

    @contextmanager
    def prepared(size: int) -> Iterator[Callable[[], object]]:
        with ExitStack() as stack:
            yield call.prepare(size, stack)

    return least_releasing_size(prepared, below, above)


def _arm(sized: SizedCall, overhead: Overhead) -> Arm:
    shares = released_shares(sized.samples, overhead)
    low, high = bootstrap_interval(shares)
    return Arm(sized.call.label(sized.size), 1, "", statistics.median(shares), low, high, shares)


def never_laws(all_sized: Sequence[SizedCall], arms: Sequence[Arm]) -> Iterator[Law]:
    """Yield the laws about modules that never let other threads run."""
    worst: dict[str, float] = {}
    for sized, arm in zip(all_sized, arms, strict=True):
        if sized.call.never:
            worst[sized.call.never] = max(worst.get(sized.call.never, 0.0), *arm.samples)
    for module, share in worst.items():
        text, numbers = f"{module} never releases the GIL", claim(share, 0.0, 0.0, "share")
        yield Law(text, "0%", f"{share:.1%} at most", verdict(share == 0), numbers)


def expected_steps(python: str) -> dict[str, int]:
    """Return the smallest sizes at which a version of Python should release the GIL, bytes.

    Hashes: ``HASHLIB_GIL_MINSIZE`` of Modules/hashlib.h, 2048; from 3.15 on the size must be above it.
    """
    version = tuple(map(int, python.split(".")[:2]))
    hash_step = 2049 if version >= (3, 15) else 2048
    return dict.fromkeys(HASHES, hash_step) | dict.fromkeys(CHECKSUMS, CHECKSUM_STEP)


def step_laws(
    all_sized: Sequence[SizedCall], steps: Mapping[str, int], expected: Mapping[str, int]
) -> Iterator[Law]:
    """Yield the laws about sizes from which hashes and checksums let other threads run."""
    for name, size in expected.items():
        does = [sized.does_release for sized in all_sized if sized.call.name == name]
        if not does:
            continue
        found = f"{steps[name]:,} bytes" if name in steps else "every size" if all(does) else "none"
        yield Law(
            f"{name} releases the GIL from a size on",
            f"{size:,} bytes",
            found,
            verdict(steps.get(name) == size),
        )


def blocking_laws(arms: Sequence[Arm]) -> Iterator[Law]:
    """Yield the laws that calls which only wait let other threads run."""
    for arm in arms:
        if arm.name.startswith("time.sleep"):
            yield Law(
                f"{arm.name}: a call that only waits lets others run meanwhile",
                f">= {BLOCKING_SHARE:.0%}",
                f"{arm.median:.1%} ({arm.low:.1%} to {arm.high:.1%})",
                verdict(arm.high >= BLOCKING_SHARE),
                claim(spread(arm), BLOCKING_SHARE, None, "share", value_of=arm),
            )


def _spread_doubts(arms: Sequence[Arm]) -> Iterator[str]:
    wide = [arm.name for arm in arms if arm.high - arm.low > UNSTABLE]
    if wide:
        yield f"unstable: the 95% interval of {len(wide)} shares is wider than {UNSTABLE}: {'; '.join(wide)}"


def slowed(all_sized: Sequence[SizedCall]) -> Iterator[tuple[str, float]]:
    """Yield the calls that the trace slows down, and how much: the share is that of the slower call."""
    for sized in all_sized:
        times = statistics.median(taken.slowdown for taken in sized.samples)
        if sized.does_release and times > SLOWED:
            yield sized.call.label(sized.size), times


def _slow_doubts(all_sized: Sequence[SizedCall]) -> Iterator[str]:
    found = [f"{name}, {times:.1f} times" for name, times in slowed(all_sized)]
    if found:
        yield f"slowed down by the trace, so that the share may be wrong: {'; '.join(found)}"


SCENARIO = Scenario(
    id="stdlib-audit",
    title="The share of the time of standard library calls in which other threads can run",
    group="contention",
    measure=measure,
    ceiling_s=240.0,
)
