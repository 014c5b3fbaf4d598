/* sched/staff.h: more workers, fewer, and others for those that block. */
#include "base/memory.h"
#include "check.h"
#include "sched/pool.h"
#include "sched/worker.h"
#include "stealpool.h"
#include "threads.h"

static sp_pool *new_pool(uint32_t workers, uint32_t max_blocked)
{
    sp_pool *pool;
    sp_pool_options options = {.workers = workers, .max_blocked = max_blocked};
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    return pool;
}

/* -------------------------------------------------- how many work at once */

#define MANY 40

struct crowd {
    sp_pool *pool;
    _Atomic(uint32_t) arrived;
    _Atomic(uint32_t) may_go;
    uint32_t n;
    bool blocks; /* says so */
    struct member {
        sp_task task;
        struct crowd *crowd;
        uint32_t index;
    } members[MANY];
};

static void stand(sp_task *task)
{
    struct member *member = (struct member *)task;
    struct crowd *crowd = member->crowd;
    member->index = sp__worker_current()->index;
    if (crowd->blocks)
        sp_blocking_begin();
    fetch_add_seq_cst(&crowd->arrived, 1u);
    await(&crowd->may_go, 1);
    if (crowd->blocks)
        sp_blocking_end();
}

static void gather(struct crowd *crowd, sp_pool *pool, uint32_t n, bool blocks)
{
    *crowd = (struct crowd){.pool = pool, .n = n, .blocks = blocks};
    for (uint32_t i = 0; i < n; i++) {
        crowd->members[i].crowd = crowd;
        sp_task_init(&crowd->members[i].task, stand, NULL);
        CHECK_EQ(sp_submit(pool, &crowd->members[i].task), SP_OK);
    }
}

static void disperse(struct crowd *crowd)
{
    store_seq_cst(&crowd->may_go, 1u);
    for (uint32_t i = 0; i < crowd->n; i++)
        wait_for_task(&crowd->members[i].task);
}

/* Tasks that need each other need as many workers. */
static void check_that_n_work_at_once(sp_pool *pool, uint32_t n)
{
    static struct crowd crowd;
    gather(&crowd, pool, n, false);
    await(&crowd.arrived, n);
    disperse(&crowd);
}

static void added_workers_work(void)
{
    sp_pool *pool = new_pool(1, 0);
    for (uint32_t n = 1; n <= 33; n += 8) {
        CHECK_EQ(sp_pool_resize(pool, n), SP_OK);
        CHECK_EQ(sp_pool_workers(pool), n);
        check_that_n_work_at_once(pool, n);
    }
    sp_pool_free(pool);
}

static uint32_t count_present(sp_pool *pool)
{
    uint32_t n = 0;
    sp__lock_take(&pool->staff.lock);
    for (uint32_t i = 0; i < load_relaxed(&pool->staff.places); i++)
        n += pool->workers[i].presence == SP__PRESENT;
    sp__lock_give(&pool->staff.lock);
    return n;
}

/* One that was about to take a task may take it, and notices after that. */
static void await_step_back(sp_pool *pool, uint32_t n)
{
    while (count_present(pool) > n)
        sp__os_yield();
}

static void no_more_than_are_wanted_work(void)
{
    sp_pool *pool = new_pool(8, 0);
    static struct crowd crowd;
    check_that_n_work_at_once(pool, 8);
    for (uint32_t n = 8; n >= 1; n--) {
        CHECK_EQ(sp_pool_resize(pool, n), SP_OK);
        CHECK_EQ(sp_pool_workers(pool), n);
        await_step_back(pool, n);
        gather(&crowd, pool, 8, false);
        await(&crowd.arrived, n);
        CHECK_EQ(load_seq_cst(&crowd.arrived), n);
        disperse(&crowd);
        for (int i = 0; i < 8; i++)
            CHECK(crowd.members[i].index < n, "%u of %u", crowd.members[i].index, n);
    }
    CHECK_EQ(sp_pool_resize(pool, 8), SP_OK);
    check_that_n_work_at_once(pool, 8);
    sp_pool_free(pool);
}

static void those_that_are_too_many_go_for_good(void)
{
    sp_pool *pool = new_pool(4, 0);
    CHECK_EQ(sp_pool_resize(pool, 1), SP_OK);
await_running:
    if (load_seq_cst(&pool->running) > 1) { /* a second, as staff.c has it */
        sp__os_yield();
        goto await_running;
    }
    check_that_n_work_at_once(pool, 1);
    CHECK_EQ(sp_pool_resize(pool, 4), SP_OK);
    check_that_n_work_at_once(pool, 4);
    sp_pool_free(pool);
}

