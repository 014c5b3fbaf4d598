/* sched/help.h: sp_group_wait() in a worker. */
#include "sched/help.h"

#include "base/random.h"
#include "check.h"
#include "sched/group.h"
#include "sched/pool.h"
#include "stealpool.h"
#include "threads.h"

static sp_pool *new_pool(uint32_t workers, uint32_t max_blocked)
{
    sp_pool_options options = {.workers = workers, .max_blocked = max_blocked};
    sp_pool *pool;
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    return pool;
}

static const uint32_t stand_ins[] = {SP_NEVER, 1, 0};

/* Spawn one task, and wait for it outside. */
static void run_as_task(sp_pool *pool, sp_spawn_fn run, void *arg)
{
    sp_group group;
    sp_group_init(&group);
    CHECK_EQ(sp_spawn(pool, &group, run, &arg, sizeof arg), SP_OK);
    wait_for_group(&group);
}

/* ------------------------------------------------------------- recursion */

struct fib {
    sp_pool *pool;
    long n;
    long *result;
};

static void fib(void *arg)
{
    struct fib self = *(struct fib *)arg;
    *self.result = self.n;
    if (self.n < 2)
        return;
    long results[2];
    sp_group group;
    sp_group_init(&group);
    for (int i = 0; i < 2; i++) {
        struct fib next = {self.pool, self.n - 1 - i, &results[i]};
        CHECK_EQ(sp_spawn(self.pool, &group, fib, &next, sizeof next), SP_OK);
    }
    wait_for_group(&group);
    *self.result = results[0] + results[1];
}

static void a_task_waits_for_those_it_spawned_to_any_depth(void)
{
    for (uint32_t workers = 1; workers <= 4; workers *= 2)
        for (int i = 0; i < 3; i++) {
            sp_pool *pool = new_pool(workers, stand_ins[i]);
            for (long round = check_rounds(3); round > 0; round--) {
                long result = 0;
                sp_group group;
                sp_group_init(&group);
                struct fib root = {pool, 15, &result};
                CHECK_EQ(sp_spawn(pool, &group, fib, &root, sizeof root), SP_OK);
                wait_for_group(&group);
                CHECK_EQ(result, 610);
            }
            sp_pool_free(pool);
        }
}

/* --------------------------------------------------- one worker, no others */

struct counts {
    sp_pool *pool;
    uint32_t children;
    uint32_t strangers;
    bool is_waiting;
    sp_token token;
    _Atomic(uint32_t) entered;
    _Atomic(uint32_t) opened;
};

static void count_child(void *arg)
{
    (*(struct counts **)arg)->children++;
}

/* Nobody else could run it, and its waiter must not. */
static void count_stranger(void *arg)
{
    struct counts *counts = *(struct counts **)arg;
    CHECK(!counts->is_waiting);
    counts->strangers++;
}

enum { MANY = 5000 };

static void spawn_children_among_strangers(void *arg)
{
    struct counts *counts = *(struct counts **)arg;
    sp_group group;
    sp_group_init(&group);
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(sp_spawn(counts->pool, i % 3 ? &group : NULL,
                          i % 3 ? count_child : count_stranger, arg, sizeof counts),
                 SP_OK);
        if (i == 0)
            counts->is_waiting = true; /* from here on, it holds a lock so to speak */
    }
    wait_for_group(&group);
    CHECK_EQ(counts->children, MANY - (MANY + 2) / 3);
    CHECK_EQ(counts->strangers, 0);
    counts->is_waiting = false;
}

/* In a full deque, in the injector, between those of the group and others. */
static void no_stranger_runs_on_a_stack_that_waits(void)
{
    for (long round = check_rounds(3); round > 0; round--) {
        struct counts counts = {.pool = new_pool(1, SP_NEVER)};
        run_as_task(counts.pool, spawn_children_among_strangers, &counts);
        sp_pool_stats stats;
        CHECK_EQ(sp_pool_shutdown(counts.pool, SP_DRAIN), SP_OK);
        CHECK_EQ(counts.strangers, (MANY + 2) / 3);
        sp_pool_get_stats(counts.pool, &stats);
        CHECK_EQ(stats.submitted, MANY + 1);
        CHECK_EQ(stats.executed, MANY + 1);
        sp_pool_free(counts.pool);
    }
}

