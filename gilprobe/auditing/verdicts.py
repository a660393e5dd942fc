"""What an audit's numbers mean, in words. Numbers in, words out: nothing is measured here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilprobe.durations import duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gilprobe.model.audit_result import Speedup

RELEASES = 0.9
"""Released share from which on a call is said to release the GIL."""

HOLDS = 0.1
"""Released share up to which it is said to hold it."""

MANY_RETURNS = 20
"""Releases in one call from which on it keeps coming back for the GIL, for which it may have to wait."""

BLOCKED_SHARE = 0.1
"""Share of a call that is held without CPU time, from which on that is what matters most about it."""

BLOCKED_NS = 100_000
"""A shorter time without CPU is as likely a preemption, or the clock's own doing."""

BLOCKS = 0.5
"""Times that a call gives up its core by itself, from which on it is said to block."""

ONE_PIECE = 0.8
"""Share of the held time from which on the hold at the beginning or the end is the one to look at."""

SCALES = 0.75
"""Part of the ideal speedup from which on a call is said to scale."""

SHORTEST_NS = 5_000
"""A released interval that is shorter is over before another thread has woken up and taken the GIL."""

FORCED_SHARE = 0.1
"""Forced releases, as a share of the calls, from which on they are a doubt."""

SLOWED = 1.5
"""Time under the trace, against the time without, from which on a share is called doubtful."""

SHORT_CALL_NS = 1_000
"""A shorter call is mostly the loop around it."""

UNSTABLE = 0.10
"""Width of a share's interval that makes it doubtful."""


@dataclass(frozen=True, slots=True)
class VerdictInput:
    """What a verdict is made from; times are those of one call, nanoseconds.

    Attributes
    ----------
    released_fraction : float
        Share of the call in which others could run.
    hold_ns, released_ns, others_hold_ns : float
        As in :class:`~gilprobe.model.audit_result.AuditResult`.
    releases : float
        How often it lets go by itself.
    first_fraction, last_fraction, cpu_fraction : float
        As in :class:`~gilprobe.model.audit_result.Holds`.
    blocks : float or None
        How often it blocked in the kernel; None where that is not known. A preempted thread does not run
        either, but has not blocked.
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
        """Time held without CPU time, if the call blocks at all."""
        if self.blocks is not None and self.blocks < BLOCKS:
            return 0.0
        return max(0.0, (self.hold_ns - self.others_hold_ns) * (1 - self.cpu_fraction))


def verdict(numbers: VerdictInput) -> str:
    """Return in words what a call does with the GIL."""
    call_ns = numbers.hold_ns + numbers.released_ns
    if call_ns <= 0:  # it takes nothing, so there is nothing to release it for
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


def verdict_without_gil(speedups: Sequence[Speedup], cores: int) -> str:
    """Return in words how a call does where there is no GIL to hold: whether it scales with threads."""
    if not speedups:
        return "no GIL here: only more than one thread can tell whether it scales"
    possible = [speedup for speedup in speedups if speedup.threads <= cores]
    if not possible:
        return "no GIL here, and too few cores to see whether it scales"
    most = possible[-1]
    at = f"{most.measured:.2f} times with {most.threads} threads"
    if most.measured >= SCALES * most.threads:
        return f"no GIL here: scales ({at})"
    return f"no GIL here, but does not scale ({at})"


def doubts(
    numbers: VerdictInput,
    *,
    call_ns: float,
    interval: tuple[float, float],
    forced_per_call: float,
    slowdown: float,
) -> Iterator[str]:
    """Yield what makes the released share doubtful, or of little use to others.

    Parameters
    ----------
    numbers : VerdictInput
        As for :func:`verdict`.
    call_ns : float
        How long the call takes untraced.
    interval : (float, float)
        Of the released share.
    forced_per_call : float
        How often another thread made the call give up the GIL.
    slowdown : float
        How much longer it took under the trace.
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
            f"other threads: they made it give up the GIL {forced_per_call:.1f} times a call; that does not"
            " count as released, and cuts its holds"
        )


def _share(share: float) -> str:
    percent = 100 * share
    return f"{math.floor(percent + 0.5)}%"
