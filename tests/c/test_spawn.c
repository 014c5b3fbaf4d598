/* sp_spawn() */
#include "sched/spawn.h"

#include <string.h>

#include "base/memory.h"
#include "check.h"
#include "sched/pool.h"
#include "stealpool.h"
#include "threads.h"

static sp_pool *new_pool(uint32_t workers)
{
    sp_pool_options options = {.workers = workers};
    sp_pool *pool;
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    return pool;
}

enum { MAX_BYTES = 300 };

struct bytes {
    _Atomic(uint32_t) *runs;
    unsigned char size;
    unsigned char text[MAX_BYTES];
};

static void check_bytes(void *arg)
{
    const struct bytes *bytes = arg;
    CHECK_EQ((uintptr_t)arg % 16, 0);
    for (int i = 0; i < bytes->size; i++)
        CHECK_EQ(bytes->text[i], (unsigned char)(i + bytes->size));
    fetch_add_relaxed(bytes->runs, 1u);
}

static void arguments_of_any_size_are_copied(void)
{
    sp_pool *pool = new_pool(2);
    sp_group group;
    sp_group_init(&group);
    _Atomic(uint32_t) runs = 0;
    for (int size = 0; size < 256; size++) {
        struct bytes bytes = {.runs = &runs, .size = (unsigned char)size};
        for (int i = 0; i < size; i++)
            bytes.text[i] = (unsigned char)(i + size);
        size_t used = offsetof(struct bytes, text) + (size_t)size;
        CHECK_EQ(sp_spawn(pool, &group, check_bytes, &bytes, used), SP_OK);
        memset(&bytes, 0xee, sizeof bytes);
    }
    wait_for_group(&group);
    CHECK_EQ(load_relaxed(&runs), 256);
    sp_pool_free(pool);
}

static _Atomic(uint32_t) plain_runs;

static void run_plainly(void *arg)
{
    (void)arg;
    CHECK(!sp_cancelled());
    CHECK(sp_current_token() == NULL);
    fetch_add_relaxed(&plain_runs, 1u);
}

static void without_argument_and_group_a_task_runs_too(void)
{
    sp_pool *pool = new_pool(2);
    store_relaxed(&plain_runs, 0);
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(sp_spawn(pool, NULL, run_plainly, NULL, 0), SP_OK);
    CHECK_EQ(sp_pool_shutdown(pool, SP_DRAIN), SP_OK);
    CHECK_EQ(load_relaxed(&plain_runs), 1000);
    sp_pool_free(pool);
}

struct tree {
    sp_pool *pool;
    sp_group *group;
    _Atomic(uint32_t) *runs;
    int depth;
};

static void grow(void *arg)
{
    struct tree tree = *(struct tree *)arg;
    fetch_add_relaxed(tree.runs, 1u);
    if (tree.depth-- == 0)
        return;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sp_spawn(tree.pool, tree.group, grow, &tree, sizeof tree), SP_OK);
}

static void tasks_spawn_tasks_and_the_group_waits_for_all(void)
{
    for (uint32_t workers = 1; workers <= 4; workers++) {
        sp_pool *pool = new_pool(workers);
        for (long round = check_rounds(10); round > 0; round--) {
            sp_group group;
            sp_group_init(&group);
            _Atomic(uint32_t) runs = 0;
            struct tree tree = {
                .pool = pool, .group = &group, .runs = &runs, .depth = 7};
            CHECK_EQ(sp_spawn(pool, &group, grow, &tree, sizeof tree), SP_OK);
            wait_for_group(&group);
            CHECK_EQ(load_relaxed(&runs), 3280);
            memset(&group, 0xee, sizeof group); /* nobody touches it any more */
        }
        sp_pool_free(pool);
    }
}

struct gate {
    _Atomic(uint32_t) entered;
    _Atomic(uint32_t) opened;
};

static void stand_in_gate(void *arg)
{
    struct gate *gate = *(struct gate **)arg;
    store_seq_cst(&gate->entered, 1);
    await(&gate->opened, 1);
}

/* The first group is told before the worker begins something else. */
static void a_group_is_told_though_its_worker_goes_on_with_others(void)
{
    sp_pool *pool = new_pool(1);
    for (long round = check_rounds(50); round > 0; round--) {
        struct gate gate = {0};
        struct gate *arg = &gate;
        sp_group first, second;
        sp_group_init(&first);
        sp_group_init(&second);
        for (int i = 0; i < 5; i++)
            CHECK_EQ(sp_spawn(pool, &first, run_plainly, NULL, 0), SP_OK);
        CHECK_EQ(sp_spawn(pool, &second, stand_in_gate, &arg, sizeof arg), SP_OK);
        wait_for_group(&first);
        store_seq_cst(&gate.opened, 1);
        wait_for_group(&second);
    }
    sp_pool_free(pool);
}

struct gated_task {
    sp_task task;
    struct gate gate;
};

static void await_gate(sp_task *task)
{
    await(&((struct gated_task *)task)->gate.opened, 1);
}

