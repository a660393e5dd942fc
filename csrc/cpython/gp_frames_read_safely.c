#include "cpython/gp_frames_layout.h"

#include <string.h>

#include "cpython/gp_frames.h"
#include "cpython/gp_frames_read_safely.h"
#include "cpython/gp_linetable.h"
#include "base/gp_utf8.h"

enum {
    PIECE = 1024,                                            /* bytes of a location table read at once */
    TABLE_MAX = 1 << 20,                                     /* bytes of it looked at */
    OTHERS_MAX = 64,                                         /* other frames that are read, beyond `room` */
    NAME_UNITS_MAX = sizeof((gp_frames_text *)0)->bytes + 1, /* units of a name that are read */
};

_Static_assert(NAME_UNITS_MAX > sizeof((gp_frames_line *)0)->file, "a name may fill its place");
_Static_assert(NAME_UNITS_MAX > sizeof((gp_frames_line *)0)->function, "a name may fill its place");
_Static_assert((int)PIECE >= (int)GP_LINETABLE_PIECE, "see gp_linetable_feed");

const void *gp_frames_safe_innermost(gp_safe_reader *reader, const void *thread_state)
{
    const void *frame = NULL;
#if PY_VERSION_HEX >= 0x030D0000
    const char *place = (const char *)thread_state + offsetof(PyThreadState, current_frame);
#else
    const char *place = (const char *)thread_state + offsetof(PyThreadState, cframe);
    if (!gp_safe_read(reader, place, &place, sizeof place))
        return NULL;
    place += offsetof(_PyCFrame, current_frame);
#endif
    return gp_safe_read(reader, place, &frame, sizeof frame) ? frame : NULL;
}

/* Where the frame's copy of the instructions begins. */
static bool first_instruction(gp_safe_reader *reader, const gp_frame *frame, const char *code,
                              const gp_code_copy *copy, const char **first)
{
#if defined(GP_FRAMES_COPIED_CODE)
    (void)code;
    if (frame->tlbc_index < 0)
        return false;
    const char *copies = (const char *)copy->code.co_tlbc;
    return gp_safe_read(reader, copies + offsetof(_PyCodeArray, entries) + frame->tlbc_index * sizeof *first,
                        first, sizeof *first);
#else
    (void)reader, (void)frame, (void)copy;
    *first = code + offsetof(PyCodeObject, co_code_adaptive);
    return true;
#endif
}

bool gp_frames_safe_locate(gp_safe_reader *reader, const gp_frame *frame, gp_code_copy *copy,
                           int32_t *instruction)
{
    const char *code = gp_frame_executable(frame), *first;
    if ((unsigned char)frame->owner >= GP_FRAMES_NOT_PYTHON ||
        !gp_safe_read(reader, code, copy, sizeof copy->bytes) || Py_TYPE(&copy->code) != &PyCode_Type ||
        !first_instruction(reader, frame, code, copy, &first))
        return false;
    uintptr_t distance = (uintptr_t)frame->GP_FRAMES_INSTRUCTION - (uintptr_t)first;
    *instruction = (int32_t)distance;
    return distance < (uintptr_t)Py_SIZE(&copy->code) * sizeof(_Py_CODEUNIT) &&
           !gp_frame_incomplete(frame, *instruction, &copy->code);
}

typedef size_t encoder(gp_utf8_source source, char *bytes, size_t room);

/* Find the units of a string. False if the object does not look like one. */
static bool find_units(gp_safe_reader *reader, const char *string, gp_utf8_source *source)
{
    PyUnicodeObject copy;
    memset(&copy, 0, sizeof copy);
    if (!gp_safe_read(reader, string, &copy, sizeof(PyASCIIObject)))
        return false;
    const PyASCIIObject *ascii = &copy._base._base;
    if (Py_TYPE(ascii) != &PyUnicode_Type || ascii->length < 0)
        return false;
    source->length = (size_t)ascii->length;
    source->width = ascii->state.kind;
    source->units = string + (ascii->state.ascii ? sizeof(PyASCIIObject) : sizeof(PyCompactUnicodeObject));
    if (!ascii->state.compact &&
        !gp_safe_read(reader, string + offsetof(PyUnicodeObject, data), &source->units, sizeof source->units))
        return false;
    return source->width == 1 || source->width == 2 || source->width == 4;
}

/* Copy a name; false if it can't be read. Of a long name only the units that may be shown are read, and one
 * more that shows that it is long: the first ones for gp_utf8_head, the last ones for gp_utf8_tail; each is
 * one byte or more. */
