# cython: language_level=3, freethreading_compatible=True, binding=True, autotestdict=False
"""Binding of the reader of recordings (csrc/recording/gp_reader.h): payloads in, plain tuples and dicts out.
Keeps nothing.

A payload that breaks a rule raises ValueError with the rule; :mod:`gilprobe.tracing.recording_reader` adds
where it stands. A trace that runs is read through `decode_snapshot` and `decode_places` too, from a buffer in
memory.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from .c_base cimport *
from .c_recording cimport *


HEADER_SIZE = GP_RECORDING_HEADER
CHUNK_HEADER_SIZE = GP_CHUNK_HEADER


# Cython's memory views cost whoever loads this as much as all else here.
@cython.final
@cython.no_gc
cdef class _View:
    """The memory of a contiguous object, which stays where it is meanwhile."""

    cdef Py_buffer held

    def __cinit__(self, data, size_t item, int flags=PyBUF_SIMPLE):
        PyObject_GetBuffer(data, &self.held, flags)
        if <size_t>self.held.itemsize != item:
            raise ValueError(f"items must have {item} bytes, got {self.held.itemsize}")

    def __dealloc__(self):
        PyBuffer_Release(&self.held)

    cdef const uint8_t *bytes(self) noexcept:
        return <const uint8_t *>self.held.buf

    cdef size_t count(self) noexcept:
        return <size_t>(self.held.len // self.held.itemsize)

    cdef gp_cursor cursor(self) noexcept:
        return gp_cursor_over(self.bytes(), self.count())


cdef int check(const gp_cursor *cursor) except -1:
    if cursor.wrong != NULL:
        raise ValueError(cursor.wrong.decode())
    return 0


cdef str text_of(gp_text text):
    try:
        return PyUnicode_DecodeUTF8(text.bytes, text.size, "surrogatepass")
    except UnicodeDecodeError:  # a thread's name may be any bytes
        return PyUnicode_DecodeUTF8(text.bytes, text.size, "replace")


cdef inline object number_or_none(uint32_t number):
    return None if number == GP_NOWHERE else number


# ---- frame ----


def check_header(header) -> None:
    """Raise ValueError unless these are the first `HEADER_SIZE` bytes of a recording of a version known here."""
    cdef _View view = _View(header, 1)
    cdef gp_status status = GP_EINVAL
    if view.count() == GP_RECORDING_HEADER:
        status = gp_recording_check(view.bytes())
    if status == GP_EUNSUPPORTED:
        raise ValueError(f"a recording must be of version {GP_RECORDING_VERSION}, "
                         f"this one is of version {gp_chunk_get32(view.bytes() + 8)}")
    if status != GP_OK:
        raise ValueError("this is not a gilprobe recording")


def chunk_size(header, uint64_t left):
    """Return the length of a chunk's payload by its header; None if the end of the file, `left` bytes on, cuts it."""
    cdef _View view = _View(header, 1)
    cdef size_t size = 0
    cdef const char *wrong = b""
    cdef gp_chunk_state state
    if view.count() != GP_CHUNK_HEADER:
        return None
    state = gp_chunk_look(view.bytes(), left, &size, &wrong)
    if state == GP_CHUNK_WRONG:
        raise ValueError(wrong.decode())
    return size if state == GP_CHUNK_WHOLE else None


def is_intact(header, payload) -> bool:
    """Whether a chunk has the checksum that its header says."""
    cdef _View head = _View(header, 1), view = _View(payload, 1)
    if head.count() != GP_CHUNK_HEADER:
        return False
    return gp_chunk_checksum(head.bytes(), view.bytes(), view.count()) == gp_chunk_get32(head.bytes() + 8)


def crc32(data, uint32_t crc=0) -> int:
    """Return the CRC-32 of `data` behind bytes whose CRC-32 is `crc`, as zlib has it."""
    cdef _View view = _View(data, 1)
    return gp_crc32(crc, view.bytes(), view.count())


# ---- names, threads, places ----


