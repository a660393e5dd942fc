# cython: language_level=3, freethreading_compatible=True, binding=True, autotestdict=False
"""Binding of the log-linear histogram (csrc/base/gp_hist.h)."""

cimport cython
from libc.stdint cimport uint64_t

from .c_base cimport *


BUCKETS = GP_HIST_BUCKETS
SUB_BUCKET_BITS = GP_HIST_SUB_BITS


def index_of(uint64_t ns) -> int:
    """Return the bucket that counts a duration, in nanoseconds."""
    return gp_hist_index(ns)


def bounds_of(size_t index) -> tuple[int, int]:
    """Return the half-open range of durations that a bucket counts, in nanoseconds."""
    cdef uint64_t low, high
    if index >= BUCKETS:
        raise IndexError(f"index must be below {BUCKETS}, got {index}")
    gp_hist_bounds(index, &low, &high)
    return low, high


@cython.final
cdef class Histogram:
    """Counts durations as the tracer does."""

    cdef gp_hist counts

    def record(self, uint64_t ns) -> None:
        """Count one duration, in nanoseconds."""
        gp_hist_record(&self.counts, ns)

    def merge(self, Histogram other not None) -> None:
        """Add another histogram's counts to this one's."""
        gp_hist_merge(&self.counts, &other.counts)

    def __len__(self) -> int:
        return gp_hist_count(&self.counts)

    def buckets(self) -> tuple[tuple[int, int], ...]:
        """Return pairs (bucket index, count) without empty ones."""
        cdef size_t i
        cdef const uint64_t *counts = self.counts.counts
        return tuple([(i, counts[i]) for i in range(GP_HIST_BUCKETS) if counts[i] != 0])