struct handle {
    sp_task task;
    uint32_t runs;
};

static void count_task(sp_task *task)
{
    ((struct handle *)task)->runs++;
}

/* Of each priority: all but the normal one go to the injector. */
static void wait_for_submitted(void *arg)
{
    struct counts *counts = *(struct counts **)arg;
    struct handle handles[3] = {{.runs = 0}};
    sp_group group;
    sp_group_init(&group);
    for (int i = 0; i < 3; i++) {
        sp_task_init(&handles[i].task, count_task, NULL);
        sp_task_set_priority(&handles[i].task, (sp_priority)(i - 1));
        sp_group_add(&group, &handles[i].task);
        CHECK_EQ(sp_submit(counts->pool, &handles[i].task), SP_OK);
    }
    wait_for_group(&group);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(handles[i].runs, 1);
}

static void tasks_with_a_handle_are_run_of_any_priority(void)
{
    struct counts counts = {.pool = new_pool(1, SP_NEVER)};
    run_as_task(counts.pool, wait_for_submitted, &counts);
    sp_pool_free(counts.pool);
}

static void cancel_and_wait(void *arg)
{
    struct counts *counts = *(struct counts **)arg;
    sp_group group;
    sp_group_init(&group);
    sp_token_init(&counts->token, NULL);
    sp_group_set_token(&group, &counts->token);
    CHECK_EQ(sp_spawn(counts->pool, &group, count_child, arg, sizeof counts), SP_OK);
    wait_for_group(&group);
    CHECK_EQ(counts->children, 1);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(sp_spawn(counts->pool, &group, count_child, arg, sizeof counts),
                 SP_OK);
    sp_token_cancel(&counts->token);
    wait_for_group(&group);
    CHECK_EQ(counts->children, 1);
}

static void a_cancelled_group_is_over_without_running(void)
{
    struct counts counts = {.pool = new_pool(1, SP_NEVER)};
    run_as_task(counts.pool, cancel_and_wait, &counts);
    sp_pool_free(counts.pool);
}

static void wait_while_it_is_abandoned(void *arg)
{
    struct counts *counts = *(struct counts **)arg;
    sp_group group;
    sp_group_init(&group);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(sp_spawn(counts->pool, &group, count_child, arg, sizeof counts),
                 SP_OK);
    store_seq_cst(&counts->entered, 1);
    await(&counts->opened, 1);
    CHECK_EQ(sp_spawn(counts->pool, &group, count_child, arg, sizeof counts),
             SP_ECLOSED);
    wait_for_group(&group);
    CHECK_EQ(counts->children, 0);
}

static void abandoned_tasks_are_waited_for_no_longer(void)
{
    struct counts counts = {.pool = new_pool(1, SP_NEVER)};
    struct counts *arg = &counts;
    CHECK_EQ(sp_spawn(counts.pool, NULL, wait_while_it_is_abandoned, &arg, sizeof arg),
             SP_OK);
    await(&counts.entered, 1);
    sp_pool_close(counts.pool, SP_ABANDON);
    store_seq_cst(&counts.opened, 1);
    sp_pool_free(counts.pool);
}

static void wait_in_vain(void *arg)
{
    struct counts *counts = *(struct counts **)arg;
    sp_group group;
    sp_group_init(&group);
    CHECK_EQ(sp_group_wait(&group, -1), SP_OK);
    CHECK_EQ(sp_group_wait(&group, 0), SP_OK);
    CHECK_EQ(sp_spawn(counts->pool, &group, count_child, arg, sizeof counts), SP_OK);
    CHECK_EQ(sp_group_wait(&group, 0), SP_ETIMEDOUT);
    CHECK_EQ(counts->children, 0, "to look is not to run");
    sp__group_enter(&group, 1);
    sp_status status = sp_group_wait(&group, 1000000);
    CHECK(status == SP_ETIMEDOUT || status == SP_EINTR, "%d", status);
    while (sp_group_unfinished(&group) > 1)
        CHECK(sp_group_wait(&group, 1000000) != SP_OK);
    CHECK_EQ(counts->children, 1);
    sp__group_leave(&group, 1);
    CHECK_EQ(sp_group_wait(&group, 0), SP_OK);
}

