#ifndef GP_PLACES_H
#define GP_PLACES_H

/* Where threads have been: the places of one GIL, each with a number.
 *
 * A place is a site (function, file and line), or a whole stack: a site and the place from which it was
 * called. All stacks together are a tree, in which each is known by the number of its innermost level. A
 * place is what its description says, however many code objects there have been for it: a program that makes
 * code as it goes makes the same places again and again. By what object it was met, gp_known.h knows.
 *
 * Places are found and forgotten with the GIL, which all that changes here is guarded by; they stay where
 * they are, so that whoever has a number may read what it stands for, at any time. Memory comes from mmap
 * (gp_memory.h). */

#include "base/gp_buffer.h"
#include "base/gp_paths.h"
#include "books/gp_known.h"

enum {
    GP_PLACES_MAX = 1 << 20,     /* in one GIL */
    GP_DESCRIBED_MAX = 64 << 20, /* bytes of all their descriptions */
};

/* Instead of a place's number, in a note. */
#define GP_NO_FRAME (UINT32_MAX - 1) /* native code of the thread */
#define GP_UNSEEN (UINT32_MAX - 2)   /* nobody could look */

/* Called with a place that may be new: appends its description, kind and all that comes after it in PLAC
 * (docs/recording-format.md). Its code object lives: the calling thread runs it. */
typedef void gp_met(gp_site_key key, gp_buffer *description);

typedef struct {
    gp_met *met;
    /* Whether a place of the calling thread stands for the one that called it, which *key becomes, if there
     * is one: that may be another the next time. NULL: none does. */
    bool (*stands_for_caller)(gp_site_key *key);
    /* Take down the calling thread's stack, where there is room for GP_FRAMES_MAX frames and the end. */
    gp_walked (*walk)(const gp_paths *paths, gp_path_frame *frames, gp_site_key keys[GP_STACK_MAX + 1]);
} gp_naming;

typedef struct {
    uint64_t hash;
    const uint8_t *text; /* the description */
    uint32_t size;       /* of it, bytes */
    uint32_t parent;     /* the place that called it; GP_ROW_NONE: none */
    uint32_t site; /* what stands for it where callers do not count; GP_ROW_NONE: no thread was just there */
} gp_place_name;

/* Zeroed memory is empty. */
typedef struct {
    gp_place_name **chunks; /* the names, in order of their numbers */
    uint32_t count;
    uint32_t *slots; /* by hash: a number + 1; 0: free */
    size_t slot_count;
    gp_known_table known;
    gp_buffer description; /* of the place that is being looked for */
    uint8_t *texts;        /* the block of memory that is being filled, which begins with the one before */
    size_t texts_used, texts_size;
    gp_naming naming;
} gp_places;

/* The levels of a thread's call stack, from the innermost; only that one where no session wants stacks. */
typedef struct {
    const gp_site_key *keys;
    size_t depth;   /* 0: no Python frame */
    bool truncated; /* there are more levels */
} gp_call_stack;

/* The number of a site, and of a stack; GP_ROW_NONE without memory. With the GIL,
 * by the thread that is there. *lasting: the key stands for it as long as its code object lives. */
uint32_t gp_places_site(gp_places *places, gp_site_key key, bool *lasting);
uint32_t gp_places_stack(gp_places *places, const gp_call_stack *stack);

/* The number of the stack that the calling thread is in, which is kept with its paths if it can be recognised
 * there. They must be emptied before another call when a code object goes that was known. */
uint32_t gp_places_path(gp_places *places, gp_paths *paths);

/* The same for places that have nothing but a description, known to one thread alone: the site with this
 * description, and the place of a site that is called from `parent`; GP_ROW_NONE as the latter is none. */
uint32_t gp_places_described(gp_places *places, const gp_buffer *text);
uint32_t gp_places_called(gp_places *places, uint32_t parent, uint32_t level);

/* What a number stands for. Any thread that has got the number. */
const gp_place_name *gp_places_at(const gp_places *places, uint32_t number);

/* A code object goes. Whether anything was known by it. With the GIL. */
bool gp_places_forget(gp_places *places, const void *code);

/* Give up the memory, when nobody has a number any more. */
void gp_places_clear(gp_places *places);

#endif
