#ifndef GP_LOOP_CALLBACKS_H
#define GP_LOOP_CALLBACKS_H

#include <stdbool.h>
#include <stdint.h>

/* From now on tell gp_loop_watch.h of each long callback that an event loop of asyncio runs; or not any
 * more. With the GIL.
 *
 * asyncio's loop runs each callback by Context.run, a method in C. While callbacks are watched, the entry of
 * that method's definition leads to a function of ours, which reads the clock before and after. No object of
 * Python's changes. */
void gp_loop_callbacks_watch(bool watch);

/* The tag (gp_tags.h) that a context of Python's has, or none. With the GIL, no exception is pending. */
typedef uint32_t gp_context_tag(void *context);

/* From now on, and for good, have the calling thread's tag be that of the context that it enters, until it
 * leaves it: from 3.14 on by the interpreter's own watcher; before only if Context.run enters it, as event
 * loops and executors do, and in the main interpreter. False: nobody can. With the GIL. */
bool gp_loop_callbacks_follow(gp_context_tag *tag);

#endif
