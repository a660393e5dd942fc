# What csrc/recording declares.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from .c_base cimport c_bool, gp_clock_rate, gp_status


cdef extern from "recording/gp_chunk.h" nogil:
    enum:
        GP_RECORDING_VERSION
        GP_RECORDING_HEADER
        GP_CHUNK_HEADER
        GP_CHUNK_PAYLOAD_MAX
    uint32_t gp_crc32(uint32_t crc, const void *bytes, size_t size)
    uint32_t gp_chunk_get32(const uint8_t *bytes)
    uint32_t gp_chunk_checksum(const uint8_t *header, const void *payload, size_t size)


cdef extern from "recording/gp_format.h" nogil:
    ctypedef enum gp_place_kind:
        pass
    enum:
        GP_SNAPSHOT_FINAL
        GP_SNAPSHOT_HOOKS_LOST
        GP_SNAPSHOT_TOLD_APART
        GP_SNAPSHOT_SITES
        GP_SNAPSHOT_STACKS
        GP_SNAPSHOT_TIMELINE
        GP_SNAPSHOT_CPU
        GP_SNAPSHOT_OTHERS_MISSED
        GP_SNAPSHOT_LOOKS
        GP_SNAPSHOT_PAUSES
        GP_SNAPSHOT_CALLBACKS
        GP_SNAPSHOT_TAGS


cdef extern from "recording/gp_reader.h" nogil:
    enum:
        GP_ROW_ACCOUNT
        GP_ROW_BUCKET
        GP_ROW_SITE
        GP_ROW_BLAME
        GP_ROW_STALL
        GP_ROW_TALLY
        GP_ROW_PAUSE_SUM
        GP_ROW_PAUSE
        GP_ROW_CALLBACK
        GP_ROW_TAG
        GP_ROW_TAG_BLAME
    uint32_t GP_NOWHERE

    gp_status gp_recording_check(const uint8_t *header)
    ctypedef enum gp_chunk_state:
        GP_CHUNK_WHOLE
        GP_CHUNK_CUT
        GP_CHUNK_WRONG
    gp_chunk_state gp_chunk_look(const uint8_t *header, uint64_t left, size_t *payload_size, const char **wrong)

    ctypedef struct gp_cursor:
        const uint8_t *at
        const uint8_t *end
        const char *wrong
    ctypedef struct gp_text:
        const char *bytes
        size_t size
    gp_cursor gp_cursor_over(const void *bytes, size_t size)
    bint gp_cursor_at_end(const gp_cursor *cursor)
    uint64_t gp_cursor_rows(gp_cursor *cursor, size_t row)

    ctypedef struct gp_name_row:
        int64_t number
        gp_text name
    void gp_read_label(gp_cursor *cursor, gp_name_row *row)
    void gp_read_name(gp_cursor *cursor, gp_name_row *row)
    uint32_t gp_read_interpreter(gp_cursor *cursor)

    ctypedef struct gp_thread_row:
        uint32_t number
        int64_t native_id
        uint32_t label
        gp_text os_name
        uint64_t first
    void gp_read_thread(gp_cursor *cursor, gp_thread_row *row)

    ctypedef struct gp_seen_row:
        uint32_t reason, holder, state, place
        uint64_t since, at
    void gp_read_seen(gp_cursor *cursor, gp_seen_row *row)

    ctypedef struct gp_place_row:
        uint32_t parent
        gp_place_kind kind
        uint32_t line_or_thread
        gp_text function, file
    void gp_read_place(gp_cursor *cursor, uint32_t expected, gp_place_row *row)

    ctypedef struct gp_events:
        gp_cursor cursor
        uint32_t interpreter
        uint64_t count, dropped
    ctypedef struct gp_described:
        const uint32_t *threads
        const uint32_t *places
        size_t thread_count, place_count
    ctypedef struct gp_columns:
        uint8_t *kinds
        uint32_t *threads
        uint32_t *places
        int64_t *starts_ns
        int64_t *durations_ns
    ctypedef struct gp_events_sum:
        uint64_t hold, wait, holds, waits
    gp_events gp_events_over(const void *payload, size_t size)
    const char *gp_events_columns(gp_events *events, const gp_described *described, gp_clock_rate rate,
                                  gp_columns *columns)
    const char *gp_events_add(gp_events *events, const gp_described *described, gp_events_sum *sums,
                              size_t sum_count)

    ctypedef struct gp_totals_row:
        uint32_t flags, interpreter
        gp_clock_rate rate
        uint64_t elapsed_ns, contended_ns, handoffs, lost, sites_lost_ns, dropped
    ctypedef struct gp_account_row:
        uint32_t number
        int64_t native_id
        uint32_t label
        bint ended
        uint64_t merged
        gp_text os_name
        uint64_t first_ns, lifetime_ns
        uint64_t hold_ns, wait_ns, off_ns, longest_hold_ns, longest_wait_ns
        int64_t imbalance_ticks
        uint64_t acquisitions, contended_acquisitions, releases, forced_releases
        uint64_t blamed_ns
        uint64_t hold_cpu_ns
    ctypedef struct gp_site_row:
        uint32_t place
        uint64_t releases, hold_ns, wait_ns
        uint64_t hold_cpu_ns
    ctypedef struct gp_blame_row:
        uint32_t waiter, holder, place
        uint64_t wait_ns
    ctypedef struct gp_stall_row:
        uint32_t waiter, waiter_place, holder, holder_place
        uint64_t start_ns, wait_ns, holder_ns
        uint32_t holder_looked
    void gp_read_totals(gp_cursor *cursor, gp_totals_row *row)
    void gp_read_account(gp_cursor *cursor, const gp_totals_row *totals, gp_account_row *row)
    void gp_read_bucket(gp_cursor *cursor, uint32_t *index, uint64_t *count)
    void gp_read_site(gp_cursor *cursor, const gp_totals_row *totals, gp_site_row *row)
    void gp_read_blame(gp_cursor *cursor, const gp_totals_row *totals, gp_blame_row *row)
    void gp_read_stall(gp_cursor *cursor, const gp_totals_row *totals, gp_stall_row *row)
    ctypedef struct gp_looks_row:
        uint64_t unseen, free
    ctypedef struct gp_tally_row:
        uint32_t holder, ended, looked
        uint64_t looks, waiting, time, waited, squares
    void gp_read_looks(gp_cursor *cursor, gp_looks_row *row)
    void gp_read_tally(gp_cursor *cursor, const gp_totals_row *totals, gp_tally_row *row)
    ctypedef struct gp_pause_sum_row:
        uint32_t holder, ended, place, generation
        uint64_t held_ns, wait_ns, count, pauses_ns, longest_ns, collected, uncollectable
    ctypedef struct gp_pause_row:
        uint32_t holder, place, generation
        uint64_t start_ns, pause_ns, held_ns, wait_ns, collected, uncollectable
    void gp_read_pause_sum(gp_cursor *cursor, const gp_totals_row *totals, gp_pause_sum_row *row)
    void gp_read_pause(gp_cursor *cursor, const gp_totals_row *totals, gp_pause_row *row)
    uint64_t gp_read_pauses_lost(gp_cursor *cursor)
    ctypedef struct gp_lock_waits:
        gp_cursor cursor
        uint64_t count, dropped
    ctypedef struct gp_lock_wait_row:
        uint32_t thread, lock, place, stack, flags, holder, holder_place
        uint64_t released_ns, start_ns, wait_ns, spun_ns
    gp_lock_waits gp_lock_waits_over(const void *payload, size_t size)
    void gp_lock_waits_next(gp_lock_waits *waits, gp_lock_wait_row *row)
    gp_totals_row gp_totals_with_factor(uint64_t factor)
    ctypedef struct gp_named_row:
        uint32_t line
        gp_text function, file
    ctypedef struct gp_callback_row:
        uint32_t account
        uint64_t start_ns, duration_ns, looks, seen
        gp_text task, callee
        gp_named_row what, where
    void gp_read_callback(gp_cursor *cursor, const gp_totals_row *totals, gp_callback_row *row)
    ctypedef struct gp_tag_totals_row:
        uint32_t tag
        gp_text name
        uint64_t hold_ns, wait_ns, off_ns, holds, waits
    ctypedef struct gp_tag_blame_row:
        uint32_t waiter, holder
        uint64_t wait_ns
    void gp_read_tag(gp_cursor *cursor, const gp_totals_row *totals, gp_tag_totals_row *row)
    void gp_read_tag_blame(gp_cursor *cursor, const gp_totals_row *totals, gp_tag_blame_row *row)


