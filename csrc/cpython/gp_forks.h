#ifndef GP_FORKS_H
#define GP_FORKS_H

/* Pauses our threads around os.fork (gp_helper.h), and resumes them at the right moment.
 *
 * Some versions of CPython count the threads of the process after the last hook of os.register_at_fork,
 * others before it: no hook is late enough. So our hook asks for a pending call. The interpreter makes it as
 * soon as the code that forked goes on. It may also come in another hook that is Python code: that is too
 * early, and the stack shows it. All functions need the GIL. */

/* For os.register_at_fork: before, and after in the parent. */
void gp_forks_before(void);
void gp_forks_after_in_parent(void);

#endif
