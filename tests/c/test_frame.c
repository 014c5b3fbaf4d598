#include "sched/frame.h"

#include <pthread.h>
#include <string.h>

#include "check.h"
#include "sched/injector.h"
#include "sched/pool.h"
#include "sched/task.h"
#include "stealpool.h"
#include "threads.h"

static sp_pool *new_pool(uint32_t workers)
{
    sp_pool_options options = {.workers = workers};
    sp_pool *pool;
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    return pool;
}

/* ------------------------------------------------------------- plain calls */

struct fib {
    sp_frame frame;
    long n;
    long result;
};

static _Atomic(uint32_t) fib_calls;

static int fib(sp_worker *worker, sp_frame *frame)
{
    struct fib *self = (struct fib *)frame;
    fetch_add_relaxed(&fib_calls, 1u);
    self->result = self->n;
    if (self->n < 2)
        return 0;
    struct fib one = {.n = self->n - 1};
    struct fib two = {.n = self->n - 2};
    sp_fork(worker, &one.frame, fib);
    CHECK_EQ(fib(worker, &two.frame), 0);
    CHECK_EQ(sp_join(worker, &one.frame), 0);
    self->result = one.result + two.result;
    return 0;
}

static void without_a_pool_forks_are_plain_calls(void)
{
    struct fib root = {.n = 15};
    CHECK_EQ(sp_run(NULL, &root.frame, fib), 0);
    CHECK_EQ(root.result, 610);
}

static void every_frame_runs_once(void)
{
    for (uint32_t workers = 1; workers <= 4; workers++) {
        sp_pool *pool = new_pool(workers);
        for (long round = check_rounds(20); round > 0; round--) {
            struct fib root = {.n = 16};
            store_relaxed(&fib_calls, 0);
            CHECK_EQ(sp_run(pool, &root.frame, fib), 0);
            CHECK_EQ(root.result, 987, "workers %u", workers);
            CHECK_EQ(load_relaxed(&fib_calls), 3193, "workers %u", workers);
        }
        sp_pool_free(pool);
    }
}

struct many {
    sp_frame frame;
    _Atomic(uint32_t) *runs;
};

static int count_run(sp_worker *worker, sp_frame *frame)
{
    (void)worker;
    fetch_add_relaxed(((struct many *)frame)->runs, 1u);
    return 0;
}

enum { MANY = 3 * SP_FRAME_CAPACITY };

static int fork_many(sp_worker *worker, sp_frame *frame)
{
    static struct many frames[MANY];
    for (int i = 0; i < MANY; i++) {
        frames[i].runs = ((struct many *)frame)->runs;
        sp_fork(worker, &frames[i].frame, count_run);
    }
    for (int i = MANY - 1; i >= 0; i--)
        CHECK_EQ(sp_join(worker, &frames[i].frame), 0);
    return 0;
}

static void more_frames_than_can_be_stolen_run_once_each(void)
{
    sp_pool *pool = new_pool(2);
    for (long round = check_rounds(20); round > 0; round--) {
        _Atomic(uint32_t) runs = 0;
        struct many root = {.runs = &runs};
        CHECK_EQ(sp_run(pool, &root.frame, fork_many), 0);
        CHECK_EQ(load_relaxed(&runs), MANY);
    }
    sp_pool_free(pool);
}

/* ------------------------------------------------------------------- roots */

static int fail_on_a_worker(sp_worker *worker, sp_frame *frame)
{
    (void)worker;
    (void)frame;
    CHECK(sp_on_worker(NULL));
    return sp_fail(7, "the root said this");
}

static void a_root_s_error_and_words_reach_its_caller(void)
{
    sp_pool *pool = new_pool(1);
    sp_frame root;
    CHECK_EQ(sp_run(pool, &root, fail_on_a_worker), 7);
    CHECK(strcmp(sp_take_failure(), "the root said this") == 0);
    sp_pool_free(pool);
}

static int say_which_thread(sp_worker *worker, sp_frame *frame)
{
    (void)worker;
    (void)frame;
    static _Thread_local int here;
    return (int)((uintptr_t)&here >> 6 & 0xffffff) | 1;
}