cdef list pairs_of(payload, void (*read)(gp_cursor *, gp_name_row *) noexcept nogil):
    cdef _View view = _View(payload, 1)
    cdef gp_cursor cursor = view.cursor()
    cdef gp_name_row row
    rows = []
    while not gp_cursor_at_end(&cursor):
        read(&cursor, &row)
        check(&cursor)
        rows.append((row.number, text_of(row.name)))
    check(&cursor)
    return rows


def decode_labels(payload) -> list:
    """Return the pairs (label, name) of a LABL."""
    return pairs_of(payload, gp_read_label)


def decode_names(payload) -> list:
    """Return the pairs (native identifier, name) of a NAME."""
    return pairs_of(payload, gp_read_name)


def split_interpreter(payload) -> tuple:
    """Return the interpreter that a THRD or PLAC is about, and the entries behind its number."""
    cdef _View view = _View(payload, 1)
    cdef gp_cursor cursor = view.cursor()
    cdef uint32_t number = gp_read_interpreter(&cursor)
    check(&cursor)
    return number, memoryview(payload)[view.count() - (cursor.end - cursor.at):]


def decode_threads(entries) -> list:
    """Return (account, native identifier, label, name by the operating system, first tick) for each thread of a THRD."""
    cdef _View view = _View(entries, 1)
    cdef gp_cursor cursor = view.cursor()
    cdef gp_thread_row row
    rows = []
    while not gp_cursor_at_end(&cursor):
        gp_read_thread(&cursor, &row)
        check(&cursor)
        rows.append((row.number, row.native_id, row.label, text_of(row.os_name), row.first))
    check(&cursor)
    return rows


def decode_places(entries, uint32_t first=0) -> list:
    """Return (parent or None, kind, line or thread, function, file) for each place of a PLAC.

    They are numbered from `first` on. Kind 0 is Python code with its line, 1 native code with the thread's account;
    2 stands for deeper frames that are missing, 3 for what nobody could see, 4 for a task of an event loop, whose name
    stands for the function.
    """
    cdef _View view = _View(entries, 1)
    cdef gp_cursor cursor = view.cursor()
    cdef gp_place_row row
    cdef uint32_t number = first
    rows = []
    while not gp_cursor_at_end(&cursor):
        gp_read_place(&cursor, number, &row)
        check(&cursor)
        rows.append((number_or_none(row.parent), <int>row.kind, row.line_or_thread, text_of(row.function),
                     text_of(row.file)))
        number += 1
    check(&cursor)
    return rows


def decode_seen(entries) -> list:
    """Return (reason, account, first tick, tick, place or None, state) for each hold of a SEEN."""
    cdef _View view = _View(entries, 1)
    cdef gp_cursor cursor = view.cursor()
    cdef gp_seen_row row
    rows = []
    while not gp_cursor_at_end(&cursor):
        gp_read_seen(&cursor, &row)
        check(&cursor)
        rows.append((row.reason, row.holder, row.since, row.at, number_or_none(row.place), row.state))
    check(&cursor)
    return rows


# ---- events ----


cdef gp_described described_by(_View threads, _View places) noexcept:
    cdef gp_described described
    described.threads = <const uint32_t *>threads.held.buf
    described.places = <const uint32_t *>places.held.buf
    described.thread_count = threads.count()
    described.place_count = places.count()
    return described


def events_head(payload) -> tuple[int, int, int]:
    """Return the interpreter, the number of events and the number dropped so far of an EVNT."""
    cdef _View view = _View(payload, 1)
    cdef gp_events events = gp_events_over(view.bytes(), view.count())
    check(&events.cursor)
    return events.interpreter, events.count, events.dropped


