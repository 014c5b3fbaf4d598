/*
 * Loops from everywhere at once: from several threads, from tasks, within loops;
 * with errors and cancelling; on several pools. Each index is done once, sums are
 * exact, and no worker touches a loop after it has returned.
 */
#include "base/memory.h"
#include "check.h"
#include "stealpool.h"
#include "threads.h"

static sp_pool *new_pool(uint32_t workers)
{
    sp_pool *pool;
    sp_pool_options options = {.workers = workers};
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    return pool;
}

static void take_time(int64_t ns)
{
    for (int64_t until = sp__os_now_ns() + ns; sp__os_now_ns() < until;)
        sp__os_pause();
}

/* A loop's state lies on its caller's stack and is spoilt on return: a worker
 * that came late would find the wrong magic. */
#define MAGIC 0x5eedbed5u

struct sum {
    uint32_t magic;
    int64_t cost_ns;
    sp_pool *inner; /* to loop on, within each piece; or NULL */
    _Atomic(int64_t) total;
    _Atomic(uint32_t) inside;
};

static int add(intptr_t begin, intptr_t end, void *user);

static int64_t sum_of(sp_pool *pool, intptr_t n, intptr_t grain, int64_t cost_ns,
                      sp_pool *inner)
{
    struct sum sum = {.magic = MAGIC, .cost_ns = cost_ns, .inner = inner};
    CHECK_EQ(sp_parallel_for(pool, 0, n, grain, add, &sum), 0);
    CHECK_EQ(load_seq_cst(&sum.inside), 0);
    int64_t total = load_relaxed(&sum.total);
    memset(&sum, 0xa5, sizeof sum);
    return total;
}

static int add(intptr_t begin, intptr_t end, void *user)
{
    struct sum *sum = user;
    fetch_add_seq_cst(&sum->inside, 1u);
    CHECK(sum->magic == MAGIC, "a closed loop was joined");
    int64_t total = 0;
    for (intptr_t i = begin; i < end; i++)
        total += i;
    if (sum->inner)
        CHECK_EQ(sum_of(sum->inner, 20, 1, sum->cost_ns / 4, NULL), 190);
    take_time(sum->cost_ns * (end - begin));
    fetch_add_relaxed(&sum->total, total);
    fetch_sub_seq_cst(&sum->inside, 1u);
    return 0;
}

static void check_sums(sp_pool *pool, sp_pool *inner, uint64_t *random)
{
    intptr_t n = 1 + (intptr_t)sp__random_below(random, 200);
    intptr_t grain = (intptr_t)sp__random_below(random, 8);
    int64_t cost_ns = sp__random_below(random, 4) * 1000;
    CHECK_EQ(sum_of(pool, n, grain, cost_ns, inner), (int64_t)n * (n - 1) / 2);
}

/* --------------------------------------------------------------- concurrent */

struct stage {
    sp_pool *pools[2];
    uint64_t seed;
    long rounds;
};

static void loop_outside(unsigned index, void *arg)
{
    struct stage *stage = arg;
    uint64_t random = stage->seed + index;
    for (long i = 0; i < stage->rounds; i++) {
        sp_pool *pool = stage->pools[sp__random_below(&random, 2)];
        sp_pool *inner = stage->pools[sp__random_below(&random, 2)];
        check_sums(pool, i % 4 ? NULL : inner, &random);
    }
}

static uint64_t seed;

static void loops_from_several_threads_on_several_pools(void)
{
    struct stage stage = {.pools = {new_pool(2), new_pool(3)}, .seed = ++seed};
    stage.rounds = check_rounds(60);
    run_together(4, loop_outside, &stage);
    sp_pool_free(stage.pools[0]);
    sp_pool_free(stage.pools[1]);
}

struct looper {
    sp_task task;
    struct stage *stage;
    uint64_t seed;
};

static void loop_inside(sp_task *task)
{
    struct looper *looper = (struct looper *)task;
    struct stage *stage = looper->stage;
    uint64_t random = looper->seed;
    check_sums(stage->pools[0], stage->pools[looper->seed % 2], &random);
}

/* Some loops run in tasks, some in the threads that wait for these, and the pools
 * loop on each other. */
static void loop_and_submit(unsigned index, void *arg)
{
    struct stage *stage = arg;
    uint64_t random = stage->seed + index;
    for (long i = 0; i < stage->rounds; i++) {
        struct looper loopers[4];
        for (int k = 0; k < 4; k++) {
            loopers[k] =
                (struct looper){.stage = stage, .seed = sp__random_next(&random)};
            sp_task_init(&loopers[k].task, loop_inside, NULL);
            CHECK_EQ(sp_submit(stage->pools[k % 2], &loopers[k].task), SP_OK);
        }
        check_sums(stage->pools[i % 2], NULL, &random);
        for (int k = 0; k < 4; k++)
            while (sp_task_wait(&loopers[k].task, -1, 0) == SP_EINTR)
                ;
    }
}

