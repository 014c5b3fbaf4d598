/* Whole pools of two or three workers, and a few tasks. */
#include "base/memory.h"
#include "base/os.h"
#include "check.h"
#include "sched/pool.h"
#include "sim.h"
#include "stealpool.h"

#define TASKS 6

struct job {
    sp_task task;
    sp_pool *pool;
    struct job *child; /* to be submitted, and waited for when `waits` */
    bool waits;
    uint32_t result;        /* plain */
    _Atomic(uint32_t) runs; /* I1: once */
};

static struct {
    sp_pool *pool;
    struct job jobs[TASKS];
    sp_status statuses[TASKS];
    _Atomic(uint32_t) arrived;
    _Atomic(uint32_t) releases;
} box;

static sp_status wait_for(sp_task *task)
{
    sp_status status;
    while ((status = sp_task_wait(task, -1, 0)) == SP_EINTR)
        ;
    return status;
}

/* X2: while somebody has a task in his hands, the pool is not over. */
static void begin(struct job *job)
{
    fetch_add_relaxed(&job->runs, 1u);
    if (job->pool)
        CHECK_EQ(load_seq_cst(&job->pool->is_over), 0);
}

static void run(sp_task *task)
{
    struct job *job = (struct job *)task;
    begin(job);
    job->result = 42;
    if (!job->child)
        return;
    sp_status status = sp_submit(job->pool, &job->child->task);
    if (!job->waits || status != SP_OK)
        return;
    status = wait_for(&job->child->task);
    CHECK(status == SP_OK || status == SP_ECANCELLED);
    if (status == SP_OK)
        CHECK_EQ(job->child->result, 42);
}

static void count_release(sp_task *task)
{
    (void)task;
    fetch_add_relaxed(&box.releases, 1u);
}

static void init_job(uint32_t i, sp_task_fn what)
{
    sp_task_init(&box.jobs[i].task, what, count_release);
    box.jobs[i].pool = box.pool;
}

static void init_jobs(void)
{
    for (uint32_t i = 0; i < TASKS; i++)
        init_job(i, run);
}

static sp_status create(uint32_t workers)
{
    sp_pool_options options = {.workers = workers,
                               .keepalive_us = 1,
                               .max_workers = workers,
                               .max_blocked = 1};
    sp_status status = sp_pool_create(&box.pool, &options);
    if (status == SP_OK)
        init_jobs();
    return status;
}

static void submit(uint32_t i)
{
    box.statuses[i] = sp_submit(box.pool, &box.jobs[i].task);
}

/* Of any priority. */
static void submit_three(void *unused)
{
    (void)unused;
    sp_task_set_priority(&box.jobs[1].task, SP_PRIORITY_HIGH);
    sp_task_set_priority(&box.jobs[2].task, SP_PRIORITY_LOW);
    submit(0);
    submit(1);
    submit(2);
}

/* I1, I8: what was accepted ran once or was cancelled, never both or neither;
 * what was refused did not run. */
static void each_has_ended(int n, bool may_be_cancelled)
{
    for (int i = 0; i < n; i++) {
        uint32_t runs = load_relaxed(&box.jobs[i].runs);
        sp_phase phase = sp_task_phase(&box.jobs[i].task);
        if (box.statuses[i] != SP_OK) {
            CHECK_EQ(box.statuses[i], SP_ECLOSED);
            CHECK_EQ(runs, 0, "task %d was refused", i);
            continue;
        }
        CHECK(phase == SP_DONE || (may_be_cancelled && phase == SP_CANCELLED),
              "task %d, phase %d", i, (int)phase);
        CHECK_EQ(runs, phase == SP_DONE, "task %d", i);
        if (phase == SP_DONE)
            CHECK_EQ(box.jobs[i].result, 42);
    }
    /* I7: ours is the last reference. */
    for (int i = 0; i < n; i++)
        sp_task_unref(&box.jobs[i].task);
    CHECK_EQ(load_relaxed(&box.releases), n);
}

SCENARIO(a_pool_runs_each_task_once, .share = 30)
{
    CHECK_EQ(create(2), SP_OK);
    unsigned other = sim_spawn(submit_three, NULL);
    submit(3);
    submit(4);
    CHECK_EQ(wait_for(&box.jobs[4].task), SP_OK);
    CHECK_EQ(box.jobs[4].result, 42);
    sim_join(other);
    sp_pool_free(box.pool);
    each_has_ended(5, false);
}

