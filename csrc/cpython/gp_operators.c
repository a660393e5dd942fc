#include "cpython/gp_operators.h"

#include "cpython/gp_opcodes.h"

/* The iterator of a loop; since 3.15 the loop's own index lies on it (Python/bytecodes.c). */
#if PY_VERSION_HEX >= 0x030F0000
#define ITERATOR 2
#else
#define ITERATOR 1
#endif

static const gp_operator operators[] = {
    {CONTAINS_OP, 1, 0, 2, GP_LIGHT_MEMBER, true, false, "`in` on ", "", ""},
    {FOR_ITER, ITERATOR, 0, 0, GP_LIGHT_LOOP, true, false, "iteration over ", "", ""},
    {GET_ITER, 1, 0, 0, GP_LIGHT_LOOP, true, false, "iteration over ", "", ""},
    {STORE_SUBSCR, 2, 0, 1, GP_LIGHT_ITEM, true, false, "", "[...] =", ""},
    {DELETE_SUBSCR, 2, 0, 1, GP_LIGHT_ITEM, true, false, "del ", "[...]", ""},
    {LOAD_ATTR, 1, 0, 0, GP_LIGHT_KNOWN, true, true, "", ".", ""},
    {STORE_ATTR, 1, 0, 0, GP_LIGHT_KNOWN, true, true, "", ".", " ="},
    {DELETE_ATTR, 1, 0, 0, GP_LIGHT_KNOWN, true, true, "del ", ".", ""},
    {UNARY_NEGATIVE, 1, 0, 0, GP_LIGHT_OPERANDS, true, false, "-", "", ""},
    {UNARY_INVERT, 1, 0, 0, GP_LIGHT_OPERANDS, true, false, "~", "", ""},
    {UNARY_NOT, 1, 0, 0, GP_LIGHT_OPERANDS, true, false, "not ", "", ""},
    {UNPACK_SEQUENCE, 1, 0, 0, GP_LIGHT_OPERANDS, true, false, "unpacking ", "", ""},
    {UNPACK_EX, 1, 0, 0, GP_LIGHT_OPERANDS, false, false, "unpacking ", "", ""},
    {LIST_EXTEND, 1, 0, 0, GP_LIGHT_OPERANDS, true, false, "unpacking ", "", ""},
    {SET_UPDATE, 1, 0, 0, GP_LIGHT_OPERANDS, true, false, "unpacking ", "", ""},
    {DICT_UPDATE, 1, 0, 0, GP_LIGHT_OPERANDS, true, false, "unpacking ", "", ""},
    {DICT_MERGE, 1, 0, 0, GP_LIGHT_OPERANDS, true, false, "unpacking ", "", ""},
    {BUILD_STRING, 0, 0, 0, GP_LIGHT_UNLESS_IT_LASTS, false, false, "f-string", "", ""},
#if PY_VERSION_HEX < 0x030E0000
    {BINARY_SUBSCR, 2, 0, 1, GP_LIGHT_ITEM, true, false, "", "[...]", ""},
#endif
#if PY_VERSION_HEX >= 0x030C0000
    {BINARY_SLICE, 3, 0, 0, GP_LIGHT_OPERANDS, true, false, "", "[...]", ""},
    {STORE_SLICE, 3, 0, 0, GP_LIGHT_OPERANDS, true, false, "", "[...] =", ""},
#else
    {LOAD_METHOD, 1, 0, 0, GP_LIGHT_KNOWN, true, true, "", ".", ""},
    {UNARY_POSITIVE, 1, 0, 0, GP_LIGHT_OPERANDS, true, false, "+", "", ""},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {TO_BOOL, 1, 0, 0, GP_LIGHT_OPERANDS, true, false, "bool of ", "", ""},
    {CONVERT_VALUE, 1, 0, 0, GP_LIGHT_OPERANDS, true, false, "formatting ", "", ""},
    {FORMAT_SIMPLE, 1, 0, 0, GP_LIGHT_OPERANDS, true, false, "formatting ", "", ""},
    {FORMAT_WITH_SPEC, 2, 0, 0, GP_LIGHT_OPERANDS, true, false, "formatting ", "", ""},
#endif
};

