#ifndef GP_CALLEE_H
#define GP_CALLEE_H

/* The callee: what the innermost Python frame of a thread runs in C at this moment. */

#include <stdbool.h>
#include <stddef.h>

#include "base/gp_place.h"
#include "base/gp_safe_read.h"

enum {
    GP_CALLEE_MAX = 160, /* bytes of a name, with its end: longer ones are cut */
};

/* Look at a thread that runs, and may end meanwhile: without the GIL, by safe reads only, some ten of them.
 * True: `name`, terminated, is what runs, and *at where in its innermost frame:
 *   a call            `sorted`, `zlib.compress`, `re.Pattern.findall`, `list.sort`, `dict`
 *   an operator       "int * int", "`in` on list", "list[...]", "iteration over map"
 *   "freeing"         of what nobody needs any more, or of the locals of a function that returned
 *   the collector     "garbage collection (generation 2)", or without the number where it isn't known
 * False where the frame computes Python code itself, where the C code returned meanwhile, and where it can't
 * be told: no name is better than a wrong one. What takes less time than the look mostly gives none.
 *
 * One thread at a time: a second one gets false. */
bool gp_callee_read(gp_safe_reader *reader, const void *thread_state, char *name, size_t room);
bool gp_callee_read_at(gp_safe_reader *reader, const void *thread_state, gp_site_key *at, char *name,
                       size_t room);

/* Which frame made the collector of this interpreter run; NULL: none, or it is not known. Any thread. Without
 * it a Python frame that a collection calls, as of a finalizer, may count as what made the collector run. */
void gp_callee_collects(const void *interpreter, const void *frame);

#endif
