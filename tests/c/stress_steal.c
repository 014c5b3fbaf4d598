/*
 * Every task that was pushed is taken exactly once, by the owner or by a thief.
 *
 * The race that matters is for the last task, so the deque is kept nearly empty.
 * planted.py has errors in the deque that this test must find.
 */
#include "base/memory.h"
#include "check.h"
#include "sched/deque.h"
#include "stealpool.h"
#include "threads.h"

#define THIEVES 2
#define TASKS 2000

struct item {
    sp_task task;
    _Atomic(uint32_t) taken;
};

struct race {
    struct sp__deque *deque;
    struct item items[TASKS];
    uint64_t seed;
    uint32_t burst; /* the owner pushes at most so many before it pops */
    _Atomic(uint32_t) is_over;
    uint32_t popped;
    _Atomic(uint32_t) stolen;
};

static void take(sp_task *task)
{
    fetch_add_relaxed(&((struct item *)task)->taken, 1u);
}

static void push_and_pop(struct race *race)
{
    uint64_t random = race->seed;
    uint32_t pushed = 0;
    while (pushed < TASKS) {
        uint32_t n = 1 + sp__random_below(&random, race->burst);
        for (; n > 0 && pushed < TASKS; n--)
            pushed += sp__deque_push(race->deque, &race->items[pushed].task);
        for (n = sp__random_below(&random, race->burst + 1); n > 0; n--) {
            sp_task *task = sp__deque_pop(race->deque);
            if (!task)
                break;
            take(task);
            race->popped++;
        }
    }
    for (sp_task *task; (task = sp__deque_pop(race->deque)) != NULL; race->popped++)
        take(task);
    store_seq_cst(&race->is_over, 1u);
}

static void steal_all(struct race *race)
{
    uint32_t stolen = 0;
    while (!load_seq_cst(&race->is_over)) {
        sp_task *task;
        if (sp__deque_steal(race->deque, &task) == SP__STEAL_TAKEN) {
            take(task);
            stolen++;
        }
    }
    fetch_add_relaxed(&race->stolen, stolen);
}

static void own_or_steal(unsigned index, void *arg)
{
    if (index == 0)
        push_and_pop(arg);
    else
        steal_all(arg);
}

static uint64_t seed;

static void each_task_goes_to_exactly_one_of_owner_and_thieves(void)
{
    for (long round = check_rounds(60); round > 0; round--) {
        struct race *race = sp__alloc(sizeof *race);
        race->deque = sp__alloc(sizeof *race->deque);
        race->seed = seed += 2;
        race->burst = 1 + (uint32_t)(round % 6);
        sp__deque_init(race->deque, (int64_t)round * 1000 - 3000);
        run_together(1 + THIEVES, own_or_steal, race);
        CHECK(sp__deque_is_empty(race->deque));
        for (int i = 0; i < TASKS; i++)
            CHECK_EQ(load_relaxed(&race->items[i].taken), 1, "task %d, seed %ju", i,
                     (uintmax_t)race->seed);
        CHECK_EQ(race->popped + load_relaxed(&race->stolen), TASKS);
        sp__free(race->deque);
        sp__free(race);
    }
}

/* One task, and all go for it at once. */
struct duel {
    struct sp__deque *deque;
    _Atomic(uint32_t) round;
    _Atomic(uint32_t) ready;
    _Atomic(uint32_t) winners;
    long rounds;
};

static void go_for_it(unsigned index, void *arg)
{
    struct duel *duel = arg;
    for (uint32_t i = 1; i <= (uint32_t)duel->rounds; i++) {
        sp_task *task = NULL;
        if (index == 0) {
            static sp_task only;
            CHECK(sp__deque_push(duel->deque, &only));
            store_seq_cst(&duel->round, i);
            task = sp__deque_pop(duel->deque);
        } else {
            await(&duel->round, i);
            while (sp__deque_steal(duel->deque, &task) == SP__STEAL_LOST)
                ;
        }
        if (task)
            fetch_add_seq_cst(&duel->winners, 1u);
        meet(&duel->ready, i * (1 + THIEVES));
        CHECK(load_seq_cst(&duel->winners) >= i, "nobody got it in round %u", i);
    }
}

static void the_last_task_has_one_winner(void)
{
    struct duel duel = {.deque = sp__alloc(sizeof *duel.deque)};
    duel.rounds = check_rounds(2000);
    sp__deque_init(duel.deque, 0);
    run_together(1 + THIEVES, go_for_it, &duel);
    CHECK_EQ(load_seq_cst(&duel.winners), duel.rounds);
    sp__free(duel.deque);
}

/* The same in a pool: a tree of tasks, each of which submits two. */
struct node {
    sp_task task;
    struct tree *tree;
    unsigned depth;
};

struct tree {
    sp_pool *pool;
    bool has_priorities; /* else all are normal */
    sp_group group;
    _Atomic(uint32_t) runs;
};

static void free_node(sp_task *task)
{
    sp__free(task);
}

static void grow(struct tree *tree, unsigned depth);

static void branch(sp_task *task)
{
    struct node *node = (struct node *)task;
    fetch_add_relaxed(&node->tree->runs, 1u);
    for (int i = 0; i < 2 && node->depth > 0; i++)
        grow(node->tree, node->depth - 1);
}

static void grow(struct tree *tree, unsigned depth)
{
    struct node *node = sp__alloc(sizeof *node);
    node->tree = tree;
    node->depth = depth;
    sp_task_init(&node->task, branch, free_node);
    if (tree->has_priorities)
        sp_task_set_priority(&node->task, SP_PRIORITY_HIGH - (int)(depth % 3));
    sp_group_add(&tree->group, &node->task);
    CHECK_EQ(sp_submit(tree->pool, &node->task), SP_OK);
    sp_task_unref(&node->task);
}

static void a_tree_of_tasks_runs_every_node_once(void)
{
    const unsigned depth = 11;
    for (uint32_t workers = 1; workers <= 4; workers++) {
        struct tree tree = {.runs = 0};
        sp_pool_options options = {.workers = workers};
        CHECK_EQ(sp_pool_create(&tree.pool, &options), SP_OK);
        sp_group_init(&tree.group);
        for (long round = check_rounds(4); round > 0; round--) {
            store_seq_cst(&tree.runs, 0u);
            tree.has_priorities = round % 2;
            grow(&tree, depth);
            while (sp_group_wait(&tree.group, -1) == SP_EINTR)
                ;
            CHECK_EQ(load_seq_cst(&tree.runs), (2u << depth) - 1);
        }
        sp_pool_free(tree.pool);
    }
}

int main(void)
{
    seed = test_seed();
    RUN(each_task_goes_to_exactly_one_of_owner_and_thieves);
    RUN(the_last_task_has_one_winner);
    RUN(a_tree_of_tasks_runs_every_node_once);
    return 0;
}
