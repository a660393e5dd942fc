# What csrc/kernels declares.

from libc.stdint cimport uint64_t

from .c_base cimport gp_status


cdef extern from "kernels/gp_interrupt.h" nogil:
    const bint GP_INTERRUPT_SIGNALS
    ctypedef struct gp_interrupt_watch:
        bint watching
    void gp_interrupt_prepare()
    void gp_interrupt_begin(gp_interrupt_watch *watch, uint64_t nominal_ns, bint released)
    void gp_interrupt_end(gp_interrupt_watch *watch)
    void gp_interrupt_rearm(gp_interrupt_watch *watch)
    void gp_interrupt_renew(gp_interrupt_watch *watch)


cdef extern from "kernels/gp_work.h" nogil:
    ctypedef struct gp_work:
        uint64_t nominal_ns
    # Of these steps only those that have a gp_work_lock touch Python, through gp_work_gil: run them held.
    bint gp_work_step(gp_work *work, const gp_interrupt_watch *watch)

    ctypedef struct gp_spin:
        gp_work work
        uint64_t checksum
    void gp_spin_init(gp_spin *spin, uint64_t iterations)

    ctypedef struct gp_array_stream:
        gp_work work
        uint64_t checksum
    void gp_stream_init(gp_array_stream *stream, const void *bytes, size_t size, uint64_t passes)

    ctypedef struct gp_chase:
        gp_work work
        uint64_t nodes
        uint64_t index
        uint64_t broken
    void gp_chase_init(gp_chase *chase, const void *chain, uint64_t nodes, uint64_t steps)

    ctypedef struct gp_chain:
        gp_work work
    void gp_chain_init(gp_chain *chain, void *room, uint64_t nodes, uint64_t seed)

    ctypedef struct gp_sleep:
        gp_work work
    void gp_sleep_init(gp_sleep *sleep, uint64_t duration_ns)

    ctypedef struct gp_work_lock:
        pass
    ctypedef struct gp_alternate:
        gp_work work
        uint64_t held_ns
        uint64_t release_ns
        uint64_t released_ns
        uint64_t reacquire_ns
    void gp_alternate_init(gp_alternate *alternate, const gp_work_lock *lock, uint64_t cycles, uint64_t held_ns,
                           uint64_t released_ns)

    ctypedef struct gp_cycle:
        gp_work work
        uint64_t elapsed_ns
    void gp_cycle_init(gp_cycle *cycle, const gp_work_lock *lock, uint64_t count)

    ctypedef struct gp_grain:
        gp_work work
        uint64_t checksum
    void gp_grain_init(gp_grain *grain, const gp_work_lock *lock, uint64_t iterations, uint64_t every)


cdef extern from "kernels/gp_race.h" nogil:
    ctypedef struct gp_race:
        pass
    gp_status gp_race_new(size_t slots, bint padded, gp_race **race)
    void gp_race_free(gp_race *race)
    size_t gp_race_slots(const gp_race *race)
    uint64_t gp_race_value(const gp_race *race, size_t slot)

    ctypedef struct gp_bump:
        gp_work work
    void gp_bump_init(gp_bump *bump, gp_race *race, size_t slot, uint64_t times, bint atomic)
