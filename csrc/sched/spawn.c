/*
 * sp_spawn(): detached tasks. Nobody has a handle, so nobody can wait for one, cancel
 * it or run it but the worker that takes it from a queue: taking it is the claim, and
 * its end is told to its group alone.
 */
#include "sched/spawn.h"

#include <stddef.h>
#include <string.h>

#include "base/memory.h"
#include "base/os.h"
#include "sched/fork.h"
#include "sched/group.h"
#include "sched/pool.h"
#include "sched/task.h"
#include "sched/worker.h"

_Static_assert(sizeof(struct sp__cell) == 128 &&
                   offsetof(sp_task, tickets) + SP_SPAWN_BYTES == 128 &&
                   offsetof(sp_task, tickets) % 16 == 0,
               "an argument fits behind a task, aligned");

static struct sp__cell *cell_of(sp_task *task)
{
    return sp_container_of(task, struct sp__cell, task);
}

/* One of the slabs for outside threads, the nearest one first, under its lock. NULL: all
 * are in use, by threads that lost their CPU. */
static struct sp__slab *lock_slab(sp_pool *pool, uint32_t cpu)
{
    for (uint32_t i = 0; i < SP__POOL_SLABS; i++) {
        struct sp__slab *slab = &pool->slabs[(cpu + i) % SP__POOL_SLABS];
        if (sp__slab_try_lock(slab))
            return slab;
    }
    return NULL;
}

/* The slab may be NULL. */
static struct sp__cell *alloc_cell(struct sp__slab *slab, size_t size)
{
    struct sp__cell *cell = NULL;
    if (sp_likely(slab && size <= SP_SPAWN_BYTES))
        cell = sp__slab_alloc(slab);
    if (sp_likely(cell != NULL))
        return cell;
    cell = size <= SIZE_MAX - sizeof *cell ? sp__alloc(sizeof *cell + size) : NULL;
    if (cell)
        sp__cell_set_home(cell, NULL);
    return cell;
}

static void free_cell(sp_task *task)
{
    struct sp__cell *cell = cell_of(task);
    struct sp__worker *worker = sp__worker_current();
    if (!sp__cell_home(cell)) {
        sp__free(cell);
    } else if (worker) {
        sp__cell_free(&worker->freed, cell);
    } else {
        struct sp__freed one = {0};
        sp__cell_free(&one, cell);
        sp__freed_tell(&one);
    }
}

void sp__detached_run(sp_task *task)
{
    sp_spawn_fn run = (sp_spawn_fn)task->run;
    run(sp__cell_arg(cell_of(task)));
}

/* Many tasks of a group end one after the other. While the worker runs another one of
 * the same group, that one keeps the group from ending, so it is soon enough to count
 * them out together. */
static void leave_group(struct sp__worker *worker, sp_group *group)
{
    if (!worker) {
        sp__group_leave(group, 1);
        return;
    }
    if (worker->left != group)
        sp__detached_tell(worker, group);
    worker->left = group;
    worker->n_left++;
}

void sp__detached_tell(struct sp__worker *worker, const sp_group *next)
{
    sp_group *group = worker->left;
    if (!group || group == next)
        return;
    worker->left = NULL;
    uint32_t n = worker->n_left;
    worker->n_left = 0;
    sp__group_leave(group, n);
}

void sp__detached_settle(void)
{
    struct sp__worker *worker = sp__worker_current();
    if (!worker)
        return;
    sp__detached_tell(worker, NULL);
    sp__freed_tell(&worker->freed);
}

void sp__detached_end(sp_task *task)
{
    /* The group's owner may be woken, and free what surrounds the group: but not
     * the cell, which is the pool's. */
    if (task->group)
        leave_group(sp__worker_current(), task->group);
    free_cell(task);
}

/* A word of whatever is there, at any address. Volatile: not to be joined to larger ones. */
typedef volatile uint64_t __attribute__((may_alias, aligned(1))) any_word;

/* The caller has just written the argument, mostly in words. Whoever reads two of them at
 * once, as memcpy() does, waits until both have reached the cache. */
static void copy_argument(void *to, const void *from, size_t size)
{
    size_t words = size <= SP_SPAWN_BYTES ? size / sizeof(uint64_t) : 0;
    size_t copied = words * sizeof(uint64_t);
    for (size_t i = 0; i < words; i++)
        ((any_word *)to)[i] = ((const any_word *)from)[i];
    if (copied < size)
        memcpy((char *)to + copied, (const char *)from + copied, size - copied);
}

static sp_task *prepare(struct sp__slab *slab, sp_group *group, sp_spawn_fn run,
                        const void *arg, size_t size)
{
    struct sp__cell *cell = alloc_cell(slab, size);
    if (!cell)
        return NULL;
    sp_task *task = &cell->task;
    task->run = (sp_task_fn)run;
    task->group = group;
    task->token = group ? group->token : NULL;
    task->priority = SP_PRIORITY_NORMAL;
    store_relaxed(&task->state, SP_PENDING | SP__TASK_DETACHED | SP__TASK_REF);
    copy_argument(sp__cell_arg(cell), arg, size);
    if (group)
        sp__group_enter(group, 1);
    return task;
}

/* From outside. The task is queued under the slab's lock, for then what it is counted by
 * has one writer. */
static bool inject(sp_pool *pool, struct sp__slab *slab, sp_task *task, uint32_t cpu)
{
    if (!sp__pool_inject_one(pool, task, cpu))
        return false;
    if (sp_likely(slab != NULL))
        store_relaxed(&slab->spawned, load_relaxed(&slab->spawned) + 1);
    else
        fetch_add_relaxed(&pool->submitted, (uint64_t)1);
    return true;
}

sp_status sp_spawn(sp_pool *pool, sp_group *group, sp_spawn_fn run, const void *arg,
                   size_t size)
{
    struct sp__worker *worker = sp__worker_current();
    sp_task *task;
    bool accepted;
    if (worker && worker->pool == pool) {
        task = prepare(&worker->slab, group, run, arg, size);
        accepted = task && sp__pool_push_own(worker, task);
    } else {
        sp__fork_check(pool);
        uint32_t cpu = sp__os_current_cpu();
        struct sp__slab *slab = lock_slab(pool, cpu);
        task = prepare(slab, group, run, arg, size);
        accepted = task && inject(pool, slab, task, cpu);
        if (sp_likely(slab != NULL))
            sp__slab_unlock(slab);
    }
    if (sp_likely(accepted)) {
        sp__idle_notify(&pool->idle);
        return SP_OK;
    }
    if (!task)
        return SP_ENOMEM;
    if (group)
        sp__group_leave(group, 1);
    free_cell(task);
    sp__detached_settle();
    return SP_ECLOSED;
}
