/* Feeds made-up files to the reader of recordings. With a fuzzing engine (clang -fsanitize=fuzzer,address and
 * -DGP_FUZZ_ENGINE) the entry point below is all; without one this is a program that mutates a sample:
 *
 *     fuzz_reader SECONDS EXECUTIONS [SEED]
 *
 * runs until either is reached and prints how many executions that were. Build it with sanitizers. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../c/sample.h"
#include "../c/walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The checksums are right or do not count: the engine should not have to find them. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    walk_free(walk_recording(data, size, false));
    walk_free(walk_recording(data, size, true));
    return 0;
}

#ifndef GP_FUZZ_ENGINE

enum {
    ROOM = 1 << 14,
    MUTATIONS = 6,
};

static uint64_t state;

static size_t draw(size_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return below != 0 ? (size_t)(state % below) : 0;
}

typedef struct {
    uint8_t bytes[ROOM];
    size_t size;
} input;

/* Replace `old` bytes at `at` with `count` new ones, as far as there is room. */
static void splice(input *in, size_t at, size_t old, const uint8_t *bytes, size_t count)
{
    if (old > in->size - at)
        old = in->size - at;
    if (in->size - old + count > ROOM)
        return;
    memmove(in->bytes + at + count, in->bytes + at + old, in->size - at - old);
    if (count != 0)
        memcpy(in->bytes + at, bytes, count);
    in->size += count - old;
}

static void write_number(input *in, size_t at)
{
    static const uint64_t telling[] = {0,
                                       1,
                                       127,
                                       128,
                                       GP_STRING_MAX,
                                       GP_STRING_MAX + 1,
                                       1 << 20,
                                       1 << 24,
                                       UINT32_MAX,
                                       (uint64_t)1 << 32,
                                       (uint64_t)1 << 62,
                                       INT64_MAX,
                                       UINT64_MAX};
    uint8_t bytes[GP_NUMBER_MAX];
    uint64_t value = draw(3) != 0 ? telling[draw(sizeof telling / sizeof *telling)] : draw(SIZE_MAX);
    splice(in, at, draw(4), bytes, (size_t)(gp_number_put(bytes, value) - bytes));
}

static void copy_piece(input *in, size_t at)
{
    uint8_t piece[256];
    size_t from = draw(in->size), count = draw(sizeof piece);
    if (count > in->size - from)
        count = in->size - from;
    memcpy(piece, in->bytes + from, count);
    splice(in, at, draw(2) * count, piece, count);
}

static void mutate(input *in)
{
    size_t at = draw(in->size);
    switch (draw(6)) {
    case 0:
        in->bytes[at] ^= (uint8_t)(1 << draw(8));
        break;
    case 1:
        in->bytes[at] = (uint8_t)draw(256);
        break;
    case 2:
        write_number(in, at);
        break;
    case 3:
        copy_piece(in, at);
        break;
    case 4:
        splice(in, at, draw(64), NULL, 0);
        break;
    default:
        if (draw(8) == 0)
            in->size = at + 1;
    }
}

static bool chunk_at(const input *in, size_t at, size_t *size)
{
    const char *wrong;
    return gp_chunk_look(in->bytes + at, in->size - at, size, &wrong) == GP_CHUNK_WHOLE;
}

/* Change the inside of one chunk and make its length right again, so that the ones behind it are reached. */
static void mutate_chunk(input *in)
{
    input payload;
    size_t at = GP_RECORDING_HEADER, size, chosen = 0, seen = 0;
    for (size_t next = at; next < in->size && chunk_at(in, next, &size); next += GP_CHUNK_HEADER + size)
        if (draw(++seen) == 0)
            chosen = next;
    if (seen == 0 || !chunk_at(in, chosen, &size) || size == 0)
        return;
    memcpy(payload.bytes, in->bytes + chosen + GP_CHUNK_HEADER, size);
    payload.size = size;
    for (size_t left = 1 + draw(MUTATIONS); left != 0 && payload.size != 0; left--)
        mutate(&payload);
    if (in->size - size + payload.size > ROOM)
        return;
    splice(in, chosen + GP_CHUNK_HEADER, size, payload.bytes, payload.size);
    for (int i = 0; i < 4; i++)
        in->bytes[chosen + 4 + (size_t)i] = (uint8_t)(payload.size >> 8 * i);
}

int main(int count, char **arguments)
{
    if (count < 3) {
        fprintf(stderr, "usage: %s SECONDS EXECUTIONS [SEED]\n", arguments[0]);
        return 2;
    }
    time_t end = time(NULL) + atoll(arguments[1]);
    unsigned long long wanted = strtoull(arguments[2], NULL, 10), done = 0, accepted = 0;
    state = count > 3 ? strtoull(arguments[3], NULL, 10) : 88172645463325252u;
    gp_buffer sample = sample_recording();
    input *in = malloc(sizeof *in);
    for (; done < wanted && (done % 1024 != 0 || time(NULL) < end); done++) {
        memcpy(in->bytes, sample.bytes, sample.size);
        in->size = sample.size;
        for (size_t left = 1 + draw(3); left != 0 && in->size != 0; left--)
            draw(4) == 0 ? mutate(in) : mutate_chunk(in);
        uint8_t *exact = malloc(in->size + (in->size == 0)); /* a sanitizer sees its end */
        memcpy(exact, in->bytes, in->size);
        LLVMFuzzerTestOneInput(exact, in->size);
        walk_result *found = walk_recording(exact, in->size, false);
        accepted += found->wrong == NULL;
        walk_free(found);
        free(exact);
    }
    printf("%llu executions, %llu of them of a file without a fault\n", done, accepted);
    gp_buffer_free(&sample);
    free(in);
    return done != 0 && accepted < done ? 0 : 1;
}

#endif
