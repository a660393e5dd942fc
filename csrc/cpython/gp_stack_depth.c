#include "cpython/gp_stack_depth.h"

#include <string.h>

#include "base/gp_hash.h"
#include "base/gp_memory.h"
#include "cpython/gp_opcodes.h"

enum {
    UNIT = 2,            /* bytes: the opcode and its argument */
    CODES = 1024,        /* kept at a time */
    PROBES = 8,          /* slots where one may be */
    UNITS = 1 << 17,     /* code units of all that are kept */
    UNITS_MAX = 1 << 15, /* of one code object: longer ones are not looked at */
    TABLE_MAX = 1 << 16, /* bytes of an exception table that are read */
    ARGUMENT_MAX = 1 << 24,
};

/* Another code object at the same address differs in one of these. */
typedef struct {
    const void *code, *constants, *names, *lines, *exceptions;
    uint32_t units, version;
} identity;

_Static_assert(sizeof(identity) == 5 * sizeof(void *) + 2 * sizeof(uint32_t), "compared as bytes");

typedef struct {
    identity is;
    uint32_t first; /* of its units */
} kept_code;

typedef struct {
    kept_code codes[CODES];
    gp_instruction units[UNITS];
    uint32_t used;
    /* while a code object is read: */
    uint8_t raw[UNIT * UNITS_MAX], line_opcodes[UNITS_MAX * GP_LINE_ENTRY_MAX], opcodes[UNITS_MAX];
    uint8_t table[TABLE_MAX];
    uint32_t work[UNITS_MAX]; /* units that are reached, and whose successors are not yet */
} memory;

static memory *kept;

typedef struct {
    gp_instruction *units;
    int64_t count, work;
    int depth_max;
} depth_flow;

/* ---- the instructions as they were compiled ---- */

typedef struct {
    gp_safe_reader *reader;
    const PyCodeObject *code;
    size_t units;
    size_t line_entry; /* bytes an entry of line_opcodes; 0: not read yet */
    bool has_opcodes;
} reading;

static uint8_t opcode_under_line(reading *read, size_t unit)
{
    if (read->line_entry == 0)
        read->line_entry = gp_opcodes_read_lines(read->reader, read->code, kept->line_opcodes, read->units);
    return read->line_entry != 0 ? kept->line_opcodes[unit * read->line_entry] : 0;
}

static uint8_t opcode_under_event(reading *read, size_t unit)
{
    if (!read->has_opcodes)
        read->has_opcodes = gp_opcodes_read_events(read->reader, read->code, kept->opcodes, read->units);
    return read->has_opcodes ? kept->opcodes[unit] : 0;
}

/* 0, which is a cache, if it is not known. */
static uint8_t original(reading *read, size_t unit)
{
    uint8_t opcode = kept->raw[UNIT * unit];
    if (gp_opcodes_is_line(opcode))
        opcode = opcode_under_line(read, unit);
    if (gp_opcodes_is_event(opcode))
        opcode = opcode_under_event(read, unit);
    return gp_opcodes_original(opcode);
}

static bool decode(reading *read, gp_instruction *units)
{
    uint32_t argument = 0;
    for (size_t unit = 0; unit < read->units;) {
        uint8_t opcode = original(read, unit);
        if (opcode == 0)
            return false;
        argument = argument << 8 | kept->raw[UNIT * unit + 1];
        size_t end = unit + 1 + gp_opcodes_caches(opcode);
        for (uint8_t cache = 0; unit < end && unit < read->units; unit++)
            units[unit] = (gp_instruction){argument, -1, opcode, cache++, false};
        argument = opcode == EXTENDED_ARG ? argument : 0;
    }
    return true;
}

/* ---- the depths ---- */

static void reach(depth_flow *flow, int64_t unit, int depth)
{
    if (unit < 0 || unit >= flow->count || depth < 0 || depth > flow->depth_max ||
        flow->units[unit].depth >= 0)
        return;
    flow->units[unit].depth = (int16_t)depth;
    kept->work[flow->work++] = (uint32_t)unit;
}

static void reach_after(depth_flow *flow, int64_t unit, gp_instruction at, bool jump)
{
    if (at.argument > ARGUMENT_MAX) /* not an argument: sums may not overflow */
        return;
    int effect = PyCompile_OpcodeStackEffectWithJump(at.opcode, (int)at.argument, jump);
    if (effect != PY_INVALID_STACK_EFFECT)
        reach(flow, unit, at.depth + effect);
}

static void reach_from(depth_flow *flow, int64_t unit, int depth)
{
    reach(flow, unit, depth);
    while (flow->work != 0) {
        int64_t from = kept->work[--flow->work];
        gp_instruction at = flow->units[from];
        int64_t next = from + 1 + gp_opcodes_caches(at.opcode);
        int direction = gp_opcodes_jumps(at.opcode);
        if (direction != 0)
            reach_after(flow, next + direction * (int64_t)at.argument, at, true);
        if (!gp_opcodes_ends(at.opcode))
            reach_after(flow, next, at, false);
    }
}

/* Objects/exception_handling_notes.txt: six bits a byte, the high ones first, bit 6 where more follow. */
static const uint8_t *read_number(const uint8_t *byte, const uint8_t *end, uint32_t *number)
{
    *number = 0;
    for (bool more = true; more && byte < end; byte++) {
        *number = *number << 6 | (*byte & 63);
        more = (*byte & 64) != 0;
    }
    return byte;
}

