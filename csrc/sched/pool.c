/*
 * Shutdown, step by step:
 *
 *   1. The injector is closed: one bit, in the word that submitters change, so
 *      a task is either accepted and will end, or refused.
 *   2. With SP_ABANDON `abandons` is set: from then on workers cancel what they
 *      take; the caller empties the queues too, for workers may be busy (X3).
 *   3. All sleepers are woken, and work as ever: as long as one runs a task the
 *      others stay, be it asleep, for that task may loop, or its worker may
 *      have more tasks than it can run at once.
 *   4. The pool is over when it is closed, nothing is queued, and no worker was
 *      awake while that was looked at (X2). The last worker to fall asleep
 *      notices, and wakes the others to end.
 *   5. The last worker to end wakes those who wait on `running` (X1). One of
 *      them joins the threads.
 */
#include "sched/pool.h"

#include <assert.h>

#include "base/memory.h"
#include "base/os.h"
#include "sched/fork.h"
#include "sched/group.h"
#include "sched/spawn.h"
#include "sched/task.h"

#define AWAKE_COUNT 0xffffffffu
#define WOKE_UP ((uint64_t)1 << 32)

/* ----------------------------------------------------------------- create */

static bool is_valid(const sp_pool_options *options)
{
    if (options->workers > SP_MAX_WORKERS || options->max_workers > SP_MAX_WORKERS ||
        (options->max_workers > 0 && options->max_workers < options->workers) ||
        options->pin > SP_PIN_SPREAD || options->policy > SP_POLICY_RR)
        return false;
    if (options->policy == SP_POLICY_INHERIT)
        return options->priority == 0;
    int least, most;
    sp__os_priorities((enum sp__os_policy)options->policy, &least, &most);
    return (int64_t)options->priority >= least && (int64_t)options->priority <= most;
}

sp_status sp_pool_create(sp_pool **ret_pool, const sp_pool_options *options)
{
    static const sp_pool_options defaults;
    if (!options)
        options = &defaults;
    uint32_t wanted = options->workers ? options->workers : sp_usable_cpus();
    if (!is_valid(options))
        return SP_EINVAL;
    if (wanted > SP_MAX_WORKERS)
        wanted = SP_MAX_WORKERS;

    sp_pool *pool = sp__alloc(sizeof *pool);
    if (!pool)
        return SP_ENOMEM;
    sp__staff_init(pool, options, wanted);
    store_relaxed(&pool->fork_count, sp__fork_count);
    store_relaxed(&pool->awake, SP__NOBODY_AWAKE);
    sp__fork_register();
    sp__os_lap_learn();
    sp_status status = SP_ENOMEM;
    pool->workers = sp__alloc_sparse(pool->staff.capacity * sizeof *pool->workers);
    if (!pool->workers)
        goto free_pool;
    status = sp__idle_init(&pool->idle, pool->staff.capacity);
    if (status != SP_OK)
        goto free_workers;
    sp__idle_resize(&pool->idle, wanted);
    status = sp__staff_start(pool);
    if (status == SP_OK)
        *ret_pool = pool;
    else
        sp_pool_free(pool);
    return status;

free_workers:
    sp__free_sparse(pool->workers);
free_pool:
    sp__free(pool);
    return status;
}

int sp_on_worker(const sp_pool *pool)
{
    const struct sp__worker *worker = sp__worker_current();
    return worker && (!pool || worker->pool == pool);
}

/* ----------------------------------------------------------------- submit */

bool sp__pool_has_work(const sp_pool *pool)
{
    if (!sp__injector_is_empty(&pool->injector) || sp__region_is_open(&pool->regions))
        return true;
    uint32_t n = sp__pool_places(pool);
    for (uint32_t i = 0; i < n; i++)
        if (!sp__deque_is_empty(&pool->workers[i].deque) ||
            sp__frames_are_shown(&pool->workers[i].frames))
            return true;
    return false;
}

bool sp__pool_is_elsewhere(const sp_pool *pool)
{
    uint32_t here = sp__os_current_cpu();
    uint32_t n = load_relaxed(&pool->staff.due);
    bool is_awake = false, sleeps_elsewhere = false;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t cpu = load_relaxed(&pool->workers[i].cpu);
        if (cpu & SP__ASLEEP)
            sleeps_elsewhere |= (cpu & ~SP__ASLEEP) != here;
        else if (cpu != here)
            return true;
        else
            is_awake = true;
    }
    return sleeps_elsewhere && !is_awake; /* who was woken may not be up yet */
}

