#define _GNU_SOURCE
#include "hooks/gp_unwind.h"

#include <link.h>
#include <string.h>

/* DWARF 4, 6.4 and 7.23, with what the Linux Standard Base says of .eh_frame; numbers of registers by the
 * System V ABI supplement for AMD64, figure 3.36 */
enum {
    RBP = 6,
    RSP = 7,
    RETURN_ADDRESS = 16,
    UNKNOWN = -1, /* a register that is not supported */

    RELATIVE_INT = 0x1B, /* pointer encodings: relative to their own place, and to the header, 32 bits */
    HEADER_RELATIVE_INT = 0x3B,
    UNSIGNED_INT = 0x03,

    REMEMBERED = 8, /* states, nested */
    ROW = 8,        /* bytes of the table's rows: start of a function, place of its description */
};

/* How to find the frame of the caller, at one instruction. */
typedef struct {
    int cfa_register;
    int64_t cfa_offset;
    bool base_saved; /* rbp, relative to the canonical frame address */
    int64_t base_offset;
} row_state;

typedef struct {
    const uint8_t *at, *end;
    bool failed; /* past the end, or something that is not supported */
} cursor;

typedef struct {
    uint64_t code_factor;
    int64_t data_factor;
    bool augmented;
    cursor first; /* instructions that the descriptions of all its functions begin with */
} common_entry;

typedef struct {
    uint64_t location, wanted;
    row_state state, initial, remembered[REMEMBERED];
    size_t depth;
    const common_entry *common;
} interpretation;

/* ---- reading ---- */

static uint64_t read_bytes(cursor *from, size_t size)
{
    uint64_t value = 0;
    if (from->failed || (size_t)(from->end - from->at) < size) {
        from->failed = true;
        return 0;
    }
    memcpy(&value, from->at, size); /* the processor is little-endian */
    from->at += size;
    return value;
}

static void skip(cursor *from, uint64_t size)
{
    if (from->failed || (uint64_t)(from->end - from->at) < size)
        from->failed = true;
    else
        from->at += size;
}

/* LEB128, of at most 64 bits; `*bits` is how many were read. */
static uint64_t read_groups(cursor *from, unsigned *bits, uint8_t *last)
{
    uint64_t value = 0;
    *bits = 0;
    do {
        *last = (uint8_t)read_bytes(from, 1);
        if (*bits >= 64)
            from->failed = true;
        else
            value |= (uint64_t)(*last & 0x7F) << *bits;
        *bits += 7;
    } while ((*last & 0x80) != 0 && !from->failed);
    return value;
}

static uint64_t read_unsigned(cursor *from)
{
    unsigned bits;
    uint8_t last;
    return read_groups(from, &bits, &last);
}

static int64_t read_signed(cursor *from)
{
    unsigned bits;
    uint8_t last;
    uint64_t value = read_groups(from, &bits, &last);
    if (bits < 64 && (last & 0x40) != 0)
        value |= ~(uint64_t)0 << bits;
    return (int64_t)value;
}

/* The content of a record, whose first four bytes are its length. */
static cursor open_record(const uint8_t *record)
{
    uint32_t length;
    memcpy(&length, record, sizeof length);
    return (cursor){record + sizeof length, record + sizeof length + length, length >= 0xFFFFFFF0};
}

static int32_t int_at(const uint8_t *at)
{
    int32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* ---- the object's tables ---- */

typedef struct {
    uintptr_t address;
    const uint8_t *header;
} header_search;

static int match_object(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    header_search *search = data;
    const uint8_t *header = NULL;
    bool contains = false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t low = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_LOAD)
            contains |= search->address >= low && search->address - low < segment->p_memsz;
        else if (segment->p_type == PT_GNU_EH_FRAME)
            header = (const uint8_t *)low;
    }
    if (contains)
        search->header = header;
    return contains;
}

gp_status gp_unwind_find(const void *code, gp_unwind_tables *tables)
{
    header_search search = {.address = (uintptr_t)code};
    dl_iterate_phdr(match_object, &search);
    return gp_unwind_open(search.header, tables);
}

