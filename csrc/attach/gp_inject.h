#ifndef GP_INJECT_H
#define GP_INJECT_H

/* Make another process load a library and call a function of it, as a debugger would, but with one of its
 * threads stopped for about a millisecond and the others running.
 *
 * That thread must stand where it holds no lock of the C library, which dlopen and pthread_create take: in a
 * system call in which threads wait for the world or for a semaphore, or in code of the caller's choice. Its
 * registers and its mask of signals are restored afterwards, and the system call begins again, or ends with
 * EINTR where the kernel knows nothing better: an epoll_wait with a time limit. Linux on x86-64. */

#include <stddef.h>
#include <stdint.h>

#include "base/gp_status.h"

/* What to load and call. The addresses are the process's. */
typedef struct {
    int32_t process;
    uint64_t dlopen;
    uint64_t code_begin, code_end; /* what runs here holds no lock of the C library */
    const char *library;           /* absolute path, as the process sees it */
    const char *own_library;       /* the same file, or one that equals it, here */
    const char *function;          /* its `int function(const void *message)` */
    const void *message;  /* copied for the function, until it returns; any address in it is its own */
    size_t message_size;  /* at most GP_INJECT_MESSAGE_MAX */
    uint64_t patience_ns; /* for how long a thread is looked for */
} gp_injection;

#define GP_INJECT_MESSAGE_MAX 2048

typedef enum {
    GP_INJECT_DONE,
    GP_INJECT_NO_THREAD,   /* all threads are elsewhere, all the time */
    GP_INJECT_REFUSED,     /* `error` of the operating system */
    GP_INJECT_ENDED,       /* the process ended */
    GP_INJECT_BLOCKED,     /* another thread has the loader's lock, and keeps it */
    GP_INJECT_NOT_LOADED,  /* dlopen returned NULL */
    GP_INJECT_NOT_STARTED, /* the function returned the errno `error` */
    GP_INJECT_FAULT,       /* a call ended with a fault; the thread runs on as before */
} gp_inject_outcome;

typedef struct {
    gp_inject_outcome outcome;
    int error;
    int32_t thread;       /* that was used; 0: none */
    int waited;           /* it stood in a system call */
    uint64_t stopped_ns;  /* for how long it stood still, as seen from outside */
    uint64_t searched_ns; /* until it was found */
} gp_injected;

/* Load and call. The function's thread must not need what the stopped thread may hold: it should only start
 * another. Any thread, without the GIL. Returns GP_OK if `*injected` says what happened, GP_ETHREAD with
 * errno, GP_EINVAL for a message that is too long or a library without the function, or GP_EUNSUPPORTED. If
 * the caller is killed meanwhile, so is the process: the stopped thread's registers are lost. */
gp_status gp_inject(const gp_injection *injection, gp_injected *injected);

/* Tell where a thread stands that runs: it is stopped, asked and let go, in some 50 us; nothing in it is
 * changed. Any thread, without the GIL. Returns GP_ESYSTEM with errno if it can't be, or GP_EUNSUPPORTED. */
gp_status gp_inject_where(int32_t thread, uint64_t *instruction);

/* Let the calling thread make and open files as this user and group, without root's power over others'. The
 * system tells no error: `*user` and `*group` are what it was before. */
void gp_act_as(uint32_t *user, uint32_t *group);

#endif