static void a_group_is_told_though_its_worker_goes_on_with_another_kind(void)
{
    sp_pool *pool = new_pool(1);
    for (long round = check_rounds(50); round > 0; round--) {
        struct gated_task gated = {.gate = {0}};
        sp_group first;
        sp_group_init(&first);
        sp_task_init(&gated.task, await_gate, NULL);
        for (int i = 0; i < 5; i++)
            CHECK_EQ(sp_spawn(pool, &first, run_plainly, NULL, 0), SP_OK);
        CHECK_EQ(sp_submit(pool, &gated.task), SP_OK);
        wait_for_group(&first);
        store_seq_cst(&gated.gate.opened, 1);
        wait_for_task(&gated.task);
    }
    sp_pool_free(pool);
}

/* A worker of one pool is an outside thread to another. */
struct visit {
    sp_task task;
    sp_pool *elsewhere;
    sp_group group;
    sp_task submitted;
};

static void end_at_once(sp_task *task)
{
    (void)task;
}

static void spawn_elsewhere(sp_task *task)
{
    struct visit *visit = (struct visit *)task;
    for (int i = 0; i < 100; i++)
        CHECK_EQ(sp_spawn(visit->elsewhere, &visit->group, run_plainly, NULL, 0),
                 SP_OK);
    CHECK_EQ(sp_submit(visit->elsewhere, &visit->submitted), SP_OK);
}

static void a_worker_spawns_in_another_pool(void)
{
    sp_pool *pool = new_pool(1);
    struct visit visit = {.elsewhere = new_pool(1)};
    store_relaxed(&plain_runs, 0);
    sp_group_init(&visit.group);
    sp_task_init(&visit.task, spawn_elsewhere, NULL);
    sp_task_init(&visit.submitted, end_at_once, NULL);
    CHECK_EQ(sp_submit(pool, &visit.task), SP_OK);
    wait_for_task(&visit.task);
    wait_for_group(&visit.group);
    wait_for_task(&visit.submitted);
    CHECK_EQ(load_relaxed(&plain_runs), 100);
    sp_pool_free(visit.elsewhere);
    sp_pool_free(pool);
}

static void a_thread_that_lost_its_cpu_in_a_slab_keeps_nobody(void)
{
    sp_pool *pool = new_pool(2);
    sp_group group;
    sp_group_init(&group);
    for (int i = 0; i < SP__POOL_SLABS; i++)
        while (!sp__slab_try_lock(&pool->slabs[i]))
            ; /* weak */
    for (int i = 0; i < 10; i++)
        CHECK_EQ(sp_spawn(pool, &group, run_plainly, NULL, 0), SP_OK);
    wait_for_group(&group);
    for (int i = 0; i < SP__POOL_SLABS; i++)
        sp__slab_unlock(&pool->slabs[i]);
    sp_pool_free(pool);
}

static void an_argument_without_end_is_refused(void)
{
    sp_pool *pool = new_pool(1);
    CHECK_EQ(sp_spawn(pool, NULL, run_plainly, "", SIZE_MAX), SP_ENOMEM);
    sp_pool_free(pool);
}

static void a_closed_pool_refuses(void)
{
    sp_pool *pool = new_pool(1);
    sp_group group;
    sp_group_init(&group);
    sp_pool_close(pool, SP_DRAIN);
    CHECK_EQ(sp_spawn(pool, &group, run_plainly, NULL, 0), SP_ECLOSED);
    CHECK_EQ(sp_spawn(pool, NULL, run_plainly, NULL, 0), SP_ECLOSED);
    CHECK_EQ(sp_group_unfinished(&group), 0);
    sp_pool_free(pool);
}

static void spawn_where_it_is_closed(sp_task *task)
{
    struct visit *visit = (struct visit *)task;
    sp_pool_close(visit->elsewhere, SP_DRAIN);
    CHECK_EQ(sp_spawn(visit->elsewhere, &visit->group, run_plainly, NULL, 0),
             SP_ECLOSED);
}

static void a_closed_pool_refuses_its_own_workers(void)
{
    sp_pool *pool = new_pool(1);
    struct visit visit = {.elsewhere = pool};
    sp_group_init(&visit.group);
    sp_task_init(&visit.task, spawn_where_it_is_closed, NULL);
    CHECK_EQ(sp_submit(pool, &visit.task), SP_OK);
    wait_for_task(&visit.task);
    CHECK_EQ(sp_group_unfinished(&visit.group), 0);
    sp_pool_free(pool);
}

static void abandoned_tasks_leave_their_group(void)
{
    sp_pool *pool = new_pool(1);
    struct gate gate = {0};
    struct gate *arg = &gate;
    sp_group group;
    sp_group_init(&group);
    CHECK_EQ(sp_spawn(pool, NULL, stand_in_gate, &arg, sizeof arg), SP_OK);
    await(&gate.entered, 1);
    store_relaxed(&plain_runs, 0);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(sp_spawn(pool, &group, run_plainly, NULL, 0), SP_OK);
    sp_pool_close(pool, SP_ABANDON);
    wait_for_group(&group);
    store_seq_cst(&gate.opened, 1);
    sp_pool_free(pool);
    CHECK_EQ(load_relaxed(&plain_runs), 0);
}

