#ifndef GP_LOCK_RECORD_H
#define GP_LOCK_RECORD_H

/* Waits for locks on their way into a recording: their sums (LOCK, docs/recording-format.md) about once a
 * second, single ones (LNAM and LWAT) some twenty times, as the recorder takes the events of a GIL. */

#include "base/gp_status.h"
#include "locks/gp_lock_trace.h"

/* Have the recorder ask this session until it has ended. GP_ENOMEM. */
gp_status gp_lock_record(gp_lock_session *session, gp_recorder *recorder);

#endif
