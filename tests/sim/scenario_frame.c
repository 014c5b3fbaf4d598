/* Fork and join: a tree of calls on two or three workers, four slots each. */
#include "base/os.h"
#include "check.h"
#include "sim.h"
#include "stealpool.h"

static sp_pool *create(uint32_t workers)
{
    sp_pool *pool;
    sp_pool_options options = {.workers = workers, .keepalive_us = 1};
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    return pool;
}

struct node {
    sp_frame frame;
    uint32_t depth;
    uint32_t leaves; /* plain: what the frame found */
    int fails;       /* this node and all below it */
    uint32_t *holder;
};

static int visit(sp_worker *worker, sp_frame *frame)
{
    struct node *self = (struct node *)frame;
    self->leaves = 0;
    if (self->depth == 0) {
        self->leaves = 1;
        return self->fails ? sp_fail(self->fails, "leaf") : 0;
    }
    struct node one = {.depth = self->depth - 1, .fails = self->fails};
    struct node two = {.depth = self->depth - 1};
    sp_fork(worker, &one.frame, visit);
    int second = visit(worker, &two.frame);
    int first = sp_join(worker, &one.frame);
    self->leaves = one.leaves + two.leaves;
    return first ? first : second;
}

/* Use the stack again: nobody may touch any more what was there. */
static void scribble(void)
{
    char used[2048];
    memset(used, 0xee, sizeof used);
}

SCENARIO(each_frame_is_called_once, .share = 60)
{
    sp_pool *pool = create(2);
    struct node root = {.depth = 3};
    CHECK_EQ(sp_run(pool, &root.frame, visit), 0);
    scribble();
    CHECK_EQ(root.leaves, 8);
    sp_pool_free(pool);
}

SCENARIO(three_workers_share_a_tree, .share = 40)
{
    sp_pool *pool = create(3);
    struct node root = {.depth = 3};
    CHECK_EQ(sp_run(pool, &root.frame, visit), 0);
    scribble();
    CHECK_EQ(root.leaves, 8);
    sp_pool_free(pool);
}

/* An error and its words come to who joins, whoever had the frame. */
SCENARIO(a_frame_fails_with_its_words, .share = 20)
{
    sp_pool *pool = create(2);
    struct node root = {.depth = 2, .fails = 7};
    CHECK_EQ(sp_run(pool, &root.frame, visit), 7);
    const char *words = sp_take_failure();
    CHECK_STR_EQ(words, "leaf");
    sp_pool_free(pool);
}

/* Its words may be lost for want of memory, its code is not. */
SCENARIO(a_frame_fails_although_memory_does, .share = 20, .fails_memory = true)
{
    sp_pool *pool;
    sp_pool_options options = {.workers = 2, .keepalive_us = 1};
    if (sp_pool_create(&pool, &options) != SP_OK)
        return;
    struct node root = {.depth = 2, .fails = 7};
    CHECK_EQ(sp_run(pool, &root.frame, visit), 7);
    const char *words = sp_take_failure();
    CHECK(strcmp(words, "leaf") == 0 || *words == '\0', "%s", words);
    sp_pool_free(pool);
}

/* More forks than slots, joined the last first. */
#define MANY 6

static int fork_many(sp_worker *worker, sp_frame *frame)
{
    struct node *self = (struct node *)frame;
    struct node nodes[MANY];
    for (int i = 0; i < MANY; i++) {
        nodes[i] = (struct node){.depth = i == 0};
        sp_fork(worker, &nodes[i].frame, visit);
    }
    for (int i = MANY - 1; i >= 0; i--) {
        CHECK_EQ(sp_join(worker, &nodes[i].frame), 0);
        self->leaves += nodes[i].leaves;
    }
    return 0;
}

SCENARIO(more_forks_than_slots_are_plain_calls, .share = 40)
{
    sp_pool *pool = create(2);
    struct node root = {.depth = 0};
    CHECK_EQ(sp_run(pool, &root.frame, fork_many), 0);
    CHECK_EQ(root.leaves, MANY + 1);
    sp_pool_free(pool);
}

/* Two roots at once: a thread that waits in one never runs frames of the other. */
static __thread uint32_t inside; /* which root's frames are on this stack; 0: none */

