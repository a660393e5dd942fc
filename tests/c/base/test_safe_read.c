#include "base/gp_safe_read.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gp_test.h"

static size_t page;
static char *pages; /* one that can be read, one that can't, one that is not there */

static void prepare(void)
{
    page = (size_t)sysconf(_SC_PAGESIZE);
    pages = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(pages, 7, page);
    mprotect(pages + page, page, PROT_NONE);
    munmap(pages + 2 * page, page);
}

static void memory_is_copied(gp_safe_reader *reader)
{
    enum { SIZE = 100000 }; /* more than a pipe holds */
    unsigned char *from = malloc(SIZE), *to = calloc(1, SIZE);
    for (size_t i = 0; i < SIZE; i++)
        from[i] = (unsigned char)(i * i >> 3);
    CHECK(gp_safe_read(reader, from, to, SIZE));
    CHECK(memcmp(from, to, SIZE) == 0);
    free(from);
    free(to);
}

static void what_cannot_be_read_is_refused(gp_safe_reader *reader)
{
    static char to[1 << 16];
    CHECK(gp_safe_read(reader, pages, to, page));
    CHECK(!gp_safe_read(reader, pages + page, to, 1));
    CHECK(!gp_safe_read(reader, pages + 2 * page, to, 1));
    CHECK(!gp_safe_read(reader, pages + page - 8, to, 16)); /* half of it */
    CHECK(!gp_safe_read(reader, pages, to, 2 * page));
    CHECK(!gp_safe_read(reader, NULL, to, 8));
    CHECK(!gp_safe_read(reader, (const void *)(uintptr_t)16, to, 8));
    CHECK(!gp_safe_read(reader, (const void *)UINTPTR_MAX, to, 8));
    CHECK(!gp_safe_read(reader, (const void *)(UINTPTR_MAX / 2), to, sizeof to));
    CHECK(!gp_safe_read(reader, (const void *)(uintptr_t)0xDEADBEEFDEADBEEF, to, 8));
}

static void a_refusal_leaves_no_rest_behind(gp_safe_reader *reader)
{
    char to[16] = {0};
    for (int round = 0; round < 100; round++) {
        CHECK(!gp_safe_read(reader, pages + page - 8, to, 16));
        CHECK(gp_safe_read(reader, "abcdefgh", to, 9));
        CHECK(strcmp(to, "abcdefgh") == 0);
    }
}

static void nothing_is_always_there(gp_safe_reader *reader)
{
    CHECK(gp_safe_read(reader, NULL, NULL, 0));
}

static void parts_are_read_all_or_none(gp_safe_reader *reader)
{
    char first[16] = {0}, second[16] = {0};
    const char *bad = pages + page;
    const gp_safe_part parts[] = {{"abcdefgh", first, 9}, {bad, NULL, 0}, {"ijkl", second, 5}};
    const gp_safe_part one_bad[] = {{"abcdefgh", first, 9}, {bad, second, 1}};
    CHECK(gp_safe_read_parts(reader, parts, 3));
    CHECK(strcmp(first, "abcdefgh") == 0 && strcmp(second, "ijkl") == 0);
    CHECK(!gp_safe_read_parts(reader, one_bad, 2));
    CHECK(gp_safe_read_parts(reader, parts, 3));
    CHECK(gp_safe_read_parts(reader, parts, 0));
}

static int descriptors(void)
{
    int count = 0;
    for (int descriptor = 0; descriptor < 256; descriptor++)
        count += fcntl(descriptor, F_GETFD) != -1;
    return count;
}

static void each_way(gp_safe_reader_way way)
{
    gp_safe_reader reader;
    int before = descriptors();
    gp_safe_reader_open(&reader);
    reader.way = way;
    memory_is_copied(&reader);
    what_cannot_be_read_is_refused(&reader);
    a_refusal_leaves_no_rest_behind(&reader);
    nothing_is_always_there(&reader);
    parts_are_read_all_or_none(&reader);
    CHECK(reader.way == way || way == GP_SAFE_READER_SYSTEM_CALL);
    gp_safe_reader_close(&reader);
    CHECK_EQUAL(descriptors(), before);
}

static gp_safe_reader_way first_way(void)
{
    gp_safe_reader reader;
    gp_safe_reader_open(&reader);
    return reader.way;
}

static void without_a_way_nothing_is_read(void)
{
    gp_safe_reader reader;
    char to;
    gp_safe_reader_open(&reader);
    reader.way = GP_SAFE_READER_NONE;
    CHECK(!gp_safe_read(&reader, pages, &to, 1));
    gp_safe_reader_close(&reader);
}

int main(void)
{
    prepare();
    each_way(first_way()); /* the system call on Linux, elsewhere there is none */
    each_way(GP_SAFE_READER_PIPE);
    without_a_way_nothing_is_read();
    return gp_test_status();
}
