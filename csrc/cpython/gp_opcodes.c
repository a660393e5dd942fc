#include "cpython/gp_opcodes.h"

#include <string.h>

/* The tables are defined where this is, and 3.15 would export them. */
#define Py_BUILD_CORE 1
#if PY_VERSION_HEX >= 0x030D0000
#undef PyAPI_DATA
#define PyAPI_DATA(type) extern type
#define NEED_OPCODE_METADATA
#include <internal/pycore_opcode_metadata.h>
#else
#define NEED_OPCODE_TABLES
#include <internal/pycore_opcode.h>
#endif
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_instruments.h>
#endif
#undef Py_BUILD_CORE

/* ---- what stands for another instruction ---- */

#if PY_VERSION_HEX >= 0x030C0000

#define STANDS_FOR(opcode) [INSTRUMENTED_##opcode] = (opcode)

/* DE_INSTRUMENT in Python/instrumentation.c */
static const uint8_t instrumented[256] = {
    STANDS_FOR(CALL),
    STANDS_FOR(CALL_FUNCTION_EX),
    STANDS_FOR(END_FOR),
    STANDS_FOR(END_SEND),
    STANDS_FOR(FOR_ITER),
    STANDS_FOR(JUMP_BACKWARD),
    STANDS_FOR(JUMP_FORWARD),
    STANDS_FOR(LOAD_SUPER_ATTR),
    STANDS_FOR(POP_JUMP_IF_FALSE),
    STANDS_FOR(POP_JUMP_IF_NONE),
    STANDS_FOR(POP_JUMP_IF_NOT_NONE),
    STANDS_FOR(POP_JUMP_IF_TRUE),
    STANDS_FOR(RESUME),
    STANDS_FOR(RETURN_VALUE),
    STANDS_FOR(YIELD_VALUE),
#if PY_VERSION_HEX < 0x030E0000
    STANDS_FOR(RETURN_CONST),
#endif
#if PY_VERSION_HEX >= 0x030D0000
    STANDS_FOR(CALL_KW),
#endif
#if PY_VERSION_HEX >= 0x030E0000
    STANDS_FOR(END_ASYNC_FOR),
    STANDS_FOR(NOT_TAKEN),
    STANDS_FOR(POP_ITER),
#endif
};

bool gp_opcodes_is_line(uint8_t opcode)
{
    return opcode == INSTRUMENTED_LINE;
}

bool gp_opcodes_is_event(uint8_t opcode)
{
    return opcode == INSTRUMENTED_INSTRUCTION;
}

bool gp_opcodes_is_trace(uint8_t opcode)
{
#if PY_VERSION_HEX >= 0x030D0000
    return opcode == ENTER_EXECUTOR;
#else
    (void)opcode;
    return false;
#endif
}

uint8_t gp_opcodes_original(uint8_t opcode)
{
    if (gp_opcodes_is_line(opcode) || gp_opcodes_is_event(opcode) || gp_opcodes_is_trace(opcode))
        return 0;
    return _PyOpcode_Deopt[instrumented[opcode] != 0 ? instrumented[opcode] : opcode];
}

enum {
    LINE_ENTRY = 2, /* bytes, at least */
};

static bool read_monitoring(gp_safe_reader *reader, const PyCodeObject *code, _PyCoMonitoringData *data)
{
    const void *monitoring = code->_co_monitoring;
    return monitoring != NULL && gp_safe_read(reader, monitoring, data, sizeof *data);
}

size_t gp_opcodes_read_lines(gp_safe_reader *reader, const PyCodeObject *code, uint8_t *entries, size_t units)
{
    _PyCoMonitoringData data;
    if (!read_monitoring(reader, code, &data))
        return 0;
    const uint8_t *lines = (const uint8_t *)data.lines;
    uint8_t size;
    if (!gp_safe_read(reader, lines, &size, 1))
        return 0;
    /* Until some 3.13 an entry is an opcode and a byte of the line. Since then the entries come after their
     * size: the opcode, and the line in as many bytes as are needed. No code begins with an instruction whose
     * opcode is such a size, and one build runs with all of 3.13. */
    const bool told = PY_VERSION_HEX >= 0x030D0000 && size >= LINE_ENTRY && size <= GP_LINE_ENTRY_MAX;
    lines += told ? 1 : 0;
    size = told ? size : LINE_ENTRY;
    return gp_safe_read(reader, lines, entries, units * size) ? size : 0;
}