static int run_inside(sp_worker *worker, sp_frame *frame)
{
    sp_frame inner;
    int outer_thread = say_which_thread(worker, frame);
    CHECK_EQ(sp_run(NULL, &inner, say_which_thread), outer_thread);
    return 0;
}

static void a_root_inside_a_worker_is_a_call(void)
{
    sp_pool *pool = new_pool(2);
    sp_frame root;
    CHECK_EQ(sp_run(pool, &root, run_inside), 0);
    sp_pool_free(pool);
}

static void a_closed_pool_refuses_roots(void)
{
    sp_pool *pool = new_pool(1);
    sp_frame root;
    CHECK_EQ(sp_pool_shutdown(pool, SP_DRAIN), SP_OK);
    CHECK_EQ(sp_run(pool, &root, fail_on_a_worker), SP_ECLOSED);
    sp_pool_free(pool);
}

struct gate {
    sp_task task;
    _Atomic(uint32_t) entered;
    _Atomic(uint32_t) opened;
};

static void block_worker(sp_task *task)
{
    struct gate *gate = (struct gate *)task;
    fetch_add_seq_cst(&gate->entered, 1u);
    await(&gate->opened, 1);
}

static void *run_root_outside(void *pool)
{
    sp_frame root;
    CHECK_EQ(sp_run(pool, &root, fail_on_a_worker), SP_ECANCELLED);
    return NULL;
}

static void an_abandoned_root_is_cancelled(void)
{
    sp_pool *pool = new_pool(1);
    struct gate gate = {0};
    pthread_t outside;
    sp_task_init(&gate.task, block_worker, NULL);
    CHECK_EQ(sp_submit(pool, &gate.task), SP_OK);
    await(&gate.entered, 1);
    CHECK_EQ(pthread_create(&outside, NULL, run_root_outside, pool), 0);
    while (sp__injector_is_empty(&pool->injector))
        sp__os_yield();
    sp_pool_close(pool, SP_ABANDON);
    pthread_join(outside, NULL);
    store_seq_cst(&gate.opened, 1);
    sp_pool_free(pool);
}

/* ---------------------------------------------------------------- stealing */

struct signal {
    sp_frame frame;
    _Atomic(uint32_t) ran;
    _Atomic(uint32_t) finish;
    int code;
    sp_worker *worker;
    sp_pool *pool;
    sp_task *stranger;
};

static int run_and_say_so(sp_worker *worker, sp_frame *frame)
{
    struct signal *self = (struct signal *)frame;
    self->worker = worker;
    store_seq_cst(&self->ran, 1);
    return self->code ? sp_fail(self->code, "the thief said this") : 0;
}

/* Wait for each frame before its join: it must be stolen. */
static int wait_for_thief(sp_worker *worker, sp_frame *frame)
{
    (void)frame;
    struct signal older = {0};
    struct signal newer = {.code = 5};
    sp_fork(worker, &older.frame, run_and_say_so);
    sp_fork(worker, &newer.frame, run_and_say_so);
    await(&older.ran, 1);
    struct signal third = {0};
    sp_fork(worker, &third.frame, run_and_say_so); /* shows `newer`, if need be */
    await(&newer.ran, 1);
    CHECK_EQ(sp_join(worker, &third.frame), 0);
    CHECK_EQ(sp_join(worker, &newer.frame), 5);
    CHECK(strcmp(sp_take_failure(), "the thief said this") == 0);
    CHECK_EQ(sp_join(worker, &older.frame), 0);
    CHECK(older.worker != worker);
    CHECK(newer.worker != worker);
    return 0;
}

static void a_forked_frame_is_stolen_while_its_owner_is_busy(void)
{
    sp_pool *pool = new_pool(2);
    for (long round = check_rounds(200); round > 0; round--) {
        sp_frame root;
        CHECK_EQ(sp_run(pool, &root, wait_for_thief), 0);
    }
    sp_pool_stats stats;
    sp_pool_get_stats(pool, &stats);
    CHECK(stats.frames >= 400);
    sp_pool_free(pool);
}

/* ------------------------------------------------------------------ waiting */

static _Thread_local int joining;

struct stranger {
    sp_task task;
    _Atomic(uint32_t) ran;
};

