#define _GNU_SOURCE /* process_vm_writev */

#include "attach/gp_inject.h"

#include <dirent.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "attach/gp_waits_freely.h"
#include "base/gp_clock.h"

enum {
    XSTATE_MAX = 64 << 10, /* the vector registers: 2.7 kB with AVX-512, 11 kB with AMX */
    RED_ZONE = 128,        /* below the stack pointer; functions that call none use it without moving that */
    STACK_NEEDED = 96 << 10,
    SPINS = 400, /* looks before the first nap: shorter than a nap */
    NAP_NS = 50000,
    RETRY_NS = 1000000,
    LONGEST_RETRY = 20,
    /* What the kernel leaves in rax of a system call that it will begin again: include/linux/errno.h */
    RESTART_SYSTEM_CALL = 512,
    RESTART_ALWAYS = 513,
    RESTART_WITHOUT_HANDLER = 514,
    RESTART_BLOCK = 516,
};
#define STOP_LIMIT_NS 5000000000u
#define CALL_LIMIT_NS 2000000000u
#define BLOCKED_SIGNALS                                                                                      \
    (~((1ull << (SIGSEGV - 1)) | (1ull << (SIGBUS - 1)) | (1ull << (SIGILL - 1)) | (1ull << (SIGFPE - 1)) |  \
       (1ull << (SIGTRAP - 1)) | (1ull << (SIGSYS - 1))))

/* A stopped thread, and what it gets back. */
typedef struct {
    const gp_injection *injection;
    gp_injected *injected;
    uint64_t entry; /* of the function, from where the library begins */
    pid_t thread;
    struct user_regs_struct registers;
    uint64_t mask;
    struct iovec vectors;
} tracee;

typedef enum { STOPPED_BY_SIGNAL, STOPPED_BY_EVENT, NOT_STOPPED, GONE } stop_kind;

static void nap(uint64_t ns)
{
    struct timespec time = {0, (long)ns};
    nanosleep(&time, NULL);
}

/* Wait until the thread stops. NOT_STOPPED after `limit_ns`. */
static stop_kind wait_for_stop(pid_t thread, uint64_t limit_ns, int *signal_number)
{
    uint64_t began = gp_clock_monotonic_ns();
    for (unsigned turn = 0;; turn++) {
        int status;
        pid_t found = waitpid(thread, &status, __WALL | WNOHANG);
        if (found < 0 || (found == thread && !WIFSTOPPED(status)))
            return GONE;
        if (found == thread) {
            *signal_number = WSTOPSIG(status);
            return status >> 16 == PTRACE_EVENT_STOP ? STOPPED_BY_EVENT : STOPPED_BY_SIGNAL;
        }
        if (gp_clock_monotonic_ns() - began > limit_ns)
            return NOT_STOPPED;
        if (turn < SPINS)
            sched_yield();
        else
            nap(NAP_NS);
    }
}

static bool write_there(pid_t process, uint64_t address, const void *bytes, size_t size)
{
    struct iovec here = {(void *)bytes, size}, there = {(void *)address, size};
    return process_vm_writev(process, &here, 1, &there, 1, 0) == (ssize_t)size;
}

/* The loader reads regular files, with its lock held; it reads nothing else. */
static bool reads_no_file(pid_t process, uint64_t fd)
{
    char path[64];
    struct stat status;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)process, (int)fd);
    return stat(path, &status) == 0 &&
           (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode) || S_ISCHR(status.st_mode));
}

/* Whether a thread that waits in this system call holds no lock of the C library. */
static bool waits_freely(pid_t process, long call, uint64_t first, uint64_t second)
{
    return call == SYS_read ? reads_no_file(process, first) : gp_waits_freely(call, second);
}

static bool will_begin_again(long result, long call)
{
    switch (-result) {
    case RESTART_SYSTEM_CALL:
    case RESTART_ALWAYS:
    case RESTART_WITHOUT_HANDLER:
    case RESTART_BLOCK:
        return true;
    case EINTR: /* fs/eventpoll.c: the time limit is not adjusted, so the kernel leaves it to the caller */
        return call == SYS_epoll_wait || call == SYS_epoll_pwait || call == SYS_epoll_pwait2;
    default:
        return false;
    }
}