static void reach_handlers(depth_flow *flow, gp_safe_reader *reader, const char *table)
{
    PyVarObject head;
    uint32_t start, length, target, depth_and_last;
    if (!gp_safe_read(reader, table, &head, sizeof head) || Py_SIZE(&head) <= 0 ||
        Py_SIZE(&head) > TABLE_MAX ||
        !gp_safe_read(reader, table + offsetof(PyBytesObject, ob_sval), kept->table, (size_t)Py_SIZE(&head)))
        return;
    const uint8_t *end = kept->table + Py_SIZE(&head);
    for (const uint8_t *byte = kept->table; byte < end;) {
        byte = read_number(byte, end, &start);
        byte = read_number(byte, end, &length);
        byte = read_number(byte, end, &target);
        byte = read_number(byte, end, &depth_and_last);
        reach_from(flow, target, (int)(depth_and_last >> 1) + (int)(depth_and_last & 1) + 1);
    }
}

/* A generator's frame begins with the value sent, until 3.12; since then RETURN_GENERATOR pushes it. */
static int depth_at_start(const PyCodeObject *code)
{
#if PY_VERSION_HEX < 0x030D0000
    return (code->co_flags & (CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR)) != 0;
#else
    (void)code;
    return 0;
#endif
}

static bool analyse(gp_safe_reader *reader, const PyCodeObject *code, const char *first,
                    gp_instruction *units)
{
    reading read = {.reader = reader, .code = code, .units = (size_t)Py_SIZE(code)};
    depth_flow flow = {.units = units, .count = Py_SIZE(code), .depth_max = code->co_stacksize};
    if (!gp_safe_read(reader, first, kept->raw, UNIT * read.units) || !decode(&read, units))
        return false;
    reach_from(&flow, 0, depth_at_start(code));
    reach_handlers(&flow, reader, (const char *)code->co_exceptiontable);
    return true;
}

/* ---- what is kept ---- */

static identity identify(const void *code, const PyCodeObject *copy)
{
    return (identity){
        .code = code,
        .constants = copy->co_consts,
        .names = copy->co_names,
        .lines = copy->co_linetable,
        .exceptions = copy->co_exceptiontable,
        .units = (uint32_t)Py_SIZE(copy),
#if PY_VERSION_HEX >= 0x030C0000
        .version = copy->co_version,
#endif
    };
}

/* Where it is kept, or may be. */
static kept_code *slot_of(const void *code)
{
    size_t at = gp_mix((uintptr_t)code);
    for (size_t probe = 0; probe < PROBES; probe++) {
        kept_code *slot = &kept->codes[(at + probe) % CODES];
        if (slot->is.code == NULL || slot->is.code == code)
            return slot;
    }
    return &kept->codes[at % CODES];
}

static kept_code *find(gp_safe_reader *reader, const void *code, const PyCodeObject *copy, const char *first)
{
    identity is = identify(code, copy);
    kept_code *slot = slot_of(code);
    if (memcmp(&slot->is, &is, sizeof is) == 0)
        return slot;
    if (kept->used + is.units > UNITS) {
        gp_stack_depth_forget();
        slot = slot_of(code);
    }
    slot->is.code = NULL;
    if (!analyse(reader, copy, first, &kept->units[kept->used]))
        return NULL;
    *slot = (kept_code){is, kept->used};
    kept->used += is.units;
    return slot;
}

/* Until 3.11 a code object has no number of its own: is the instruction that runs the one that was kept? */
static bool compare(gp_safe_reader *reader, const char *place, gp_instruction *found)
{
    uint8_t raw[UNIT];
    if (!gp_safe_read(reader, place, raw, sizeof raw))
        return false;
    if (gp_opcodes_is_line(raw[0]) || gp_opcodes_is_event(raw[0]) || gp_opcodes_is_trace(raw[0]))
        return true;
    found->specialised = gp_opcodes_is_specialised(raw[0]);
    return gp_opcodes_original(raw[0]) == found->opcode && raw[1] == (found->argument & 0xFF);
}

bool gp_stack_depth_find(gp_safe_reader *reader, const void *code, const PyCodeObject *copy,
                         const char *first_instruction, int32_t at, gp_instruction *found)
{
    int32_t unit = at / UNIT;
    if (Py_SIZE(copy) <= 0 || Py_SIZE(copy) > UNITS_MAX || copy->co_stacksize > INT16_MAX || unit < 0 ||
        unit >= Py_SIZE(copy))
        return false;
    if (kept == NULL && (kept = gp_memory_map(sizeof *kept)) == NULL)
        return false;
    kept_code *slot = find(reader, code, copy, first_instruction);
    if (slot == NULL)
        return false;
    const gp_instruction *units = &kept->units[slot->first];
    unit -= units[unit].cache;
    *found = units[unit];
    if (compare(reader, first_instruction + UNIT * (ptrdiff_t)unit, found))
        return true;
    slot->is.code = NULL;
    return false;
}

void gp_stack_depth_forget(void)
{
    if (kept == NULL)
        return;
    memset(kept->codes, 0, sizeof kept->codes);
    kept->used = 0;
}