struct demolition {
    sp_task task;
    sp_pool *pool;
    sp_group group;
    struct gate *gate;
};

/* In a worker of another pool, which goes on afterwards. */
static void abandon_and_free(sp_task *task)
{
    struct demolition *work = (struct demolition *)task;
    sp_pool_close(work->pool, SP_ABANDON);
    CHECK_EQ(sp_group_unfinished(&work->group), 0);
    CHECK_EQ(sp_spawn(work->pool, &work->group, run_plainly, NULL, 0), SP_ECLOSED);
    store_seq_cst(&work->gate->opened, 1);
    sp_pool_free(work->pool);
}

static void a_worker_keeps_nothing_of_another_pool_s(void)
{
    struct gate gate = {0};
    struct gate *arg = &gate;
    struct demolition work = {.pool = new_pool(1), .gate = &gate};
    sp_pool *pool = new_pool(1);
    sp_group_init(&work.group);
    CHECK_EQ(sp_spawn(work.pool, NULL, stand_in_gate, &arg, sizeof arg), SP_OK);
    await(&gate.entered, 1);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(sp_spawn(work.pool, &work.group, run_plainly, NULL, 0), SP_OK);
    sp_task_init(&work.task, abandon_and_free, NULL);
    CHECK_EQ(sp_submit(pool, &work.task), SP_OK);
    wait_for_task(&work.task);
    sp_pool_free(pool);
}

struct pauper {
    sp_task task;
    sp_pool *pool;
    sp_group *group;
    sp_status status;
};

static void spawn_without_memory(sp_task *task)
{
    struct pauper *pauper = (struct pauper *)task;
    if (sp__alloc_fail_at(0, true))
        pauper->status = sp_spawn(pauper->pool, pauper->group, run_plainly, NULL, 0);
    sp__alloc_fail_at(-1, false);
}

static void without_memory_nothing_happens(void)
{
    sp_pool *pool = new_pool(1);
    sp_group group;
    sp_group_init(&group);
    char large[SP_SPAWN_BYTES + 1] = {0};
    if (sp__alloc_fail_at(0, true)) {
        CHECK_EQ(sp_spawn(pool, &group, run_plainly, NULL, 0), SP_ENOMEM);
        CHECK_EQ(sp_spawn(pool, &group, run_plainly, large, sizeof large), SP_ENOMEM);
        CHECK_EQ(sp_group_unfinished(&group), 0);
    }
    sp__alloc_fail_at(-1, false);
    struct pauper pauper = {.pool = pool, .group = &group, .status = SP_ENOMEM};
    sp_task_init(&pauper.task, spawn_without_memory, NULL);
    CHECK_EQ(sp_submit(pool, &pauper.task), SP_OK);
    wait_for_task(&pauper.task);
    CHECK_EQ(pauper.status, SP_ENOMEM, "in a worker");
    CHECK_EQ(sp_group_unfinished(&group), 0);
    CHECK_EQ(sp_spawn(pool, &group, run_plainly, large, sizeof large), SP_OK);
    wait_for_group(&group);
    sp_pool_free(pool);
}

struct flood {
    sp_pool *pool;
    sp_group group;
    _Atomic(uint32_t) runs;
};

static void count_flood(void *arg)
{
    fetch_add_relaxed(&(*(struct flood **)arg)->runs, 1u);
}

static void spawn_flood(unsigned index, void *arg)
{
    struct flood *flood = arg;
    (void)index;
    for (int i = 0; i < 5000; i++)
        CHECK_EQ(
            sp_spawn(flood->pool, &flood->group, count_flood, &flood, sizeof flood),
            SP_OK);
}

static void many_threads_spawn_at_once(void)
{
    struct flood flood = {.pool = new_pool(3)};
    for (long round = check_rounds(3); round > 0; round--) {
        sp_group_init(&flood.group);
        store_relaxed(&flood.runs, 0);
        run_together(4, spawn_flood, &flood);
        wait_for_group(&flood.group);
        CHECK_EQ(load_relaxed(&flood.runs), 20000);
    }
    sp_pool_free(flood.pool);
}

int main(void)
{
    RUN(arguments_of_any_size_are_copied);
    RUN(without_argument_and_group_a_task_runs_too);
    RUN(tasks_spawn_tasks_and_the_group_waits_for_all);
    RUN(a_group_is_told_though_its_worker_goes_on_with_others);
    RUN(a_group_is_told_though_its_worker_goes_on_with_another_kind);
    RUN(a_worker_spawns_in_another_pool);
    RUN(a_thread_that_lost_its_cpu_in_a_slab_keeps_nobody);
    RUN(an_argument_without_end_is_refused);
    RUN(a_closed_pool_refuses);
    RUN(a_closed_pool_refuses_its_own_workers);
    RUN(abandoned_tasks_leave_their_group);
    RUN(a_worker_keeps_nothing_of_another_pool_s);
    RUN(without_memory_nothing_happens);
    RUN(many_threads_spawn_at_once);
    return 0;
}
