#include "recording/gp_chunk.h"

#include <string.h>

#include "gp_test.h"
#include "recording/gp_reader.h"

static void the_checksum_is_that_of_zlib(void)
{
    uint8_t bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    CHECK_EQUAL(gp_crc32(0, "", 0), 0);
    CHECK_EQUAL(gp_crc32(0, "123456789", 9), 0xCBF43926); /* the check value of its definition */
    CHECK_EQUAL(gp_crc32(0, bytes, sizeof bytes), 0x29058C73);
}

static void a_checksum_may_be_made_in_parts(void)
{
    uint8_t bytes[100];
    for (int i = 0; i < 100; i++)
        bytes[i] = (uint8_t)(i * 37 + 11);
    uint32_t whole = gp_crc32(0, bytes, sizeof bytes);
    for (size_t cut = 0; cut <= sizeof bytes; cut++)
        CHECK_EQUAL(gp_crc32(gp_crc32(0, bytes, cut), bytes + cut, sizeof bytes - cut), whole);
}

static void numbers_have_their_lowest_byte_first(void)
{
    CHECK_EQUAL(gp_chunk_get32((const uint8_t[]){0x78, 0x56, 0x34, 0xF2}), 0xF2345678);
}

static void a_header_is_known_again_and_a_changed_one_is_not(void)
{
    gp_buffer out = {0};
    gp_chunk_put_header(&out);
    CHECK_EQUAL(out.size, GP_RECORDING_HEADER);
    CHECK_EQUAL(gp_recording_check(out.bytes), GP_OK);
    for (size_t i = 0; i < out.size; i++) {
        out.bytes[i] ^= 1;
        CHECK(gp_recording_check(out.bytes) != GP_OK);
        out.bytes[i] ^= 1;
    }
    gp_buffer_free(&out);
}

static void a_chunk_says_how_long_it_is_and_what_its_checksum_must_be(void)
{
    gp_buffer out = {0};
    const char *wrong = NULL;
    size_t size = 0;
    gp_buffer_raw(&out, "before", 6);
    size_t begin = gp_chunk_begin(&out, "LABL");
    gp_buffer_raw(&out, "payload", 7);
    gp_chunk_end(&out, begin);
    CHECK_EQUAL(begin, 6);
    CHECK_EQUAL(out.size, 6 + GP_CHUNK_HEADER + 7);
    const uint8_t *header = out.bytes + begin;
    CHECK_EQUAL(memcmp(header, "LABL", 4), 0);
    CHECK_EQUAL(gp_chunk_look(header, out.size - begin, &size, &wrong), GP_CHUNK_WHOLE);
    CHECK_EQUAL(size, 7);
    CHECK_EQUAL(gp_chunk_get32(header + 8), gp_chunk_checksum(header, "payload", 7));
    CHECK(gp_chunk_checksum(header, "payloae", 7) != gp_chunk_checksum(header, "payload", 7));
    CHECK_EQUAL(gp_chunk_look(header, out.size - begin - 1, &size, &wrong), GP_CHUNK_CUT);
    gp_buffer_free(&out);
}

static void a_payload_that_is_too_long_fails_the_buffer(void)
{
    gp_buffer out = {0};
    size_t begin = gp_chunk_begin(&out, "META");
    CHECK(gp_buffer_reserve(&out, GP_CHUNK_PAYLOAD_MAX + 1));
    out.size += GP_CHUNK_PAYLOAD_MAX;
    gp_chunk_end(&out, begin);
    CHECK(!out.failed);
    CHECK_EQUAL(gp_chunk_get32(out.bytes + begin + 4), GP_CHUNK_PAYLOAD_MAX);
    out.size++;
    gp_chunk_end(&out, begin);
    CHECK(out.failed);
    gp_buffer_free(&out);
}

int main(void)
{
    the_checksum_is_that_of_zlib();
    a_checksum_may_be_made_in_parts();
    numbers_have_their_lowest_byte_first();
    a_header_is_known_again_and_a_changed_one_is_not();
    a_chunk_says_how_long_it_is_and_what_its_checksum_must_be();
    a_payload_that_is_too_long_fails_the_buffer();
    return gp_test_status();
}