/* in order of NB_ADD and so on (opcode.h) */
static const char *const binary[] = {
    " + ",  " & ",  " // ", " << ",  " @ ",   " * ",  " % ",   " | ",   " ** ",
    " >> ", " - ",  " / ",  " ^ ",   " += ",  " &= ", " //= ", " <<= ", " @= ",
    " *= ", " %= ", " |= ", " **= ", " >>= ", " -= ", " /= ",  " ^= ",
};
_Static_assert(NB_ADD == 0 && NB_MULTIPLY == 5 && NB_XOR == 12 && NB_INPLACE_ADD == 13 &&
                   NB_INPLACE_XOR == 25,
               "opcode.h");

/* in order of Py_LT and so on (Include/object.h) */
static const char *const comparisons[] = {" < ", " <= ", " == ", " != ", " > ", " >= "};

enum {
    BINARY_COUNT = sizeof binary / sizeof *binary,
    COMPARISONS_COUNT = sizeof comparisons / sizeof *comparisons,
};

/* Which comparison; the low bits are for the interpreter. */
static uint32_t comparison(gp_instruction at)
{
#if PY_VERSION_HEX >= 0x030D0000
    return at.argument >> 5;
#elif PY_VERSION_HEX >= 0x030C0000
    return at.argument >> 4;
#else
    return at.argument;
#endif
}

/* Small numbers give large ones. */
static bool grows(uint32_t operation)
{
    return operation == NB_POWER || operation == NB_LSHIFT || operation == NB_INPLACE_POWER ||
           operation == NB_INPLACE_LSHIFT;
}

static bool find_binary(gp_instruction at, gp_operator *found)
{
    if (at.argument < BINARY_COUNT) {
        gp_light_if light_if = grows(at.argument) ? GP_LIGHT_UNLESS_IT_LASTS : GP_LIGHT_OPERANDS;
        *found = (gp_operator){BINARY_OP, 2, 1, 0, light_if, true, false, "", binary[at.argument], ""};
        return true;
    }
#if PY_VERSION_HEX >= 0x030E0000
    *found = (gp_operator){BINARY_OP, 2, 0, 1, GP_LIGHT_ITEM, true, false, "", "[...]", ""};
    return at.argument == NB_SUBSCR;
#else
    return false;
#endif
}

static bool find_comparison(gp_instruction at, gp_operator *found)
{
    uint32_t which = comparison(at);
    if (which >= COMPARISONS_COUNT)
        return false;
    *found = (gp_operator){COMPARE_OP, 2, 1, 0, GP_LIGHT_OPERANDS, true, false, "", comparisons[which], ""};
    return true;
}

bool gp_operators_find(gp_instruction at, gp_operator *found)
{
    if (at.opcode == BINARY_OP)
        return find_binary(at, found);
    if (at.opcode == COMPARE_OP)
        return find_comparison(at, found);
#if PY_VERSION_HEX < 0x030D0000
    if (at.opcode == FORMAT_VALUE) {
        uint8_t place = (at.argument & 4) != 0 ? 2 : 1; /* FVS_HAVE_SPEC: the format lies on it */
        *found =
            (gp_operator){FORMAT_VALUE, place, 0, 0, GP_LIGHT_OPERANDS, true, false, "formatting ", "", ""};
        return true;
    }
#endif
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (operators[i].opcode == at.opcode) {
            *found = operators[i];
            return true;
        }
    }
    return false;
}

uint32_t gp_operators_attribute(gp_instruction at)
{
#if PY_VERSION_HEX >= 0x030C0000
    return at.opcode == LOAD_ATTR ? at.argument >> 1 : at.argument; /* the low bit: for a call */
#else
    return at.argument;
#endif
}

bool gp_operators_frees(gp_instruction at)
{
    switch (at.opcode) {
    case DELETE_DEREF:
    case DELETE_FAST:
    case DELETE_GLOBAL:
    case DELETE_NAME:
    case POP_EXCEPT:
    case POP_TOP:
    case STORE_DEREF:
    case STORE_FAST:
    case STORE_GLOBAL:
    case STORE_NAME:
#if PY_VERSION_HEX >= 0x030C0000
    case END_FOR:
    case END_SEND:
#endif
#if PY_VERSION_HEX >= 0x030D0000
    case STORE_FAST_LOAD_FAST:
    case STORE_FAST_STORE_FAST:
#endif
#if PY_VERSION_HEX >= 0x030E0000
    case POP_ITER:
#endif
        return true;
    default:
        return false;
    }
}
