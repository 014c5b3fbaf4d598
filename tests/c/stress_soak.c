/*
 * Every task runs exactly once, however many there are, and whatever the machine is
 * like: workers in plenty, a single CPU, workers that never run dry.
 *
 * A round is short; STRESS=1000 makes it a soak. At the end the program says how many
 * tasks and frames it has seen, each of which was counted.
 */
#define _GNU_SOURCE
#ifdef __linux__
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#include "base/memory.h"
#include "check.h"
#include "stealpool.h"
#include "threads.h"

static uint64_t tasks_seen;
static uint64_t frames_seen;

static sp_pool *new_pool(uint32_t workers)
{
    sp_pool *pool;
    sp_pool_options options = {.workers = workers};
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    return pool;
}

/* -------------------------------------------------------------- exactly once */

#define BATCH 4096
#define CHILDREN 3 /* that every fourth task submits from inside */

struct mote {
    sp_task task;
    sp_pool *pool;
    struct mote *children; /* CHILDREN of them; NULL = none */
    _Atomic(uint32_t) runs;
};

static void settle(sp_task *task)
{
    struct mote *mote = (struct mote *)task;
    fetch_add_relaxed(&mote->runs, 1u);
    for (int i = 0; mote->children && i < CHILDREN; i++)
        CHECK_EQ(sp_submit(mote->pool, &mote->children[i].task), SP_OK);
}

struct storm {
    sp_pool *pool;
    long rounds;
    _Atomic(uint64_t) seen;
};

static void wait_for_all(sp_group *group)
{
    while (sp_group_wait(group, -1) != SP_OK)
        ;
}

/* Memory is used again and again: a task that ran twice, or late, would be counted in
 * the next round. */
static void submit_storm(unsigned index, void *arg)
{
    struct storm *storm = arg;
    struct mote *motes = sp__alloc(BATCH * sizeof *motes);
    sp_task **tasks = sp__alloc(BATCH * sizeof *tasks);
    CHECK(motes && tasks);
    sp_group group;
    for (long round = 0; round < storm->rounds; round++) {
        int n = 0;
        sp_group_init(&group);
        for (int i = 0; i < BATCH; i++) {
            bool is_child = i % 4 != 0;
            struct mote *mote = &motes[i];
            store_relaxed(&mote->runs, 0u);
            sp_task_init(&mote->task, settle, NULL);
            mote->pool = storm->pool;
            mote->children = is_child ? NULL : &motes[i + 1];
            sp_group_add(&group, &mote->task);
            if (!is_child)
                tasks[n++] = &mote->task;
        }
        if ((round + index) % 2)
            CHECK_EQ(sp_submit_many(storm->pool, tasks, (size_t)n), SP_OK);
        else
            for (int i = 0; i < n; i++)
                CHECK_EQ(sp_submit(storm->pool, tasks[i]), SP_OK);
        wait_for_all(&group);
        for (int i = 0; i < BATCH; i++)
            CHECK_EQ(load_relaxed(&motes[i].runs), 1, "task %d of round %ld", i, round);
    }
    fetch_add_seq_cst(&storm->seen, (uint64_t)storm->rounds * BATCH);
    sp__free(tasks);
    sp__free(motes);
}

static void storm(uint32_t workers, unsigned submitters, long rounds)
{
    struct storm storm = {.pool = new_pool(workers), .rounds = rounds};
    run_together(submitters, submit_storm, &storm);
    sp_pool_free(storm.pool);
    tasks_seen += load_seq_cst(&storm.seen);
}

static void every_task_runs_exactly_once(void)
{
    storm(sp_usable_cpus(), 2, check_rounds(20));
}

static void eight_workers_for_each_cpu(void)
{
    uint32_t workers = 8 * sp_usable_cpus();
    storm(workers < 256 ? workers : 256, 2, check_rounds(4));
}

/* -------------------------------------------------------------------- frames */

struct tree {
    sp_frame frame;
    uint32_t depth;
    uint64_t leaves;
};

