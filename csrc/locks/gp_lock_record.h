#ifndef GP_LOCK_RECORD_H
#define GP_LOCK_RECORD_H

/* The single waits for locks on their way into a recording: LNAM and LWAT (docs/recording-format.md). The
 * recorder's thread takes them some twenty times a second, as it takes the events of a GIL. */

#include "base/gp_status.h"
#include "locks/gp_lock_trace.h"

/* Have the recorder ask this session, which keeps its waits, for them until it has ended. GP_ENOMEM. */
gp_status gp_lock_record(gp_lock_session *session, gp_recorder *recorder);

#endif
