#include "cpython/gp_frames_layout.h"

#include "cpython/gp_callee_look.h"

#include <string.h>

enum {
    FRAME_SIZE = offsetof(gp_frame, localsplus),
    STATE_FROM = offsetof(PyThreadState, interp),
    STATE_NATIVE_ID = offsetof(PyThreadState, native_thread_id) - STATE_FROM,
    STATE_SIZE = STATE_NATIVE_ID + sizeof(unsigned long),
#if PY_VERSION_HEX >= 0x030D0000
    STATE_FRAME = offsetof(PyThreadState, current_frame) - STATE_FROM,
#else
    STATE_FRAME = offsetof(PyThreadState, cframe) - STATE_FROM,
#endif
};
_Static_assert((int)STATE_FRAME >= 0 && (int)STATE_FRAME < (int)STATE_NATIVE_ID, "pystate.h");

/* ---- the frame ---- */

static bool read_state(gp_seen_thread *look)
{
    char bytes[STATE_SIZE];
    const char *from = (const char *)look->thread_state + STATE_FROM;
    if (!gp_safe_read(look->reader, from, bytes, sizeof bytes))
        return false;
    memcpy(&look->state.interpreter, bytes, sizeof look->state.interpreter);
    memcpy(&look->state.native_id, bytes + STATE_NATIVE_ID, sizeof look->state.native_id);
#if PY_VERSION_HEX >= 0x030D0000
    look->state.frame_place = from + STATE_FRAME;
    memcpy(&look->state.frame, bytes + STATE_FRAME, sizeof look->state.frame);
    return true;
#else
    const char *frames;
    memcpy(&frames, bytes + STATE_FRAME, sizeof frames);
    look->state.frame_place = frames + offsetof(_PyCFrame, current_frame);
    return gp_safe_read(look->reader, look->state.frame_place, &look->state.frame, sizeof look->state.frame);
#endif
}

bool gp_seen_frame(gp_seen_thread *look)
{
    if (!read_state(look) || look->state.frame == NULL)
        return false;
    look->address = look->state.frame;
    const gp_safe_part parts[] = {
        {look->address, &look->frame, FRAME_SIZE},
        {(const char *)look->state.interpreter + offsetof(PyInterpreterState, gc), &look->collector,
         sizeof look->collector},
    };
    return gp_safe_read_parts(look->reader, parts, sizeof parts / sizeof *parts) &&
           gp_frames_safe_locate(look->reader, &look->frame, &look->code, &look->instruction);
}

bool gp_seen_instruction(gp_seen_thread *look)
{
    const char *first = (const char *)look->frame.GP_FRAMES_INSTRUCTION - look->instruction;
    return gp_stack_depth_find(look->reader, gp_frame_executable(&look->frame), &look->code.code, first,
                               look->instruction, &look->at);
}

/* ---- its stack ---- */

static const char *slot_place(const gp_seen_thread *look, ptrdiff_t slot)
{
    return look->address + FRAME_SIZE + (look->code.code.co_nlocalsplus + slot) * (ptrdiff_t)sizeof(void *);
}

bool gp_seen_stack(gp_seen_thread *look, ptrdiff_t from_top, ptrdiff_t count)
{
    ptrdiff_t first = look->at.depth > from_top ? look->at.depth - from_top : 0;
    ptrdiff_t left = look->code.code.co_stacksize - first;
    if (look->at.depth < 0 || left <= 0)
        return false;
    look->first_slot = first;
    look->slot_count = count < left ? count : left;
    return gp_safe_read(look->reader, slot_place(look, first), look->slots,
                        (size_t)look->slot_count * sizeof *look->slots);
}

/* Since 3.14 with tag bits. A small integer that lies there itself is no object. */
const void *gp_seen_referred(uintptr_t reference)
{
#if PY_VERSION_HEX >= 0x030E0000
    return (reference & 3) == 3 ? NULL : (const void *)(reference & ~(uintptr_t)3);
#else
    return (const void *)reference;
#endif
}

const void *gp_seen_object(gp_seen_thread *look, ptrdiff_t from_top)
{
    ptrdiff_t slot = look->at.depth - from_top - look->first_slot;
    if (slot < 0 || slot >= look->slot_count)
        return NULL;
    if (look->work == NULL)
        look->work = slot_place(look, look->first_slot + slot);
    return gp_seen_referred(look->slots[slot]);
}

bool gp_seen_is_over(const gp_seen_thread *look)
{
#if PY_VERSION_HEX >= 0x030E0000
    return (const char *)look->frame.stackpointer < slot_place(look, look->at.depth);
#else
    (void)look;
    return false;
#endif
}

/* ---- again ---- */

static bool is_same_frame(const gp_frame *frame, const gp_frame *before)
{
#if PY_VERSION_HEX >= 0x030E0000
    if (frame->stackpointer != before->stackpointer)
        return false;
#endif
    return frame->GP_FRAMES_INSTRUCTION == before->GP_FRAMES_INSTRUCTION &&
           gp_frame_executable(frame) == gp_frame_executable(before);
}

bool gp_seen_is_unchanged(const gp_seen_thread *look)
{
    const void *address = NULL;
    gp_frame frame;
    uintptr_t slots[GP_SEEN_SLOTS];
    size_t size = (size_t)look->slot_count * sizeof *slots;
    /* in this order: whoever is in another frame by the first one is found out */
    const gp_safe_part parts[] = {
        {look->address, &frame, FRAME_SIZE},
        {slot_place(look, look->first_slot), slots, size},
        {look->state.frame_place, &address, sizeof address},
    };
    return gp_safe_read_parts(look->reader, parts, sizeof parts / sizeof *parts) &&
           address == look->address && is_same_frame(&frame, &look->frame) &&
           memcmp(slots, look->slots, size) == 0;
}