static void a_worker_waits_no_longer_than_it_was_told(void)
{
    struct counts counts = {.pool = new_pool(1, 0)};
    run_as_task(counts.pool, wait_in_vain, &counts);
    sp_pool_free(counts.pool);
}

/* -------------------------------------------------------- nobody stands in */

struct others {
    sp_pool *pool;
    sp_pool *elsewhere;
    sp_group group;
    _Atomic(uint32_t) met;
    _Atomic(uint32_t) runs;
    _Atomic(uint32_t) is_over;
};

static void count_run(void *arg)
{
    fetch_add_seq_cst(&(*(struct others **)arg)->runs, 1u);
}

static void run_and_let_go(void *arg)
{
    count_run(arg);
    sp__group_leave(&(*(struct others **)arg)->group, 1);
}

static void come_last(void *arg)
{
    CHECK(load_seq_cst(&(*(struct others **)arg)->is_over));
}

static void wait_for_others(void *arg)
{
    struct others *others = *(struct others **)arg;
    fetch_add_seq_cst(&others->met, 1u);
    wait_for_group(&others->group);
    CHECK_EQ(load_seq_cst(&others->runs), 1);
    store_seq_cst(&others->is_over, 1);
}

static void new_others(struct others *others, uint32_t workers)
{
    *others = (struct others){.pool = new_pool(workers, SP_NEVER)};
    sp_group_init(&others->group);
}

/* The only worker sleeps; what comes from outside is the group's, or not. */
static void a_worker_that_sleeps_runs_what_comes_from_outside(void)
{
    for (long round = check_rounds(20); round > 0; round--) {
        struct others others;
        struct others *arg = &others;
        new_others(&others, 1);
        sp__group_enter(&others.group, 1);
        CHECK_EQ(sp_spawn(others.pool, NULL, wait_for_others, &arg, sizeof arg), SP_OK);
        while (round % 2 && !load_seq_cst(&others.pool->idle.is_stuck))
            sp__os_yield();
        for (int i = 0; i < 3; i++)
            CHECK_EQ(sp_spawn(others.pool, NULL, come_last, &arg, sizeof arg), SP_OK);
        CHECK_EQ(sp_spawn(others.pool, &others.group, run_and_let_go, &arg, sizeof arg),
                 SP_OK);
        await(&others.is_over, 1);
        sp_pool_free(others.pool);
    }
}

/* Has what the other one waits for in its deque, and blocks until that one is done. */
static void block_with_task_in_deque(void *arg)
{
    struct others *others = *(struct others **)arg;
    CHECK_EQ(sp_spawn(others->pool, &others->group, count_run, arg, sizeof others),
             SP_OK);
    meet(&others->met, 2);
    sp_blocking_begin();
    await(&others->is_over, 1);
    sp_blocking_end();
}

static void a_task_in_a_sleepers_deque_is_run_by_who_waits_for_it(void)
{
    for (long round = check_rounds(20); round > 0; round--) {
        struct others others;
        struct others *arg = &others;
        new_others(&others, 2);
        sp__group_enter(&others.group, 1);
        CHECK_EQ(
            sp_spawn(others.pool, NULL, block_with_task_in_deque, &arg, sizeof arg),
            SP_OK);
        CHECK_EQ(sp_spawn(others.pool, NULL, wait_for_others, &arg, sizeof arg), SP_OK);
        await(&others.met, 2);
        sp__group_leave(&others.group, 1);
        await(&others.is_over, 1);
        sp_pool_free(others.pool);
    }
}

static void wait_for_another_pool(void *arg)
{
    struct others *others = *(struct others **)arg;
    for (int i = 0; i < 100; i++)
        CHECK_EQ(
            sp_spawn(others->elsewhere, &others->group, count_run, arg, sizeof others),
            SP_OK);
    wait_for_group(&others->group);
    CHECK_EQ(load_seq_cst(&others->runs), 100);
}

