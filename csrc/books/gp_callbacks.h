#ifndef GP_CALLBACKS_H
#define GP_CALLBACKS_H

/* The longest callbacks of event loops: what kept a loop from all else it had to do. A callback is what
 * asyncio's loop calls at one time: a step of a task, or a function that it was given. */

#include <stddef.h>
#include <stdint.h>

enum {
    GP_CALLBACKS_MAX = 128, /* that one session keeps */
    GP_CALLBACK_TASK = 128, /* bytes of a task's name, terminated */
    GP_CALLBACK_FUNCTION = 160,
    GP_CALLBACK_FILE = 256,
    GP_CALLBACK_CALLEE = 96,
};

#define GP_CALLBACK_LEAST_NS UINT64_C(1000000) /* shorter ones are not worth a row */

/* A place by name; both names are terminated. */
typedef struct {
    char function[GP_CALLBACK_FUNCTION];
    char file[GP_CALLBACK_FILE];
    uint32_t line; /* 0: none */
} gp_callback_place;

typedef struct {
    uint64_t start, ticks;
    uint32_t account;            /* the number of the thread's */
    uint32_t looks, seen;        /* looks at the thread meanwhile, and those that saw `where` */
    char task[GP_CALLBACK_TASK]; /* empty: it is none */
    gp_callback_place
        what; /* the task's coroutine, and the line at which it has stopped; else the function */
    gp_callback_place where;         /* the place that most looks saw; all empty without looks ... */
    char callee[GP_CALLBACK_CALLEE]; /* ... and what it ran in C; empty: nothing, or not known */
} gp_callback;

/* Zeroed memory is empty. */
typedef struct {
    gp_callback *rows;
    size_t count;
    uint64_t floor; /* ticks: a callback must be longer to be kept */
} gp_callback_list;

/* Keep a callback, instead of the shortest one if there are many. Without memory it is forgotten. */
void gp_callbacks_keep(gp_callback_list *list, const gp_callback *callback);

/* Give up the memory. */
void gp_callbacks_clear(gp_callback_list *list);

#endif