static bool copy_text(gp_safe_reader *reader, const void *string, encoder *encode, char *text, size_t room,
                      size_t *size)
{
    uint32_t units[NAME_UNITS_MAX];
    gp_utf8_source source;
    if (!find_units(reader, string, &source))
        return false;
    size_t taken = source.length <= room ? source.length : room + 1;
    size_t left_out = encode == gp_utf8_tail ? source.length - taken : 0;
    if (!gp_safe_read(reader, (const char *)source.units + left_out * source.width, units,
                      taken * source.width))
        return false;
    source.units = units;
    source.length = taken;
    *size = encode(source, text, room);
    return true;
}

/* The same, terminated; "?" if it can't be read. */
static void copy_name(gp_safe_reader *reader, const void *string, encoder *encode, char *name, size_t room)
{
    size_t size = 1;
    if (!copy_text(reader, string, encode, name, room - 1, &size))
        name[0] = '?';
    name[size] = '\0';
}

void gp_frames_safe_string(gp_safe_reader *reader, const void *string, char *text, size_t room)
{
    copy_name(reader, string, gp_utf8_head, text, room);
}

static int32_t find_line(gp_safe_reader *reader, const PyCodeObject *code, int32_t instruction)
{
    uint8_t piece[PIECE];
    PyVarObject head;
    const char *table = (const char *)code->co_linetable;
    if (!gp_safe_read(reader, table, &head, sizeof head) || Py_TYPE(&head) != &PyBytes_Type ||
        Py_SIZE(&head) < 0)
        return 0;
    table += offsetof(PyBytesObject, ob_sval);
    size_t size = (size_t)Py_SIZE(&head) < TABLE_MAX ? (size_t)Py_SIZE(&head) : TABLE_MAX, used = 1;
    gp_linetable_search search;
    gp_linetable_begin(&search, code->co_firstlineno, instruction);
    for (; size != 0 && used != 0 && !search.found; table += used, size -= used) {
        size_t next = size < PIECE ? size : PIECE;
        if (!gp_safe_read(reader, table, piece, next))
            return 0;
        used = gp_linetable_feed(&search, piece, next, next == size);
    }
    return search.found ? search.answer : 0;
}

static void describe(gp_safe_reader *reader, const PyCodeObject *code, int32_t instruction,
                     gp_frames_line *line)
{
    copy_name(reader, code->co_qualname, gp_utf8_head, line->function, sizeof line->function);
    copy_name(reader, code->co_filename, gp_utf8_tail, line->file, sizeof line->file);
    line->line = find_line(reader, code, instruction);
}

bool gp_frames_describe_safely(gp_safe_reader *reader, gp_site_key key, gp_frames_text *function,
                               gp_frames_text *file, int32_t *line)
{
    gp_code_copy copy;
    if (!gp_safe_read(reader, key.code, &copy, sizeof copy.bytes) || Py_TYPE(&copy.code) != &PyCode_Type ||
        !copy_text(reader, copy.code.co_qualname, gp_utf8_head, function->bytes, sizeof function->bytes,
                   &function->size) ||
        !copy_text(reader, copy.code.co_filename, gp_utf8_tail, file->bytes, sizeof file->bytes, &file->size))
        return false;
    *line = find_line(reader, &copy.code, key.instruction);
    return true;
}

const void *gp_frames_thread_state(void)
{
    return PyGILState_GetThisThreadState();
}

size_t gp_frames_read_safely(const void *thread_state, gp_frames_line *lines, size_t room)
{
    gp_safe_reader reader;
    gp_frame frame;
    gp_code_copy code;
    int32_t instruction;
    size_t depth = 0;
    gp_safe_reader_open(&reader);
    const void *next = thread_state == NULL ? NULL : gp_frames_safe_innermost(&reader, thread_state);
    /* frames that another thread changes meanwhile may form a circle: limit the other frames, too */
    for (size_t others = 0; next != NULL && depth < room && others < OTHERS_MAX + room;) {
        if (!gp_safe_read(&reader, next, &frame, offsetof(gp_frame, localsplus)))
            break;
        if (gp_frames_safe_locate(&reader, &frame, &code, &instruction))
            describe(&reader, &code.code, instruction, &lines[depth++]);
        else
            others++;
        next = frame.previous;
    }
    gp_safe_reader_close(&reader);
    return depth;
}
