#include "trace/gp_collector.h"

#include "base/gp_clock.h"
#include "trace/gp_tracer_object.h"

static gp_gil *const main_gil = &gp_tracer.main_gil;

/* The calling thread's record, if it has the GIL as far as that is known. */
static gp_thread *holder(void)
{
    gp_thread *self = gp_wrappers_current();
    if (!gp_gil_state_running(&main_gil->state) || self == NULL ||
        self->journal.generation != main_gil->state.generation || !gp_journal_holds(&self->journal))
        return NULL;
    return self;
}

/* Nobody may keep the books while one thread holds for long. */
static void make_room(uint64_t now)
{
    if (gp_pauses_unread(&main_gil->state.pauses) < GP_PAUSE_NOTES_MAX / 2 || gp_gil_table_is_locking())
        return;
    gp_gil_lock(main_gil);
    (void)gp_gil_state_read(&main_gil->state, now);
    gp_gil_unlock(main_gil);
}

static void note(gp_pause_note note)
{
    note.watching = main_gil->state.generation;
    /* without room the pause that comes next ends the one whose stop is lost */
    (void)gp_pauses_push(&main_gil->state.pauses, &note);
}

void gp_collector_starts(uint32_t generation)
{
    gp_thread *self = holder();
    if (self == NULL)
        return;
    uint64_t now = gp_clock_ticks();
    make_room(now);
    note((gp_pause_note){.time = now,
                         .thread = self,
                         .place = gp_wrappers_where(main_gil),
                         .generation = generation < GP_GENERATIONS ? generation : GP_GENERATIONS - 1});
}

void gp_collector_stops(uint64_t collected, uint64_t uncollectable)
{
    gp_thread *self = holder();
    if (self == NULL)
        return;
    note((gp_pause_note){.time = gp_clock_ticks(),
                         .thread = self,
                         .stops = true,
                         .collected = collected,
                         .uncollectable = uncollectable});
}
