# Part of gil.pyx: a count that is looked at by a thread without the GIL. Here, since whoever pauses native threads
# around a fork must know all of them.

cdef extern from "cpython/gp_counts.h":
    int64_t gp_counts_of(const void *object) noexcept nogil


cdef extern from "base/gp_hist.h" nogil:
    enum:
        GP_HIST_BUCKETS
    ctypedef struct gp_hist:
        uint64_t counts[1]
    void gp_hist_bounds(size_t index, uint64_t *low, uint64_t *high)


cdef extern from "base/gp_sampler.h" nogil:
    ctypedef int64_t (*gp_sampler_read)(const void *object) noexcept
    ctypedef struct gp_sampler:
        pass
    ctypedef struct gp_sampler_change:
        uint64_t at_ns
        int64_t count
    ctypedef struct gp_sampler_seen:
        uint64_t elapsed_ns
        uint64_t samples
        uint64_t missed
        uint64_t not_counted
        int64_t first
        int64_t last
        int64_t least
        int64_t most
        uint64_t changes
        const gp_sampler_change *kept
        size_t kept_count
        const gp_hist *hist
    gp_status gp_sampler_start(const void *object, gp_sampler_read read, int64_t own, uint64_t period_ns, size_t keep,
                               gp_sampler **sampler, int *error)
    void gp_sampler_stop(gp_sampler *sampler)
    gp_sampler_seen gp_sampler_result(const gp_sampler *sampler)
    void gp_sampler_free(gp_sampler *sampler)


@cython.final
@cython.no_gc_clear  # the collector must not take the object away, which the thread reads until the end
cdef class Sampler:
    """Looks at the reference count of an object each `period_ns`, without the GIL, from `start` to `stop`.

    Keeps an object alive; its own reference is in none of the numbers. Use it from one thread at a time.
    """

    cdef gp_sampler *handle
    cdef object watched
    cdef uint64_t period_ns
    cdef size_t keep

    def __cinit__(self, watched, uint64_t period_ns, size_t keep):
        self.watched = watched
        self.period_ns = period_ns
        self.keep = keep

    def start(self) -> None:
        """Look for the first time, and begin; once only."""
        cdef int error = 0
        cdef gp_status status
        if self.handle != NULL:
            raise ValueError("a sampler starts once")
        watch_forks()
        gp_clock_init()  # by one thread at a time
        with nogil:
            status = gp_sampler_start(
                <const void *>self.watched, gp_counts_of, 1, self.period_ns, self.keep, &self.handle, &error
            )
        if status == GP_ESYSTEM:
            raise OSError(error, strerror(error).decode())
        if status == GP_EINVAL:
            raise ValueError("period_ns must be >= 1000, and keep <= 2**24")
        if status == GP_EUNSUPPORTED:
            raise NotImplementedError("counts are sampled on Linux only")
        if status != GP_OK:
            raise MemoryError("no memory for a sampler")

    def __dealloc__(self):
        with nogil:
            gp_sampler_free(self.handle)

    def stop(self) -> None:
        """Look once more, and end; nothing the second time, and before the start."""
        if self.handle != NULL:
            with nogil:
                gp_sampler_stop(self.handle)

    cdef gp_sampler_seen seen(self) except *:
        if self.handle == NULL:
            raise ValueError("a sampler that has not started has seen nothing")
        return gp_sampler_result(self.handle)

    def sums(self) -> tuple[int, ...]:
        """Return elapsed_ns, samples, missed, not counted, first, last, least, most, changes. After the end."""
        cdef gp_sampler_seen seen = self.seen()
        return (seen.elapsed_ns, seen.samples, seen.missed, seen.not_counted, seen.first, seen.last, seen.least,
                seen.most, seen.changes)

    def changes(self) -> list[tuple[int, int]]:
        """Return when, in nanoseconds since the start, and to what the count changed: the first ones. After the end."""
        cdef gp_sampler_seen seen = self.seen()
        return [(seen.kept[i].at_ns, seen.kept[i].count) for i in range(seen.kept_count)]

    def histogram(self) -> dict[int, int]:
        """Return the samples by count; from 128 on by the lower bound of a bucket. After the end."""
        cdef gp_sampler_seen seen = self.seen()
        cdef uint64_t low, high
        cdef size_t i
        found = {}
        for i in range(GP_HIST_BUCKETS):
            if seen.hist.counts[i] != 0:
                gp_hist_bounds(i, &low, &high)
                found[low] = seen.hist.counts[i]
        return found
