/* Stands for process_vm_readv where a process reads its own memory, and is fifty times as fast: it copies,
 * and a fault ends the copy. Preloaded (LD_PRELOAD) by benchmarks/looks.py alone, so that looks are as many
 * as they can be. What comes back is as torn as it is to the kernel, or more. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static _Thread_local sigjmp_buf out;
static _Thread_local volatile sig_atomic_t reading;
static _Thread_local bool may_fault;
static struct sigaction others[2];

static void fault(int number, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    if (reading)
        siglongjmp(out, 1);
    sigaction(number, &others[number == SIGBUS], NULL); /* it comes again, and is another's */
}

static pid_t own;

static void forget_own(void)
{
    own = 0;
}

/* The library's own asks the kernel each time. */
__attribute__((visibility("default"))) pid_t getpid(void)
{
    if (own == 0)
        own = (pid_t)syscall(SYS_getpid);
    return own;
}

/* At the first read: before, a sanitizer may not be ready for it. */
static void begin(void)
{
    struct sigaction action = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    sigaction(SIGSEGV, &action, &others[0]);
    sigaction(SIGBUS, &action, &others[1]);
    pthread_atfork(NULL, NULL, forget_own);
}

/* gilprobe's own threads block all signals, and a fault that is blocked kills. */
static void let_faults_come(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    sigset_t faults;
    pthread_once(&once, begin);
    sigemptyset(&faults);
    sigaddset(&faults, SIGSEGV);
    sigaddset(&faults, SIGBUS);
    pthread_sigmask(SIG_UNBLOCK, &faults, NULL);
    may_fault = true;
}

/* Words where it can: a pointer is never torn, as it is not to the kernel. Not memcpy, which a sanitizer
 * watches. */
__attribute__((no_sanitize("address"), noinline)) static void copy(char *to, const volatile char *from,
                                                                   size_t size)
{
    for (; size != 0 && (uintptr_t)from % 8 != 0; size--)
        *to++ = *from++;
    for (; size >= 8; size -= 8, to += 8, from += 8) {
        uint64_t word = *(const volatile uint64_t *)from;
        __builtin_memcpy(to, &word, 8);
    }
    for (; size != 0; size--)
        *to++ = *from++;
}

__attribute__((visibility("default"))) ssize_t process_vm_readv(pid_t pid, const struct iovec *here,
                                                                unsigned long here_count,
                                                                const struct iovec *there,
                                                                unsigned long there_count,
                                                                unsigned long flags)
{
    if (pid != getpid())
        return syscall(SYS_process_vm_readv, pid, here, here_count, there, there_count, flags);
    /* as gp_safe_read.c calls it: the parts are the same here and there */
    volatile ssize_t size = 0;
    volatile unsigned long part = 0;
    if (!may_fault)
        let_faults_come();
    if (sigsetjmp(out, 0) == 0) {
        reading = 1;
        for (; part < there_count; part++) {
            copy(here[part].iov_base, there[part].iov_base, there[part].iov_len);
            size += (ssize_t)there[part].iov_len;
        }
    }
    reading = 0;
    if (size != 0 || there_count == 0)
        return size;
    errno = EFAULT;
    return -1;
}
