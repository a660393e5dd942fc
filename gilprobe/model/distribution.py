"""A distribution of durations: a log-linear histogram with exact count, total and maximum."""

from __future__ import annotations

from gilprobe.errors import InvalidValueError
from gilprobe.model.plain_data import dataclass
from gilprobe.model.seconds import Seconds

SUB_BUCKET_BITS = 6
"""Each power of two has 2**6 buckets (csrc/base/gp_hist.h: GP_HIST_SUB_BITS)."""

BUCKETS = 2688
"""Number of buckets: 1 ns to 2**47 ns, 39 hours (csrc/base/gp_hist.h: GP_HIST_BUCKETS)."""

_SUB_BUCKETS = 1 << SUB_BUCKET_BITS


def bucket_bounds_ns(index: int) -> tuple[int, int]:
    """Return the half-open range [low, high) of durations that bucket `index` counts, in nanoseconds."""
    if index < _SUB_BUCKETS:
        return index, index + 1
    shift = index // _SUB_BUCKETS - 1
    low = (_SUB_BUCKETS + index % _SUB_BUCKETS) << shift
    return low, low + (1 << shift)


def bucket_of_ns(duration_ns: int) -> int:
    """Return the index of the bucket that counts a duration of so many nanoseconds."""
    shift = max(0, duration_ns.bit_length() - 1 - SUB_BUCKET_BITS)
    return min(shift * _SUB_BUCKETS + (duration_ns >> shift), BUCKETS - 1)


@dataclass(frozen=True, slots=True)
class Distribution:
    """Distribution of the lengths of a thread's holds or waits.

    The buckets are those of HdrHistogram's log-linear scheme: a quantile is off by at most 1 % of its value
    (half a bucket, 1/128), while count, total and maximum are exact. Merging is exact.

    Attributes
    ----------
    count : int
        Number of durations.
    total_ns, max_ns : int
        Sum and longest, nanoseconds.
    buckets : tuple of (int, int)
        Pairs (bucket index, number of durations), by index, without empty ones.
    """

    count: int
    total_ns: int
    max_ns: int
    buckets: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        previous = -1
        for index, number in self.buckets:
            if not previous < index < BUCKETS:
                raise InvalidValueError(f"bucket indices must rise within [0, {BUCKETS}), got {index}")
            if number <= 0:
                raise InvalidValueError(f"a bucket must count at least one interval, got {number}")
            previous = index
        if sum(number for _, number in self.buckets) != self.count:
            raise InvalidValueError(f"the buckets must add up to count, got {self.count}")
        if min(self.total_ns, self.max_ns) < 0 or self.max_ns > self.total_ns:
            raise InvalidValueError(f"max_ns must lie in [0, total_ns], got {self.max_ns} of {self.total_ns}")

    total_s = Seconds("total_ns", "Sum of the durations, seconds.")
    max_s = Seconds("max_ns", "Longest duration, seconds.")

    @property
    def mean_s(self) -> float:
        """Mean duration, seconds; 0.0 without any."""
        return self.total_s / self.count if self.count else 0.0

    def quantile(self, q: float) -> float:
        """Return the `q`-quantile of the intervals.

        Parameters
        ----------
        q : float
            Between 0 and 1.

        Returns
        -------
        float
            Seconds, within 1 % of the exact order statistic of rank ``ceil(q * count)``; ``quantile(1)``
            is the exact maximum; 0.0 without any.

        Raises
        ------
        InvalidValueError
            If `q` is outside [0, 1].
        """
        if not 0.0 <= q <= 1.0:
            raise InvalidValueError(f"q must be between 0 and 1, got {q!r}")
        if not self.count:
            return 0.0
        rank = max(1, -int(-q * self.count // 1))
        if rank >= self.count:
            return self.max_s
        seen = 0
        for index, number in self.buckets:
            seen += number
            if seen >= rank:
                low, high = bucket_bounds_ns(index)
                return min((low + high - 1) / 2, self.max_ns) / 1e9
        return self.max_s

    def merge(self, other: Distribution) -> Distribution:
        """Return the exact distribution of both sets of intervals together."""
        counts = dict(self.buckets)
        for index, number in other.buckets:
            counts[index] = counts.get(index, 0) + number
        return Distribution(
            count=self.count + other.count,
            total_ns=self.total_ns + other.total_ns,
            max_ns=max(self.max_ns, other.max_ns),
            buckets=tuple(sorted(counts.items())),
        )


EMPTY = Distribution(count=0, total_ns=0, max_ns=0, buckets=())
"""No intervals; the neutral element of :meth:`Distribution.merge`."""