/* An epoll_wait without a time limit can begin again: its caller sees no EINTR. */
static void spare_eintr(struct user_regs_struct *registers)
{
    long call = (long)registers->orig_rax;
    bool endless = call == SYS_epoll_pwait2 ? registers->r10 == 0 : (int)registers->r10 < 0;
    if ((long)registers->rax == -EINTR && endless)
        registers->rax = (unsigned long long)-RESTART_ALWAYS;
}

/* Whether the stopped thread may be used. */
static bool is_usable(tracee *it)
{
    struct user_regs_struct *at = &it->registers;
    pid_t process = it->injection->process;
    long call = (long)at->orig_rax;
    it->injected->waited = call >= 0;
    if (call >= 0) {
        if (!will_begin_again((long)at->rax, call) || !waits_freely(process, call, at->rdi, at->rsi))
            return false;
        spare_eintr(at);
    } else if (at->rip < it->injection->code_begin || at->rip >= it->injection->code_end) {
        return false;
    }
    if (it->thread == process) /* its stack grows */
        return true;
    char byte;
    struct iovec here = {&byte, 1}, there = {(void *)(at->rsp - STACK_NEEDED), 1};
    return process_vm_readv(process, &here, 1, &there, 1, 0) == 1;
}

static bool save(tracee *it)
{
    it->vectors.iov_len = XSTATE_MAX;
    return ptrace(PTRACE_GETREGS, it->thread, 0, &it->registers) == 0 && is_usable(it) &&
           ptrace(PTRACE_GETREGSET, it->thread, NT_X86_XSTATE, &it->vectors) == 0 &&
           ptrace(PTRACE_GETSIGMASK, it->thread, sizeof it->mask, &it->mask) == 0;
}

static void restore(tracee *it)
{
    ptrace(PTRACE_SETREGSET, it->thread, NT_X86_XSTATE, &it->vectors);
    ptrace(PTRACE_SETREGS, it->thread, 0, &it->registers);
    ptrace(PTRACE_SETSIGMASK, it->thread, sizeof it->mask, &it->mask);
}

/* Whether the thread waits for a lock of the C library, which it does not have: it can be taken out of the
 * call. */
static bool waits_for_lock(const struct user_regs_struct *at)
{
    return (long)at->orig_rax == SYS_futex && (at->rsi & FUTEX_CMD_MASK) == FUTEX_WAIT;
}

/* Run until the return to address 0. */
static gp_inject_outcome run_to_end(tracee *it, uint64_t *result)
{
    struct user_regs_struct at;
    for (long passed_on = 0;;) {
        if (ptrace(PTRACE_CONT, it->thread, 0, passed_on) != 0)
            return GP_INJECT_ENDED;
        int number = 0;
        stop_kind kind = wait_for_stop(it->thread, CALL_LIMIT_NS, &number);
        if (kind == NOT_STOPPED) {
            ptrace(PTRACE_INTERRUPT, it->thread, 0, 0);
            kind = wait_for_stop(it->thread, UINT64_MAX, &number);
            if (kind == STOPPED_BY_EVENT && ptrace(PTRACE_GETREGS, it->thread, 0, &at) == 0 &&
                waits_for_lock(&at))
                return GP_INJECT_BLOCKED;
        }
        if (kind == GONE)
            return GP_INJECT_ENDED;
        passed_on = 0;
        if (kind == STOPPED_BY_EVENT)
            continue;
        if (BLOCKED_SIGNALS & (1ull << (number - 1))) { /* one that can't be blocked */
            passed_on = number;
            continue;
        }
        if (ptrace(PTRACE_GETREGS, it->thread, 0, &at) != 0)
            return GP_INJECT_ENDED;
        *result = at.rax;
        return number == SIGSEGV && at.rip == 0 ? GP_INJECT_DONE : GP_INJECT_FAULT;
    }
}

