/* What the victims of benchmarks/kinds do without the GIL: sleep, and read the clock when they want it again.
 * And a culprit that lets go of it again and again.
 *
 * ctypes.CDLL calls these without the GIL, ctypes.PyDLL with it. The library knows nothing of Python. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define PARKED_NS 50000

static atomic_int parked;

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void sleep_until(int64_t end)
{
    struct timespec time = {end / 1000000000, end % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR) {
    }
}

/* Keep all who sleep from going on. It holds until `park(0)`. */
void park(int yes)
{
    atomic_store(&parked, yes);
}

/* Return for how long this thread could have run but did not, in nanoseconds since its start: the second
 * number of its schedstat. 0 where the kernel does not count it. The file stays open: a victim has the GIL
 * meanwhile, for which a culprit may have to wait. */
int64_t delayed(void)
{
    static _Thread_local int file = -1;
    if (file < 0)
        file = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    char text[96];
    ssize_t size = file < 0 ? -1 : pread(file, text, sizeof text - 1, 0);
    if (size <= 0)
        return 0;
    text[size] = 0;
    char *second;
    strtoll(text, &second, 10);
    return strtoll(second, NULL, 10);
}

/* Sleep, longer if parked. */
void nap(int64_t ns)
{
    sleep_until(now() + ns);
    while (atomic_load(&parked))
        sleep_until(now() + PARKED_NS);
}

/* Sleep, and tell how long the thread was delayed so far, and the time on CLOCK_MONOTONIC, in nanoseconds. */
void nap_and_tell(int64_t ns, int64_t told[2])
{
    nap(ns);
    told[0] = delayed();
    told[1] = now();
}

static void spin(int64_t ns)
{
    for (int64_t end = now() + ns; now() < end;) {
    }
}

/* Hold the GIL so many times. Note for each when it was wanted, had, to be let go, and let go: somewhere
 * between the first two, and the last two, it changes hands. `save` and `restore` are PyEval_SaveThread and
 * PyEval_RestoreThread. */
void let_go_often(void *(*save)(void), void (*restore)(void *), int64_t times, int64_t held_ns,
                  int64_t free_ns, int64_t (*noted)[4])
{
    int64_t wanted = now();
    for (int64_t i = 0; i < times; i++) {
        noted[i][0] = wanted;
        noted[i][1] = now();
        spin(held_ns);
        noted[i][2] = now();
        void *state = save();
        noted[i][3] = now();
        spin(free_ns);
        wanted = now();
        restore(state);
    }
}
