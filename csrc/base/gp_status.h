#ifndef GP_STATUS_H
#define GP_STATUS_H

/* What a fallible function of the core returns. */
typedef enum {
    GP_OK = 0,
    GP_EINVAL,  /* an argument is outside its contract */
    GP_ENOMEM,  /* no memory */
    GP_ESYSTEM, /* the operating system refused; errno, or an out-parameter, says why */
    GP_EUNSUPPORTED,
    GP_ETHREAD, /* a thread can't be made; errno, or an out-parameter, says why */
} gp_status;

#endif
