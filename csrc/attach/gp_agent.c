/* The agent: a library of its own that gilprobe attach loads into a process. Its one function starts a
 * thread, which waits for the GIL like any other, runs Python code from a file, and ends.
 *
 * Nothing here needs the interpreter to link: any version of it can load this. Nothing is printed. */

#define _GNU_SOURCE /* pthread_setname_np */

#include "attach/gp_agent.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CODE_MAX = 1 << 20,
    FILE_INPUT = 257
}; /* Py_file_input, Include/compile.h: the same in all versions */

__attribute__((visibility("default"))) int gp_agent_start(const gp_agent_order *order);

/* The text of the file, to be freed; NULL if it can't be read. */
static char *read_code(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return NULL;
    struct stat status;
    char *code = NULL;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size < CODE_MAX)
        code = calloc(1, (size_t)status.st_size + 1);
    size_t filled = 0;
    while (code != NULL && filled < (size_t)status.st_size) {
        ssize_t got = read(fd, code + filled, (size_t)status.st_size - filled);
        if (got <= 0) {
            free(code);
            code = NULL;
        } else {
            filled += (size_t)got;
        }
    }
    close(fd);
    return code;
}

static void run_code(const gp_agent_order *order, const char *code)
{
    int (*is_initialized)(void) = (int (*)(void))order->is_initialized;
    int (*ensure)(void) = (int (*)(void))order->ensure;
    void (*release)(int) = (void (*)(int))order->release;
    void *(*new_dict)(void) = (void *(*)(void))order->new_dict;
    void *(*run_string)(const char *, int, void *, void *) =
        (void *(*)(const char *, int, void *, void *))order->run_string;
    void (*clear_error)(void) = (void (*)(void))order->clear_error;
    void (*drop)(void *) = (void (*)(void *))order->drop;

    if (!is_initialized())
        return;
    int state = ensure(); /* does not return if the interpreter ends meanwhile */
    void *names = new_dict();
    if (names != NULL) {
        void *result = run_string(code, FILE_INPUT, names, names);
        drop(result); /* takes NULL */
        drop(names);
    }
    clear_error();
    release(state);
}

static void *run(void *argument)
{
    gp_agent_order *order = argument;
    pthread_setname_np(pthread_self(), "gilprobe");
    char *code = read_code(order->path);
    if (code != NULL)
        run_code(order, code);
    free(code);
    free(order);
    return NULL;
}

int gp_agent_start(const gp_agent_order *order)
{
    gp_agent_order *copy = malloc(sizeof *copy);
    if (copy == NULL)
        return ENOMEM;
    *copy = *order;
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error == 0) {
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        pthread_t thread;
        error = pthread_create(&thread, &attributes, run, copy);
        pthread_attr_destroy(&attributes);
    }
    if (error != 0)
        free(copy);
    return error;
}
