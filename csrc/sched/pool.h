/*
 * pool.h - what a pool is made of. The functions are in stealpool.h.
 */
#ifndef SP_SCHED_POOL_H
#define SP_SCHED_POOL_H

#include <stdint.h>

#include "base/counters.h"
#include "sched/idle.h"
#include "sched/injector.h"
#include "sched/region.h"
#include "sched/slab.h"
#include "sched/staff.h"
#include "sched/worker.h"
#include "sched/yield.h"
#include "stealpool.h"

/* Slabs for threads from outside, chosen by their CPU. */
#define SP__POOL_SLABS 16

/* Of `awake`: the lower half counts the workers that are not asleep, the upper half how
 * often one woke up. */
#define SP__NOBODY_AWAKE ((uint64_t)SP_FIRST_COUNT << 32)

struct sp_pool {
    struct sp__injector injector;
    struct sp__regions regions;
    struct sp__idle idle;
    struct sp__slab slabs[SP__POOL_SLABS];

    SP_CACHE_ALIGNED struct sp__worker *workers; /* staff.capacity of them; constant */
    _Atomic(uint32_t) fork_count;                /* see fork.h (Y1) */
    struct sp__staff staff;

    /* Shutdown: see pool.c. */
    _Atomic(uint64_t) awake;    /* workers that may hold a task; wake-ups (X2) */
    _Atomic(uint32_t) is_over;  /* nothing will ever be queued again (X2) */
    _Atomic(uint32_t) abandons; /* queued tasks are thrown away (X3) */
    _Atomic(uint32_t) running;  /* workers that have not ended; waited on (X1) */

    /* Written at each submit, while workers read what is above at each task. */
    SP_CACHE_ALIGNED _Atomic(uint64_t)
        submitted;                    /* from outside; not by workers, nor in slabs */
    _Atomic(uint32_t) submit_cpu;     /* where the last submit from outside was made */
    _Atomic(uint32_t) short_loops_ns; /* what they amount to: see parallel_for.c */
    _Atomic(int64_t) short_loop_at;   /* when the last one was that woke nobody */
    struct sp__yield yield;           /* of workers and waiters on one CPU */
};

/** Places that may have a deque with tasks: those that ever had a worker. A task is not
 * overlooked for being pushed at a place that is new (S7). */
static inline uint32_t sp__pool_places(const sp_pool *pool)
{
    return load_seq_cst(&pool->staff.places);
}

/** There is a task or a region that an idle worker could take up. In doubt yes.
 * The one function for searching and for the last look before sleep. */
bool sp__pool_has_work(const sp_pool *pool);

/**
 * Whether the calling thread gains by spinning for a task of this pool: a worker
 * is on another CPU. With all of them on this one, spinning keeps them from it.
 */
bool sp__pool_is_elsewhere(const sp_pool *pool);

/** Cancel what lies in the queues, from any thread. */
void sp__pool_throw_away_queued(sp_pool *pool);

/** Queue a task of normal priority whose references are counted, in a thread from outside
 * that runs on `cpu`, after sp__fork_check(). The caller counts it and notifies. False
 * when closed. */
bool sp__pool_inject_one(sp_pool *pool, sp_task *task, uint32_t cpu);

/** The same in a worker, whose deque it goes to, and who counts it. */
bool sp__pool_push_own(struct sp__worker *worker, sp_task *task);

/** Queue a batch of `n` tasks, whose references and groups are counted, from any thread,
 * and wake somebody. False when closed, and nothing happened. */
bool sp__pool_push_batch(sp_pool *pool, const struct sp__batch *batch, size_t n);

/** A worker has no task in its hands or its deque, and announces its sleep. */
void sp__pool_worker_sleeps(sp_pool *pool);

/** The reverse, before it takes up anything. */
void sp__pool_worker_wakes(sp_pool *pool);

/**
 * A worker that has announced its sleep: has the pool run dry after it was
 * closed? The first to notice wakes all others, who then see it, too.
 */
bool sp__pool_is_over(sp_pool *pool);

/**
 * Wait until the workers of a closed pool have ended; they are not joined yet, which
 * sp_pool_shutdown() then does at once. Not from a worker of the pool.
 *
 * @return SP_OK, SP_ETIMEDOUT, or SP_EINTR when a signal handler ran.
 */
sp_status sp__pool_wait(sp_pool *pool, int64_t timeout_ns);

#endif /* SP_SCHED_POOL_H */
