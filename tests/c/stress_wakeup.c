/*
 * No wake-up is lost: whenever a task is queued and a worker sleeps, one wakes.
 *
 * A lost one shows as a program that hangs. All pools here park at once, or after
 * a very short search, so that each submit finds sleepers in every stage.
 */
#include "base/memory.h"
#include "check.h"
#include "stealpool.h"
#include "threads.h"

static sp_pool *new_pool(uint32_t workers, uint32_t keepalive_us)
{
    sp_pool *pool;
    sp_pool_options options = {.workers = workers, .keepalive_us = keepalive_us};
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    return pool;
}

/* 0: the default, which is not to search at all when there are more workers than
 * CPUs. */
static const uint32_t keepalives_us[] = {0, 1, 20};
#define KEEPALIVES (sizeof keepalives_us / sizeof *keepalives_us)

/* ----------------------------------------------------------------- ping-pong */

struct ping {
    sp_task task;
    _Atomic(uint32_t) *done;
};

static void pong(sp_task *task)
{
    fetch_add_seq_cst(((struct ping *)task)->done, 1u);
}

struct players {
    sp_pool *pool;
    long rounds;
};

/* Submits one task at a time; its worker falls asleep, or is about to. */
static void play(unsigned index, void *arg)
{
    struct players *players = arg;
    for (long i = 0; i < players->rounds; i++) {
        _Atomic(uint32_t) done = 0;
        struct ping ping = {.done = &done};
        sp_task_init(&ping.task, pong, NULL);
        sp_task_set_priority(&ping.task, SP_PRIORITY_HIGH - (int)(i % 3));
        CHECK_EQ(sp_submit(players->pool, &ping.task), SP_OK);
        /* Two ways to wait, of different speed. */
        if ((i + index) % 2)
            await(&done, 1);
        while (sp_task_wait(&ping.task, -1, 0) == SP_EINTR)
            ;
        CHECK_EQ(load_seq_cst(&done), 1);
    }
}

static void every_single_task_is_noticed(void)
{
    for (size_t k = 0; k < KEEPALIVES; k++)
        for (unsigned submitters = 1; submitters <= 3; submitters += 2) {
            sp_pool *pool = new_pool(1 + submitters, keepalives_us[k]);
            struct players players = {.pool = pool, .rounds = check_rounds(1500)};
            run_together(submitters, play, &players);
            sp_pool_free(pool);
        }
}

/* --------------------------------------------------------- work conservation */

#define WORKERS 4

struct wall {
    sp_task task;
    _Atomic(uint32_t) *arrived;
    uint32_t wanted;
};

/* Blocks its worker until all of them are there. */
static void arrive(sp_task *task)
{
    struct wall *wall = (struct wall *)task;
    meet(wall->arrived, wall->wanted);
}

struct crew {
    sp_pool *pool;
    unsigned submitters;
    struct wall walls[WORKERS];
    sp_task *tasks[WORKERS];
    _Atomic(uint32_t) arrived;
};

static void init_crew(struct crew *crew)
{
    store_seq_cst(&crew->arrived, 0u);
    for (int i = 0; i < WORKERS; i++) {
        crew->walls[i] = (struct wall){.arrived = &crew->arrived, .wanted = WORKERS};
        crew->tasks[i] = &crew->walls[i].task;
        sp_task_init(crew->tasks[i], arrive, NULL);
    }
}

static void wait_for_crew(struct crew *crew)
{
    for (int i = 0; i < WORKERS; i++)
        while (sp_task_wait(crew->tasks[i], -1, 0) == SP_EINTR)
            ;
}

static void submit_share(unsigned index, void *arg)
{
    struct crew *crew = arg;
    for (unsigned i = index; i < WORKERS; i += crew->submitters)
        CHECK_EQ(sp_submit(crew->pool, crew->tasks[i]), SP_OK);
}

static void k_blocking_tasks_run_on_k_workers_at_once(void)
{
    for (size_t k = 0; k < KEEPALIVES; k++) {
        struct crew crew = {.pool = new_pool(WORKERS, keepalives_us[k])};
        for (long round = 0; round < check_rounds(400); round++) {
            init_crew(&crew);
            crew.submitters = 1 + (unsigned)(round % 4);
            if (crew.submitters == 4)
                CHECK_EQ(sp_submit_many(crew.pool, crew.tasks, WORKERS), SP_OK);
            else if (crew.submitters == 1)
                submit_share(0, &crew);
            else
                run_together(crew.submitters, submit_share, &crew);
            wait_for_crew(&crew);
        }
        sp_pool_free(crew.pool);
    }
}

