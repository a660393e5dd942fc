"""Turn an audit's numbers into words. Nothing is measured here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilprobe.durations import duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gilprobe.model.audit_result import Speedup

RELEASES = 0.9
"""From this released share on, a call "releases" the GIL."""

HOLDS = 0.1
"""Up to this released share, a call "holds" the GIL."""

MANY_RETURNS = 20
"""From so many releases per call on, the verdict mentions them: each reacquisition may have to wait."""

BLOCKED_SHARE = 0.1
"""From this share of holds without CPU time on, these are the verdict."""

BLOCKED_NS = 100_000
"""A shorter time without CPU may be a preemption, or the clock's error."""

BLOCKS = 0.5
"""From so many voluntary context switches per call on, a call "blocks"."""

ONE_PIECE = 0.8
"""From this share of the held time on, the verdict mentions the first or the last hold."""

SCALES = 0.75
"""From this share of the ideal speedup on, a call "scales"."""

SHORTEST_NS = 5_000
"""A shorter release is over before another thread has woken up and taken the GIL."""

FORCED_SHARE = 0.1
"""From so many forced releases per call on, they are a doubt."""

SLOWED = 1.5
"""From this ratio of traced to untraced time on, a share is doubtful."""

SHORT_CALL_NS = 1_000
"""A shorter call is mostly the loop around it."""

UNSTABLE = 0.10
"""A share with a wider interval is doubtful."""


@dataclass(frozen=True, slots=True)
class VerdictInput:
    """The numbers for a verdict; times are per call, nanoseconds.

    Attributes
    ----------
    released_fraction : float
        Share of the call in which others could run.
    hold_ns, released_ns, others_hold_ns : float
        As in :class:`~gilprobe.model.audit_result.AuditResult`.
    releases : float
        Voluntary releases.
    first_fraction, last_fraction, cpu_fraction : float
        As in :class:`~gilprobe.model.audit_result.Holds`.
    blocks : float or None
        How often it blocked in the kernel, without preemptions; None if unknown.
    """

    released_fraction: float
    hold_ns: float
    released_ns: float
    releases: float
    others_hold_ns: float = 0.0
    first_fraction: float = 0.0
    last_fraction: float = 0.0
    cpu_fraction: float = 1.0
    blocks: float | None = None

    @property
    def blocked_ns(self) -> float:
        """Held time without CPU time, if the call blocks at all."""
        if self.blocks is not None and self.blocks < BLOCKS:
            return 0.0
        return max(0.0, (self.hold_ns - self.others_hold_ns) * (1 - self.cpu_fraction))


def verdict(numbers: VerdictInput) -> str:
    """Return the verdict on a call's use of the GIL."""
    call_ns = numbers.hold_ns + numbers.released_ns
    if call_ns <= 0:  # it takes no time, so there is nothing to release
        return "holds"
    if numbers.blocked_ns >= max(BLOCKED_NS, BLOCKED_SHARE * call_ns):
        return f"holds while blocked in the kernel ({_share(numbers.blocked_ns / call_ns)} of the call)"
    share = numbers.released_fraction
    if numbers.others_hold_ns >= max(HOLDS * call_ns, numbers.hold_ns / 2):
        held = _share(numbers.others_hold_ns / call_ns)
        return f"releases, but threads of its own hold the GIL for {held} of the call"
    if share <= HOLDS:
        return "holds" if share < 0.005 else f"holds for {_share(1 - share)} of the call"
    if numbers.releases >= MANY_RETURNS:
        part = "releases" if share >= RELEASES else f"releases {_share(share)} of the call"
        return f"{part} but returns for the GIL {numbers.releases:,.0f} times a call"
    if share >= RELEASES:
        return "releases"
    if numbers.first_fraction >= ONE_PIECE:
        return f"releases late: holds for the first {_share(1 - share)} of the call"
    if numbers.last_fraction >= ONE_PIECE:
        return f"releases, then holds for the last {_share(1 - share)} of the call"
    return f"releases {_share(share)} of the call"


def verdict_without_gil(speedups: Sequence[Speedup], cores: int, own_speedups: Sequence[Speedup] = ()) -> str:
    """Return the verdict without a GIL: whether the call scales with threads, and on objects of their own."""
    if not speedups:
        return "no GIL here: measuring whether it scales needs more than one thread"
    possible = [speedup for speedup in speedups if speedup.threads <= cores]
    if not possible:
        return "no GIL here, and too few cores to see whether it scales"
    most = possible[-1]
    at = f"{most.measured:.2f} times with {most.threads} threads"
    if most.measured >= SCALES * most.threads:
        return f"no GIL here: scales ({at})"
    own = next((speedup for speedup in own_speedups if speedup.threads == most.threads), None)
    if own is None:
        return f"no GIL here, but does not scale ({at})"
    if own.measured >= SCALES * own.threads:
        return f"no GIL here, but does not scale on shared objects ({at}; {own.measured:.2f} times on own)"
    return f"no GIL here, but does not scale ({at}; {own.measured:.2f} times on own objects)"


def doubts(
    numbers: VerdictInput,
    *,
    call_ns: float,
    interval: tuple[float, float],
    forced_per_call: float,
    slowdown: float,
) -> Iterator[str]:
    """Yield doubts about the released share, and about its use to other threads.

    Parameters
    ----------
    numbers : VerdictInput
        As for :func:`verdict`.
    call_ns : float
        Duration of the call, untraced.
    interval : (float, float)
        Interval of the released share.
    forced_per_call : float
        Forced releases per call.
    slowdown : float
        Duration under the trace over the duration without.
    """
    low, high = interval
    if high - low > UNSTABLE:
        yield f"unstable: the 95% interval of the released share reaches from {low:.1%} to {high:.1%}"
    if call_ns < SHORT_CALL_NS:
        yield f"short: a call of {duration(max(0.0, call_ns) / 1e9)} is little more than the loop around it"
    if slowdown > SLOWED and numbers.releases:
        yield (
            f"slowed down: it took {slowdown:.1f} times as long under the trace, so the share may be wrong"
        )
    if numbers.releases >= 0.5 and numbers.released_ns / numbers.releases < SHORTEST_NS:
        each = numbers.released_ns / numbers.releases
        yield (
            f"moments: it releases for {duration(each / 1e9)} at a time; another thread needs some"
            f" {duration(SHORTEST_NS / 1e9)} to wake up and take the GIL, and gains little"
        )
    if forced_per_call > FORCED_SHARE:
        yield (
            f"other threads: they forced it to release the GIL {forced_per_call:.1f} times a call; "
            "that does not count as released, and splits its holds"
        )


def _share(share: float) -> str:
    percent = 100 * share
    return f"{math.floor(percent + 0.5)}%"
