/*
 * threads.h - threads for tests. They start together and wait for what is meant,
 * never for a time.
 */
#ifndef THREADS_H
#define THREADS_H

#include <dirent.h>
#include <pthread.h>

#include "base/atomics.h"
#include "base/os.h"
#include "base/random.h"
#include "check.h"
#include "stealpool.h"

/** Of the threads of this process in /proc/self/task, of its files in /proc/self/fd. */
static inline uint32_t count_entries(const char *folder)
{
    uint32_t n = 0;
    DIR *entries = opendir(folder);
    while (entries && readdir(entries))
        n++;
    if (entries)
        closedir(entries);
    return n;
}

/** Wait until `*word` is at least `value`. */
static inline void await(_Atomic(uint32_t) *word, uint32_t value)
{
    while (load_seq_cst(word) < value)
        sp__os_yield();
}

/** Say that one more has arrived, and wait until `n` have. */
static inline void meet(_Atomic(uint32_t) *arrived, uint32_t n)
{
    fetch_add_seq_cst(arrived, 1u);
    await(arrived, n);
}

/** sp_task_wait() until the task has ended, for ever. Where the system cannot tell whether
 * a signal handler ran, each sleep ends after a while, as if one had. */
static inline sp_status wait_for_task(sp_task *task)
{
    sp_status status;
    while ((status = sp_task_wait(task, -1, 0)) == SP_EINTR)
        continue;
    return status;
}

/** The same with sp_group_wait(). */
static inline void wait_for_group(sp_group *group)
{
    sp_status status;
    while ((status = sp_group_wait(group, -1)) == SP_EINTR)
        continue;
    CHECK_EQ(status, SP_OK);
}

#define MAX_TOGETHER 16

typedef void (*together_fn)(unsigned index, void *arg);

struct together {
    together_fn run;
    void *arg;
    unsigned n;
    _Atomic(uint32_t) arrived;
    _Atomic(uint32_t) next_index;
};

static inline void *join_together(void *arg)
{
    struct together *all = arg;
    unsigned index = fetch_add_seq_cst(&all->next_index, 1u);
    meet(&all->arrived, all->n);
    all->run(index, all->arg);
    return NULL;
}

/** Call run(0, arg) ... run(n-1, arg), each in a thread; return when all have. */
static inline void run_together(unsigned n, together_fn run, void *arg)
{
    struct together all = {.run = run, .arg = arg, .n = n};
    pthread_t threads[MAX_TOGETHER];
    CHECK(n <= MAX_TOGETHER);
    for (unsigned i = 0; i < n; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, join_together, &all), 0);
    for (unsigned i = 0; i < n; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

/** A seed: $SEED, or another one each time. Printed, to be had again. */
static inline uint64_t test_seed(void)
{
    const char *wanted = getenv("SEED");
    uint64_t seed = wanted ? strtoull(wanted, NULL, 0) : (uint64_t)sp__os_now_ns();
    printf("SEED=%" PRIu64 "\n", seed);
    fflush(stdout);
    return seed ? seed : 1;
}

#endif /* THREADS_H */
