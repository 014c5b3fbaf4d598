/*
 * fork.h - pools in the child of a fork.
 *
 * The child has a copy of the pool, but only the thread that forked. Nothing happens to
 * the pool at the fork itself, which may be followed by exec; whoever uses it in the child
 * for the first time makes it anew: its places, queues and loops empty, its workers
 * started. The parent's notices nothing.
 */
#ifndef SP_SCHED_FORK_H
#define SP_SCHED_FORK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "sched/pool.h"

/* Forks that led to this process. Written in a child, while it has one thread. */
extern uint32_t sp__fork_count;

/** Once a process: be told of forks. */
void sp__fork_register(void);

/** A pool that was copied by a fork, is used for the first time since. */
void sp__fork_renew(sp_pool *pool);

/** Every use of a pool that needs its workers, or waits for them, begins with this. */
static inline void sp__fork_check(sp_pool *pool)
{
    /* acquire (Y1): the pool as it was renewed. */
    if (sp_unlikely(load_acquire(&pool->fork_count) != sp__fork_count))
        sp__fork_renew(pool);
}

#endif /* SP_SCHED_FORK_H */