static struct member child;

static void submit_and_wait_for_resize(sp_task *task)
{
    struct crowd *crowd = ((struct member *)task)->crowd;
    child.crowd = crowd;
    sp_task_init(&child.task, stand, NULL);
    CHECK_EQ(sp_submit(crowd->pool, &child.task), SP_OK);
    CHECK_EQ(sp_pool_resize(crowd->pool, 1), SP_OK); /* from a worker: itself */
}

static void what_a_worker_had_queued_goes_to_the_others(void)
{
    for (int round = 0; round < 20; round++) {
        static struct crowd crowd;
        sp_pool *pool = new_pool(2, 0);
        crowd = (struct crowd){.pool = pool, .may_go = 1};
        crowd.members[0].crowd = &crowd;
        sp_task_init(&crowd.members[0].task, submit_and_wait_for_resize, NULL);
        CHECK_EQ(sp_submit(pool, &crowd.members[0].task), SP_OK);
        await(&crowd.arrived, 1);
        wait_for_task(&crowd.members[0].task);
        CHECK_EQ(sp_pool_workers(pool), 1);
        sp_pool_free(pool);
    }
}

static void nonsense_is_refused(void)
{
    sp_pool *pool;
    sp_pool_options options = {.workers = 2, .max_workers = 3};
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    CHECK_EQ(sp_pool_resize(pool, 4), SP_EINVAL);
    CHECK_EQ(sp_pool_resize(pool, 3), SP_OK);
    CHECK_EQ(sp_pool_shutdown(pool, SP_DRAIN), SP_OK);
    CHECK_EQ(sp_pool_resize(pool, 1), SP_ECLOSED);
    CHECK_EQ(sp_pool_workers(pool), 3);
    sp_pool_free(pool);
    options.max_workers = 1;
    CHECK_EQ(sp_pool_create(&pool, &options), SP_EINVAL);
    options.max_workers = SP_MAX_WORKERS + 1;
    CHECK_EQ(sp_pool_create(&pool, &options), SP_EINVAL);
}

static void refused_threads_are_done_without(void)
{
    sp_pool *pool = new_pool(2, 0);
    if (!sp__alloc_fail_at(3, true)) {
        sp_pool_free(pool);
        return;
    }
    CHECK_EQ(sp_pool_resize(pool, 9), SP_ETHREAD);
    sp__alloc_fail_at(-1, false);
    CHECK_EQ(sp_pool_workers(pool), 5);
    check_that_n_work_at_once(pool, 5);
    CHECK_EQ(sp_pool_resize(pool, 9), SP_OK);
    check_that_n_work_at_once(pool, 9);
    sp_pool_free(pool);
}

static void none_at_all_means_as_many_as_there_are_cpus(void)
{
    sp_pool_options options = {.workers = 1, .max_workers = SP_MAX_WORKERS};
    sp_pool *pool; /* and there are no places for stand-ins */
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    CHECK_EQ(sp_pool_resize(pool, 0), SP_OK);
    CHECK_EQ(sp_pool_workers(pool), sp_usable_cpus());
    check_that_n_work_at_once(pool, sp_usable_cpus() < 8 ? sp_usable_cpus() : 8);
    sp_pool_free(pool);
}

/* ------------------------------------------------------------------ blocking */

static void others_stand_in_for_blocked_workers(void)
{
    static struct crowd crowd;
    sp_pool *pool = new_pool(2, 0);
    for (int round = 0; round < 3; round++) {
        gather(&crowd, pool, 20, true);
        await(&crowd.arrived, 20);
        CHECK_EQ(sp_pool_workers(pool), 2);
        check_that_n_work_at_once(pool, 2); /* all 20 of them still blocked */
        disperse(&crowd);
    }
    CHECK_EQ(load_seq_cst(&pool->staff.due), 2);
    sp_pool_free(pool);
}

static void only_so_many_stand_in(void)
{
    static struct crowd crowd;
    for (uint32_t i = 0; i < 6; i++) {
        sp_pool *pool;
        uint32_t most = i / 2;
        sp_pool_options options = {
            .workers = 1, .max_workers = i % 2, .max_blocked = most ? most : SP_NEVER};
        CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
        gather(&crowd, pool, 5, true);
        await(&crowd.arrived, 1 + most);
        CHECK_EQ(load_seq_cst(&crowd.arrived), 1 + most);
        disperse(&crowd);
        CHECK_EQ(load_seq_cst(&crowd.arrived), 5);
        sp_pool_free(pool);
    }
}

