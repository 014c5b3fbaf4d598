#include "sched/fork.h"

#include <stddef.h>
#include <string.h>

#include "base/counters.h"
#include "base/lock.h"
#include "base/memory.h"
#include "base/os.h"
#include "sched/task.h"
#include "sched/token.h"

uint32_t sp__fork_count = SP_FIRST_COUNT;

/* Threads of the child that use a pool first, at the same time. */
static struct sp__lock renewal;

static void before_fork(void)
{
    sp__tokens_lock();
}

static void after_fork_in_parent(void)
{
    sp__tokens_unlock();
}

static void after_fork_in_child(void)
{
    sp__fork_count++;
    sp__tokens_reset();
    sp__lock_reset(&renewal);
    sp__worker_forget();
}

void sp__fork_register(void)
{
    sp__os_at_fork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* What was queued is cancelled. What a worker was running, or had in its hands, is out
 * of reach: here it never ends. */
static void cancel_queued(sp_pool *pool)
{
    /* The stash may have been in the middle of a change. */
    if (load_relaxed(&pool->injector.lock)) {
        memset(pool->injector.lanes, 0, sizeof pool->injector.lanes);
        pool->injector.empty_crates = NULL;
        store_relaxed(&pool->injector.stashed, 0u);
        store_relaxed(&pool->injector.lock, 0u);
    }
    sp__pool_throw_away_queued(pool);
    store_relaxed(&pool->injector.n_normal, 0u);
    store_relaxed(&pool->injector.is_urgent, 0u);
}

/* All but the frames, which are large, and which sp__frames_init() prepares anew. */
static void clear(struct sp__worker *worker)
{
    size_t begin = offsetof(struct sp__worker, frames);
    size_t end = begin + sizeof worker->frames;
    memset(worker, 0, begin);
    memset((char *)worker + end, 0, sizeof *worker - end);
}

static void empty(sp_pool *pool)
{
    cancel_queued(pool);
    sp__idle_reset(&pool->idle);
    memset(&pool->regions, 0, sizeof pool->regions);
    store_relaxed(&pool->running, 0u);
    store_relaxed(&pool->awake, SP__NOBODY_AWAKE);
    sp__lock_reset(&pool->staff.lock);
    pool->staff.blocked = 0;
    pool->staff.asleep = 0;
    pool->staff.waiting = 0;
    pool->staff.present = 0;
    for (uint32_t i = 0; i < load_relaxed(&pool->staff.places); i++) {
        struct sp__worker *worker = &pool->workers[i];
        clear(worker);
        sp__worker_init(worker, pool, i, pool->staff.keepalive_ns);
    }
    store_relaxed(&pool->staff.due, load_relaxed(&pool->staff.wanted));
}

void sp__fork_renew(sp_pool *pool)
{
    sp__lock_take(&renewal);
    if (load_relaxed(&pool->fork_count) != sp__fork_count) {
        empty(pool);
        if (sp__injector_is_closed(&pool->injector)) {
            store_relaxed(&pool->is_over, 1u);
        } else if (sp__staff_start(pool) != SP_OK) {
            sp__injector_close(&pool->injector); /* there is nobody to run anything */
            store_relaxed(&pool->is_over, 1u);
        }
        store_release(&pool->fork_count, sp__fork_count); /* (Y1) */
    }
    sp__lock_give(&renewal);
}
