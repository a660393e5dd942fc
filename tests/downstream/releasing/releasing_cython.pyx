# cython: language_level=3, freethreading_compatible=True
"""The same from Cython; it says that it can do without the GIL."""

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    enum:
        CLOCK_MONOTONIC
    int clock_gettime(int clock, timespec *now)

cdef extern from "<unistd.h>" nogil:
    int usleep(unsigned int us)


cdef void compute(long us) noexcept nogil:
    cdef timespec start, now
    clock_gettime(CLOCK_MONOTONIC, &start)
    now = start
    while (now.tv_sec - start.tv_sec) * 1000000 + (now.tv_nsec - start.tv_nsec) // 1000 < us:
        clock_gettime(CLOCK_MONOTONIC, &now)


def hold(long us):
    compute(us)


def turns(long before, long released, long after, long times=1):
    cdef long i
    for i in range(times):
        compute(before)
        with nogil:
            compute(released)
        compute(after)


def block(long us):
    usleep(us)