static int count_leaves(sp_worker *worker, sp_frame *frame)
{
    struct tree *self = (struct tree *)frame;
    if (self->depth == 0) {
        self->leaves++;
        return 0;
    }
    struct tree one = {.depth = self->depth - 1};
    struct tree two = {.depth = self->depth - 1};
    sp_fork(worker, &one.frame, count_leaves);
    count_leaves(worker, &two.frame);
    sp_join(worker, &one.frame);
    self->leaves += one.leaves + two.leaves; /* adds: a second call counts */
    return 0;
}

#define DEPTH 16 /* a frame lost, or called twice, changes the number of leaves */

static void every_frame_is_called_exactly_once(void)
{
    sp_pool *pool = new_pool(sp_usable_cpus());
    for (long round = 0; round < check_rounds(20); round++) {
        struct tree root = {.depth = DEPTH};
        CHECK_EQ(sp_run(pool, &root.frame, count_leaves), 0);
        CHECK_EQ(root.leaves, 1 << DEPTH, "round %ld", round);
        frames_seen += (1 << DEPTH) - 1; /* forked */
    }
    sp_pool_free(pool);
}

/* ---------------------------------------------------------------- starvation */

/* Runs again and again, so that its worker's deque is never empty. */
struct treadmill {
    sp_task task;
    sp_pool *pool;
    _Atomic(uint32_t) *is_over;
    struct treadmill *next; /* of two that take turns, as a task is submitted once */
    _Atomic(uint32_t) laps;
};

static void walk(sp_task *task)
{
    struct treadmill *mill = (struct treadmill *)task;
    struct treadmill *next = mill->next;
    fetch_add_relaxed(&mill->laps, 1u);
    if (load_acquire(mill->is_over))
        return;
    while (sp_task_phase(&next->task) == SP_RUNNING)
        sp__os_yield(); /* it is just about to end */
    sp_task_init(&next->task, walk, NULL);
    sp_status status = sp_submit(mill->pool, &next->task);
    CHECK(status == SP_OK || (status == SP_ECLOSED && load_acquire(mill->is_over)));
}

static void nop(sp_task *task)
{
    (void)task;
}

static void outside_submitters_are_not_starved(void)
{
    enum { WORKERS = 2, MILLS = 4 };
    sp_pool *pool = new_pool(WORKERS);
    struct treadmill mills[MILLS][2];
    _Atomic(uint32_t) is_over = 0;
    for (int i = 0; i < MILLS; i++)
        for (int j = 0; j < 2; j++) {
            mills[i][j] = (struct treadmill){
                .pool = pool, .is_over = &is_over, .next = &mills[i][1 - j]};
            sp_task_init(&mills[i][j].task, walk, NULL);
        }
    for (int i = 0; i < MILLS; i++)
        CHECK_EQ(sp_submit(pool, &mills[i][0].task), SP_OK);
    for (long i = 0; i < check_rounds(200); i++) {
        sp_task task;
        sp_task_init(&task, nop, NULL);
        if (i % 2)
            sp_task_set_priority(&task, SP_PRIORITY_LOW);
        CHECK_EQ(sp_submit(pool, &task), SP_OK);
        while (sp_task_wait(&task, -1, 0) != SP_OK)
            ; /* for ever, if it starves */
    }
    store_release(&is_over, 1u);
    sp_pool_free(pool);
}

/* ------------------------------------------------------------------ one CPU */

/* In a process of its own, whose threads share one CPU: nobody may wait for another
 * by burning it. */
static void all_that_works_on_one_cpu(void)
{
#ifdef __linux__
    pid_t child = fork();
    if (child == 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)sched_getcpu(), &set);
        CHECK_EQ(sched_setaffinity(0, sizeof set, &set), 0);
        CHECK_EQ(sp_usable_cpus(), 1);
        storm(1, 2, check_rounds(2));
        storm(4, 2, check_rounds(2));
        outside_submitters_are_not_starved();
        fflush(stdout);
        leave_child(0);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
    tasks_seen += (2 + 2) * BATCH * (uint64_t)check_rounds(2);
#endif
}

int main(void)
{
    RUN(all_that_works_on_one_cpu);
    RUN(every_task_runs_exactly_once);
    RUN(eight_workers_for_each_cpu);
    RUN(every_frame_is_called_exactly_once);
    RUN(outside_submitters_are_not_starved);
    printf("%" PRIu64 " tasks and %" PRIu64 " frames, each of them once\n", tasks_seen,
           frames_seen);
    return 0;
}
