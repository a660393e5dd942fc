#ifndef GP_THREAD_LOCAL_H
#define GP_THREAD_LOCAL_H

#if defined(__GLIBC__)
/* glibc reserves room for this in every thread; one load instead of a call on the hot path */
#define GP_THREAD_LOCAL __attribute__((tls_model("initial-exec"))) static __thread
#else
#define GP_THREAD_LOCAL static __thread
#endif

#endif