static int visit_root(sp_worker *worker, sp_frame *frame)
{
    struct node *self = (struct node *)frame;
    uint32_t outer = inside;
    CHECK(outer == 0 || outer == *self->holder, "%u in %u", *self->holder, outer);
    inside = *self->holder;
    self->leaves = self->depth == 0;
    if (self->depth > 0) {
        struct node one = {.depth = self->depth - 1, .holder = self->holder};
        struct node two = {.depth = self->depth - 1, .holder = self->holder};
        sp_fork(worker, &one.frame, visit_root);
        visit_root(worker, &two.frame);
        sp_join(worker, &one.frame);
        self->leaves = one.leaves + two.leaves;
    }
    inside = outer;
    return 0;
}

static sp_pool *shared;

static void run_root(void *name)
{
    struct node root = {.depth = 2, .holder = name};
    CHECK_EQ(sp_run(shared, &root.frame, visit_root), 0);
    CHECK_EQ(root.leaves, 4);
}

SCENARIO(who_waits_runs_no_strangers, .share = 40)
{
    uint32_t names[] = {1, 2};
    shared = create(2);
    unsigned other = sim_spawn(run_root, &names[0]);
    run_root(&names[1]);
    sim_join(other);
    sp_pool_free(shared);
}

/* Frames, tasks and loops meet. */
static uint32_t seen[6];

static int mark(intptr_t begin, intptr_t end, void *user)
{
    (void)user;
    for (intptr_t i = begin; i < end; i++)
        seen[i]++;
    return 0;
}

static int loop(sp_worker *worker, sp_frame *frame)
{
    struct node one = {.depth = 1};
    (void)frame;
    sp_fork(worker, &one.frame, visit);
    CHECK_EQ(sp_parallel_for(shared, 0, 6, 1, mark, NULL), 0);
    CHECK_EQ(sp_join(worker, &one.frame), 0);
    CHECK_EQ(one.leaves, 2);
    return 0;
}

SCENARIO(a_frame_may_loop, .share = 20)
{
    struct node root = {.depth = 0};
    shared = create(2);
    CHECK_EQ(sp_run(shared, &root.frame, loop), 0);
    for (int i = 0; i < 6; i++)
        CHECK_EQ(seen[i], 1);
    sp_pool_free(shared);
}

/* A frame may wait for a task, if it says so: be it stolen, and its owner asleep for it,
 * with the task in his deque. */
static struct {
    sp_task task;
    _Atomic(uint32_t) has_run;
} awaited;

static void run_awaited(sp_task *task)
{
    (void)task;
    store_release(&awaited.has_run, 1u);
    sp__os_wake_all(&awaited.has_run);
}

static int await_task(sp_worker *worker, sp_frame *frame)
{
    (void)worker;
    (void)frame;
    sp_blocking_begin();
    while (load_acquire(&awaited.has_run) == 0)
        sp__os_wait(&awaited.has_run, 0, SP__OS_NO_DEADLINE);
    sp_blocking_end();
    return 0;
}

static int fork_and_submit(sp_worker *worker, sp_frame *frame)
{
    (void)frame;
    sp_frame blocked;
    sp_fork(worker, &blocked, await_task);
    CHECK_EQ(sp_submit(shared, &awaited.task), SP_OK);
    return sp_join(worker, &blocked);
}

SCENARIO(a_stolen_frame_may_block, .share = 30)
{
    sp_pool_options options = {.workers = 1 + sim_choose(2),
                               .keepalive_us = 1,
                               .max_workers = 2,
                               .max_blocked = 1};
    CHECK_EQ(sp_pool_create(&shared, &options), SP_OK);
    sp_task_init(&awaited.task, run_awaited, NULL);
    sp_frame root;
    CHECK_EQ(sp_run(shared, &root, fork_and_submit), 0);
    sp_pool_free(shared);
    CHECK_EQ(load_relaxed(&awaited.has_run), 1);
}

/* A pool that is closed or abandoned refuses a root, or runs it. */
static void abandon(void *unused)
{
    (void)unused;
    sp_pool_close(shared, SP_ABANDON);
}

SCENARIO(a_root_runs_whole_or_not_at_all, .share = 20)
{
    shared = create(2);
    struct node root = {.depth = 2};
    unsigned other = sim_spawn(abandon, NULL);
    int code = sp_run(shared, &root.frame, visit);
    scribble(); /* the root may have lain in a queue, cancelled */
    CHECK(code == 0 || code == SP_ECLOSED || code == SP_ECANCELLED);
    CHECK_EQ(root.leaves, code == 0 ? 4 : 0);
    sim_join(other);
    sp_pool_free(shared);
}