def read_events(payload, threads, places,
                uint64_t factor) -> tuple:
    """Return the events of an EVNT as columns: kinds, threads, places, starts, durations, in nanoseconds.

    `threads` and `places` say what the interpreter's own numbers stand for; 2**32 - 1 stands for nothing. `factor`
    is the length of a tick, nanoseconds * 2**32.
    """
    cdef _View view = _View(payload, 1), names = _View(threads, 4), spots = _View(places, 4)
    cdef gp_events events = gp_events_over(view.bytes(), view.count())
    cdef gp_described described = described_by(names, spots)
    cdef gp_clock_rate rate
    cdef gp_columns columns
    cdef const char *wrong = NULL
    check(&events.cursor)
    rate.factor = factor
    count = events.count
    blank = [bytearray(count * size) for size in (1, 4, 4, 8, 8)]
    columns.kinds = <uint8_t *>PyByteArray_AS_STRING(blank[0])
    columns.threads = <uint32_t *>PyByteArray_AS_STRING(blank[1])
    columns.places = <uint32_t *>PyByteArray_AS_STRING(blank[2])
    columns.starts_ns = <int64_t *>PyByteArray_AS_STRING(blank[3])
    columns.durations_ns = <int64_t *>PyByteArray_AS_STRING(blank[4])
    if count != 0:
        with nogil:
            wrong = gp_events_columns(&events, &described, rate, &columns)
    if wrong != NULL:
        raise ValueError(wrong.decode())
    return tuple([memoryview(column).cast(letter) for column, letter in zip(blank, "BIIqq")])


