#include "picture/gp_picture_longest.h"

#include <stdlib.h>
#include <string.h>

#include "base/gp_memory.h"

enum {
    PAST_HOLDS = 1 << 18, /* of each GIL; of a wait with more holds some holders are missing */
    PARTIES = 32,         /* holders counted one by one during one wait */
};

typedef struct {
    uint64_t begin, end;
    uint32_t row, place;
} past_hold;

/* The last holds of one GIL. */
typedef struct {
    past_hold *holds;
    uint64_t count; /* so far; the youngest one is holds[(count - 1) % PAST_HOLDS] */
} past;

/* The longest so far: a heap whose root is the shortest of them. */
typedef struct {
    gp_long *entries;
    size_t count;
} heap;

struct gp_picture_longest {
    const gp_rows *rows;
    size_t keep;
    uint64_t looks; /* left */
    heap holds, waits;
    uint32_t gil_count; /* a copy: when this is freed, the rows may be gone */
    past pasts[];
};

gp_status gp_picture_longest_new(const gp_rows *rows, size_t keep, uint64_t looks,
                                 gp_picture_longest **longest)
{
    gp_picture_longest *made = calloc(1, sizeof *made + rows->gil_count * sizeof(past));
    if (made == NULL)
        return GP_ENOMEM;
    made->rows = rows;
    made->keep = keep;
    made->looks = looks;
    made->gil_count = rows->gil_count;
    made->holds.entries = calloc(keep + 1, sizeof(gp_long));
    made->waits.entries = calloc(keep + 1, sizeof(gp_long));
    if (made->holds.entries == NULL || made->waits.entries == NULL) {
        gp_picture_longest_free(made);
        return GP_ENOMEM;
    }
    *longest = made;
    return GP_OK;
}

/* ---- the heap ---- */

static uint64_t length(const gp_long *one)
{
    return one->end - one->begin;
}

static bool has_room_for(const heap *entries, size_t keep, const gp_span *one)
{
    if (one->end == one->begin)
        return false;
    if (entries->count < keep)
        return true;
    return keep != 0 && one->end - one->begin > length(&entries->entries[0]);
}

static void sift_up(heap *entries, size_t at)
{
    gp_long moved = entries->entries[at];
    for (; at > 0 && length(&entries->entries[(at - 1) / 2]) > length(&moved); at = (at - 1) / 2)
        entries->entries[at] = entries->entries[(at - 1) / 2];
    entries->entries[at] = moved;
}

static void sift_down(heap *entries)
{
    gp_long moved = entries->entries[0];
    size_t at = 0, child;
    while ((child = 2 * at + 1) < entries->count) {
        if (child + 1 < entries->count &&
            length(&entries->entries[child + 1]) < length(&entries->entries[child]))
            child++;
        if (length(&entries->entries[child]) >= length(&moved))
            break;
        entries->entries[at] = entries->entries[child];
        at = child;
    }
    entries->entries[at] = moved;
}

static void keep(heap *entries, size_t most, const gp_long *one)
{
    if (entries->count < most) {
        entries->entries[entries->count++] = *one;
        sift_up(entries, entries->count - 1);
    } else {
        entries->entries[0] = *one;
        sift_down(entries);
    }
}

/* ---- holders ---- */

static bool remember(past *holds, const gp_span *one)
{
    if (holds->holds == NULL)
        holds->holds = gp_memory_map(PAST_HOLDS * sizeof(past_hold));
    if (holds->holds == NULL)
        return false;
    holds->holds[holds->count++ % PAST_HOLDS] = (past_hold){one->begin, one->end, one->row, one->place};
    return true;
}

/* Add a hold to the sum of its holder and place. False if there are too many of these. */
static bool add_to_party(gp_holder *parties, size_t *count, const past_hold *hold, uint64_t ns)
{
    size_t i = 0;
    while (i < *count && (parties[i].row != hold->row || parties[i].place != hold->place))
        i++;
    if (i == PARTIES)
        return false;
    if (i == *count)
        parties[(*count)++] = (gp_holder){hold->row, hold->place, 0};
    parties[i].ns += ns;
    return true;
}

static int by_most(const void *left, const void *right)
{
    uint64_t a = ((const gp_holder *)left)->ns, b = ((const gp_holder *)right)->ns;
    return (a < b) - (a > b);
}

/* A wait ends when its thread gets the GIL, so all holds during it have ended and are known. */
static void find_holders(gp_picture_longest *longest, const past *holds, gp_long *wait)
{
    gp_holder parties[PARTIES];
    size_t count = 0;
    uint64_t oldest = holds->count > PAST_HOLDS ? holds->count - PAST_HOLDS : 0;
    for (uint64_t i = holds->count; i > oldest; i--) {
        const past_hold *hold = &holds->holds[(i - 1) % PAST_HOLDS];
        uint64_t begin = hold->begin > wait->begin ? hold->begin : wait->begin;
        uint64_t end = hold->end < wait->end ? hold->end : wait->end;
        if (hold->end <= wait->begin)
            break;
        if (longest->looks == 0) {
            wait->others_ns = 0; /* better none than some of them */
            return;
        }
        longest->looks--;
        if (begin < end && !add_to_party(parties, &count, hold, end - begin))
            wait->others_ns += end - begin;
    }
    qsort(parties, count, sizeof *parties, by_most);
    wait->holder_count = (uint32_t)(count < GP_PICTURE_LONGEST_HOLDERS ? count : GP_PICTURE_LONGEST_HOLDERS);
    memcpy(wait->holders, parties, wait->holder_count * sizeof *parties);
    for (size_t i = wait->holder_count; i < count; i++)
        wait->others_ns += parties[i].ns;
}

gp_status gp_picture_longest_add(gp_picture_longest *longest, const gp_picture_intervals *intervals)
{
    const gp_rows *rows = longest->rows;
    gp_span one;
    for (size_t i = 0; i < intervals->count; i++) {
        if (!gp_span_get(intervals, i, rows, &one))
            return GP_EINVAL;
        heap *entries = one.is_wait ? &longest->waits : &longest->holds;
        past *holds = one.gil < rows->gil_count ? &longest->pasts[one.gil] : NULL;
        if (one.row < rows->row_count && has_room_for(entries, longest->keep, &one)) {
            gp_long entry = {.begin = one.begin, .end = one.end, .row = one.row, .place = one.place};
            if (one.is_wait && holds != NULL)
                find_holders(longest, holds, &entry);
            keep(entries, longest->keep, &entry);
        }
        if (!one.is_wait && holds != NULL && one.end > one.begin && !remember(holds, &one))
            return GP_ENOMEM;
    }
    return GP_OK;
}

const gp_long *gp_picture_longest_holds(const gp_picture_longest *longest, size_t *count)
{
    *count = longest->holds.count;
    return longest->holds.entries;
}

const gp_long *gp_picture_longest_waits(const gp_picture_longest *longest, size_t *count)
{
    *count = longest->waits.count;
    return longest->waits.entries;
}

void gp_picture_longest_free(gp_picture_longest *longest)
{
    if (longest == NULL)
        return;
    for (uint32_t i = 0; i < longest->gil_count; i++)
        gp_memory_unmap(longest->pasts[i].holds, PAST_HOLDS * sizeof(past_hold));
    free(longest->holds.entries);
    free(longest->waits.entries);
    free(longest);
}
