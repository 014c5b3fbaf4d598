/*
 * os.h on any POSIX system: no futex, so sleepers wait in a table of mutexes
 * and condition variables that is indexed by the address they wait on.
 *
 * A waker broadcasts, since strangers may share its bucket: "wake one" may wake
 * more. Signals do not interrupt a wait; a wait that must notice them looks up
 * every SLICE_NS.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/os.h"

#define BUCKETS 64
#define SLICE_NS 50000000

struct bucket {
    SP_CACHE_ALIGNED pthread_mutex_t mutex;
    pthread_cond_t changed;
};

static struct bucket buckets[BUCKETS];
static pthread_once_t buckets_once = PTHREAD_ONCE_INIT;

static void init_buckets(void)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
#ifndef __APPLE__
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
#endif
    for (int i = 0; i < BUCKETS; i++) {
        pthread_mutex_init(&buckets[i].mutex, NULL);
        pthread_cond_init(&buckets[i].changed, &attr);
    }
    pthread_condattr_destroy(&attr);
}

static struct bucket *bucket_of(const void *address)
{
    pthread_once(&buckets_once, init_buckets);
    uint64_t hash = (uint64_t)(uintptr_t)address * 0x9e3779b97f4a7c15u;
    return &buckets[hash >> 58];
}

enum sp__os_wake_reason sp__os_wait(_Atomic(uint32_t) *word, uint32_t expected,
                                    int64_t deadline_ns)
{
    int64_t slice = sp__os_now_ns() + SLICE_NS;
    int64_t until = deadline_ns < slice ? deadline_ns : slice;
    struct timespec ts = {.tv_sec = (time_t)(until / 1000000000),
                          .tv_nsec = (long)(until % 1000000000)};
    struct bucket *bucket = bucket_of(word);
    int error = 0;

    pthread_mutex_lock(&bucket->mutex);
    if (load_seq_cst(word) == expected)
        error = pthread_cond_timedwait(&bucket->changed, &bucket->mutex, &ts);
    pthread_mutex_unlock(&bucket->mutex);

    if (error != ETIMEDOUT)
        return SP__OS_WOKEN;
    return until == deadline_ns ? SP__OS_TIMED_OUT : SP__OS_INTERRUPTED;
}

void sp__os_wake_all(_Atomic(uint32_t) *word)
{
    struct bucket *bucket = bucket_of(word);
    /* Under the mutex: signals without it were lost by several C libraries. */
    pthread_mutex_lock(&bucket->mutex);
    pthread_cond_broadcast(&bucket->changed);
    pthread_mutex_unlock(&bucket->mutex);
}

void sp__os_wake_one(_Atomic(uint32_t) *word)
{
    sp__os_wake_all(word);
}

static bool make_quiet(int fd)
{
    return fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

bool sp__os_bell_create(struct sp__os_bell *ret_bell)
{
    int ends[2];
    if (pipe(ends) != 0)
        return false;
    *ret_bell = (struct sp__os_bell){.fd = ends[0], .ring_end = ends[1]};
    if (make_quiet(ends[0]) && make_quiet(ends[1]))
        return true;
    sp__os_bell_destroy(ret_bell);
    return false;
}

void sp__os_bell_destroy(struct sp__os_bell *bell)
{
    close(bell->fd);
    close(bell->ring_end);
}

void sp__os_bell_ring(const struct sp__os_bell *bell)
{
    /* It fails only when the pipe is full, and then the bell is rung. */
    while (write(bell->ring_end, "", 1) < 0 && errno == EINTR)
        ;
}

void sp__os_bell_clear(const struct sp__os_bell *bell)
{
    char bytes[64];
    ssize_t n;
    do
        n = read(bell->fd, bytes, sizeof bytes);
    while (n == (ssize_t)sizeof bytes || (n < 0 && errno == EINTR));
}

void sp__os_after_fork(void)
{
    /* Another thread may have had a mutex. Those who waited are not here. */
    init_buckets();
}