static void be_a_stranger(sp_task *task)
{
    CHECK_EQ(joining, 0, "unrelated work on a stack that joins");
    store_seq_cst(&((struct stranger *)task)->ran, 1);
}

static int run_back(sp_worker *worker, sp_frame *frame)
{
    CHECK(joining > 0, "the frame was not stolen back");
    return run_and_say_so(worker, frame);
}

/* Runs on the second worker, while the first one waits for it. */
static int fork_for_the_waiting(sp_worker *worker, sp_frame *frame)
{
    struct signal *self = (struct signal *)frame;
    struct signal back = {0};
    CHECK_EQ(sp_submit(self->pool, self->stranger), SP_OK);
    store_seq_cst(&self->ran, 1);
    if (self->code) /* until the owner sleeps */
        await(&sp_container_of(worker, struct sp__frames, open)->watchers, 1);
    sp_fork(worker, &back.frame, run_back);
    await(&back.ran, 1);
    CHECK_EQ(sp_join(worker, &back.frame), 0);
    CHECK(back.worker != worker);
    return 0;
}

struct isolated {
    sp_frame frame;
    sp_pool *pool;
    struct stranger *stranger;
    int asleep;
};

static int join_in_isolation(sp_worker *worker, sp_frame *frame)
{
    struct isolated *self = (struct isolated *)frame;
    struct signal stolen = {
        .code = self->asleep, .pool = self->pool, .stranger = &self->stranger->task};
    sp_fork(worker, &stolen.frame, fork_for_the_waiting);
    await(&stolen.ran, 1);
    joining++;
    CHECK_EQ(sp_join(worker, &stolen.frame), 0);
    joining--;
    return 0;
}

static void a_joining_worker_runs_only_what_it_waits_for(void)
{
    for (int asleep = 0; asleep < 2; asleep++) {
        sp_pool *pool = new_pool(2);
        for (long round = check_rounds(50); round > 0; round--) {
            struct stranger stranger = {0};
            struct isolated root = {
                .pool = pool, .stranger = &stranger, .asleep = asleep};
            sp_task_init(&stranger.task, be_a_stranger, NULL);
            CHECK_EQ(sp_run(pool, &root.frame, join_in_isolation), 0);
            CHECK_EQ(wait_for_task(&stranger.task), SP_OK);
            CHECK_EQ(load_seq_cst(&stranger.ran), 1);
        }
        sp_pool_free(pool);
    }
}

/* ------------------------------------------------------------- cancellation */

struct cancelled {
    sp_task task;
    struct signal stolen;
};

static int run_until_cancelled(sp_worker *worker, sp_frame *frame)
{
    struct signal *self = (struct signal *)frame;
    self->worker = worker;
    store_seq_cst(&self->ran, 1);
    while (!sp_cancelled())
        sp__os_yield();
    return SP_ECANCELLED;
}

static int fork_the_endless(sp_worker *worker, sp_frame *frame)
{
    struct signal *stolen = (struct signal *)frame;
    sp_fork(worker, &stolen->frame, run_until_cancelled);
    await(&stolen->ran, 1);
    CHECK(stolen->worker != worker);
    return sp_join(worker, &stolen->frame);
}

static void run_cancelled(sp_task *task)
{
    struct cancelled *self = (struct cancelled *)task;
    CHECK_EQ(sp_run(NULL, &self->stolen.frame, fork_the_endless), SP_ECANCELLED);
}

static void a_stolen_frame_sees_that_its_task_is_cancelled(void)
{
    sp_pool *pool = new_pool(2);
    struct cancelled task = {0};
    sp_task_init(&task.task, run_cancelled, NULL);
    CHECK_EQ(sp_submit(pool, &task.task), SP_OK);
    await(&task.stolen.ran, 1);
    CHECK_EQ(sp_task_cancel(&task.task), SP_EBUSY);
    CHECK_EQ(wait_for_task(&task.task), SP_OK);
    sp_pool_free(pool);
}

/* ------------------------------------------- a task on top of another's frames */