gp_status gp_unwind_open(const uint8_t *header, gp_unwind_tables *tables)
{
    if (header == NULL || header[0] != 1 || header[1] != RELATIVE_INT || header[2] != UNSIGNED_INT ||
        header[3] != HEADER_RELATIVE_INT)
        return GP_EUNSUPPORTED;
    *tables = (gp_unwind_tables){header, header + 12, (uint32_t)int_at(header + 8)};
    return GP_OK;
}

static uintptr_t start_of(const gp_unwind_tables *tables, size_t row)
{
    return (uintptr_t)(tables->header + int_at(tables->rows + row * ROW));
}

/* The description of the function that contains an address; NULL if there is none. */
static const uint8_t *describe(const gp_unwind_tables *tables, uintptr_t address)
{
    size_t low = 0, high = tables->count; /* the first row that begins behind the address */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (start_of(tables, middle) <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return NULL;
    const uint8_t *record = tables->header + int_at(tables->rows + (low - 1) * ROW + 4);
    uint32_t size;
    memcpy(&size, record + 12, sizeof size);
    return address - start_of(tables, low - 1) < size ? record : NULL;
}

/* ---- a function's description ---- */

static void skip_pointer(cursor *from, uint8_t encoding)
{
    uint8_t form = encoding & 0x0F;
    bool is_int = form == 0x03 || form == 0x0B, is_long = form == 0x00 || form == 0x04 || form == 0x0C;
    from->failed |= encoding == 0x50 || !(is_int || is_long); /* aligned ones */
    skip(from, is_int ? 4 : 8);
}

/* What follows a "z": encodings of pointers, and the handler of exceptions. */
static void read_augmentation(cursor *from, const char *letters)
{
    uint64_t size = read_unsigned(from);
    cursor data = *from;
    skip(from, size);
    uint8_t encoding = 0;
    for (; *letters != '\0'; letters++) {
        if (*letters == 'R')
            encoding = (uint8_t)read_bytes(&data, 1);
        else if (*letters == 'L')
            skip(&data, 1);
        else if (*letters == 'P')
            skip_pointer(&data, (uint8_t)read_bytes(&data, 1));
        else
            data.failed = true; /* "S": a signal's frame */
    }
    from->failed |= data.failed || encoding != RELATIVE_INT;
}

static bool read_common(const uint8_t *record, common_entry *common)
{
    cursor from = open_record(record);
    skip(&from, 4);
    uint64_t version = read_bytes(&from, 1);
    const char *letters = (const char *)from.at;
    while (read_bytes(&from, 1) != 0 && !from.failed)
        ;
    common->code_factor = read_unsigned(&from);
    common->data_factor = read_signed(&from);
    uint64_t place = version == 1 ? read_bytes(&from, 1) : read_unsigned(&from);
    if (from.failed || (version != 1 && version != 3) || place != RETURN_ADDRESS || letters[0] != 'z')
        return false;
    read_augmentation(&from, letters + 1);
    common->first = from;
    return !from.failed;
}

/* ---- its instructions ---- */

/* What compilers say of a C function. In assembly there is more: a rule that is not known here is a failure.
 */

static void set_base(row_state *state, uint64_t number, int64_t offset)
{
    if (number == RBP) {
        state->base_saved = true;
        state->base_offset = offset;
    }
}

static void restore(interpretation *run, uint64_t number)
{
    if (number == RBP) {
        run->state.base_saved = run->initial.base_saved;
        run->state.base_offset = run->initial.base_offset;
    }
}

static void set_cfa_register(row_state *state, uint64_t number)
{
    state->cfa_register = number == RBP || number == RSP ? (int)number : UNKNOWN;
}

static void remember(interpretation *run, cursor *from)
{
    if (run->depth < REMEMBERED)
        run->remembered[run->depth++] = run->state;
    else
        from->failed = true;
}

static void recall(interpretation *run, cursor *from)
{
    if (run->depth > 0)
        run->state = run->remembered[--run->depth];
    else
        from->failed = true;
}

static void advance(interpretation *run, uint64_t distance)
{
    run->location += distance * run->common->code_factor;
}

/* Those whose operands come behind. */
static void execute_extended(interpretation *run, uint8_t code, cursor *from)
{
    switch (code) {
    case 0x00: /* nop */
        break;
    case 0x02: /* advance_loc1, 2, 4 */
    case 0x03:
    case 0x04:
        advance(run, read_bytes(from, (size_t)1 << (code - 2)));
        break;
    case 0x0A: /* remember_state */
        remember(run, from);
        break;
    case 0x0B: /* restore_state */
        recall(run, from);
        break;
    case 0x0C: /* def_cfa */
        set_cfa_register(&run->state, read_unsigned(from));
        run->state.cfa_offset = (int64_t)read_unsigned(from);
        break;
    case 0x0D: /* def_cfa_register */
        set_cfa_register(&run->state, read_unsigned(from));
        break;
    case 0x0E: /* def_cfa_offset */
        run->state.cfa_offset = (int64_t)read_unsigned(from);
        break;
    case 0x2E: /* GNU_args_size */
        read_unsigned(from);
        break;
    default:
        from->failed = true;
    }
}

static void execute(interpretation *run, cursor *from)
{
    uint8_t code = (uint8_t)read_bytes(from, 1), operand = code & 0x3F;
    if (code >> 6 == 1) /* advance_loc */
        advance(run, operand);
    else if (code >> 6 == 2) /* offset */
        set_base(&run->state, operand, (int64_t)read_unsigned(from) * run->common->data_factor);
    else if (code >> 6 == 3)
        restore(run, operand);
    else
        execute_extended(run, code, from);
}

/* Execute the function's description up to the wanted instruction. */
static bool run_until(interpretation *run, cursor from)
{
    while (from.at < from.end && !from.failed && run->location <= run->wanted)
        execute(run, &from);
    return !from.failed;
}

static bool read_state(const uint8_t *record, uintptr_t start, uintptr_t address, row_state *state)
{
    common_entry common;
    cursor from = open_record(record);
    const uint8_t *place = from.at;
    if (!read_common(place - (uint32_t)read_bytes(&from, 4), &common))
        return false;
    skip(&from, 8); /* start and size */
    skip(&from, read_unsigned(&from));
    interpretation run = {.wanted = address - start, .common = &common, .state.cfa_register = UNKNOWN};
    if (from.failed || !run_until(&run, common.first))
        return false;
    run.initial = run.state;
    if (!run_until(&run, from))
        return false;
    *state = run.state;
    return true;
}

/* ---- the frames ---- */

/* Find the function that goes on at `address`, by the call before it: that may be the function's last
 * instruction. */
void gp_unwind_enter(const gp_unwind_tables *tables, gp_unwind_frame *frame)
{
    memcpy(&frame->address, (const void *)(frame->cfa - sizeof(uintptr_t)), sizeof(uintptr_t));
    const uint8_t *record = describe(tables, frame->address - 1);
    frame->start = record != NULL ? (uintptr_t)(record + 8 + int_at(record + 8)) : 0;
}

gp_unwind_frame gp_unwind_begin(const gp_unwind_tables *tables, const char *frame)
{
    gp_unwind_frame caller = {.cfa = (uintptr_t)frame + 2 * sizeof(uintptr_t)};
    memcpy(&caller.base, frame, sizeof caller.base);
    gp_unwind_enter(tables, &caller);
    return caller;
}

bool gp_unwind_step(const gp_unwind_tables *tables, gp_unwind_frame *frame)
{
    row_state state;
    const uint8_t *record = describe(tables, frame->address - 1);
    if (record == NULL || !read_state(record, frame->start, frame->address - 1, &state) ||
        state.cfa_register == UNKNOWN)
        return false;
    uintptr_t from = state.cfa_register == RSP ? frame->cfa : frame->base;
    uintptr_t cfa = from + (uintptr_t)state.cfa_offset;
    if (cfa <= frame->cfa)
        return false; /* the stack grows down */
    frame->cfa = cfa;
    if (state.base_saved)
        memcpy(&frame->base, (const void *)(cfa + (uintptr_t)state.base_offset), sizeof frame->base);
    gp_unwind_enter(tables, frame);
    return true;
}
