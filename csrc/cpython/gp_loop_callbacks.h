#ifndef GP_LOOP_CALLBACKS_H
#define GP_LOOP_CALLBACKS_H

#include <stdbool.h>

/* From now on tell gp_loop_watch.h of each long callback that an event loop of asyncio runs; or not any
 * more. With the GIL.
 *
 * asyncio's loop runs each callback by Context.run, a method in C. While callbacks are watched, the entry of
 * that method's definition leads to a function of ours, which reads the clock before and after. No object of
 * Python's changes. */
void gp_loop_callbacks_watch(bool watch);

#endif