struct below {
    sp_pool *pool;
    bool waits_for_group;
    _Atomic(uint32_t) first_runs, above_runs, last_runs, above_is_over;
    struct part {
        sp_frame frame;
        struct below *below;
    } parts[3];
    struct above {
        sp_task task;
        struct below *below;
    } above;
};

static int return_at_once(sp_worker *worker, sp_frame *frame)
{
    (void)worker, (void)frame;
    return 0;
}

static int run_first(sp_worker *worker, sp_frame *frame)
{
    struct below *below = ((struct part *)frame)->below;
    (void)worker;
    store_seq_cst(&below->first_runs, 1u);
    await(&below->above_runs, 1);
    return 0;
}

static int run_last(sp_worker *worker, sp_frame *frame)
{
    struct below *below = ((struct part *)frame)->below;
    (void)worker;
    store_seq_cst(&below->last_runs, 1u);
    await(&below->above_is_over, 1);
    CHECK(sp_current_token() == NULL, "of the task above");
    CHECK(!sp_cancelled(), "as the task above is");
    return 0;
}

/* The second frame is stolen, too, and so this one's forks show the third. */
static int fork_until_the_last_runs(sp_worker *worker, sp_frame *frame)
{
    struct below *below = ((struct part *)frame)->below;
    store_seq_cst(&below->above_runs, 1u);
    while (!load_seq_cst(&below->last_runs)) {
        sp_frame own;
        sp_fork(worker, &own, return_at_once);
        CHECK_EQ(sp_join(worker, &own), 0);
    }
    return 0;
}

static void run_above(sp_task *task)
{
    struct part root = {.below = ((struct above *)task)->below};
    CHECK_EQ(sp_run(NULL, &root.frame, fork_until_the_last_runs), 0);
}

static void wait_for_above(struct below *below)
{
    sp_token token;
    sp_group group;
    sp_task *task = &below->above.task;
    sp_token_init(&token, NULL);
    sp_group_init(&group);
    sp_group_set_token(&group, &token);
    below->above.below = below;
    sp_task_init(task, run_above, NULL);
    sp_group_add(&group, task);
    CHECK_EQ(sp_submit(below->pool, task), SP_OK);
    if (below->waits_for_group)
        wait_for_group(&group);
    CHECK_EQ(wait_for_task(task), SP_OK);
    sp_token_cancel(&token);
    store_seq_cst(&below->above_is_over, 1u);
    await(&below->last_runs, 1);
}

static int fork_below(sp_worker *worker, sp_frame *frame)
{
    struct below *below = ((struct part *)frame)->below;
    struct part *parts = below->parts;
    sp_fork(worker, &parts[0].frame, run_first);
    await(&below->first_runs, 1);
    sp_fork(worker, &parts[1].frame,
            return_at_once); /* shows itself; the next does not */
    sp_fork(worker, &parts[2].frame, run_last);
    wait_for_above(below);
    for (int i = 2; i >= 0; i--)
        CHECK_EQ(sp_join(worker, &parts[i].frame), 0);
    return 0;
}

static void frames_that_are_shown_under_a_task_are_not_that_tasks(void)
{
    for (long round = check_rounds(20); round > 0; round--) {
        struct below below = {.pool = new_pool(2), .waits_for_group = round % 2};
        struct part root = {.below = &below};
        for (int i = 0; i < 3; i++)
            below.parts[i].below = &below;
        CHECK_EQ(sp_run(below.pool, &root.frame, fork_below), 0);
        sp_pool_free(below.pool);
    }
}

int main(void)
{
    RUN(without_a_pool_forks_are_plain_calls);
    RUN(every_frame_runs_once);
    RUN(more_frames_than_can_be_stolen_run_once_each);
    RUN(a_root_s_error_and_words_reach_its_caller);
    RUN(a_root_inside_a_worker_is_a_call);
    RUN(a_closed_pool_refuses_roots);
    RUN(an_abandoned_root_is_cancelled);
    RUN(a_forked_frame_is_stolen_while_its_owner_is_busy);
    RUN(a_joining_worker_runs_only_what_it_waits_for);
    RUN(a_stolen_frame_sees_that_its_task_is_cancelled);
    RUN(frames_that_are_shown_under_a_task_are_not_that_tasks);
    return 0;
}
