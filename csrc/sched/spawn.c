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

/* A cell from one of the slabs for outside threads, the nearest one first. */
static struct sp__cell *alloc_outside(sp_pool *pool)
{
    uint32_t first = sp__os_current_cpu();
    for (uint32_t i = 0; i < SP__POOL_SLABS; i++) {
        struct sp__slab *slab = &pool->slabs[(first + i) % SP__POOL_SLABS];
        if (!sp__slab_try_lock(slab))
            continue;
        struct sp__cell *cell = sp__slab_alloc(slab);
        sp__slab_unlock(slab);
        return cell;
    }
    return NULL;
}

static struct sp__cell *alloc_cell(sp_pool *pool, struct sp__worker *worker,
                                   size_t size)
{
    struct sp__cell *cell = NULL;
    if (sp_likely(size <= SP_SPAWN_BYTES))
        cell = worker ? sp__slab_alloc(&worker->slab) : alloc_outside(pool);
    if (sp_likely(cell != NULL))
        return cell;
    /* Too large; or all slabs are in use by threads that lost their CPU. */
    cell = size <= SIZE_MAX - sizeof *cell ? sp__alloc(sizeof *cell + size) : NULL;
    if (cell)
        sp__cell_set_home(cell, NULL);
    return cell;
}

static void free_cell(sp_task *task)
{
    struct sp__cell *cell = cell_of(task);
    struct sp__worker *worker = sp__worker_current();
    struct sp__slab *home = sp__cell_home(cell);
    if (!home) {
        sp__free(cell);
    } else if (worker && home == &worker->slab) {
        sp__slab_free_own(home, cell);
    } else if (worker) {
        sp__chain_add(&worker->freed, cell);
    } else {
        struct sp__chain one = {0};
        sp__chain_add(&one, cell);
        sp__chain_return(&one);
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

void sp__detached_end(sp_task *task)
{
    /* The group's owner may be woken, and free what surrounds the group: but not
     * the cell, which is the pool's. */
    if (task->group)
        leave_group(sp__worker_current(), task->group);
    free_cell(task);
}

sp_status sp_spawn(sp_pool *pool, sp_group *group, sp_spawn_fn run, const void *arg,
                   size_t size)
{
    struct sp__worker *worker = sp__worker_current();
    if (worker && worker->pool != pool)
        worker = NULL;
    struct sp__cell *cell = alloc_cell(pool, worker, size);
    if (!cell)
        return SP_ENOMEM;
    sp_task *task = &cell->task;
    task->run = (sp_task_fn)run;
    task->group = group;
    task->token = NULL;
    task->priority = SP_PRIORITY_NORMAL;
    store_relaxed(&task->state, SP_PENDING | SP__TASK_DETACHED | SP__TASK_REF);
    if (size > 0)
        memcpy(sp__cell_arg(cell), arg, size);
    if (group)
        sp__group_enter(group, 1);
    if (sp_likely(sp__pool_push(pool, worker, task)))
        return SP_OK;
    if (group)
        sp__group_leave(group, 1);
    free_cell(task);
    return SP_ECLOSED;
}
