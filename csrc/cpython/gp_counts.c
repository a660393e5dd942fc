#include "cpython/gp_counts.h"

#include "cpython/gp_counts_layout.h"

enum {
    AHEAD = 96, /* items: how far ahead of the reading objects are prefetched */
};

int64_t gp_counts_of(const void *object)
{
    return gp_count_read(object);
}

int32_t gp_counts_narrow(const void *object, int32_t own)
{
    int32_t count = gp_count_read_narrow(object);
    return count == GP_COUNTS_IMMORTAL || count == INT32_MAX ? count : count - own;
}

bool gp_counts_is_immortal(const void *object)
{
    return gp_count_immortal(object);
}

bool gp_counts_is_deferred(const void *object)
{
#ifdef Py_GIL_DISABLED
    return gp_count_deferred(object) && !gp_count_immortal(object);
#else
    (void)object;
    return false;
#endif
}

bool gp_counts_split(const void *object, gp_counts_parts *parts)
{
#ifdef Py_GIL_DISABLED
    const PyObject *counted = object;
    uint32_t local = gp_count_local(counted);
    parts->owner = __atomic_load_n(&counted->ob_tid, __ATOMIC_RELAXED);
    parts->local = local == _Py_IMMORTAL_REFCNT_LOCAL ? 0 : (int64_t)local;
    parts->shared = gp_count_shared(counted) >> _Py_REF_SHARED_SHIFT;
    return true;
#else
    (void)object, (void)parts;
    return false;
#endif
}

/* gc.get_objects also finds containers that are not filled yet: a slot may be NULL. */
static inline int32_t read_item(const PyObject *item)
{
    return item == NULL ? 0 : gp_count_read_narrow(item);
}

static void read_items(PyObject *const *items, size_t size, int32_t *counts)
{
    size_t far = size > AHEAD ? size - AHEAD : 0, i = 0;
    for (; i < far; i++) {
        __builtin_prefetch(items[i + AHEAD]);
        counts[i] = read_item(items[i]);
    }
    for (; i < size; i++)
        counts[i] = read_item(items[i]);
}

static size_t read_list(PyObject *list, int32_t *counts, size_t room)
{
    size_t size;
#ifdef Py_GIL_DISABLED
    Py_BEGIN_CRITICAL_SECTION(list); /* so that no other thread drops an item */
#endif
    size = (size_t)PyList_GET_SIZE(list);
    read_items(((PyListObject *)list)->ob_item, size < room ? size : room, counts);
#ifdef Py_GIL_DISABLED
    Py_END_CRITICAL_SECTION();
#endif
    return size;
}

size_t gp_counts_of_items(PyObject *sequence, int32_t *counts, size_t room)
{
    if (PyList_Check(sequence))
        return read_list(sequence, counts, room);
    size_t size = (size_t)PyTuple_GET_SIZE(sequence);
    read_items(((PyTupleObject *)sequence)->ob_item, size < room ? size : room, counts);
    return size;
}

void gp_counts_lend(void *object, int32_t references)
{
    PyObject *counted = object;
    if (gp_count_immortal(counted))
        return;
    gp_count_add(counted, references);
}

bool gp_counts_exempt(void *object, uint32_t *local)
{
#ifdef Py_GIL_DISABLED
    PyObject *counted = object;
    uint32_t stored = gp_count_local(counted);
    if (stored == _Py_IMMORTAL_REFCNT_LOCAL)
        return false;
    *local = stored;
    gp_count_add(counted, GP_COUNTS_SPARE);
    /* relaxed: the caller starts the threads that are to see it afterwards */
    __atomic_store_n(&counted->ob_ref_local, _Py_IMMORTAL_REFCNT_LOCAL, __ATOMIC_RELAXED);
    return true;
#else
    (void)object, (void)local;
    return false;
#endif
}

void gp_counts_admit(void *object, uint32_t local)
{
#ifdef Py_GIL_DISABLED
    PyObject *counted = object;
    __atomic_store_n(&counted->ob_ref_local, local, __ATOMIC_RELAXED); /* as above */
#else
    (void)object, (void)local;
#endif
}

void gp_counts_sweep(void *const *objects, size_t size, gp_counts_traffic *traffic, bool first)
{
#ifdef Py_GIL_DISABLED
    for (size_t i = 0; i < size; i++) {
        const PyObject *object = objects[i];
        int64_t shared = gp_count_shared(object);
        traffic[i].counted += !first && shared != traffic[i].shared;
        traffic[i].locked += !first && gp_count_locked(object);
        traffic[i].shared = shared;
    }
#else
    (void)objects, (void)size, (void)traffic, (void)first;
#endif
}
