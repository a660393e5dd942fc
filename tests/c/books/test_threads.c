#define _GNU_SOURCE
#include "books/gp_threads.h"

#include "gp_test.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static gp_threads threads = {.lock = PTHREAD_MUTEX_INITIALIZER};

static pid_t own_number(void)
{
    return (pid_t)syscall(SYS_gettid);
}

static gp_thread with_number(pid_t id)
{
    return (gp_thread){.native_id = id};
}

static void a_number_that_is_used_again_is_another_threads(void)
{
    gp_thread first = with_number(own_number()), again = first;
    gp_threads_list_alive(&threads);
    CHECK(gp_threads_claim_alive(&threads, &first));
    CHECK(!gp_threads_claim_alive(&threads, &again));
    gp_threads_list_alive(&threads); /* for a later trace it is alive */
    CHECK(gp_threads_claim_alive(&threads, &again));
}

static void *number_of_another(void *number)
{
    *(pid_t *)number = own_number();
    return NULL;
}

static void a_thread_that_came_later_was_not_alive(void)
{
    pid_t number = 0;
    pthread_t other;
    gp_threads_list_alive(&threads);
    CHECK_EQUAL(pthread_create(&other, NULL, number_of_another, &number), 0);
    pthread_join(other, NULL);
    gp_thread late = with_number(number);
    CHECK(!gp_threads_claim_alive(&threads, &late));
}

static void a_forked_child_lists_the_one_thread_that_is_left(void)
{
    int status = -1;
    gp_thread parents = with_number(own_number());
    gp_threads_list_alive(&threads);
    CHECK(gp_threads_claim_alive(&threads, &parents));
    pid_t child = fork();
    if (child == 0) {
        gp_threads_forked(&threads, NULL);
        gp_thread ours = with_number(own_number());
        _exit(gp_threads_claim_alive(&threads, &parents) ? 1
              : gp_threads_claim_alive(&threads, &ours)  ? 0
                                                         : 2);
    }
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK_EQUAL(status, 0);
}

int main(void)
{
    a_number_that_is_used_again_is_another_threads();
    a_thread_that_came_later_was_not_alive();
    a_forked_child_lists_the_one_thread_that_is_left();
    return gp_test_status();
}