/* More than a deque holds, in one batch: it spills and is stolen from. */
SCENARIO(a_batch_is_shared, .share = 20)
{
    CHECK_EQ(create(2), SP_OK);
    sp_task *tasks[TASKS];
    for (int i = 0; i < TASKS; i++)
        tasks[i] = &box.jobs[i].task;
    CHECK_EQ(sp_submit_many(box.pool, tasks, TASKS), SP_OK);
    for (int i = 0; i < TASKS; i++)
        CHECK_EQ(wait_for(tasks[i]), SP_OK);
    sp_pool_free(box.pool);
    each_has_ended(TASKS, false);
}

/* A task that submits more than its worker's deque holds. */
static void submit_all_others(sp_task *task)
{
    run(task);
    for (uint32_t i = 1; i < TASKS; i++)
        submit(i);
}

SCENARIO(a_task_may_submit_more_than_a_deque_holds, .share = 20)
{
    CHECK_EQ(create(2), SP_OK);
    init_job(0, submit_all_others);
    submit(0);
    for (int i = 0; i < TASKS; i++)
        if (i == 0 || box.statuses[i] == SP_OK)
            CHECK_EQ(wait_for(&box.jobs[i].task), SP_OK);
    sp_pool_free(box.pool);
    each_has_ended(TASKS, false);
}

/* Work conservation: as many tasks as workers meet, whoever submits them. */
static void meet(sp_task *task)
{
    struct job *job = (struct job *)task;
    begin(job);
    job->result = 42;
    fetch_add_acq_rel(&box.arrived, 1u);
    while (load_acquire(&box.arrived) < 2)
        sp__os_yield();
}

static void submit_then_meet(sp_task *task)
{
    submit(1);
    meet(task);
}

SCENARIO(k_tasks_that_meet_run_on_k_workers, .share = 120)
{
    CHECK_EQ(create(2), SP_OK);
    init_job(0, meet);
    init_job(1, meet);
    if (sim_choose(2)) {
        init_job(0, submit_then_meet);
        submit(0);
        CHECK_EQ(wait_for(&box.jobs[0].task), SP_OK);
    } else {
        sp_task *tasks[] = {&box.jobs[0].task, &box.jobs[1].task};
        CHECK_EQ(sp_submit_many(box.pool, tasks, 2), SP_OK);
    }
    /* Those that were accepted all run, be the pool closed meanwhile: a worker that
     * ends early would leave one alone. */
    sp_pool_free(box.pool);
    each_has_ended(2, false);
}

/* X2, by who looks while a sleeper wakes up and takes the only task. */
SCENARIO(a_pool_is_not_over_while_a_task_is_in_hand, .share = 20)
{
    CHECK_EQ(create(1), SP_OK);
    while ((uint32_t)load_relaxed(&box.pool->awake) > 0)
        sp__os_yield();
    submit(0);
    sp_pool_close(box.pool, SP_DRAIN);
    while (!sp__pool_is_over(box.pool))
        sp__os_yield();
    CHECK_EQ(sp_task_phase(&box.jobs[0].task), SP_DONE);
    sp_pool_free(box.pool);
    each_has_ended(1, false);
}

/* Waiting inside: to any depth, and never for a worker that waits for us. */
SCENARIO(a_task_waits_for_what_it_submitted, .share = 20)
{
    CHECK_EQ(create(2), SP_OK);
    for (int i = 0; i < 4; i++) {
        box.jobs[i].child = i < 3 ? &box.jobs[i + 1] : NULL;
        box.jobs[i].waits = true;
    }
    box.jobs[4].child = &box.jobs[5];
    submit(0);
    submit(4);
    CHECK_EQ(wait_for(&box.jobs[0].task), SP_OK);
    CHECK_EQ(wait_for(&box.jobs[4].task), SP_OK);
    sp_pool_free(box.pool);
    for (int i = 0; i < TASKS; i++)
        CHECK_EQ(load_relaxed(&box.jobs[i].runs), 1);
}

