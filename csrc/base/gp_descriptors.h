#ifndef GP_DESCRIPTORS_H
#define GP_DESCRIPTORS_H

/* Our descriptors in a process that knows nothing of them. Programs close all that they find, pass all on to
 * their children, and count them. So a native thread of ours keeps its descriptor where nobody else looks: in
 * a table of its own (unshare(2), CLONE_FILES). Linux. */

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Move it to a high number: programs expect the low ones for their own files, and close them by number.
 * Returns the number, the same as before where the limit is lower. */
int gp_descriptors_raise(int fd);

/* Give the calling thread a table of its own, in which only this descriptor is open (-1: none). False, and
 * nothing done, where the system can't (before Linux 5.9, or forbidden). */
bool gp_descriptors_separate(int kept);

/* A socket to which a thread with a table of its own sends a descriptor. The system chooses its address, an
 * abstract one: no file is made. */
typedef struct {
    int fd; /* the receiver's; -1: none */
    struct sockaddr_un address;
    socklen_t size;
} gp_descriptors_box;

void gp_descriptors_open(gp_descriptors_box *box);

/* Send a descriptor to the box, from another table. Others that learn the address can send, too: check what
 * comes. */
void gp_descriptors_send(const gp_descriptors_box *box, int fd);

/* Close the box. Returns the descriptor that was sent, -1 if there is none. Never blocks. */
int gp_descriptors_receive(gp_descriptors_box *box);

#endif
