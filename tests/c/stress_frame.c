/*
 * Random trees of forks, several roots at once, between loops and tasks: every frame
 * runs once, what it wrote is there when it is joined, nobody runs a stranger's frame
 * while he joins, and no stack is deeper than the tree.
 */
#include <string.h>

#include "base/random.h"
#include "check.h"
#include "stealpool.h"
#include "threads.h"

enum { ROOTS = 3, MAX_FORKS = 6, MAX_DEPTH = 7 };

static sp_pool *pool;

/* The root that this thread joins for, or 0: what runs meanwhile has the same. */
static _Thread_local uint64_t joining_for;

/* The calls on this thread's stack: a path of the tree, with gaps. */
static _Thread_local int calls;

struct node {
    sp_frame frame;
    uint64_t root;
    uint64_t random;
    int depth;
    uint32_t runs;
    uint64_t sum; /* of the whole tree below */
};

static int visit_range(intptr_t begin, intptr_t end, void *user)
{
    _Atomic(uint32_t) *count = user;
    fetch_add_relaxed(count, (uint32_t)(end - begin));
    return 0;
}

static int visit(sp_worker *worker, sp_frame *frame)
{
    struct node *self = (struct node *)frame;
    struct node children[MAX_FORKS];
    uint64_t outer = joining_for;
    CHECK(outer == 0 || outer == self->root, "root %" PRIx64 ", in a join of %" PRIx64,
          self->root, outer);
    self->runs++;
    calls++;
    CHECK(calls <= MAX_DEPTH - self->depth + 1, "%d calls, depth %d", calls,
          self->depth);
    self->sum = self->random & 0xff;
    uint64_t random = self->random;
    uint32_t n = self->depth == 0 ? 0 : sp__random_below(&random, MAX_FORKS + 1);
    for (uint32_t i = 0; i < n; i++) {
        children[i] = (struct node){.root = self->root,
                                    .random = sp__random_next(&random),
                                    .depth = self->depth - 1};
        sp_fork(worker, &children[i].frame, visit);
    }
    if (sp__random_below(&random, 64) == 0) {
        _Atomic(uint32_t) count = 0;
        CHECK_EQ(sp_parallel_for(pool, 0, 100, 10, visit_range, &count), 0);
        CHECK_EQ(load_relaxed(&count), 100);
    }
    int failed = 0;
    for (uint32_t i = n; i-- > 0;) {
        joining_for = self->root;
        int code = sp_join(worker, &children[i].frame);
        joining_for = outer;
        CHECK_EQ(children[i].runs, 1, "root %" PRIx64, self->root);
        self->sum += children[i].sum;
        if (code != 0) {
            CHECK(strcmp(sp_take_failure(), "unlucky") == 0);
            failed = code;
        }
    }
    calls--;
    if (failed || sp__random_below(&random, 2000) == 0)
        return sp_fail(1, "unlucky");
    return 0;
}

struct all {
    uint64_t seed;
    sp_pool *pool;
};

static void run_roots(unsigned index, void *arg)
{
    struct all *all = arg;
    uint64_t random = all->seed + index * 0x9e3779b97f4a7c15u;
    random = random ? random : 1;
    for (long round = check_rounds(60); round > 0; round--) {
        struct node serial = {.root = sp__random_next(&random), .depth = MAX_DEPTH};
        serial.random = serial.root;
        struct node parallel = serial;
        int should = sp_run(NULL, &serial.frame, visit);
        int is = sp_run(all->pool, &parallel.frame, visit);
        CHECK_EQ(is, should, "seed %" PRIu64, all->seed);
        CHECK(parallel.sum == serial.sum, "seed %" PRIu64, all->seed);
        sp_take_failure();
    }
}

static void random_trees_are_whole(uint32_t workers, uint64_t seed)
{
    sp_pool_options options = {.workers = workers};
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    struct all all = {.seed = seed, .pool = pool};
    run_together(ROOTS, run_roots, &all);
    sp_pool_free(pool);
}

int main(void)
{
    uint64_t seed = test_seed();
    for (uint32_t workers = 1; workers <= 5; workers++) {
        printf("random_trees_are_whole, %u workers\n", workers);
        fflush(stdout);
        random_trees_are_whole(workers, seed + workers);
    }
    return 0;
}
