/* Workers that come, go and stand in for others; tokens. */
#include "base/os.h"
#include "check.h"
#include "sched/pool.h"
#include "sim.h"
#include "stealpool.h"

#define TASKS 4

static struct {
    sp_pool *pool;
    sp_token root, token;
    sp_task tasks[TASKS];
    sp_status statuses[TASKS];
    sp_status resized;
    _Atomic(uint32_t) runs[TASKS];
    _Atomic(uint32_t) is_cancelled; /* sp_token_cancel() has returned */
} box;

static void count(sp_task *task)
{
    fetch_add_acq_rel(&box.runs[task - box.tasks], 1u);
}

static void create(uint32_t workers)
{
    sp_pool_options options = {
        .workers = workers, .keepalive_us = 1, .max_workers = 2, .max_blocked = 1};
    CHECK_EQ(sp_pool_create(&box.pool, &options), SP_OK);
    for (int i = 0; i < TASKS; i++)
        sp_task_init(&box.tasks[i], count, NULL);
}

static void submit(int i)
{
    box.statuses[i] = sp_submit(box.pool, &box.tasks[i]);
}

/* Accepted tasks ran once, refused ones never. */
static void check_runs(int n)
{
    for (int i = 0; i < n; i++) {
        CHECK(box.statuses[i] == SP_OK || box.statuses[i] == SP_ECLOSED);
        CHECK_EQ(load_relaxed(&box.runs[i]), box.statuses[i] == SP_OK, "task %d", i);
    }
}

static void resize_down_and_up(void *unused)
{
    (void)unused;
    CHECK_EQ(sp_pool_resize(box.pool, 1), SP_OK);
    CHECK_EQ(sp_pool_resize(box.pool, 2), SP_OK);
}

SCENARIO(tasks_run_while_workers_come_and_go, .share = 30)
{
    create(2);
    unsigned other = sim_spawn(resize_down_and_up, NULL);
    for (int i = 0; i < TASKS; i++)
        submit(i);
    sim_join(other);
    sp_pool_free(box.pool);
    check_runs(TASKS);
}

static void resize_down(void *unused)
{
    (void)unused;
    box.resized = sp_pool_resize(box.pool, 1);
    CHECK(box.resized == SP_OK || box.resized == SP_ECLOSED);
}

static void submit_another(sp_task *task)
{
    count(task);
    submit(1);
}

SCENARIO(a_pool_ends_although_it_is_resized, .share = 30)
{
    create(2);
    sp_task_init(&box.tasks[0], submit_another, NULL);
    unsigned other = sim_spawn(resize_down, NULL);
    submit(0);
    submit(2);
    CHECK_EQ(sp_pool_shutdown(box.pool, SP_DRAIN), SP_OK);
    sim_join(other);
    sp_pool_free(box.pool);
    check_runs(3);
}

static void block_until_another_has_run(sp_task *task)
{
    sp_blocking_begin();
    while (load_acquire(&box.runs[1]) == 0)
        sp__os_yield();
    sp_blocking_end();
    count(task);
}

SCENARIO(another_stands_in_for_a_blocked_worker, .share = 30)
{
    create(1);
    sp_task_init(&box.tasks[0], block_until_another_has_run, NULL);
    for (int i = 0; i < 3; i++)
        submit(i);
    sp_pool_free(box.pool);
    check_runs(3);
}

static void cancel_root(void *unused)
{
    (void)unused;
    sp_token_cancel(&box.root);
    store_release(&box.is_cancelled, 1u);
}

static void run_unless_cancelled_before(sp_task *task)
{
    count(task);
    if (load_acquire(&box.is_cancelled))
        CHECK(sp_cancelled());
}

SCENARIO(tasks_of_a_cancelled_token_end_once, .share = 20)
{
    sp_group group;
    create(2);
    sp_token_init(&box.root, NULL);
    sp_token_init(&box.token, &box.root);
    sp_group_init(&group);
    sp_group_set_token(&group, &box.token);
    unsigned other = sim_spawn(cancel_root, NULL);
    for (int i = 0; i < 3; i++) {
        sp_task_init(&box.tasks[i], run_unless_cancelled_before, NULL);
        sp_group_add(&group, &box.tasks[i]);
        submit(i);
    }
    while (sp_group_wait(&group, -1) == SP_EINTR)
        ;
    sim_join(other);
    sp_token_end(&box.token);
    sp_pool_free(box.pool);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sp_task_phase(&box.tasks[i]),
                 load_relaxed(&box.runs[i]) ? SP_DONE : SP_CANCELLED, "task %d", i);
}