/* From a worker of another pool a task comes from outside. */
SCENARIO(a_worker_submits_to_another_pool, .share = 10)
{
    sp_pool *first;
    sp_pool_options options = {.workers = 1, .keepalive_us = 1};
    CHECK_EQ(sp_pool_create(&first, &options), SP_OK);
    CHECK_EQ(create(1), SP_OK);
    box.jobs[0].child = &box.jobs[1];
    box.jobs[0].waits = true; /* it runs the other itself, or sleeps */
    CHECK_EQ(sp_submit(first, &box.jobs[0].task), SP_OK);
    CHECK_EQ(wait_for(&box.jobs[0].task), SP_OK);
    CHECK_EQ(wait_for(&box.jobs[1].task), SP_OK);
    sp_pool_free(first);
    sp_pool_free(box.pool);
    each_has_ended(2, false);
}

/* ---------------------------------------------------------------- shutdown */

SCENARIO(shutdown_drains, .share = 30)
{
    CHECK_EQ(create(2), SP_OK);
    unsigned other = sim_spawn(submit_three, NULL);
    submit(3);
    CHECK_EQ(sp_pool_shutdown(box.pool, SP_DRAIN), SP_OK);
    sim_join(other);
    CHECK_EQ(box.statuses[3], SP_OK);
    each_has_ended(4, false);
    sp_pool_free(box.pool);
}

SCENARIO(shutdown_abandons, .share = 30)
{
    CHECK_EQ(create(2), SP_OK);
    unsigned other = sim_spawn(submit_three, NULL);
    box.jobs[3].child = &box.jobs[5];
    submit(3);
    submit(4);
    CHECK_EQ(sp_pool_shutdown(box.pool, SP_ABANDON), SP_OK);
    sim_join(other);
    each_has_ended(5, true);
    sp_pool_free(box.pool);
}

/* Whoever has shut down sees what the tasks did, be it another who joins the threads. */
static void shut_down(void *mode)
{
    sp_pool_shutdown(box.pool, (sp_shutdown_mode)(uintptr_t)mode);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(box.jobs[i].result, box.statuses[i] == SP_OK ? 42 : 0);
}

static void close_pool(sp_task *task)
{
    run(task);
    sp_pool_close(box.pool, SP_DRAIN);
}

SCENARIO(a_task_and_two_threads_shut_down, .share = 20)
{
    CHECK_EQ(create(2), SP_OK);
    init_job(0, close_pool);
    submit(0);
    submit(1);
    unsigned other = sim_spawn(shut_down, (void *)(uintptr_t)SP_DRAIN);
    CHECK_EQ(sp_pool_shutdown(box.pool, SP_DRAIN), SP_OK);
    sim_join(other);
    each_has_ended(2, false);
    sp_pool_free(box.pool);
}

/* ------------------------------------------------------------------- cancel */

static void cancel_some(void *unused)
{
    (void)unused;
    for (int i = 0; i < 3; i++) {
        sp_status status = sp_task_cancel(&box.jobs[i].task);
        if (status == SP_OK) /* I3 */
            CHECK_EQ(load_relaxed(&box.jobs[i].runs), 0);
    }
}

SCENARIO(cancelled_tasks_do_not_run, .share = 20)
{
    CHECK_EQ(create(2), SP_OK);
    submit_three(NULL);
    unsigned other = sim_spawn(cancel_some, NULL);
    for (int i = 0; i < 3; i++)
        wait_for(&box.jobs[i].task);
    sim_join(other);
    sp_pool_free(box.pool);
    each_has_ended(3, true);
}

/* Detached tasks: nobody keeps them but the queue. */
static void release(sp_task *task)
{
    fetch_add_relaxed(&box.releases, 1u);
    sp__free(task);
}

SCENARIO(a_task_that_nobody_keeps_is_freed, .share = 20)
{
    sp_group group;
    CHECK_EQ(create(2), SP_OK);
    sp_group_init(&group);
    for (int i = 0; i < 3; i++) {
        struct job *job = sp__alloc(sizeof *job);
        sp_task_init(&job->task, run, release);
        sp_group_add(&group, &job->task);
        CHECK_EQ(sp_submit(box.pool, &job->task), SP_OK);
        sp_task_unref(&job->task);
    }
    sp_status status;
    while ((status = sp_group_wait(&group, -1)) != SP_OK)
        CHECK_EQ(status, SP_EINTR);
    sp_pool_free(box.pool);
    CHECK_EQ(load_relaxed(&box.releases), 3);
}

/* -------------------------------------------------------------------- loops */

#define INDICES 12

static uint32_t seen[INDICES]; /* plain: each index belongs to one piece */

static int mark(intptr_t begin, intptr_t end, void *user)
{
    (void)user;
    for (intptr_t i = begin; i < end; i++)
        seen[i]++;
    return 0;
}

