#ifndef INTERPRETER_OBJECT_H
#define INTERPRETER_OBJECT_H

/* Interpreters without Python, in a shared object of their own, whose calls the tracer hooks: each has a GIL
 * as CPython makes it (Python/ceval_gil.c). The first is the main one. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum {
    INTERPRETERS = 200, /* places for them */
};

typedef struct {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    pthread_mutex_t switch_mutex;
    pthread_cond_t switch_cond;
    _Atomic int locked;
    _Atomic bool wanted; /* a thread asks the holder to give way */
    _Atomic uintptr_t last_holder;
    uint64_t switches;
} interpreter_gil;

typedef struct {
    _Atomic uint32_t id;
    _Atomic bool lives;
    interpreter_gil gil;
} interpreter;

interpreter *interpreter_at(size_t place);

/* Begin an interpreter in a place of memory where another one may have been, which nobody has destroyed. */
void interpreter_begin(size_t place, uint32_t id);

void interpreter_take_gil(interpreter *of);

/* Want the GIL, but do not take it: the thread has to exit, since the interpreter ends. */
void interpreter_ask_and_exit(interpreter *of);

/* Give the GIL up because the code asks for it. */
void interpreter_let_go(interpreter *of);

/* Give the GIL up and take it again if another thread has asked for that. Whether it has. */
bool interpreter_give_way(interpreter *of);

/* Give the GIL up by a function that is in no list. */
void interpreter_let_go_unlisted(interpreter *of);

/* Calls with a lock that is no GIL's; what the C library answers. */
int interpreter_lock(pthread_mutex_t *mutex);
int interpreter_unlock(pthread_mutex_t *mutex);
int interpreter_signal(pthread_cond_t *cond);
int interpreter_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);

/* In a forked child: the main GIL is made anew, and is the calling thread's. */
void interpreter_after_fork(void);

/* What the tracer must be told: starts of functions, ended by NULL. */
const void *const *interpreter_voluntary(void);
const void *const *interpreter_forced(void);

#endif
