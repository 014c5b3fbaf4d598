/*
 * Shutdown against everything: an accepted task ends exactly once, a refused one
 * never runs, and after shutdown nothing happens any more.
 */
#include "base/memory.h"
#include "check.h"
#include "stealpool.h"
#include "threads.h"

#define SUBMITTERS 3
#define TASKS 200

enum fate { NOT_SUBMITTED, ACCEPTED, REFUSED };

struct item {
    sp_task task;
    struct scene *scene;
    struct item *child; /* submitted by the running task */
    enum fate fate;
    _Atomic(uint32_t) runs;
    _Atomic(uint32_t) releases;
};

struct scene {
    sp_pool *pool;
    sp_shutdown_mode mode;
    uint64_t seed;
    sp_group group;
    _Atomic(uint32_t) after_shutdown;
    struct item items[SUBMITTERS][TASKS];
    struct item children[SUBMITTERS][TASKS];
};

static void release(sp_task *task)
{
    fetch_add_seq_cst(&((struct item *)task)->releases, 1u);
}

static void submit(struct item *item)
{
    item->fate =
        sp_submit(item->scene->pool, &item->task) == SP_OK ? ACCEPTED : REFUSED;
}

static void run(sp_task *task)
{
    struct item *item = (struct item *)task;
    CHECK_EQ(load_seq_cst(&item->scene->after_shutdown), 0);
    fetch_add_seq_cst(&item->runs, 1u);
    if (item->child)
        submit(item->child);
}

static void pause_a_while(uint64_t *random, uint32_t most)
{
    for (uint32_t n = sp__random_below(random, most); n > 0; n--)
        sp__os_pause();
}

static void submit_all(struct scene *scene, unsigned index)
{
    uint64_t random = scene->seed + index;
    sp_task *batch[8];
    for (int i = 0; i < TASKS;) {
        int n = 1 + (int)sp__random_below(&random, 8);
        n = n < TASKS - i ? n : TASKS - i;
        for (int k = 0; k < n; k++)
            batch[k] = &scene->items[index][i + k].task;
        sp_status status = sp_submit_many(scene->pool, batch, (size_t)n);
        CHECK(status == SP_OK || status == SP_ECLOSED, "%d", status);
        for (int k = 0; k < n; k++)
            scene->items[index][i + k].fate = status == SP_OK ? ACCEPTED : REFUSED;
        i += n;
        pause_a_while(&random, 200);
    }
}

static void act(unsigned index, void *arg)
{
    struct scene *scene = arg;
    uint64_t random = scene->seed * 31 + index;
    if (index < SUBMITTERS) {
        submit_all(scene, index);
        return;
    }
    pause_a_while(&random, 20000);
    if (index % 2)
        sp_pool_close(scene->pool, scene->mode);
    CHECK_EQ(sp_pool_shutdown(scene->pool, scene->mode), SP_OK);
    store_seq_cst(&scene->after_shutdown, 1u);
}

static void init_item(struct scene *scene, struct item *item, struct item *child)
{
    item->scene = scene;
    item->child = child;
    sp_task_init(&item->task, run, release);
    uint64_t random = (uint64_t)(uintptr_t)item ^ scene->seed;
    sp_task_set_priority(&item->task,
                         (sp_priority)((int)sp__random_below(&random, 3) - 1));
    sp_group_add(&scene->group, &item->task);
}

static void check_item(struct item *item, const char *what)
{
    sp_phase phase = sp_task_phase(&item->task);
    uint32_t runs = load_seq_cst(&item->runs);
    uint64_t seed = item->scene->seed;
    switch (item->fate) {
    case ACCEPTED:
        CHECK(phase >= SP_DONE, "%s, seed %ju", what, (uintmax_t)seed);
        CHECK_EQ(runs, phase == SP_DONE, "%s, seed %ju", what, (uintmax_t)seed);
        if (item->scene->mode == SP_DRAIN)
            CHECK_EQ(phase, SP_DONE, "%s, seed %ju", what, (uintmax_t)seed);
        break;
    case REFUSED:
    case NOT_SUBMITTED:
        CHECK_EQ(phase, SP_PENDING, "%s, seed %ju", what, (uintmax_t)seed);
        CHECK_EQ(runs, 0, "%s, seed %ju", what, (uintmax_t)seed);
    }
    CHECK_EQ(load_seq_cst(&item->releases), 0);
    sp_task_unref(&item->task);
    CHECK_EQ(load_seq_cst(&item->releases), 1, "%s, seed %ju", what, (uintmax_t)seed);
}

