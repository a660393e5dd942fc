#ifndef GP_COUNTS_LAYOUT_H
#define GP_COUNTS_LAYOUT_H

/* What differs from one version of CPython to the next in reference counts, behind functions named after the
 * question. For gp_counts.c only; include it first. */

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

#ifdef Py_GIL_DISABLED

#define Py_BUILD_CORE 1
#include <internal/pycore_gc.h>
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_object.h> /* _Py_REF_DEFERRED */
#endif
#undef Py_BUILD_CORE

/* What is added to a deferred object's count: since 3.14 so much that it never gets to zero
 * (pycore_object.h), before 3.14 one (Objects/object.c, _PyObject_SetDeferredRefcount). */
#if PY_VERSION_HEX >= 0x030E0000
#define GP_COUNTS_DEFERRED ((int64_t)_Py_REF_DEFERRED)
#else
#define GP_COUNTS_DEFERRED 1
#endif

static inline uint32_t gp_count_local(const PyObject *object)
{
    /* acquire: a thread that sees the local count merged into the shared one sees the shared one changed */
    return __atomic_load_n(&object->ob_ref_local, __ATOMIC_ACQUIRE);
}

/* The two low bits are flags. */
static inline int64_t gp_count_shared(const PyObject *object)
{
    return __atomic_load_n(&object->ob_ref_shared, __ATOMIC_RELAXED); /* relaxed: nothing is read after it */
}

static inline bool gp_count_deferred(const PyObject *object)
{
    /* relaxed: it is set before other threads know the object, or at a time that we can't know */
    return (__atomic_load_n(&object->ob_gc_bits, __ATOMIC_RELAXED) & _PyGC_BITS_DEFERRED) != 0;
}

/* Is the object's own lock held (Include/object.h, ob_mutex; Include/internal/pycore_lock.h, _Py_LOCKED)? */
static inline bool gp_count_locked(const PyObject *object)
{
    return (__atomic_load_n((const uint8_t *)&object->ob_mutex, __ATOMIC_RELAXED) & 1) != 0;
}

static inline int64_t gp_count_read(const PyObject *object)
{
    int64_t local = gp_count_local(object);
    if (local == _Py_IMMORTAL_REFCNT_LOCAL)
        return GP_COUNTS_IMMORTAL;
    int64_t shared = gp_count_shared(object);
    /* First the sum is stored as the shared count, then the local one is zeroed (Objects/object.c,
     * _Py_ExplicitMergeRefcount): in between it must not be added once more. */
    if ((shared & _Py_REF_SHARED_FLAG_MASK) == _Py_REF_MERGED)
        local = 0;
    /* the shift of a negative number keeps its sign on every compiler that CPython has */
    int64_t count = local + (shared >> _Py_REF_SHARED_SHIFT);
    if (gp_count_deferred(object))
        count -= GP_COUNTS_DEFERRED;
    return count < 0 ? 0 : count; /* a reference moved between the two loads */
}

/* As a thread that does not own the object counts (Include/refcount.h, Py_INCREF). */
static inline void gp_count_add(PyObject *object, int32_t references)
{
    __atomic_fetch_add(&object->ob_ref_shared, (Py_ssize_t)references * (1 << _Py_REF_SHARED_SHIFT),
                       __ATOMIC_RELAXED);
}

#else

/* A signed word in 3.11 to 3.13, of which other code may read the lower half only; since 3.14 32 bits
 * (Include/object.h). The interpreter writes it by plain stores: on every processor that we know a load of
 * this size sees one of them whole. */
static inline int64_t gp_count_read(const PyObject *object)
{
    int64_t count = (int64_t)__atomic_load_n(&object->ob_refcnt, __ATOMIC_RELAXED);
#if PY_VERSION_HEX >= 0x030C0000
#if SIZEOF_VOID_P > 4
    bool immortal = (int32_t)count < 0; /* _Py_IsImmortal, Include/object.h, since 3.14 refcount.h */
#elif PY_VERSION_HEX >= 0x030E0000
    bool immortal = count >= _Py_IMMORTAL_MINIMUM_REFCNT;
#else
    bool immortal = count == _Py_IMMORTAL_REFCNT;
#endif
    if (immortal)
        return GP_COUNTS_IMMORTAL;
#endif
    return count;
}

static inline void gp_count_add(PyObject *object, int32_t references)
{
    Py_SET_REFCNT(object, Py_REFCNT(object) + references);
}

#endif

/* The same in 32 bits, with INT32_MAX for more. For loops over many objects. */
static inline int32_t gp_count_read_narrow(const PyObject *object)
{
#if !defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030C0000 && SIZEOF_VOID_P > 4
    /* bit 31 alone says whether an object is immortal */
    int32_t count = (int32_t)__atomic_load_n(&object->ob_refcnt, __ATOMIC_RELAXED);
    return count < 0 ? GP_COUNTS_IMMORTAL : count;
#else
    int64_t count = gp_count_read(object);
    return count > INT32_MAX ? INT32_MAX : (int32_t)count;
#endif
}

static inline bool gp_count_immortal(const PyObject *object)
{
#if PY_VERSION_HEX >= 0x030E0000
    return PyUnstable_IsImmortal((PyObject *)object) != 0;
#else
    return gp_count_read(object) == GP_COUNTS_IMMORTAL;
#endif
}

#endif