enum { HIGH = 24, NORMAL = 200 };

struct rank {
    sp_pool *pool;
    sp_group high, first_waits_for;
    _Atomic(uint32_t) may_end, normal_runs, last_high_after;
    struct ranked {
        sp_task task;
        struct rank *rank;
    } waits, busy, of_high[HIGH], of_normal[NORMAL];
};

static void run_until_told(sp_task *task)
{
    await(&((struct ranked *)task)->rank->may_end, 1);
}

static void wait_for_high(sp_task *task)
{
    wait_for_group(&((struct ranked *)task)->rank->high);
}

static void run_high(sp_task *task)
{
    struct rank *rank = ((struct ranked *)task)->rank;
    if (task == &rank->of_high[0].task)
        wait_for_group(&rank->first_waits_for);
    else
        store_seq_cst(&rank->last_high_after, load_seq_cst(&rank->normal_runs));
}

static void run_normal(sp_task *task)
{
    fetch_add_seq_cst(&((struct ranked *)task)->rank->normal_runs, 1u);
}

static sp_task *make_ranked(struct rank *rank, struct ranked *ranked, sp_task_fn run,
                            sp_priority priority)
{
    ranked->rank = rank;
    sp_task_init(&ranked->task, run, NULL);
    sp_task_set_priority(&ranked->task, priority);
    return &ranked->task;
}

static void await_sleeper(sp_pool *pool)
{
    for (bool sleeps = false; !sleeps; sp__os_yield()) {
        sp__lock_take(&pool->staff.lock);
        sleeps = pool->staff.waiting > 0;
        sp__lock_give(&pool->staff.lock);
    }
}

/* Who waits has taken some of them, and lays open what he has before he sleeps. */
static void tasks_keep_their_priority_when_a_waiter_sleeps(void)
{
    static struct rank rank;
    sp_task *tasks[1 + HIGH + NORMAL];
    rank = (struct rank){.pool = new_pool(2, SP_NEVER)};
    sp_group_init(&rank.high);
    sp_group_init(&rank.first_waits_for);
    tasks[0] = make_ranked(&rank, &rank.busy, run_until_told, SP_PRIORITY_NORMAL);
    sp_group_add(&rank.first_waits_for, tasks[0]);
    CHECK_EQ(sp_submit(rank.pool, tasks[0]), SP_OK);
    while (sp_task_phase(&rank.busy.task) == SP_PENDING)
        sp__os_yield();

    tasks[0] = make_ranked(&rank, &rank.waits, wait_for_high, SP_PRIORITY_HIGH);
    for (int i = 0; i < HIGH; i++) {
        tasks[1 + i] = make_ranked(&rank, &rank.of_high[i], run_high, SP_PRIORITY_HIGH);
        sp_group_add(&rank.high, tasks[1 + i]);
    }
    for (int i = 0; i < NORMAL; i++)
        tasks[1 + HIGH + i] =
            make_ranked(&rank, &rank.of_normal[i], run_normal, SP_PRIORITY_NORMAL);
    CHECK_EQ(sp_submit_many(rank.pool, tasks, 1 + HIGH + NORMAL), SP_OK);
    await_sleeper(rank.pool);
    store_seq_cst(&rank.may_end, 1u);
    sp_pool_free(rank.pool);
    CHECK_EQ(load_seq_cst(&rank.normal_runs), NORMAL);
    CHECK(load_seq_cst(&rank.last_high_after) < NORMAL / 2, "after %u normal ones",
          load_seq_cst(&rank.last_high_after));
}

struct shy {
    sp_pool *pool;
    _Atomic(uint32_t) child_runs;
};

static void end_when_it_sleeps(void *arg)
{
    struct shy *shy = *(struct shy **)arg;
    store_seq_cst(&shy->child_runs, 1u);
    await_sleeper(shy->pool);
}

static void block_and_wait(void *arg)
{
    struct shy *shy = *(struct shy **)arg;
    sp_group group;
    sp_group_init(&group);
    CHECK_EQ(sp_spawn(shy->pool, &group, end_when_it_sleeps, &shy, sizeof shy), SP_OK);
    await(&shy->child_runs, 1);
    sp_blocking_begin();
    wait_for_group(&group);
    sp_blocking_end();
}