static void loops_in_tasks_and_around_them(void)
{
    struct stage stage = {.pools = {new_pool(2), new_pool(2)}, .seed = ++seed};
    stage.rounds = check_rounds(20);
    run_together(3, loop_and_submit, &stage);
    sp_pool_free(stage.pools[0]);
    sp_pool_free(stage.pools[1]);
}

/* ------------------------------------------------------------------- errors */

struct fault {
    uint32_t magic;
    intptr_t bad;
    _Atomic(uint32_t) done[200];
};

static int fail_at(intptr_t begin, intptr_t end, void *user)
{
    struct fault *fault = user;
    CHECK(fault->magic == MAGIC);
    take_time(1000 * (end - begin));
    for (intptr_t i = begin; i < end; i++)
        fetch_add_relaxed(&fault->done[i], 1u);
    return begin <= fault->bad && fault->bad < end ? (int)fault->bad + 1 : 0;
}

static void fail_loops(unsigned index, void *arg)
{
    struct stage *stage = arg;
    uint64_t random = stage->seed + index;
    for (long i = 0; i < stage->rounds; i++) {
        struct fault fault = {.magic = MAGIC};
        fault.bad = sp__random_below(&random, 250); /* or nowhere */
        intptr_t grain = sp__random_below(&random, 4);
        int code = sp_parallel_for(stage->pools[0], 0, 200, grain, fail_at, &fault);
        CHECK_EQ(code, fault.bad < 200 ? fault.bad + 1 : 0);
        /* What lies before the bad piece was begun before it, so it is done. */
        for (intptr_t k = 0; k < 200; k++) {
            uint32_t done = load_relaxed(&fault.done[k]);
            CHECK(k <= fault.bad ? done == 1 : done <= 1, "%jd", (intmax_t)k);
        }
        memset(&fault, 0xa5, sizeof fault);
    }
}

static void errors_come_from_the_piece_that_failed(void)
{
    struct stage stage = {.pools = {new_pool(3)}, .seed = ++seed};
    stage.rounds = check_rounds(100);
    run_together(3, fail_loops, &stage);
    sp_pool_free(stage.pools[0]);
}

/* ------------------------------------------------------------------ reductions */

static int count_up(intptr_t begin, intptr_t end, void *acc, void *user)
{
    (void)user;
    for (intptr_t i = begin; i < end; i++)
        *(double *)acc += 1.0 / (double)(i + 1);
    take_time(500);
    return 0;
}

static void add_double(void *into, const void *from, void *user)
{
    (void)user;
    *(double *)into += *(const double *)from;
}

static double reduce(sp_pool *pool)
{
    double sum = 0;
    CHECK_EQ(sp_parallel_reduce(pool, 0, 3000, 10, count_up, add_double, &sum,
                                sizeof sum, NULL),
             0);
    return sum;
}

static double wanted;

static void reduce_often(unsigned index, void *arg)
{
    struct stage *stage = arg;
    (void)index;
    for (long i = 0; i < stage->rounds; i++)
        CHECK(reduce(stage->pools[0]) == wanted);
}

static void reductions_do_not_depend_on_who_helps(void)
{
    struct stage stage = {.pools = {new_pool(3)}, .rounds = check_rounds(40)};
    wanted = reduce(NULL);
    run_together(3, reduce_often, &stage);
    sp_pool_free(stage.pools[0]);
}

/* ---------------------------------------------------------------- cancelling */

struct endless {
    sp_task task;
    sp_pool *pool;
    _Atomic(uint32_t) begun;
    int code;
};

static int begin_piece(intptr_t begin, intptr_t end, void *user)
{
    struct endless *endless = user;
    (void)begin;
    (void)end;
    fetch_add_seq_cst(&endless->begun, 1u);
    if (load_seq_cst(&endless->begun) > 3)
        while (!sp_cancelled())
            sp__os_yield();
    take_time(20000);
    return 0;
}

static void loop_endlessly(sp_task *task)
{
    struct endless *endless = (struct endless *)task;
    endless->code =
        sp_parallel_for(endless->pool, 0, INTPTR_MAX, 1, begin_piece, endless);
}

static void a_cancelled_loop_ends_in_every_thread(void)
{
    sp_pool *pool = new_pool(3);
    for (long round = 0; round < check_rounds(60); round++) {
        struct endless endless = {.pool = pool};
        sp_task_init(&endless.task, loop_endlessly, NULL);
        CHECK_EQ(sp_submit(pool, &endless.task), SP_OK);
        await(&endless.begun, 1 + (uint32_t)round % 5);
        CHECK_EQ(sp_task_cancel(&endless.task), SP_EBUSY);
        while (sp_task_wait(&endless.task, -1, 0) == SP_EINTR)
            ;
        CHECK_EQ(endless.code, SP_ECANCELLED);
    }
    sp_pool_free(pool);
}

int main(void)
{
    seed = test_seed();
    RUN(loops_from_several_threads_on_several_pools);
    RUN(loops_in_tasks_and_around_them);
    RUN(errors_come_from_the_piece_that_failed);
    RUN(reductions_do_not_depend_on_who_helps);
    RUN(a_cancelled_loop_ends_in_every_thread);
    return 0;
}
