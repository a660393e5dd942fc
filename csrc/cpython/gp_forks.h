#ifndef GP_FORKS_H
#define GP_FORKS_H

/* Pauses our threads around os.fork (gp_helper.h), and finds the moment to resume them.
 *
 * CPython counts the threads of the process after the last hook of os.register_at_fork, in some versions, and
 * before it in others: no hook is late enough. So the last hook asks for a pending call, which the
 * interpreter makes as soon as the code that forked goes on; or in another hook that is Python code, which is
 * too early and is told by the stack. With the GIL. */

/* For os.register_at_fork: before, and after in the parent. */
void gp_forks_before(void);
void gp_forks_after_in_parent(void);

#endif