/* The worker is awake, so the pool is not over, whatever is closed meanwhile. */
static bool push_from_worker(struct sp__worker *worker, sp_task *const *tasks, size_t n)
{
    if (sp__injector_is_closed(&worker->pool->injector))
        return false;
    sp__worker_push(worker, tasks, n);
    return true;
}

static bool inject(sp_pool *pool, const struct sp__batch *batch, uint32_t cpu)
{
    if (!sp__injector_push(&pool->injector, batch))
        return false;
    store_relaxed(&pool->submit_cpu, cpu);
    return true;
}

static bool push_batch(sp_pool *pool, const struct sp__batch *batch, size_t n)
{
    sp__fork_check(pool);
    if (!inject(pool, batch, sp__os_current_cpu()))
        return false;
    fetch_add_relaxed(&pool->submitted, n);
    return true;
}

static bool push_from_outside(sp_pool *pool, sp_task *const *tasks, size_t n)
{
    struct sp__batch batch = {.newest = NULL};
    for (size_t i = 0; i < n; i++)
        sp__batch_add(&batch, tasks[i]);
    return push_batch(pool, &batch, n);
}

/* The pool refused: nothing must have happened. A task that was cancelled before
 * has left its group already. */
static void take_back(sp_task *const *tasks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (tasks[i]->group && sp_task_phase(tasks[i]) == SP_PENDING)
            sp__group_leave(tasks[i]->group, 1);
        tasks[i]->group = NULL;
        sp_task_unref(tasks[i]);
    }
}

sp_status sp_submit_many(sp_pool *pool, sp_task *const *tasks, size_t n)
{
    struct sp__worker *worker = sp__worker_current();
    bool accepted;
    if (n == 0)
        return SP_OK;
    for (size_t i = 0; i < n; i++)
        sp__task_enqueue(tasks[i]);
    if (worker && worker->pool == pool)
        accepted = push_from_worker(worker, tasks, n);
    else
        accepted = push_from_outside(pool, tasks, n);
    if (!accepted) {
        take_back(tasks, n);
        return SP_ECLOSED;
    }
    sp__idle_notify(&pool->idle);
    return SP_OK;
}

bool sp__pool_push_batch(sp_pool *pool, const struct sp__batch *batch, size_t n)
{
    bool accepted = push_batch(pool, batch, n);
    if (accepted)
        sp__idle_notify(&pool->idle);
    return accepted;
}

bool sp__pool_inject_one(sp_pool *pool, sp_task *task, uint32_t cpu)
{
    if (!sp__injector_push_one(&pool->injector, task))
        return false;
    store_relaxed(&pool->submit_cpu, cpu);
    return true;
}

bool sp__pool_push_own(struct sp__worker *worker, sp_task *task)
{
    return push_from_worker(worker, &task, 1);
}

sp_status sp_submit(sp_pool *pool, sp_task *task)
{
    return sp_submit_many(pool, &task, 1);
}

/* --------------------------------------------------------------- shutdown */

void sp__pool_worker_sleeps(sp_pool *pool)
{
    /* release (X2): all that it has queued, to who sees nobody awake. */
    fetch_sub_release(&pool->awake, (uint64_t)1);
}

void sp__pool_worker_wakes(sp_pool *pool)
{
    /* relaxed: who sees what it takes next gone, sees this (X2). */
    fetch_add_relaxed(&pool->awake, WOKE_UP + 1);
}

bool sp__pool_is_over(sp_pool *pool)
{
    /* seq-cst (S4): a worker's last look before it sleeps. Kept: see below. */
    if (load_seq_cst(&pool->is_over))
        return true;
    /* acquire (X2): the queues as those left them who fell asleep. As `awake` is the
     * same before and after the look, nobody was awake meanwhile, so no task was on its
     * way from queue to queue. */
    uint64_t awake = load_acquire(&pool->awake);
    if (awake & AWAKE_COUNT || !sp__injector_is_closed(&pool->injector) ||
        sp__pool_has_work(pool) || load_relaxed(&pool->awake) != awake)
        return false;
    /* seq-cst (S4): before the look at `sleepers`. Kept: who announces his sleep
     * after that reads `sleepers` as it was left there, and sees this. */
    store_seq_cst(&pool->is_over, 1u);
    sp__idle_notify_all(&pool->idle);
    return true;
}

