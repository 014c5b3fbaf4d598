/* Detached tasks, and the blocks from which their cells come: four cells, here. */
#include "base/os.h"
#include "check.h"
#include "sched/group.h"
#include "sim.h"
#include "stealpool.h"

#define ROOTS 5 /* more than a block has cells */

/* What a task gets a copy of: plain words, in a cell that others had before. */
struct errand {
    uint32_t index;
    uint32_t not_index;
    uint32_t children;
};

static struct {
    sp_pool *pool;
    sp_group group;
    _Atomic(uint32_t) runs[4 * ROOTS];
    uint32_t results[4 * ROOTS]; /* plain: the group's end makes them visible */
} box;

static void create(uint32_t workers)
{
    sp_pool_options options = {.workers = workers, .keepalive_us = 1};
    CHECK_EQ(sp_pool_create(&box.pool, &options), SP_OK);
    sp_group_init(&box.group);
}

static void spawn(uint32_t index, uint32_t children);

static void run(void *arg)
{
    struct errand *errand = arg;
    uint32_t index = errand->index;
    CHECK_EQ(errand->not_index, ~index);
    fetch_add_relaxed(&box.runs[index], 1u);
    box.results[index] = index + 1;
    if (errand->children > 0)
        spawn(index + 2 * ROOTS, errand->children - 1);
    CHECK_EQ(errand->index, index); /* nobody else has the cell meanwhile */
    *errand = (struct errand){0};
}

static void spawn(uint32_t index, uint32_t children)
{
    struct errand errand = {index, ~index, children};
    CHECK_EQ(sp_spawn(box.pool, &box.group, run, &errand, sizeof errand), SP_OK);
}

static void wait_for_all(void)
{
    while (sp_group_wait(&box.group, -1) == SP_EINTR)
        ;
}

/* I1, I2. */
static void each_has_run(uint32_t begin, uint32_t end, uint32_t times)
{
    for (uint32_t i = begin; i < end; i++) {
        CHECK_EQ(load_relaxed(&box.runs[i]), times, "task %u", i);
        CHECK_EQ(box.results[i], i + 1);
    }
}

static void spawn_some(void *first)
{
    for (uint32_t i = 0; i < ROOTS; i++)
        spawn((uint32_t)(uintptr_t)first + i, 0);
}

/* M1, M3: blocks come back from two workers, and are given out again. */
SCENARIO(cells_come_back_from_those_who_ran_their_tasks, .share = 20)
{
    create(2);
    for (uint32_t round = 1; round <= 2; round++) {
        spawn_some(NULL);
        wait_for_all();
        each_has_run(0, ROOTS, round);
    }
    sp_pool_free(box.pool);
}

/* M3, where nothing but the block's count orders what two workers did in its cells. */
SCENARIO(cells_are_given_out_again_before_anybody_waits, .share = 100)
{
    create(2);
    for (uint32_t i = 0; i < 8; i++) {
        struct errand errand = {i, ~i, 0};
        CHECK_EQ(sp_spawn(box.pool, NULL, run, &errand, sizeof errand), SP_OK);
        while (i == 3 && !load_relaxed(&box.runs[0]) + !load_relaxed(&box.runs[1]) +
                             !load_relaxed(&box.runs[2]) + !load_relaxed(&box.runs[3]))
            sp__os_yield();
    }
    sp_pool_free(box.pool);
    each_has_run(0, 8, 1);
}

/* M2: each takes a slab that nobody has. */
SCENARIO(two_threads_spawn_at_once, .share = 20)
{
    create(1);
    unsigned other = sim_spawn(spawn_some, (void *)ROOTS);
    spawn_some(NULL);
    sim_join(other);
    wait_for_all();
    each_has_run(0, 2 * ROOTS, 1);
    sp_pool_free(box.pool);
}

SCENARIO(a_detached_task_may_spawn_another, .share = 20)
{
    create(2);
    spawn(0, 1);
    spawn(1, 1);
    wait_for_all();
    each_has_run(0, 2, 1);
    each_has_run(2 * ROOTS, 2 * ROOTS + 2, 1);
    sp_pool_free(box.pool);
}

/* What was accepted runs; then it has told its group before the pool is gone. */
SCENARIO(detached_tasks_run_although_the_pool_is_closed, .share = 20)
{
    create(2);
    spawn_some(NULL);
    sp_pool_free(box.pool);
    wait_for_all();
    each_has_run(0, ROOTS, 1);
}