static void who_has_said_that_he_blocks_may_wait(void)
{
    for (int i = 0; i < 3; i++) {
        struct shy shy = {.pool = new_pool(2, stand_ins[i])};
        run_as_task(shy.pool, block_and_wait, &shy);
        CHECK_EQ(shy.pool->staff.blocked, 0);
        CHECK_EQ(shy.pool->staff.asleep, 0);
        sp_pool_free(shy.pool);
    }
}

struct ring {
    sp_pool *pool;
    const struct sp__worker *owner;
    sp_group group;
    _Atomic(uint32_t) is_joined, is_spawned;
};

static void do_nothing(void *arg)
{
    (void)arg;
}

static int run_piece(intptr_t begin, intptr_t end, void *arg)
{
    struct ring *ring = arg;
    (void)begin, (void)end;
    if (sp__worker_current() == ring->owner) {
        await(&ring->is_joined, 1);
        if (!load_seq_cst(&ring->is_spawned)) {
            CHECK_EQ(sp_spawn(ring->pool, &ring->group, do_nothing, NULL, 0), SP_OK);
            store_seq_cst(&ring->is_spawned, 1u);
        }
    } else if (fetch_or_seq_cst(&ring->is_joined, 1u) == 0) {
        await(&ring->is_spawned, 1);
        wait_for_group(&ring->group);
    }
    return 0;
}

static void own_a_loop(void *arg)
{
    struct ring *ring = *(struct ring **)arg;
    sp_loop_options in_two = {.schedule = SP_STATIC};
    ring->owner = sp__worker_current();
    CHECK_EQ(sp_parallel_for_with(ring->pool, 0, 2, &in_two, run_piece, ring), SP_OK);
}

/* He sleeps until all have left the loop, and one of them waits for what he spawned. */
static void a_task_in_the_deque_of_a_loops_owner_is_run(void)
{
    for (long round = check_rounds(20); round > 0; round--) {
        struct ring ring = {.pool = new_pool(2, SP_NEVER)};
        sp_group_init(&ring.group);
        run_as_task(ring.pool, own_a_loop, &ring);
        sp_pool_free(ring.pool);
    }
}

static void a_worker_waits_for_another_pools_tasks(void)
{
    struct others others;
    new_others(&others, 1);
    others.elsewhere = new_pool(1, SP_NEVER);
    run_as_task(others.pool, wait_for_another_pool, &others);
    sp_pool_free(others.elsewhere);
    sp_pool_free(others.pool);
}

/* ------------------------------------------------------- all that nests */

struct wood {
    sp_pool *pool;
    sp_group rest; /* that nobody waits for in a task */
    _Atomic(uint32_t) made;
    _Atomic(uint32_t) runs;
};

struct tree {
    struct wood *wood;
    sp_group *group; /* that it belongs to */
    uint64_t seed;
    int depth;
};

struct branch {
    sp_frame frame;
    struct tree tree;
};

/* What this thread waits for, and so may run on top: not NULL within a wait alone. */
static _Thread_local sp_group *waits_for;

static void live(const struct tree *tree);

static void grow(void *arg)
{
    struct tree tree = *(struct tree *)arg;
    sp_group *waited_for = waits_for;
    CHECK(!waited_for || waited_for == tree.group, "a stranger");
    waits_for = NULL;
    fetch_add_relaxed(&tree.wood->runs, 1u);
    live(&tree);
    waits_for = waited_for;
}

static void plant(const struct tree *tree, sp_group *group, int i)
{
    struct tree child = *tree;
    child.group = group;
    child.seed = (child.seed + (uint64_t)i + 1) * 0x9e3779b97f4a7c15u | 1;
    child.depth--;
    fetch_add_relaxed(&tree->wood->made, 1u);
    CHECK_EQ(sp_spawn(tree->wood->pool, group, grow, &child, sizeof child), SP_OK);
}