static void loop(sp_task *task)
{
    run(task);
    CHECK_EQ(sp_parallel_for(box.pool, 0, INDICES / 2, 1, mark, NULL), 0);
}

SCENARIO(a_loop_covers_each_index_once, .share = 20)
{
    CHECK_EQ(create(2), SP_OK);
    init_job(0, loop);
    submit(0);
    intptr_t begin = INDICES / 2;
    CHECK_EQ(sp_parallel_for(box.pool, begin, INDICES, 1, mark, NULL), 0);
    CHECK_EQ(wait_for(&box.jobs[0].task), SP_OK);
    for (int i = 0; i < INDICES; i++)
        CHECK_EQ(seen[i], 1, "index %d", i);
    sp_pool_free(box.pool);
}

/* Pieces that wait for each other: nobody leaves the loop, or stays away, while one is
 * left to begin, be it on its way from thread to thread. */
static int meet_others(intptr_t begin, intptr_t end, void *user)
{
    (void)user;
    CHECK_EQ(end - begin, 1);
    fetch_add_acq_rel(&box.arrived, 1u);
    while (load_acquire(&box.arrived) < 3)
        sp__os_yield();
    return 0;
}

SCENARIO(k_pieces_that_meet_run_on_k_threads, .share = 60)
{
    CHECK_EQ(create(3), SP_OK);
    sp_loop_options options = {.schedule = SP_DYNAMIC, .grain = 1};
    CHECK_EQ(sp_parallel_for_with(box.pool, 0, 3, &options, meet_others, NULL), 0);
    sp_pool_free(box.pool);
}

static int fail_at_2_and_5(intptr_t begin, intptr_t end, void *user)
{
    mark(begin, end, user);
    for (intptr_t i = begin; i < end; i++)
        if (i == 2 || i == 5)
            return sp_fail((int)i, i == 2 ? "two" : "five");
    return 0;
}

SCENARIO(a_loop_reports_the_first_error_of_those_that_ran, .share = 15)
{
    CHECK_EQ(create(2), SP_OK);
    int code = sp_parallel_for(box.pool, 0, INDICES, 1, fail_at_2_and_5, NULL);
    CHECK(code == 2 || (code == 5 && seen[2] == 0), "code %d", code);
    const char *words = sp_take_failure();
    CHECK_STR_EQ(words, code == 2 ? "two" : "five");
    sp_pool_free(box.pool);
}

static int add(intptr_t begin, intptr_t end, void *acc, void *user)
{
    (void)user;
    for (intptr_t i = begin; i < end; i++)
        *(uint32_t *)acc = *(uint32_t *)acc * 3 + (uint32_t)i;
    return 0;
}

static void combine(void *into, const void *from, void *user)
{
    (void)user;
    *(uint32_t *)into = *(uint32_t *)into * 7 + *(const uint32_t *)from;
}

SCENARIO(a_reduction_is_the_same_for_any_schedule, .share = 10)
{
    CHECK_EQ(create(2), SP_OK);
    uint32_t alone = 1;
    uint32_t together = 1;
    CHECK_EQ(sp_parallel_reduce(NULL, 0, 8, 2, add, combine, &alone, 4, NULL), 0);
    CHECK_EQ(sp_parallel_reduce(box.pool, 0, 8, 2, add, combine, &together, 4, NULL),
             0);
    CHECK_EQ(together, alone);
    sp_pool_free(box.pool);
}

/* ------------------------------------------------------------------- faults */

/* Memory may be short, and threads may not start: a pool has fewer workers, or
 * there is none, and then nothing is left behind. */
SCENARIO(a_pool_is_made_with_what_there_is, .share = 20, .fails_memory = true,
         .fails_threads = true)
{
    sp_status status = create(3);
    if (status != SP_OK) {
        CHECK(status == SP_ENOMEM || status == SP_ETHREAD);
        return;
    }
    CHECK(sp_pool_workers(box.pool) >= 1 && sp_pool_workers(box.pool) <= 3);
    submit_three(NULL);
    intptr_t half = INDICES / 2;
    CHECK_EQ(sp_parallel_for(box.pool, 0, half, 1, mark, NULL), 0);
    sp_completion *queue;
    if (sp_completion_create(&queue, NULL, NULL) == SP_OK)
        sp_completion_free(queue);
    sp_pool_free(box.pool);
    each_has_ended(3, false);
}