bool gp_opcodes_read_events(gp_safe_reader *reader, const PyCodeObject *code, uint8_t *opcodes, size_t units)
{
    _PyCoMonitoringData data;
    return read_monitoring(reader, code, &data) &&
           gp_safe_read(reader, data.per_instruction_opcodes, opcodes, units);
}

#else

bool gp_opcodes_is_line(uint8_t opcode)
{
    (void)opcode;
    return false;
}

bool gp_opcodes_is_event(uint8_t opcode)
{
    (void)opcode;
    return false;
}

bool gp_opcodes_is_trace(uint8_t opcode)
{
    (void)opcode;
    return false;
}

uint8_t gp_opcodes_original(uint8_t opcode)
{
    return _PyOpcode_Deopt[opcode];
}

size_t gp_opcodes_read_lines(gp_safe_reader *reader, const PyCodeObject *code, uint8_t *entries, size_t units)
{
    (void)reader, (void)code, (void)entries, (void)units;
    return 0;
}

bool gp_opcodes_read_events(gp_safe_reader *reader, const PyCodeObject *code, uint8_t *opcodes, size_t units)
{
    (void)reader, (void)code, (void)opcodes, (void)units;
    return false;
}

#endif

bool gp_opcodes_is_specialised(uint8_t opcode)
{
#if PY_VERSION_HEX < 0x030C0000
    if (opcode == LOAD_ATTR_ADAPTIVE || opcode == LOAD_METHOD_ADAPTIVE || opcode == STORE_ATTR_ADAPTIVE)
        return false; /* it only counts how often it runs */
#endif
    return _PyOpcode_Deopt[opcode] != opcode;
}

/* ---- what follows an instruction ---- */

unsigned gp_opcodes_caches(uint8_t opcode)
{
    return _PyOpcode_Caches[opcode];
}

int gp_opcodes_jumps(uint8_t opcode)
{
    switch (opcode) {
    case FOR_ITER:
    case JUMP_FORWARD:
    case SEND:
#if PY_VERSION_HEX >= 0x030C0000
    case POP_JUMP_IF_FALSE:
    case POP_JUMP_IF_NONE:
    case POP_JUMP_IF_NOT_NONE:
    case POP_JUMP_IF_TRUE:
#else
    case JUMP_IF_FALSE_OR_POP:
    case JUMP_IF_TRUE_OR_POP:
    case POP_JUMP_FORWARD_IF_FALSE:
    case POP_JUMP_FORWARD_IF_NONE:
    case POP_JUMP_FORWARD_IF_NOT_NONE:
    case POP_JUMP_FORWARD_IF_TRUE:
#endif
        return 1;
    case JUMP_BACKWARD:
    case JUMP_BACKWARD_NO_INTERRUPT:
#if PY_VERSION_HEX < 0x030C0000
    case POP_JUMP_BACKWARD_IF_FALSE:
    case POP_JUMP_BACKWARD_IF_NONE:
    case POP_JUMP_BACKWARD_IF_NOT_NONE:
    case POP_JUMP_BACKWARD_IF_TRUE:
#endif
        return -1;
    default:
        return 0;
    }
}

bool gp_opcodes_ends(uint8_t opcode)
{
    switch (opcode) {
    case JUMP_BACKWARD:
    case JUMP_BACKWARD_NO_INTERRUPT:
    case JUMP_FORWARD:
    case RAISE_VARARGS:
    case RERAISE:
    case RETURN_VALUE:
#if PY_VERSION_HEX >= 0x030C0000
    case INTERPRETER_EXIT:
#if PY_VERSION_HEX < 0x030E0000
    case RETURN_CONST:
#endif
#endif
        return true;
    default:
        return false;
    }
}