static void who_was_blocked_when_the_pool_shrank_is_no_stand_in(void)
{
    static struct crowd crowd;
    sp_pool *pool;
    sp_pool_options options = {.workers = 3, .max_workers = 3, .max_blocked = 1};
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    gather(&crowd, pool, 3, true);
    await(&crowd.arrived, 3);
    CHECK_EQ(sp_pool_resize(pool, 1), SP_OK);
    check_that_n_work_at_once(pool, 1);
    CHECK_EQ(sp_pool_resize(pool, 3), SP_OK);
    check_that_n_work_at_once(pool, 1);
    disperse(&crowd);
    check_that_n_work_at_once(pool, 3);
    sp_pool_free(pool);
}

static void a_stand_in_that_is_refused_is_none_that_is_wanted(void)
{
    static struct crowd crowd;
    sp_pool *pool = new_pool(1, 0);
    gather(&crowd, pool, 1, true);
    await(&crowd.arrived, 1); /* it has a stand-in: two threads */
    if (sp__alloc_fail_at(0, true))
        CHECK_EQ(sp_pool_resize(pool, 2), SP_ETHREAD);
    sp__alloc_fail_at(-1, false);
    disperse(&crowd);
    CHECK_EQ(sp_pool_resize(pool, 2), SP_OK);
    CHECK_EQ(sp_pool_workers(pool), 2);
    check_that_n_work_at_once(pool, 2);
    sp_pool_free(pool);
}

static void nothing_happens_outside_of_workers(void)
{
    sp_blocking_end();
    sp_blocking_begin();
    sp_blocking_begin();
    sp_blocking_end();
}

static void block_twice(sp_task *task)
{
    struct crowd *crowd = ((struct member *)task)->crowd;
    sp_blocking_begin();
    sp_blocking_begin();
    CHECK_EQ(load_seq_cst(&crowd->pool->staff.due), 2);
    sp_blocking_end();
    CHECK_EQ(load_seq_cst(&crowd->pool->staff.due), 2);
    sp_blocking_end();
    CHECK_EQ(load_seq_cst(&crowd->pool->staff.due), 1);
}

static void blocking_may_be_nested(void)
{
    static struct crowd crowd;
    crowd = (struct crowd){.pool = new_pool(1, 0)};
    crowd.members[0].crowd = &crowd;
    sp_task_init(&crowd.members[0].task, block_twice, NULL);
    CHECK_EQ(sp_submit(crowd.pool, &crowd.members[0].task), SP_OK);
    sp_pool_free(crowd.pool);
}

/* One worker: the first task runs the second itself, which is claimed by a thread from
 * outside; the third, which that one waits for, is run by who stands in. */
struct relay {
    sp_task first, second, third;
    _Atomic(uint32_t) second_runs, third_runs;
};

static struct relay relay;
static _Thread_local bool is_waiting;

static void run_third(sp_task *task)
{
    (void)task;
    CHECK(!is_waiting, "unrelated work on a stack that waits");
    store_seq_cst(&relay.third_runs, 1u);
}

static void run_second(sp_task *task)
{
    (void)task;
    store_seq_cst(&relay.second_runs, 1u);
    await(&relay.third_runs, 1);
}

static void wait_for_second(sp_task *task)
{
    (void)task;
    await(&relay.second_runs, 1);
    is_waiting = true;
    CHECK_EQ(wait_for_task(&relay.second), SP_OK);
    is_waiting = false;
}

static void run_it_outside(unsigned index, void *arg)
{
    if (index == 0) {
        CHECK_EQ(sp_task_run(&relay.second), SP_OK);
        return;
    }
    CHECK_EQ(sp_submit(arg, &relay.first), SP_OK);
    await(&relay.second_runs, 1);
    CHECK_EQ(sp_submit(arg, &relay.third), SP_OK);
}

static void a_worker_that_waits_for_a_running_task_is_stood_in_for(void)
{
    for (long round = check_rounds(50); round > 0; round--) {
        sp_pool *pool = new_pool(1, 0);
        relay = (struct relay){.second_runs = 0};
        sp_task_init(&relay.first, wait_for_second, NULL);
        sp_task_init(&relay.second, run_second, NULL);
        sp_task_init(&relay.third, run_third, NULL);
        run_together(2, run_it_outside, pool);
        sp_pool_free(pool);
    }
}

/* ------------------------------------------------------------------- stress */

#define TASKS 300

