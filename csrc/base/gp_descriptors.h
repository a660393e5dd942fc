#ifndef GP_DESCRIPTORS_H
#define GP_DESCRIPTORS_H

/* Descriptors of ours in a process that knows nothing of them. Programs close all that they find, hand all on
 * to their children, and count them; so one that a native thread of ours works with is best where nobody else
 * looks: in a table of descriptors that is the thread's own (unshare(2), CLONE_FILES). Linux. */

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Move it to a high number: programs expect the low ones for their own files, and close them by number.
 * Returns the number, the same as before where the limit is lower. */
int gp_descriptors_raise(int fd);

/* Give the calling thread a table of its own, in which only this descriptor is open (-1: none). False, and
 * nothing done, where the system can't (before Linux 5.9, or forbidden). */
bool gp_descriptors_separate(int kept);

/* A socket that a thread with a table of its own sends a descriptor to: by an abstract address that the
 * system chooses, so that no file is made. */
typedef struct {
    int fd; /* of who receives; -1: there is none */
    struct sockaddr_un address;
    socklen_t size;
} gp_descriptors_box;

void gp_descriptors_open(gp_descriptors_box *box);

/* Send a descriptor there, from another table. Whoever may be told the address can send, too: look at what
 * comes. */
void gp_descriptors_send(const gp_descriptors_box *box, int fd);

/* Close the box; returns what has been sent, -1 for nothing. Never blocks. */
int gp_descriptors_receive(gp_descriptors_box *box);

#endif