def add_events(payload, threads, places, sums) -> None:
    """Add the events of an EVNT to `sums`: hold ticks, wait ticks, holds, waits for each thread of the file."""
    cdef _View view = _View(payload, 1), names = _View(threads, 4), spots = _View(places, 4)
    cdef _View totals = _View(sums, 8, PyBUF_WRITABLE)
    cdef gp_events events = gp_events_over(view.bytes(), view.count())
    cdef gp_described described = described_by(names, spots)
    cdef const char *wrong
    cdef gp_events_sum *into = <gp_events_sum *>totals.held.buf
    cdef size_t count = totals.count()
    check(&events.cursor)
    if count % 4 != 0:
        raise ValueError(f"sums must hold four numbers for each thread, got {count}")
    with nogil:
        wrong = gp_events_add(&events, &described, into, count // 4)
    if wrong != NULL:
        raise ValueError(wrong.decode())


# ---- snapshots ----


cdef tuple read_buckets(gp_cursor *cursor, dict known):
    # Threads that do the same have the same buckets: each pair is kept once, which halves a report.
    cdef uint32_t index = GP_NOWHERE
    cdef uint64_t i, number, count = gp_cursor_rows(cursor, GP_ROW_BUCKET)
    buckets = []
    for i in range(count):
        gp_read_bucket(cursor, &index, &number)
        check(cursor)
        bucket = (known.setdefault(index, index), number)
        buckets.append(known.setdefault(bucket, bucket))
    return tuple(buckets)


cdef dict read_account(gp_cursor *cursor, const gp_totals_row *totals, dict buckets):
    cdef gp_account_row row
    gp_read_account(cursor, totals, &row)
    check(cursor)
    return {
        "number": row.number,
        "native_id": row.native_id,
        "os_name": text_of(row.os_name),
        "label": row.label,
        "ended": row.ended,
        "merged": row.merged,
        "first_ns": row.first_ns,
        "lifetime_ns": row.lifetime_ns,
        "hold_ns": row.hold_ns,
        "wait_ns": row.wait_ns,
        "off_ns": row.off_ns,
        "longest_hold_ns": row.longest_hold_ns,
        "longest_wait_ns": row.longest_wait_ns,
        "blamed_ns": row.blamed_ns,
        "imbalance_ticks": row.imbalance_ticks,
        "acquisitions": row.acquisitions,
        "contended_acquisitions": row.contended_acquisitions,
        "releases": row.releases,
        "forced_releases": row.forced_releases,
        "hold_cpu_ns": row.hold_cpu_ns if totals.flags & GP_SNAPSHOT_CPU else None,
        "holds": read_buckets(cursor, buckets),
        "waits": read_buckets(cursor, buckets),
    }


cdef list read_sites(gp_cursor *cursor, const gp_totals_row *totals):
    cdef gp_site_row row
    cdef uint64_t i, count = gp_cursor_rows(cursor, GP_ROW_SITE)
    row.place = GP_NOWHERE
    rows = []
    for i in range(count):
        gp_read_site(cursor, totals, &row)
        check(cursor)
        rows.append((row.place, row.releases, row.hold_ns, row.wait_ns, row.hold_cpu_ns))
    return rows


cdef tuple read_blame(gp_cursor *cursor, const gp_totals_row *totals):
    cdef gp_blame_row row
    gp_read_blame(cursor, totals, &row)
    check(cursor)
    return row.waiter, row.holder, number_or_none(row.place), row.wait_ns


cdef tuple read_stall(gp_cursor *cursor, const gp_totals_row *totals):
    cdef gp_stall_row row
    gp_read_stall(cursor, totals, &row)
    check(cursor)
    return (row.waiter, number_or_none(row.waiter_place), number_or_none(row.holder), number_or_none(row.holder_place),
            row.start_ns, row.wait_ns, row.holder_ns, number_or_none(row.holder_looked))


@cython.final
@cython.no_gc
cdef class _Rows:
    """Rows that are made when they are asked for: there may be thousands, and each is wanted for a moment."""

    cdef _View view
    cdef gp_cursor cursor
    cdef gp_totals_row totals
    cdef uint64_t left
    cdef bint stalls

    def __len__(self):
        return self.left

    def __iter__(self):
        cdef _Rows rows = _Rows.__new__(_Rows)
        rows.view, rows.cursor, rows.totals = self.view, self.cursor, self.totals
        rows.left, rows.stalls = self.left, self.stalls
        return rows

    def __next__(self):
        if self.left == 0:
            raise StopIteration
        self.left -= 1
        return (read_stall if self.stalls else read_blame)(&self.cursor, &self.totals)


cdef _Rows rows_of(_View view, gp_cursor *cursor, const gp_totals_row *totals, bint stalls):
    """Check the rows, and pass them by."""
    cdef _Rows rows = _Rows.__new__(_Rows)
    cdef size_t kind = GP_ROW_STALL if stalls else GP_ROW_BLAME
    rows.left = gp_cursor_rows(cursor, kind)
    rows.view, rows.cursor, rows.totals, rows.stalls = view, cursor[0], totals[0], stalls
    cdef _Rows each = iter(rows)
    while each.left:
        next(each)
    cursor[0] = each.cursor
    return rows


cdef list read_tallies(gp_cursor *cursor, const gp_totals_row *totals):
    cdef gp_tally_row row
    cdef uint64_t i, count = gp_cursor_rows(cursor, GP_ROW_TALLY)
    rows = []
    for i in range(count):
        gp_read_tally(cursor, totals, &row)
        check(cursor)
        rows.append((row.holder, number_or_none(row.ended), row.looked, row.looks, row.waiting, row.time, row.waited,
                     row.squares))
    return rows


cdef list read_looks(gp_cursor *cursor, const gp_totals_row *totals, dict counts):
    cdef gp_looks_row row
    counts["looks_unseen"] = counts["looks_free"] = 0
    if not totals.flags & GP_SNAPSHOT_LOOKS:
        return []
    gp_read_looks(cursor, &row)
    check(cursor)
    counts["looks_unseen"] = row.unseen
    counts["looks_free"] = row.free
    return read_tallies(cursor, totals)


cdef tuple pause_of(gp_cursor *cursor, const gp_totals_row *totals):
    cdef gp_pause_row row
    gp_read_pause(cursor, totals, &row)
    check(cursor)
    return (row.holder, number_or_none(row.place), row.generation, row.start_ns, row.pause_ns, row.held_ns, row.wait_ns,
            row.collected, row.uncollectable)


cdef tuple pause_sum_of(gp_cursor *cursor, const gp_totals_row *totals):
    cdef gp_pause_sum_row row
    gp_read_pause_sum(cursor, totals, &row)
    check(cursor)
    return (row.holder, number_or_none(row.ended), number_or_none(row.place), row.generation, row.held_ns, row.wait_ns,
            row.count, row.pauses_ns, row.longest_ns, row.collected, row.uncollectable)


cdef dict read_pauses(gp_cursor *cursor, const gp_totals_row *totals):
    cdef uint64_t i, count, lost
    if not totals.flags & GP_SNAPSHOT_PAUSES:
        return None
    lost = gp_read_pauses_lost(cursor)
    check(cursor)
    count = gp_cursor_rows(cursor, GP_ROW_PAUSE_SUM)
    sums = [pause_sum_of(cursor, totals) for i in range(count)]
    count = gp_cursor_rows(cursor, GP_ROW_PAUSE)
    longest = [pause_of(cursor, totals) for i in range(count)]
    return {"lost": lost, "sums": sums, "longest": longest, "looks": read_tallies(cursor, totals)}


def decode_pauses(entries, uint64_t factor) -> list:
    """Return each pause of a PAUS as in a snapshot; `factor` is the length of a tick, nanoseconds * 2**32."""
    cdef _View view = _View(entries, 1)
    cdef gp_cursor cursor = view.cursor()
    cdef gp_totals_row totals = gp_totals_with_factor(factor)
    rows = []
    while not gp_cursor_at_end(&cursor):
        rows.append(pause_of(&cursor, &totals))
    check(&cursor)
    return rows


def read_lock_waits(payload) -> tuple:
    """Return the waits of an LWAT, and how many were dropped so far.

    Each is (thread, lock + 1, place + 3, stack or 0, flags, holder + 1 or 0, its place + 3, when it released the lock,
    start, length, length of the spin); times in nanoseconds.
    """
    cdef _View view = _View(payload, 1)
    cdef gp_lock_waits waits = gp_lock_waits_over(view.bytes(), view.count())
    cdef gp_lock_wait_row row
    cdef uint64_t i
    check(&waits.cursor)
    rows = []
    for i in range(waits.count):
        gp_lock_waits_next(&waits, &row)
        check(&waits.cursor)
        rows.append((row.thread, row.lock, row.place, row.stack, row.flags, row.holder, row.holder_place,
                     row.released_ns, row.start_ns, row.wait_ns, row.spun_ns))
    if not gp_cursor_at_end(&waits.cursor):
        raise ValueError("nothing must follow the waits of a chunk")
    return rows, waits.dropped


cdef tuple named(const gp_named_row *row):
    return text_of(row.function), text_of(row.file), row.line


cdef list read_callbacks(gp_cursor *cursor, const gp_totals_row *totals):
    cdef gp_callback_row row
    cdef uint64_t i, count
    rows = []
    if not totals.flags & GP_SNAPSHOT_CALLBACKS:
        return rows
    count = gp_cursor_rows(cursor, GP_ROW_CALLBACK)
    for i in range(count):
        gp_read_callback(cursor, totals, &row)
        check(cursor)
        rows.append((row.account, row.start_ns, row.duration_ns, text_of(row.task), named(&row.what), row.looks,
                     row.seen, named(&row.where), text_of(row.callee)))
    return rows


cdef tuple read_labels(gp_cursor *cursor, const gp_totals_row *totals):
    cdef gp_tag_totals_row row
    cdef gp_tag_blame_row pair
    cdef uint64_t i, count
    rows, pairs = [], []
    if not totals.flags & GP_SNAPSHOT_TAGS:
        return None
    count = gp_cursor_rows(cursor, GP_ROW_TAG)
    for i in range(count):
        gp_read_tag(cursor, totals, &row)
        check(cursor)
        rows.append((row.tag, text_of(row.name), row.hold_ns, row.wait_ns, row.off_ns, row.holds, row.waits))
    count = gp_cursor_rows(cursor, GP_ROW_TAG_BLAME)
    for i in range(count):
        gp_read_tag_blame(cursor, totals, &pair)
        check(cursor)
        pairs.append((pair.waiter, pair.holder, pair.wait_ns))
    return rows, pairs


cdef dict totals_as_dict(const gp_totals_row *row):
    return {
        "final": bool(row.flags & GP_SNAPSHOT_FINAL),
        "hooks_lost": bool(row.flags & GP_SNAPSHOT_HOOKS_LOST),
        "releases_told_apart": bool(row.flags & GP_SNAPSHOT_TOLD_APART),
        "sites": bool(row.flags & GP_SNAPSHOT_SITES),
        "stacks": bool(row.flags & GP_SNAPSHOT_STACKS),
        "timeline": bool(row.flags & GP_SNAPSHOT_TIMELINE),
        "cpu_time": bool(row.flags & GP_SNAPSHOT_CPU),
        "others_missed": bool(row.flags & GP_SNAPSHOT_OTHERS_MISSED),
        "looks": bool(row.flags & GP_SNAPSHOT_LOOKS),
        "interpreter": row.interpreter,
        "factor": row.rate.factor,
        "elapsed_ns": row.elapsed_ns,
        "contended_ns": row.contended_ns,
        "handoffs": row.handoffs,
        "lost": row.lost,
        "sites_lost_ns": row.sites_lost_ns,
        "dropped_events": row.dropped,
    }


def decode_snapshot(payload) -> dict:
    """Return the totals, accounts, sites, blame, stalls, looks and callbacks of a SNAP, by these words. Times in nanoseconds.

    A site is (place, releases, hold, wait, CPU time of the holds or 0 where that was not recorded); a row of blame (waiter, holder, place or None, wait); a stall (waiter, its
    place or None, holder or None, its place or None, start, wait, time of the holder, what was seen of it or None): both
    are made anew each time that they are asked for; a row of looks (holder, place
    where its holds ended or None, place that was seen, and, added up over the looks: their number, the threads that waited,
    the time that a look stands for, that of all who waited, and the squares of that). The totals
    tell how many looks saw nothing, and how many found that nobody had the GIL. A callback of an event loop is (thread,
    start, duration, task, what ran, looks, looks that saw the same, where that was, callee); both places are (function,
    file, line). Threads by the numbers of their
    accounts, places by their own. `pauses` is None, or tells how many were lost, and has their sums (who collected,
    place where its holds ended or None, place that made the collector run or None, generation, part held, waits of
    others meanwhile, pauses, their length, the longest, objects collected, uncollectable), the longest ones (who, place
    or None, generation, start, length, part held, waits, collected, uncollectable) and the looks in pauses. `labels` is
    None where nothing had one, or has rows of (number, name, hold, wait, off, holds, waits), and those of (waiter's
    number, holder's number, wait), where 0 stands for no label. Whether there are such accounts and places is for the caller to check.
    """
    cdef _View view = _View(payload, 1)
    cdef gp_cursor cursor = view.cursor()
    cdef gp_totals_row totals
    cdef uint64_t i, count
    gp_read_totals(&cursor, &totals)
    check(&cursor)
    accounts, buckets = [], {}
    count = gp_cursor_rows(&cursor, GP_ROW_ACCOUNT)
    for i in range(count):
        accounts.append(read_account(&cursor, &totals, buckets))
    snapshot = {
        "totals": totals_as_dict(&totals),
        "accounts": accounts,
        "sites": read_sites(&cursor, &totals),
        "blame": rows_of(view, &cursor, &totals, False),
        "stalls": rows_of(view, &cursor, &totals, True),
    }
    snapshot["looks"] = read_looks(&cursor, &totals, snapshot["totals"])
    snapshot["pauses"] = read_pauses(&cursor, &totals)
    snapshot["callbacks"] = read_callbacks(&cursor, &totals)
    snapshot["labels"] = read_labels(&cursor, &totals)
    check(&cursor)
    if not gp_cursor_at_end(&cursor):
        raise ValueError("there must be nothing behind a snapshot")
    return snapshot
