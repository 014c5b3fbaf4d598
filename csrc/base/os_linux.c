/* os.h on Linux: futexes. */
#define _GNU_SOURCE

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/os.h"

/* All waits are within one process; deadlines are absolute and monotonic, as
 * FUTEX_WAIT_BITSET has them and FUTEX_WAIT has not. */
#define WAIT_OP (FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG)
#define WAKE_OP (FUTEX_WAKE | FUTEX_PRIVATE_FLAG)

enum sp__os_wake_reason sp__os_wait(_Atomic(uint32_t) *word, uint32_t expected,
                                    int64_t deadline_ns)
{
    struct timespec ts = {.tv_sec = (time_t)(deadline_ns / 1000000000),
                          .tv_nsec = (long)(deadline_ns % 1000000000)};
    struct timespec *until = deadline_ns == SP__OS_NO_DEADLINE ? NULL : &ts;

    if (syscall(SYS_futex, word, WAIT_OP, expected, until, NULL,
                FUTEX_BITSET_MATCH_ANY) == 0)
        return SP__OS_WOKEN;
    switch (errno) {
    case EAGAIN: /* the word differs */
        return SP__OS_WOKEN;
    case ETIMEDOUT:
        return SP__OS_TIMED_OUT;
    case EINTR:
        return SP__OS_INTERRUPTED;
    }
    perror("stealpool: futex");
    abort();
}

/* An address that was unmapped since gives EFAULT, which is as good as nobody
 * waiting there. */
static void wake(_Atomic(uint32_t) *word, int count)
{
    syscall(SYS_futex, word, WAKE_OP, count, NULL, NULL, 0);
}

void sp__os_wake_one(_Atomic(uint32_t) *word)
{
    wake(word, 1);
}

void sp__os_wake_all(_Atomic(uint32_t) *word)
{
    wake(word, INT_MAX);
}

bool sp__os_bell_create(struct sp__os_bell *ret_bell)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0)
        return false;
    *ret_bell = (struct sp__os_bell){.fd = fd, .ring_end = fd};
    return true;
}

void sp__os_bell_destroy(struct sp__os_bell *bell)
{
    close(bell->fd);
}

void sp__os_bell_ring(const struct sp__os_bell *bell)
{
    /* It fails only when the counter is full, and then the bell is rung. */
    eventfd_write(bell->ring_end, 1);
}

void sp__os_bell_clear(const struct sp__os_bell *bell)
{
    eventfd_t count;
    eventfd_read(bell->fd, &count);
}

void sp__os_after_fork(void)
{
    /* The kernel keeps no list of those who sleep in the other process. */
}