cdef extern from "recording/gp_recorder.h" nogil:
    ctypedef struct gp_recorder:
        pass
    enum:
        GP_RECORDER_REPLACE
        GP_RECORDER_PENDING
        GP_RECORDER_ALONE
        GP_RECORDER_NO_THREAD
        GP_RECORDER_LATER
    gp_status gp_recorder_open(const char *path, unsigned how, gp_recorder **recorder, int *error)
    int gp_recorder_commit(gp_recorder *recorder)
    void gp_recorder_discard(gp_recorder *recorder)
    gp_status gp_recorder_put(gp_recorder *recorder, const char *type, const void *payload, size_t size)
    bint gp_recorder_flush(gp_recorder *recorder, uint64_t timeout_ns)
    void gp_recorder_finish(gp_recorder *recorder)
    c_bool gp_recorder_identity(const gp_recorder *recorder, uint64_t *device, uint64_t *inode)
    int gp_recorder_error(const gp_recorder *recorder, uint64_t *bytes_written, uint64_t *events_written)
    void gp_recorder_free(gp_recorder *recorder)


cdef extern from "recording/gp_guard.h" nogil:
    void gp_guard_watch_calls(const void *interpreter)
    void gp_guard_prepare()
    c_bool gp_guard_begin(gp_recorder *recorder)
    void gp_guard_end(const gp_recorder *recorder)