struct traffic {
    sp_pool *pool;
    uint64_t seed;
    bool closes; /* while it is resized */
    _Atomic(uint32_t) runs;
    sp_status statuses[2][TASKS];
    struct vehicle {
        sp_task task, child;
        struct traffic *traffic;
    } vehicles[2][TASKS];
};

static void arrive(sp_task *task)
{
    struct vehicle *vehicle = sp_container_of(task, struct vehicle, child);
    fetch_add_seq_cst(&vehicle->traffic->runs, 1u);
}

static void drive(sp_task *task)
{
    struct vehicle *vehicle = (struct vehicle *)task;
    if ((uintptr_t)vehicle / sizeof *vehicle % 3 == 0) {
        sp_blocking_begin();
        sp__os_yield();
        sp_blocking_end();
    }
    fetch_add_seq_cst(&vehicle->traffic->runs, 1u);
    if (sp_submit(vehicle->traffic->pool, &vehicle->child) != SP_OK)
        fetch_add_seq_cst(&vehicle->traffic->runs, 1u); /* closed: it counts as run */
}

/* 0 and 1 submit, 2 resizes, 3 closes at some time. */
static void jam(unsigned index, void *arg)
{
    struct traffic *traffic = arg;
    uint64_t random = traffic->seed + index;
    if (index < 2) {
        for (int i = 0; i < TASKS; i++) {
            traffic->statuses[index][i] =
                sp_submit(traffic->pool, &traffic->vehicles[index][i].task);
            for (uint32_t n = sp__random_below(&random, 200); n > 0; n--)
                sp__os_pause();
        }
    } else if (index == 2) {
        for (int i = 0; i < 30; i++) {
            sp_status status =
                sp_pool_resize(traffic->pool, 1 + sp__random_below(&random, 6));
            CHECK(status == SP_OK || (status == SP_ECLOSED && traffic->closes));
            for (uint32_t n = sp__random_below(&random, 2000); n > 0; n--)
                sp__os_pause();
        }
    } else if (traffic->closes) {
        for (uint32_t n = sp__random_below(&random, 30000); n > 0; n--)
            sp__os_pause();
        CHECK_EQ(sp_pool_shutdown(traffic->pool, SP_DRAIN), SP_OK);
    }
}

static void every_task_runs_once_while_workers_come_and_go(void)
{
    uint64_t seed = test_seed();
    for (long round = check_rounds(30); round > 0; round--) {
        struct traffic *traffic = sp__alloc(sizeof *traffic);
        traffic->pool = new_pool(1 + (uint32_t)round % 3, 0);
        traffic->seed = ++seed;
        traffic->closes = round % 2;
        for (int s = 0; s < 2; s++)
            for (int i = 0; i < TASKS; i++) {
                struct vehicle *vehicle = &traffic->vehicles[s][i];
                vehicle->traffic = traffic;
                sp_task_init(&vehicle->task, drive, NULL);
                sp_task_init(&vehicle->child, arrive, NULL);
            }
        run_together(4, jam, traffic);
        CHECK_EQ(sp_pool_shutdown(traffic->pool, SP_DRAIN), SP_OK);
        uint32_t accepted = 0;
        for (int s = 0; s < 2; s++)
            for (int i = 0; i < TASKS; i++) {
                accepted += traffic->statuses[s][i] == SP_OK;
                CHECK(traffic->closes || traffic->statuses[s][i] == SP_OK);
            }
        CHECK_EQ(load_seq_cst(&traffic->runs), 2 * accepted, "seed %ju",
                 (uintmax_t)traffic->seed);
        sp_pool_free(traffic->pool);
        sp__free(traffic);
    }
}

int main(void)
{
    RUN(added_workers_work);
    RUN(no_more_than_are_wanted_work);
    RUN(those_that_are_too_many_go_for_good);
    RUN(what_a_worker_had_queued_goes_to_the_others);
    RUN(nonsense_is_refused);
    RUN(refused_threads_are_done_without);
    RUN(none_at_all_means_as_many_as_there_are_cpus);
    RUN(others_stand_in_for_blocked_workers);
    RUN(only_so_many_stand_in);
    RUN(who_was_blocked_when_the_pool_shrank_is_no_stand_in);
    RUN(a_stand_in_that_is_refused_is_none_that_is_wanted);
    RUN(nothing_happens_outside_of_workers);
    RUN(blocking_may_be_nested);
    RUN(a_worker_that_waits_for_a_running_task_is_stood_in_for);
    RUN(every_task_runs_once_while_workers_come_and_go);
    return 0;
}
