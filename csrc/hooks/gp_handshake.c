#include "hooks/gp_handshake.h"

#include <stdbool.h>

/* Accept `call` on `object` as step number *at, filling a lock that is not known yet. */
static bool accept(const gp_handshake_step *steps, size_t count, size_t *at, gp_call call,
                   const void **object)
{
    if (*at >= count || steps[*at].call != call)
        return false;
    if (*object == NULL)
        *object = steps[*at].object;
    if (steps[*at].object != *object)
        return false;
    (*at)++;
    return true;
}

gp_status gp_handshake_recognise(const gp_handshake_step *steps, size_t count, gp_gil_locks *locks)
{
    gp_gil_locks is = {0};
    size_t at = 0;
    /* drop_gil */
    bool known = accept(steps, count, &at, GP_CALL_LOCK, &is.mutex) &&
                 accept(steps, count, &at, GP_CALL_SIGNAL, &is.cond) &&
                 accept(steps, count, &at, GP_CALL_UNLOCK, &is.mutex);
    /* if another thread had asked for the GIL */
    if (known && at < count && steps[at].call == GP_CALL_LOCK && steps[at].object != is.mutex) {
        known = accept(steps, count, &at, GP_CALL_LOCK, &is.switch_mutex);
        if (known && at < count && steps[at].call == GP_CALL_WAIT)
            known = accept(steps, count, &at, GP_CALL_WAIT, &is.switch_cond);
        known = known && accept(steps, count, &at, GP_CALL_UNLOCK, &is.switch_mutex);
    }
    /* take_gil */
    known = known && accept(steps, count, &at, GP_CALL_LOCK, &is.mutex);
    while (known && at < count && steps[at].call == GP_CALL_TIMEDWAIT)
        known = accept(steps, count, &at, GP_CALL_TIMEDWAIT, &is.cond);
    known = known && accept(steps, count, &at, GP_CALL_LOCK, &is.switch_mutex) &&
            accept(steps, count, &at, GP_CALL_SIGNAL, &is.switch_cond) &&
            accept(steps, count, &at, GP_CALL_UNLOCK, &is.switch_mutex) &&
            accept(steps, count, &at, GP_CALL_UNLOCK, &is.mutex);
    if (!known || at != count || is.mutex == is.switch_mutex || is.cond == is.switch_cond)
        return GP_EUNSUPPORTED;
    *locks = is;
    return GP_OK;
}