/* Call a function on the thread's stack, below `stack`, with a return address that ends in a fault. */
static gp_inject_outcome call(tracee *it, uint64_t stack, uint64_t function, uint64_t first, uint64_t second,
                              uint64_t *result)
{
    struct user_regs_struct at = it->registers;
    at.rsp = (stack & ~15ull) - 8;
    uint64_t end = 0;
    if (!write_there(it->injection->process, at.rsp, &end, sizeof end))
        return GP_INJECT_NO_THREAD;
    at.rip = function;
    at.rdi = first;
    at.rsi = second;
    at.rax = 0;
    at.orig_rax = (unsigned long long)-1; /* no system call to begin again */
    if (ptrace(PTRACE_SETREGS, it->thread, 0, &at) != 0)
        return GP_INJECT_ENDED;
    return run_to_end(it, result);
}

/* Load the library and call its function. */
static gp_inject_outcome use(tracee *it)
{
    const gp_injection *wanted = it->injection;
    size_t length = strlen(wanted->library) + 1;
    uint64_t message = (it->registers.rsp - RED_ZONE - wanted->message_size) & ~63ull;
    uint64_t library = (message - length) & ~63ull;
    uint64_t mask = BLOCKED_SIGNALS;
    if (!write_there(wanted->process, message, wanted->message, wanted->message_size) ||
        !write_there(wanted->process, library, wanted->library, length) ||
        ptrace(PTRACE_SETSIGMASK, it->thread, sizeof mask, &mask) != 0)
        return GP_INJECT_NO_THREAD;
    uint64_t handle = 0, base = 0, status = 0;
    gp_inject_outcome outcome = call(it, library, wanted->dlopen, library, RTLD_NOW, &handle);
    if (outcome != GP_INJECT_DONE)
        return outcome;
    if (handle == 0)
        return GP_INJECT_NOT_LOADED;
    /* glibc's handle is its `struct link_map`, link.h, whose first field is where the library begins. */
    struct iovec here = {&base, sizeof base}, there = {(void *)handle, sizeof base};
    if (process_vm_readv(wanted->process, &here, 1, &there, 1, 0) != sizeof base)
        return GP_INJECT_FAULT;
    outcome = call(it, library, base + it->entry, message, 0, &status);
    if (outcome == GP_INJECT_DONE && (int)status != 0) {
        it->injected->error = (int)status;
        return GP_INJECT_NOT_STARTED;
    }
    return outcome;
}

/* Stop the thread, use it if it can be used, and let it go. */
static gp_inject_outcome try_thread(tracee *it)
{
    uint64_t began = gp_clock_monotonic_ns();
    if (ptrace(PTRACE_SEIZE, it->thread, 0, 0) != 0) {
        it->injected->error = errno;
        return errno == ESRCH ? GP_INJECT_NO_THREAD : GP_INJECT_REFUSED;
    }
    int number = 0;
    ptrace(PTRACE_INTERRUPT, it->thread, 0, 0);
    stop_kind kind = wait_for_stop(it->thread, STOP_LIMIT_NS, &number);
    if (kind == GONE)
        return GP_INJECT_NO_THREAD;
    if (kind == NOT_STOPPED) { /* ends the trace of it, too: the kernel does when this thread ends */
        it->injected->error = ETIMEDOUT;
        return GP_INJECT_REFUSED;
    }
    gp_inject_outcome outcome = GP_INJECT_NO_THREAD;
    bool by_signal = kind == STOPPED_BY_SIGNAL; /* that came first: the thread gets it, and is not used */
    if (!by_signal && number == SIGTRAP && save(it)) {
        outcome = use(it);
        if (outcome != GP_INJECT_ENDED)
            restore(it);
    }
    ptrace(PTRACE_DETACH, it->thread, 0, (long)(by_signal ? number : 0));
    it->injected->stopped_ns = gp_clock_monotonic_ns() - began;
    it->injected->thread = it->thread;
    return outcome;
}

/* Whether it is worth to stop the thread. A look from outside, which stops nobody. */
static bool looks_usable(pid_t process, pid_t thread, bool running)
{
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%d/syscall", (int)process, (int)thread);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool told = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    if (!told)
        return false;
    if (strncmp(line, "running", 7) == 0)
        return running;
    long number;
    unsigned long first, second;
    return sscanf(line, "%ld %lx %lx", &number, &first, &second) == 3 &&
           waits_freely(process, number, first, second);
}