static void plant_and_wait(const struct tree *tree, uint32_t n, bool has_strangers)
{
    sp_group group;
    sp_group_init(&group);
    for (uint32_t i = 0; i < n; i++) {
        plant(tree, &group, (int)i);
        if (has_strangers)
            plant(tree, i % 2 ? &tree->wood->rest : tree->group, 100 + (int)i);
    }
    waits_for = &group;
    wait_for_group(&group);
    waits_for = NULL;
    CHECK_EQ(sp_group_unfinished(&group), 0);
    memset(&group, 0xee, sizeof group);
}

static int live_in_frame(sp_worker *worker, sp_frame *frame)
{
    struct branch *branch = (struct branch *)frame;
    (void)worker;
    live(&branch->tree);
    return 0;
}

static int fork_branches(sp_worker *worker, sp_frame *frame)
{
    struct branch *branch = (struct branch *)frame;
    struct branch parts[3];
    for (int i = 0; i < 3; i++) {
        parts[i].tree = branch->tree;
        parts[i].tree.seed += (uint64_t)i * 2;
        parts[i].tree.depth--;
        if (i < 2)
            sp_fork(worker, &parts[i].frame, live_in_frame);
    }
    live(&parts[2].tree);
    sp_join(worker, &parts[1].frame);
    sp_join(worker, &parts[0].frame);
    return 0;
}

static int live_in_loop(intptr_t begin, intptr_t end, void *user)
{
    for (intptr_t i = begin; i < end; i++) {
        struct tree part = *(const struct tree *)user;
        part.seed += (uint64_t)i * 2;
        part.depth--;
        live(&part);
    }
    return 0;
}

static void live(const struct tree *tree)
{
    struct tree self = *tree;
    struct branch branch;
    if (self.depth <= 0)
        return;
    switch (sp__random_below(&self.seed, 8)) {
    case 0:
        break;
    case 1:
        branch.tree = self;
        CHECK_EQ(sp_run(self.wood->pool, &branch.frame, fork_branches), 0);
        break;
    case 2:
        CHECK_EQ(sp_parallel_for(self.wood->pool, 0, 4, 1, live_in_loop, &self), 0);
        break;
    case 3:
        plant(&self, self.group, 0);
        break;
    default:
        plant_and_wait(&self, 1 + sp__random_below(&self.seed, 4),
                       sp__random_below(&self.seed, 3) == 0);
    }
}

static void tasks_frames_and_loops_nest_and_none_is_a_stranger(void)
{
    uint64_t seed = test_seed();
    for (long round = check_rounds(30); round > 0; round--) {
        uint32_t workers = 1 + sp__random_below(&seed, 4);
        struct wood wood = {.pool = new_pool(workers, stand_ins[round % 3])};
        sp_group group;
        sp_group_init(&group);
        sp_group_init(&wood.rest);
        struct tree root = {&wood, &group, sp__random_next(&seed) | 1, 6};
        for (int i = 0; i < 4; i++)
            plant(&root, &group, i);
        wait_for_group(&group);
        wait_for_group(&wood.rest);
        sp_pool_free(wood.pool);
        CHECK_EQ(load_relaxed(&wood.runs), load_relaxed(&wood.made));
    }
}

int main(void)
{
    RUN(a_task_waits_for_those_it_spawned_to_any_depth);
    RUN(no_stranger_runs_on_a_stack_that_waits);
    RUN(tasks_with_a_handle_are_run_of_any_priority);
    RUN(a_cancelled_group_is_over_without_running);
    RUN(abandoned_tasks_are_waited_for_no_longer);
    RUN(a_worker_waits_no_longer_than_it_was_told);
    RUN(a_worker_that_sleeps_runs_what_comes_from_outside);
    RUN(a_task_in_a_sleepers_deque_is_run_by_who_waits_for_it);
    RUN(tasks_keep_their_priority_when_a_waiter_sleeps);
    RUN(who_has_said_that_he_blocks_may_wait);
    RUN(a_task_in_the_deque_of_a_loops_owner_is_run);
    RUN(a_worker_waits_for_another_pools_tasks);
    RUN(tasks_frames_and_loops_nest_and_none_is_a_stranger);
    return 0;
}