static uint64_t seed;

static void play(uint32_t workers, sp_shutdown_mode mode, unsigned closers)
{
    struct scene *scene = sp__alloc(sizeof *scene);
    sp_pool_options options = {.workers = workers};
    CHECK_EQ(sp_pool_create(&scene->pool, &options), SP_OK);
    scene->mode = mode;
    scene->seed = ++seed;
    sp_group_init(&scene->group);
    uint32_t unsubmitted = 0;
    for (int s = 0; s < SUBMITTERS; s++)
        for (int i = 0; i < TASKS; i++) {
            struct item *child = i % 3 ? NULL : &scene->children[s][i];
            init_item(scene, &scene->items[s][i], child);
            if (child)
                init_item(scene, child, NULL);
        }
    run_together(SUBMITTERS + closers, act, scene);
    for (int s = 0; s < SUBMITTERS; s++)
        for (int i = 0; i < TASKS; i++) {
            check_item(&scene->items[s][i], "task");
            if (i % 3 == 0) {
                unsubmitted += scene->children[s][i].fate == NOT_SUBMITTED;
                check_item(&scene->children[s][i], "child");
            }
        }
    /* Who was accepted or refused was counted out, and nobody else. */
    CHECK_EQ(sp_group_unfinished(&scene->group), unsubmitted);
    sp_pool_free(scene->pool);
    sp__free(scene);
}

static void accepted_tasks_end_once_and_refused_ones_never_run(void)
{
    for (long round = 0; round < check_rounds(60); round++)
        play(1 + (uint32_t)round % 3, round % 2 ? SP_DRAIN : SP_ABANDON,
             1 + (unsigned)(round / 2 % 3));
}

/* Workers at all stages of falling asleep, or of their first search. */
static void an_idle_pool_ends(void)
{
    uint64_t random = ++seed;
    for (long round = 0; round < check_rounds(300); round++) {
        sp_pool *pool;
        sp_pool_options options = {.workers = 1 + (uint32_t)round % 4,
                                   .keepalive_us = (uint32_t)round % 3};
        CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
        pause_a_while(&random, 5000);
        sp_pool_free(pool);
    }
}

/* ---------------------------------------------- work conservation to the end */

#define WORKERS 3

struct wall {
    sp_task task;
    _Atomic(uint32_t) *arrived;
};

static void arrive(sp_task *task)
{
    meet(((struct wall *)task)->arrived, WORKERS);
}

static void tasks_that_need_each_other_run_even_while_draining(void)
{
    uint64_t random = ++seed;
    for (long round = 0; round < check_rounds(300); round++) {
        _Atomic(uint32_t) arrived = 0;
        struct wall walls[WORKERS];
        sp_task *tasks[WORKERS];
        sp_pool *pool;
        sp_pool_options options = {.workers = WORKERS};
        CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
        for (int i = 0; i < WORKERS; i++) {
            walls[i].arrived = &arrived;
            tasks[i] = &walls[i].task;
            sp_task_init(tasks[i], arrive, NULL);
        }
        if (round % 2)
            pause_a_while(&random, 5000);
        CHECK_EQ(sp_submit_many(pool, tasks, WORKERS), SP_OK);
        if (round % 3)
            pause_a_while(&random, 2000);
        CHECK_EQ(sp_pool_shutdown(pool, SP_DRAIN), SP_OK);
        CHECK_EQ(load_seq_cst(&arrived), WORKERS);
        sp_pool_free(pool);
    }
}

int main(void)
{
    seed = test_seed();
    RUN(an_idle_pool_ends);
    RUN(accepted_tasks_end_once_and_refused_ones_never_run);
    RUN(tasks_that_need_each_other_run_even_while_draining);
    return 0;
}
