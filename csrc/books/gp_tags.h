#ifndef GP_TAGS_H
#define GP_TAGS_H

/* What the code that runs is for, such as a request: a tag, which a thread sets while it has the GIL. Public
 * is the word label, which in C is a thread's name.
 *
 * Their names, for the whole process, and the tables of a session: what each tag held and waited, and behind
 * which other tag. All is bounded. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/gp_status.h"
#include "books/gp_blame.h"

enum {
    GP_TAGS_NAMED = 1024,              /* tags with a name of their own */
    GP_TAG_NONE = 0,                   /* whatever has no tag: only in pairs, elsewhere it is the rest */
    GP_TAG_OTHERS = GP_TAGS_NAMED + 1, /* all that came later */
    GP_TAGS = GP_TAGS_NAMED + 2,
    GP_TAG_NAME_MAX = 256,      /* bytes of a name that are kept */
    GP_TAG_PAIRS_MAX = 1 << 15, /* pairs of two tags: later ones have GP_TAG_OTHERS as holder */
};

/* Take a number for a name, UTF-8, for good. GP_TAG_OTHERS: there are none left, or there is no memory. Any
 * thread. */
uint32_t gp_tags_add(const char *name, size_t size);

/* Whether a number was ever taken. Any thread. */
bool gp_tags_are_used(void);

/* The name behind a number, terminated; "" where there is none. Any thread. */
const char *gp_tags_name(uint32_t tag);

/* What a session has booked for a tag. Times are ticks. */
typedef struct {
    uint64_t hold, wait, off;
    uint64_t holds, waits; /* that have ended */
} gp_tag_row;

/* A thread, to be told when it may have ended. */
typedef struct {
    int64_t native_id; /* 0: none */
    uint32_t label, tag;
    char os_name[16];
} gp_tag_thread;

/* The longest wait. */
typedef struct {
    uint64_t start, ticks;
    uint64_t
        holder_ticks; /* the longest time for which one thread with one tag had the GIL, again and again */
    gp_tag_thread waiter, holder;
} gp_worst_wait;

typedef struct {
    gp_tag_row rows[GP_TAGS];
    gp_rows pairs; /* tags instead of accounts, and no place */
    gp_worst_wait worst;
} gp_tag_books;

/* NULL without memory. */
gp_tag_books *gp_tag_books_new(void);

/* NULL is fine. */
void gp_tag_books_free(gp_tag_books *books);

/* The waiter's tag has waited behind the holder's. Without memory that is missing. */
void gp_tag_books_charge(gp_tag_books *books, uint32_t waiter, uint32_t holder, uint64_t ticks);

#endif
