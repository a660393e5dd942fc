#include "locks/gp_lock_cpu.h"

#include <dirent.h>
#include <stdlib.h>

#include "base/gp_clock.h"
#include "locks/gp_lock_state.h"

static struct gp_lock_state *const state = &gp_lock_state;

typedef struct {
    int64_t native_id;
    uint64_t cpu_ns;
} spent;

static int compare_ids(const void *a, const void *b)
{
    int64_t x = ((const spent *)a)->native_id, y = ((const spent *)b)->native_id;
    return (x > y) - (x < y);
}

void gp_lock_cpu_begin(gp_lock_session *session)
{
    gp_buffer *before = &session->cpu_before;
    DIR *folder = opendir("/proc/self/task");
    if (folder == NULL)
        return;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        spent thread = {.native_id = atol(entry->d_name)};
        thread.cpu_ns = thread.native_id > 0 ? gp_clock_cpu_ns_of(thread.native_id) : 0;
        if (thread.cpu_ns != 0)
            gp_buffer_raw(before, &thread, sizeof thread);
    }
    closedir(folder);
    if (before->size != 0)
        qsort(before->bytes, before->size / sizeof(spent), sizeof(spent), compare_ids);
}

static uint64_t before_of(const gp_lock_session *session, int64_t native_id)
{
    const gp_buffer *before = &session->cpu_before;
    const spent wanted = {.native_id = native_id};
    const spent *found = before->size != 0 ? bsearch(&wanted, before->bytes, before->size / sizeof wanted,
                                                     sizeof wanted, compare_ids)
                                           : NULL;
    return found != NULL ? found->cpu_ns : 0;
}

static void write_row(uint32_t account, int64_t native_id, uint64_t cpu_ns, uint64_t before_ns,
                      gp_buffer *buffer)
{
    gp_buffer_number(buffer, account);
    gp_buffer_signed(buffer, native_id);
    gp_buffer_number(buffer, cpu_ns > before_ns ? cpu_ns - before_ns : 0);
}

/* Its clock first: a thread that ends has noted its CPU time before that is gone. */
static uint64_t spent_by(const gp_lock_account *account)
{
    uint64_t cpu_ns = atomic_load(&account->ended) ? 0 : gp_clock_cpu_ns_of(account->native_id);
    return atomic_load(&account->ended) ? account->cpu_ns : cpu_ns;
}

/* Those with an account, and those that were there at the beginning. A thread may be both. */
void gp_lock_cpu_write(const gp_lock_session *session, gp_buffer *buffer)
{
    const spent *before = (const spent *)session->cpu_before.bytes;
    size_t count = session->cpu_before.size / sizeof *before;
    gp_buffer_number(buffer, state->account_count + count);
    for (size_t i = 0; i < count; i++)
        write_row(0, before[i].native_id, gp_clock_cpu_ns_of(before[i].native_id), before[i].cpu_ns, buffer);
    for (uint32_t i = 1; i <= state->account_count; i++) {
        const gp_lock_account *account = &state->accounts[i];
        write_row(i, account->native_id, spent_by(account), before_of(session, account->native_id), buffer);
    }
}
