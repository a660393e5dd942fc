/* Work that measures its time with and without the GIL by its own clock: the truth of benchmarks/peers.
 *
 * A library that Python loads with ctypes.PyDLL, so that a call begins and ends with the GIL. It
 * knows nothing of gilprobe. It declares the two functions of CPython's stable interface that it calls, so one
 * build serves every interpreter. */
#include <stdint.h>
#include <time.h>

void *PyEval_SaveThread(void);
void PyEval_RestoreThread(void *state);

/* Nanoseconds, all but the cycles. The time between the two readings of the clock around a release or an
 * acquisition may be held or not: `held` leaves it out, `perhaps_held` is its sum. */
typedef struct {
    int64_t held;
    int64_t perhaps_held;
    int64_t waited;
    int64_t worst_wait;
    int64_t cycles;
} spent;

int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void burn_until(int64_t end)
{
    while (now() < end) {
    }
}

static void note_wait(spent *all, int64_t wanted, int64_t had)
{
    int64_t waited = had - wanted;
    all->waited += waited;
    if (waited > all->worst_wait)
        all->worst_wait = waited;
}

/* Hold and release by turns until a time; a length of 0 leaves that half out as far as possible. */
void alternate(int64_t until, int64_t held, int64_t released, spent *all)
{
    int64_t have = now();
    while (have < until) {
        if (released == 0 && have + held > until)
            held = until - have;
        burn_until(have + held);
        int64_t let_go = now();
        all->held += let_go - have;
        all->cycles++;
        if (released == 0) {
            have = let_go;
            continue;
        }
        void *state = PyEval_SaveThread();
        all->perhaps_held += now() - let_go;
        burn_until(let_go + released < until ? let_go + released : until);
        int64_t wanted = now();
        PyEval_RestoreThread(state);
        have = now();
        all->perhaps_held += have - wanted;
        note_wait(all, wanted, have);
    }
}

/* Hold once, and release once. */
void once(int64_t held, int64_t released, spent *all)
{
    int64_t have = now();
    burn_until(have + held);
    int64_t let_go = now();
    all->held += let_go - have;
    void *state = PyEval_SaveThread();
    burn_until(let_go + released);
    int64_t wanted = now();
    PyEval_RestoreThread(state);
    note_wait(all, wanted, now());
    all->cycles++;
}

/* Sleep without the GIL, and note how long it took to have it back. */
void nap(int64_t length, spent *all)
{
    struct timespec time = {length / 1000000000, length % 1000000000};
    void *state = PyEval_SaveThread();
    clock_nanosleep(CLOCK_MONOTONIC, 0, &time, 0);
    int64_t wanted = now();
    PyEval_RestoreThread(state);
    note_wait(all, wanted, now());
    all->cycles++;
}
