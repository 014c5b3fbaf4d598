/* Workers that come and go: resize, stand-ins for the blocked, shutdown meanwhile. */
#include "base/os.h"
#include "check.h"
#include "sim.h"
#include "stealpool.h"

#define TASKS 4

static struct {
    sp_pool *pool;
    sp_task tasks[TASKS];
    uint32_t results[TASKS]; /* plain */
    _Atomic(uint32_t) arrived;
} box;

static void run(sp_task *task)
{
    box.results[task - box.tasks]++;
}

static void create(uint32_t workers, uint32_t most)
{
    sp_pool_options options = {
        .workers = workers, .keepalive_us = 1, .max_workers = most, .max_blocked = 1};
    CHECK_EQ(sp_pool_create(&box.pool, &options), SP_OK);
    for (int i = 0; i < TASKS; i++)
        sp_task_init(&box.tasks[i], run, NULL);
}

static void submit(void *unused)
{
    (void)unused;
    for (int i = 0; i < TASKS; i++)
        CHECK_EQ(sp_submit(box.pool, &box.tasks[i]), SP_OK);
}

static void wait_for(sp_task *task)
{
    sp_status status;
    while ((status = sp_task_wait(task, -1, 0)) != SP_OK)
        CHECK_EQ(status, SP_EINTR);
}

static void each_ran_once(void)
{
    for (int i = 0; i < TASKS; i++) {
        wait_for(&box.tasks[i]);
        CHECK_EQ(box.results[i], 1, "task %d", i);
    }
}

SCENARIO(tasks_go_on_while_the_pool_is_resized, .share = 30)
{
    create(2, 3);
    unsigned other = sim_spawn(submit, NULL);
    CHECK_EQ(sp_pool_resize(box.pool, 1 + sim_choose(3)), SP_OK);
    CHECK_EQ(sp_pool_resize(box.pool, 1), SP_OK);
    CHECK_EQ(sp_pool_workers(box.pool), 1);
    sim_join(other);
    each_ran_once();
    sp_pool_free(box.pool);
}

static void submit_more(sp_task *task)
{
    run(task);
    for (int i = 1; i < TASKS; i++)
        CHECK_EQ(sp_submit(box.pool, &box.tasks[i]), SP_OK);
}

/* A worker that goes hands over what is in its deque. */
SCENARIO(a_worker_that_goes_leaves_nothing_behind, .share = 30)
{
    create(2, 2);
    sp_task_init(&box.tasks[0], submit_more, NULL);
    CHECK_EQ(sp_submit(box.pool, &box.tasks[0]), SP_OK);
    CHECK_EQ(sp_pool_resize(box.pool, 1), SP_OK);
    each_ran_once();
    CHECK_EQ(sp_pool_resize(box.pool, 2), SP_OK);
    sp_pool_free(box.pool);
}

/* A pool that may or may not be closed by then. */
static void resize_to_3(void *unused)
{
    (void)unused;
    sp_status status = sp_pool_resize(box.pool, 3);
    CHECK(status == SP_OK || status == SP_ECLOSED);
}

SCENARIO(a_resize_meets_a_shutdown, .share = 30)
{
    create(1, 3);
    submit(NULL);
    unsigned other = sim_spawn(resize_to_3, NULL);
    CHECK_EQ(sp_pool_shutdown(box.pool, SP_DRAIN), SP_OK);
    each_ran_once();
    sim_join(other);
    sp_pool_free(box.pool);
}

/* One blocks until the other has come: that one needs a stand-in, and steals from a
 * deque that nobody else has. */
static void block(sp_task *task)
{
    run(task);
    sp_blocking_begin();
    while (load_acquire(&box.arrived) == 0)
        sp__os_wait(&box.arrived, 0, SP__OS_NO_DEADLINE);
    sp_blocking_end();
}

static void come(sp_task *task)
{
    run(task);
    store_release(&box.arrived, 1u);
    sp__os_wake_all(&box.arrived);
}

static void submit_and_block(sp_task *task)
{
    for (int i = 1; i < TASKS; i++)
        CHECK_EQ(sp_submit(box.pool, &box.tasks[i]), SP_OK);
    block(task);
}

SCENARIO(a_blocked_workers_tasks_are_stolen, .share = 30)
{
    create(1, 1);
    sp_task_init(&box.tasks[0], submit_and_block, NULL);
    sp_task_init(&box.tasks[1], come, NULL);
    CHECK_EQ(sp_submit(box.pool, &box.tasks[0]), SP_OK);
    each_ran_once();
    sp_pool_free(box.pool);
}

/* Threads may be refused: the pool says what it has. */
SCENARIO(a_resize_says_what_it_could_do, .share = 20, .fails_threads = true)
{
    sp_pool_options options = {.workers = 1, .keepalive_us = 1, .max_workers = 3};
    sp_status status = sp_pool_create(&box.pool, &options);
    if (status != SP_OK) {
        CHECK_EQ(status, SP_ETHREAD);
        return;
    }
    for (int i = 0; i < TASKS; i++)
        sp_task_init(&box.tasks[i], run, NULL);
    status = sp_pool_resize(box.pool, 3);
    CHECK(status == SP_OK || status == SP_ETHREAD);
    CHECK((sp_pool_workers(box.pool) == 3) == (status == SP_OK));
    submit(NULL);
    each_ran_once();
    sp_pool_free(box.pool);
}
