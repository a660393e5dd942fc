#define _GNU_SOURCE
#include "base/gp_descriptors.h"

#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_close_range /* <unistd.h> of an older system; the same number everywhere */
#define SYS_close_range 436
#endif

enum {
    HIGH_FD = 200,
    UNSHARE = 2, /* CLOSE_RANGE_UNSHARE of <linux/close_range.h>, which musl does without */
};

int gp_descriptors_raise(int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
    if (high < 0)
        return fd;
    close(fd);
    return high;
}

bool gp_descriptors_separate(int kept)
{
    /* descriptors above are never copied; the program's file locks stay, they belong to its table */
    if (syscall(SYS_close_range, (unsigned)(kept + 1), UINT_MAX, UNSHARE) != 0)
        return false;
    if (kept > 0)
        syscall(SYS_close_range, 0, (unsigned)(kept - 1), 0);
    return true;
}

void gp_descriptors_open(gp_descriptors_box *box)
{
    box->address = (struct sockaddr_un){.sun_family = AF_UNIX};
    box->size = sizeof box->address;
    box->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    /* with a family only, bind() lets the system choose an address */
    if (box->fd >= 0 && (bind(box->fd, (struct sockaddr *)&box->address, sizeof(sa_family_t)) != 0 ||
                         getsockname(box->fd, (struct sockaddr *)&box->address, &box->size) != 0)) {
        close(box->fd);
        box->fd = -1;
    }
}

typedef union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
} control_message;

void gp_descriptors_send(const gp_descriptors_box *box, int fd)
{
    char letter = 0;
    struct iovec text = {.iov_base = &letter, .iov_len = 1};
    control_message control = {.head = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct msghdr message = {.msg_name = (void *)&box->address,
                             .msg_namelen = box->size,
                             .msg_iov = &text,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    control.head.cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &fd, sizeof fd);
    int sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sender < 0)
        return;
    sendmsg(sender, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    close(sender);
}

int gp_descriptors_receive(gp_descriptors_box *box)
{
    int fd = -1;
    char letter;
    struct iovec text = {.iov_base = &letter, .iov_len = 1};
    control_message control;
    struct msghdr message = {.msg_iov = &text,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    if (box->fd < 0)
        return -1;
    if (recvmsg(box->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) == 1) {
        const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
            head->cmsg_len == CMSG_LEN(sizeof fd))
            memcpy(&fd, CMSG_DATA(head), sizeof fd);
    }
    close(box->fd);
    box->fd = -1;
    return fd;
}