/* Look at all threads once, or stop those that run, too. */
static gp_inject_outcome try_threads(tracee *it, bool running)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)it->injection->process);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return GP_INJECT_ENDED;
    gp_inject_outcome outcome = GP_INJECT_NO_THREAD;
    for (struct dirent *entry; outcome == GP_INJECT_NO_THREAD && (entry = readdir(folder)) != NULL;) {
        it->thread = (pid_t)atoi(entry->d_name);
        if (it->thread > 0 && looks_usable(it->injection->process, it->thread, running))
            outcome = try_thread(it);
    }
    closedir(folder);
    return outcome;
}

static void *inject(void *argument)
{
    tracee *it = argument;
    uint64_t began = gp_clock_monotonic_ns(), passed = 0;
    gp_inject_outcome outcome = GP_INJECT_NO_THREAD;
    for (unsigned turn = 0; outcome == GP_INJECT_NO_THREAD && passed <= it->injection->patience_ns; turn++) {
        if (turn > 1)
            nap(RETRY_NS * (turn < LONGEST_RETRY ? turn : LONGEST_RETRY));
        outcome = try_threads(it, turn % 2 == 1); /* first those that wait anyway */
        passed = gp_clock_monotonic_ns() - began;
    }
    it->injected->outcome = outcome;
    it->injected->searched_ns = passed - (outcome == GP_INJECT_NO_THREAD ? 0 : it->injected->stopped_ns);
    return NULL;
}

/* Where the function is, from where its library begins. */
static bool find_entry(const char *library, const char *function, uint64_t *entry)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL)
        return false;
    Dl_info found;
    char *at = dlsym(handle, function);
    bool known = at != NULL && dladdr(at, &found) != 0;
    if (known)
        *entry = (uint64_t)(at - (char *)found.dli_fbase);
    dlclose(handle);
    return known;
}

/* A thread of its own traces: all signals are blocked there, and its end would end every trace. */
gp_status gp_inject(const gp_injection *injection, gp_injected *injected)
{
    tracee it = {.injection = injection, .injected = injected};
    *injected = (gp_injected){0};
    if (injection->message_size > GP_INJECT_MESSAGE_MAX ||
        !find_entry(injection->own_library, injection->function, &it.entry))
        return GP_EINVAL;
    it.vectors.iov_base = malloc(XSTATE_MAX);
    if (it.vectors.iov_base == NULL)
        return GP_ENOMEM;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int error = pthread_create(&thread, NULL, inject, &it);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        pthread_join(thread, NULL);
    free(it.vectors.iov_base);
    errno = error;
    return error == 0 ? GP_OK : GP_ETHREAD;
}

/* Without a thread of its own: a SIGKILL of this one lets the other go on, whose registers are untouched. */
gp_status gp_inject_where(int32_t thread, uint64_t *instruction)
{
    if (ptrace(PTRACE_SEIZE, thread, 0, 0) != 0)
        return GP_ESYSTEM;
    int number = 0;
    ptrace(PTRACE_INTERRUPT, thread, 0, 0);
    stop_kind kind = wait_for_stop(thread, STOP_LIMIT_NS, &number);
    if (kind == GONE || kind == NOT_STOPPED) {
        errno = kind == GONE ? ESRCH : ETIMEDOUT;
        return GP_ESYSTEM;
    }
    struct user_regs_struct at;
    bool told = ptrace(PTRACE_GETREGS, thread, 0, &at) == 0;
    int error = errno;
    ptrace(PTRACE_DETACH, thread, 0, (long)(kind == STOPPED_BY_SIGNAL ? number : 0));
    *instruction = told ? at.rip : 0;
    errno = error;
    return told ? GP_OK : GP_ESYSTEM;
}

void gp_act_as(uint32_t *user, uint32_t *group)
{
    *group = (uint32_t)setfsgid(*group);
    *user = (uint32_t)setfsuid(*user);
}
