#ifndef GP_DORMANT_H
#define GP_DORMANT_H

/* Wait to be attached to, at no cost: the handler of one signal starts the agent's thread. No thread waits,
 * and nobody needs the right to trace the process, only the right to send it a signal.
 *
 * A handler may start a thread only where the thread that it interrupts holds no lock of the C library: in a
 * system call in which threads wait, or in the interpreter's own code. Elsewhere it does nothing; the tool
 * tries another thread, or the same again. The handler asks the system to begin calls again (SA_RESTART); a
 * sleep, poll, select or epoll_wait ends with EINTR all the same, which Python hides.
 *
 * While it is armed, the process has memory with the name "gilprobe-dormant-SIGNAL-VERSION" in its
 * /proc/PID/maps, which tells the tool that the signal is welcome. Forked children have both; exec ends
 * both. Linux on x86-64. */

#include <stdbool.h>
#include <stdint.h>

#include "attach/gp_agent.h"
#include "base/gp_status.h"

#define GP_DORMANT_NAME "gilprobe-dormant"

/* Where the tool with this ticket has put what is to run: a folder that only it and we can enter. */
#define GP_DORMANT_FOLDER "/tmp/gilprobe-%016llx"
#define GP_DORMANT_CODE GP_DORMANT_FOLDER "/start.py"

/* Handle the signal from now on. `order` has the interpreter's functions, and the code to run when the signal
 * comes without a ticket. With the GIL. GP_EINVAL if the signal has a handler already, or it is armed
 * with another signal; GP_ESYSTEM with errno; GP_EUNSUPPORTED. */
gp_status gp_dormant_arm(int signal_number, const char *version, const gp_agent_order *order);

/* Put everything back, if the handler is still ours. With the GIL. */
void gp_dormant_disarm(void);

/* The armed signal; 0: none. */
int gp_dormant_signal(void);

/* Ask a thread of another process to wake up. Returns 0 or an errno. Any thread. */
int gp_dormant_wake(int32_t process, int32_t thread, int signal_number, uint64_t ticket);

#endif
