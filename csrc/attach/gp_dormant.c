#define _GNU_SOURCE /* dl_iterate_phdr, memfd_create */

#include "attach/gp_dormant.h"

#include <errno.h>
#include <link.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "attach/gp_waits_freely.h"

enum {
    PAGE = 4096,
    AGAIN_NS = 2000000,
    AGAIN_MOST = 5000, /* times: ten seconds */
};

static gp_agent_order order;
static uintptr_t code_begin, code_end; /* the interpreter's own */
static struct sigaction before;
static void *marker;
static _Atomic int armed; /* the signal */
static _Atomic uint64_t last_ticket;
static atomic_int agains; /* for a signal without a ticket */

/* ---- where the handler may act ---- */

static bool is_system_call(uintptr_t at)
{
    return memcmp((const void *)at, "\x0f\x05", 2) == 0;
}

/* The loader reads regular files, with its lock held; it reads nothing else. */
static bool reads_no_file(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 &&
           (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode) || S_ISCHR(status.st_mode));
}

/* The kernel has set the thread back before a call that it will begin again (arch/x86/kernel/signal.c,
 * handle_signal). Behind one that ends with EINTR its number is gone, but glibc waits for its own locks
 * without a time limit: such calls are all begun again. */
static bool may_act(const ucontext_t *context)
{
    const greg_t *registers = context->uc_mcontext.gregs;
    uintptr_t at = (uintptr_t)registers[REG_RIP];
    long result = (long)registers[REG_RAX];
    if (at >= code_begin && at < code_end)
        return true;
    if (at % PAGE < 2 || at % PAGE > PAGE - 2) /* what is beside the page may not be readable */
        return false;
    if (is_system_call(at))
        return result == SYS_read ? reads_no_file((int)registers[REG_RDI])
                                  : gp_waits_freely(result, (uint64_t)registers[REG_RSI]);
    return is_system_call(at - 2) && result == -EINTR;
}

/* ---- the signal ---- */

/* Whether nobody else can have put anything there. */
static bool is_private(const char *folder)
{
    struct stat status;
    return lstat(folder, &status) == 0 && S_ISDIR(status.st_mode) && (status.st_mode & 077) == 0 &&
           (status.st_uid == geteuid() || status.st_uid == 0);
}

/* A hexadecimal number of 16 digits, without the locks that stdio might take. */
static void put_ticket(char *at, uint64_t ticket)
{
    for (int digit = 15; digit >= 0; digit--, ticket >>= 4)
        at[digit] = "0123456789abcdef"[ticket & 15];
}

static bool run_ticket(uint64_t ticket)
{
    gp_agent_order asked = order;
    static const char folder[] = "/tmp/gilprobe-", file[] = "/start.py";
    char *path = asked.path;
    memcpy(path, folder, sizeof folder - 1);
    put_ticket(path + sizeof folder - 1, ticket);
    path[sizeof folder - 1 + 16] = '\0';
    if (!is_private(path))
        return true; /* whoever asked has left */
    memcpy(path + sizeof folder - 1 + 16, file, sizeof file);
    return gp_agent_start(&asked) == 0;
}

/* The signal came by hand, and its thread can't be used now: have it sent again, for a while. */
static void come_again(int number, bool anew)
{
    static int timer = -1; /* the signal blocks itself, and the kernel sends it to one thread at a time */
    if (anew)
        atomic_store(&agains, 0);
    if (atomic_fetch_add(&agains, 1) >= AGAIN_MOST)
        return;
    const struct itimerspec soon = {.it_value = {0, AGAIN_NS}};
    if (timer >= 0 && syscall(SYS_timer_settime, timer, 0, &soon, NULL) == 0)
        return;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = number};
    if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer) == 0) /* a forked child has none */
        syscall(SYS_timer_settime, timer, 0, &soon, NULL);
}

static void by_ticket(uint64_t ticket, const ucontext_t *context)
{
    uint64_t last = atomic_load(&last_ticket);
    if (last == ticket || !may_act(context))
        return;
    if (atomic_compare_exchange_strong(&last_ticket, &last, ticket) && !run_ticket(ticket))
        atomic_store(&last_ticket, last);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    if (info->si_code == SI_QUEUE && info->si_value.sival_ptr != NULL)
        by_ticket((uint64_t)(uintptr_t)info->si_value.sival_ptr, context);
    else if (may_act(context))
        (void)gp_agent_start(&order);
    else
        come_again(number, info->si_code != SI_TIMER);
    errno = saved;
}

/* ---- arming ---- */

static int find_code(struct dl_phdr_info *info, size_t size, void *wanted)
{
    (void)size;
    uintptr_t address = *(const uintptr_t *)wanted;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t begin = info->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_LOAD && (part->p_flags & PF_X) != 0 && address >= begin &&
            address < begin + part->p_memsz) {
            code_begin = begin;
            code_end = begin + part->p_memsz;
            return 1;
        }
    }
    return 0;
}

static void *make_marker(int number, const char *version)
{
    char name[64];
    snprintf(name, sizeof name, GP_DORMANT_NAME "-%d-%s", number, version);
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0)
        return MAP_FAILED;
    void *made = ftruncate(fd, PAGE) == 0 ? mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    close(fd);
    return made;
}

gp_status gp_dormant_arm(int signal_number, const char *version, const gp_agent_order *wanted)
{
    if (armed != 0)
        return armed == signal_number ? GP_OK : GP_EINVAL;
    if (sigaction(signal_number, NULL, &before) != 0)
        return GP_EINVAL;
    if ((before.sa_flags & SA_SIGINFO) != 0 || before.sa_handler != SIG_DFL)
        return GP_EINVAL;
    order = *wanted;
    uintptr_t address = (uintptr_t)wanted->ensure;
    if (dl_iterate_phdr(find_code, &address) == 0)
        return GP_EUNSUPPORTED;
    marker = make_marker(signal_number, version);
    if (marker == MAP_FAILED)
        return GP_ESYSTEM;
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigfillset(&action.sa_mask); /* the new thread inherits it */
    if (sigaction(signal_number, &action, NULL) != 0) {
        int error = errno;
        munmap(marker, PAGE);
        errno = error;
        return GP_ESYSTEM;
    }
    armed = signal_number;
    return GP_OK;
}

void gp_dormant_disarm(void)
{
    struct sigaction now;
    if (armed == 0)
        return;
    if (sigaction(armed, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) != 0 &&
        now.sa_sigaction == on_signal)
        sigaction(armed, &before, NULL);
    munmap(marker, PAGE);
    armed = 0;
}

int gp_dormant_signal(void)
{
    return armed;
}

int gp_dormant_wake(int32_t process, int32_t thread, int signal_number, uint64_t ticket)
{
    siginfo_t info = {.si_signo = signal_number, .si_code = SI_QUEUE};
    info.si_pid = getpid();
    info.si_uid = geteuid();
    info.si_value.sival_ptr = (void *)(uintptr_t)ticket;
    return syscall(SYS_rt_tgsigqueueinfo, process, thread, signal_number, &info) == 0 ? 0 : errno;
}