/* The same from inside: one task submits the others, then blocks as one of them. */
struct leader {
    struct wall wall;
    struct crew *crew;
};

static void lead(sp_task *task)
{
    struct crew *crew = ((struct leader *)task)->crew;
    for (int i = 1; i < WORKERS; i++)
        CHECK_EQ(sp_submit(crew->pool, crew->tasks[i]), SP_OK);
    arrive(task);
}

static void tasks_submitted_by_a_task_that_blocks_run(void)
{
    for (size_t k = 0; k < KEEPALIVES; k++) {
        struct crew crew = {.pool = new_pool(WORKERS, keepalives_us[k])};
        for (long round = 0; round < check_rounds(400); round++) {
            init_crew(&crew);
            struct leader leader = {.wall = crew.walls[0], .crew = &crew};
            sp_task_init(&leader.wall.task, lead, NULL);
            crew.tasks[0] = &leader.wall.task;
            CHECK_EQ(sp_submit(crew.pool, crew.tasks[0]), SP_OK);
            wait_for_crew(&crew);
        }
        sp_pool_free(crew.pool);
    }
}

/* And with a backlog: while one worker moves a batch from the injector into its
 * deque, the others find nothing and go to sleep. */
struct filler {
    sp_task task;
    _Atomic(uint32_t) *arrived;
};

static void pass(sp_task *task)
{
    fetch_add_relaxed(((struct filler *)task)->arrived, 1u);
}

#define FILLERS 24

static void a_backlog_is_shared(void)
{
    for (size_t k = 0; k < KEEPALIVES; k++) {
        struct crew crew = {.pool = new_pool(WORKERS, keepalives_us[k])};
        for (long round = 0; round < check_rounds(400); round++) {
            struct filler fillers[FILLERS];
            sp_task *tasks[FILLERS + WORKERS];
            _Atomic(uint32_t) passed = 0;
            init_crew(&crew);
            for (int i = 0; i < FILLERS; i++) {
                fillers[i] = (struct filler){.arrived = &passed};
                tasks[i] = &fillers[i].task;
                sp_task_init(tasks[i], pass, NULL);
            }
            memcpy(tasks + FILLERS, crew.tasks, sizeof crew.tasks);
            CHECK_EQ(sp_submit_many(crew.pool, tasks, FILLERS + WORKERS), SP_OK);
            for (int i = 0; i < FILLERS + WORKERS; i++)
                while (sp_task_wait(tasks[i], -1, 0) == SP_EINTR)
                    ;
            CHECK_EQ(load_seq_cst(&passed), FILLERS);
        }
        sp_pool_free(crew.pool);
    }
}

/* --------------------------------------------------------------------- bursts */

struct burst {
    sp_pool *pool;
    sp_group group;
    _Atomic(uint32_t) runs;
    uint64_t seed;
};

struct spark {
    sp_task task;
    struct burst *burst;
};

static void flash(sp_task *task)
{
    fetch_add_relaxed(&((struct spark *)task)->burst->runs, 1u);
}

static void free_spark(sp_task *task)
{
    sp__free(task);
}

#define SPARKS 500

static void submit_sparks(unsigned index, void *arg)
{
    struct burst *burst = arg;
    uint64_t random = burst->seed + index;
    for (int i = 0; i < SPARKS; i++) {
        struct spark *spark = sp__alloc(sizeof *spark);
        spark->burst = burst;
        sp_task_init(&spark->task, flash, free_spark);
        sp_group_add(&burst->group, &spark->task);
        CHECK_EQ(sp_submit(burst->pool, &spark->task), SP_OK);
        sp_task_unref(&spark->task);
        for (uint32_t n = sp__random_below(&random, 200); n > 0; n--)
            sp__os_pause();
    }
}

static uint64_t seed;

static void bursts_from_several_threads_run_to_the_end(void)
{
    for (long round = 0; round < check_rounds(20); round++) {
        struct burst burst = {.pool = new_pool(3, (uint32_t)round % 3)};
        sp_group_init(&burst.group);
        burst.seed = ++seed;
        run_together(3, submit_sparks, &burst);
        while (sp_group_wait(&burst.group, -1) == SP_EINTR)
            ;
        CHECK_EQ(load_seq_cst(&burst.runs), 3 * SPARKS);
        sp_pool_free(burst.pool);
    }
}

int main(void)
{
    seed = test_seed();
    RUN(every_single_task_is_noticed);
    RUN(k_blocking_tasks_run_on_k_workers_at_once);
    RUN(tasks_submitted_by_a_task_that_blocks_run);
    RUN(a_backlog_is_shared);
    RUN(bursts_from_several_threads_run_to_the_end);
    return 0;
}