void sp__pool_throw_away_queued(sp_pool *pool)
{
    sp_task *task;
    uint32_t places = sp__pool_places(pool);
    uint32_t n;
    while (!sp__injector_is_empty(&pool->injector)) {
        if (sp__injector_take(&pool->injector, SP__LANE_ALL, &task, 1, &n) ==
            SP__INJECT_TAKEN)
            sp__task_throw_away(task);
        else
            sp__os_yield();
    }
    for (uint32_t i = 0; i < places; i++) {
        enum sp__steal_result result;
        while ((result = sp__deque_steal(&pool->workers[i].deque, &task)) !=
               SP__STEAL_EMPTY)
            if (result == SP__STEAL_TAKEN)
                sp__task_throw_away(task);
    }
    sp__detached_settle();
}

void sp_pool_close(sp_pool *pool, sp_shutdown_mode mode)
{
    sp__injector_close(&pool->injector);
    sp__fork_check(pool);
    if (mode == SP_ABANDON) {
        /* seq-cst (X3): before our look at the queues. Kept: without it some task more
         * is run rather than thrown away; none is lost. */
        store_seq_cst(&pool->abandons, 1u);
        sp__pool_throw_away_queued(pool);
    }
    sp__staff_dismiss(pool);
    sp__idle_notify_all(&pool->idle);
}

sp_status sp__pool_wait(sp_pool *pool, int64_t timeout_ns)
{
    int64_t deadline_ns = sp__os_deadline(timeout_ns);
    uint32_t running;
    /* acquire (X1): all that the workers did. Kept: who frees the pool joins them, or
     * takes the staff's lock, which orders it, too. */
    while ((running = load_acquire(&pool->running)) > 0)
        switch (sp__os_wait(&pool->running, running, deadline_ns)) {
        case SP__OS_WOKEN:
            break;
        case SP__OS_TIMED_OUT:
            return SP_ETIMEDOUT;
        case SP__OS_INTERRUPTED:
            return SP_EINTR;
        }
    return SP_OK;
}

sp_status sp_pool_shutdown(sp_pool *pool, sp_shutdown_mode mode)
{
    sp_pool_close(pool, mode);
    if (sp_on_worker(pool))
        return SP_EBUSY;
    while (sp__pool_wait(pool, -1) != SP_OK)
        continue; /* a signal handler has run */
    sp__staff_join(pool);
    return SP_OK;
}

void sp_pool_free(sp_pool *pool)
{
    if (!pool)
        return;
    sp_status status = sp_pool_shutdown(pool, SP_DRAIN);
    assert(status == SP_OK);
    (void)status;
    for (uint32_t i = 0; i < sp__pool_places(pool); i++)
        sp__slab_destroy(&pool->workers[i].slab);
    for (uint32_t i = 0; i < SP__POOL_SLABS; i++)
        sp__slab_destroy(&pool->slabs[i]);
    sp__idle_destroy(&pool->idle);
    sp__free_sparse(pool->workers);
    sp__free(pool);
}

/* ------------------------------------------------------------- statistics */

void sp_pool_get_stats(const sp_pool *pool, sp_pool_stats *ret_stats)
{
    sp_pool_stats stats = {.submitted = load_relaxed(&pool->submitted),
                           .woken = load_relaxed(&pool->idle.woken)};
    for (uint32_t i = 0; i < SP__POOL_SLABS; i++)
        stats.submitted += load_relaxed(&pool->slabs[i].spawned);
    uint32_t n = sp__pool_places(pool);
    for (uint32_t i = 0; i < n; i++) {
        const struct sp__worker *worker = &pool->workers[i];
        stats.submitted += load_relaxed(&worker->submitted);
        stats.executed += load_relaxed(&worker->executed);
        stats.stolen += load_relaxed(&worker->stolen);
        stats.injected += load_relaxed(&worker->injected);
        stats.parked += load_relaxed(&worker->parked);
        stats.loops += load_relaxed(&worker->joined);
        stats.frames += load_relaxed(&worker->frames_stolen);
    }
    *ret_stats = stats;
}
