/* sched/worker.h: what a worker does with its queues. */
#define _GNU_SOURCE

#include <signal.h>

#include "base/memory.h"
#include "check.h"
#include "sched/pool.h"
#include "sched/worker.h"
#include "stealpool.h"
#include "threads.h"

static sp_pool *new_pool(uint32_t workers)
{
    sp_pool *pool;
    sp_pool_options options = {.workers = workers, .name = "test"};
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    CHECK_EQ(sp_pool_workers(pool), workers);
    return pool;
}

static void wait_for(sp_task *task)
{
    CHECK_EQ(wait_for_task(task), SP_OK);
}

/* ----------------------------------------------------- who and where we are */

struct visit {
    sp_task task;
    sp_pool *pool;
    sigset_t blocked;
    bool on_worker;
    bool on_any_worker;
    bool on_other_worker;
    uint32_t index;
    sp_pool *other;
    char name[16];
};

static void look_around(sp_task *task)
{
    struct visit *visit = (struct visit *)task;
    visit->on_worker = sp_on_worker(visit->pool);
    visit->on_any_worker = sp_on_worker(NULL);
    visit->on_other_worker = sp_on_worker(visit->other);
    visit->index = sp__worker_current()->index;
    pthread_sigmask(SIG_SETMASK, NULL, &visit->blocked);
#ifdef __linux__
    pthread_getname_np(pthread_self(), visit->name, sizeof visit->name);
#endif
}

/* The host's handler says where a worker crashed. */
static bool is_of_a_crash(int signal)
{
    static const int all[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (signal == all[i])
            return true;
    return false;
}

static void a_worker_knows_its_pool_and_blocks_signals_but_those_of_a_crash(void)
{
    struct visit visit = {.pool = new_pool(1), .other = new_pool(1)};
    sp_task_init(&visit.task, look_around, NULL);
    CHECK_EQ(sp_submit(visit.pool, &visit.task), SP_OK);
    wait_for(&visit.task);
    CHECK(visit.on_worker);
    CHECK(visit.on_any_worker);
    CHECK(!visit.on_other_worker);
    CHECK_EQ(visit.index, 0);
    for (int signal = 1; signal <= SIGRTMAX; signal++) {
        bool is_ours = signal < 32 || signal >= SIGRTMIN; /* or the C library's */
        if (is_ours && signal != SIGKILL && signal != SIGSTOP)
            CHECK_EQ(sigismember(&visit.blocked, signal), !is_of_a_crash(signal), "%d",
                     signal);
    }
#ifdef __linux__
    CHECK_STR_EQ(visit.name, "test-0");
#endif
    CHECK(!sp_on_worker(visit.pool));
    CHECK(!sp_on_worker(NULL));
    CHECK(!sp__worker_current());
    sp_pool_free(visit.pool);
    sp_pool_free(visit.other);
}

/* ------------------------------------------------------------------- order */

#define MANY 300

struct item {
    sp_task task;
    struct order *order;
};

struct order {
    sp_pool *pool;
    struct item gate;
    struct item items[MANY];
    sp_task *pointers[MANY];
    int seen[MANY];
    _Atomic(uint32_t) n_seen;
    _Atomic(uint32_t) has_begun;
    _Atomic(uint32_t) may_end;
};

static void note_order(sp_task *task)
{
    struct item *item = (struct item *)task;
    struct order *order = item->order;
    uint32_t at = fetch_add_relaxed(&order->n_seen, 1u);
    order->seen[at] = (int)(item - order->items);
}

static void hold_gate(sp_task *task)
{
    struct order *order = ((struct item *)task)->order;
    store_seq_cst(&order->has_begun, 1u);
    await(&order->may_end, 1);
}

static struct order *new_order(sp_task_fn gate)
{
    struct order *order = sp__alloc(sizeof *order);
    order->pool = new_pool(1);
    order->gate.order = order;
    sp_task_init(&order->gate.task, gate, NULL);
    for (int i = 0; i < MANY; i++) {
        order->items[i].order = order;
        order->pointers[i] = &order->items[i].task;
        sp_task_init(order->pointers[i], note_order, NULL);
    }
    return order;
}

static void end_order(struct order *order)
{
    for (int i = 0; i < MANY; i++)
        wait_for(order->pointers[i]);
    wait_for(&order->gate.task);
    CHECK_EQ(load_relaxed(&order->n_seen), MANY);
    sp_pool_free(order->pool);
}

static void tasks_from_outside_run_in_order_on_one_worker(void)
{
    struct order *order = new_order(hold_gate);
    CHECK_EQ(sp_submit(order->pool, &order->gate.task), SP_OK);
    await(&order->has_begun, 1);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(sp_submit(order->pool, order->pointers[i]), SP_OK);
    CHECK_EQ(sp_submit_many(order->pool, order->pointers + 10, MANY - 10), SP_OK);
    store_seq_cst(&order->may_end, 1u);
    end_order(order);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(order->seen[i], i);
    sp__free(order);
}

static void submit_inside(sp_task *task)
{
    struct order *order = ((struct item *)task)->order;
    for (int i = 0; i < 10; i++)
        CHECK_EQ(sp_submit(order->pool, order->pointers[i]), SP_OK);
    CHECK_EQ(sp_submit_many(order->pool, order->pointers + 10, MANY - 10), SP_OK);
}

static void tasks_from_a_worker_run_mostly_newest_first(void)
{
    struct order *order = new_order(submit_inside);
    CHECK_EQ(sp_submit(order->pool, &order->gate.task), SP_OK);
    end_order(order);
    /* But for one in 61; and if the deque is small, half of it was spilled. */
    int n_older = 0;
    for (int i = 1; i < MANY; i++)
        n_older += order->seen[i] < order->seen[i - 1];
    if (MANY <= SP_DEQUE_CAPACITY)
        CHECK(n_older >= MANY - 1 - 2 * (MANY / 61 + 1), "%d", n_older);
    sp__free(order);
}

/* ----------------------------------------------------------------- priorities */

static void submit_with_priority(struct order *order, int first, int last,
                                 sp_priority priority)
{
    for (int i = first; i <= last; i++)
        sp_task_set_priority(order->pointers[i], priority);
    CHECK_EQ(sp_submit_many(order->pool, order->pointers + first,
                            (size_t)(last - first + 1)),
             SP_OK);
}

/* But for one in 61, which is what has waited longest of a kind. */
static void check_mostly(const struct order *order, int from, int to, int first,
                         int last)
{
    int strangers = 0;
    for (int i = from; i <= to; i++)
        strangers += order->seen[i] < first || order->seen[i] > last;
    CHECK(strangers <= (to - from) / 61 + 1, "%d of those from %d", strangers, from);
}

static void urgent_tasks_overtake_and_idle_ones_wait(void)
{
    struct order *order = new_order(hold_gate);
    CHECK_EQ(sp_submit(order->pool, &order->gate.task), SP_OK);
    await(&order->has_begun, 1);
    submit_with_priority(order, 0, 99, SP_PRIORITY_LOW);
    submit_with_priority(order, 100, 199, SP_PRIORITY_NORMAL);
    submit_with_priority(order, 200, MANY - 1, SP_PRIORITY_HIGH);
    store_seq_cst(&order->may_end, 1u);
    end_order(order);
    check_mostly(order, 0, 99, 200, MANY - 1);
    check_mostly(order, 100, 199, 100, 199);
    check_mostly(order, 200, MANY - 1, 0, 99);
    sp__free(order);
}

static void submit_all_kinds_inside(sp_task *task)
{
    struct order *order = ((struct item *)task)->order;
    for (int i = 0; i < MANY; i++)
        sp_task_set_priority(order->pointers[i], SP_PRIORITY_HIGH - i % 3);
    CHECK_EQ(sp_submit_many(order->pool, order->pointers, MANY), SP_OK);
}

static void urgent_tasks_overtake_the_own_deque(void)
{
    struct order *order = new_order(submit_all_kinds_inside);
    CHECK_EQ(sp_submit(order->pool, &order->gate.task), SP_OK);
    end_order(order);
    int strangers = 0;
    for (int i = 0; i < MANY; i++)
        strangers += order->seen[i] % 3 != i * 3 / MANY;
    CHECK(strangers <= 2 * (MANY / 61 + 1), "%d", strangers);
    sp__free(order);
}

struct stream {
    sp_task task[2];
    sp_task waiting;
    sp_pool *pool;
    uint32_t runs;
    uint32_t runs_before; /* of the stream, before the one that waits ran */
    _Atomic(uint32_t) is_over;
};

static struct stream stream;

/* A high task that submits the next one, until the one that waits has run. */
static void flow_on(sp_task *task)
{
    sp_task *next = task == &stream.task[0] ? &stream.task[1] : &stream.task[0];
    stream.runs++;
    if (stream.runs_before) {
        store_seq_cst(&stream.is_over, 1u);
        return;
    }
    sp_task_init(next, flow_on, NULL);
    sp_task_set_priority(next, SP_PRIORITY_HIGH);
    CHECK_EQ(sp_submit(stream.pool, next), SP_OK);
}

static void come_ashore(sp_task *task)
{
    (void)task;
    stream.runs_before = stream.runs;
}

/* Its first task submits the one that waits: from a worker. */
static void begin_stream(sp_task *task)
{
    CHECK_EQ(sp_submit(stream.pool, &stream.waiting), SP_OK);
    flow_on(task);
}

static void nothing_starves_in_a_stream_of_urgent_tasks(void)
{
    for (int priority = SP_PRIORITY_LOW; priority <= SP_PRIORITY_NORMAL; priority++) {
        for (int inside = 0; inside < 2; inside++) {
            stream = (struct stream){.pool = new_pool(1)};
            sp_task_init(&stream.waiting, come_ashore, NULL);
            sp_task_set_priority(&stream.waiting, (sp_priority)priority);
            sp_task_init(&stream.task[0], inside ? begin_stream : flow_on, NULL);
            CHECK_EQ(sp_submit(stream.pool, &stream.task[0]), SP_OK);
            if (!inside)
                CHECK_EQ(sp_submit(stream.pool, &stream.waiting), SP_OK);
            await(&stream.is_over, 1);
            if (inside) /* four kinds have their turn, one in 61 */
                CHECK(stream.runs_before <= 4 * 61, "%u", stream.runs_before);
            sp_pool_free(stream.pool);
        }
    }
}

/* ------------------------------------------------------------------- spilling */

struct flood {
    sp_task task;
    sp_pool *pool;
    struct item *items;
    sp_task **pointers;
    size_t n;
    _Atomic(uint32_t) run;
    bool fails;
};

static void drop_in(sp_task *task)
{
    struct item *item = (struct item *)task;
    fetch_add_relaxed(&((struct flood *)item->order)->run, 1u);
}

static void flood_own_deque(sp_task *task)
{
    struct flood *flood = (struct flood *)task;
    CHECK_EQ(sp_submit_many(flood->pool, flood->pointers, flood->n), SP_OK);
}

/* As thieves ask, who are given many at once: with memory for that, and without. */
static void hand_out_when_asked(sp_task *task)
{
    struct flood *flood = (struct flood *)task;
    struct sp__worker *worker = sp__worker_current();
    store_relaxed(&worker->is_asked, 1u);
    sp__alloc_fail_at(flood->fails ? 0 : -1, flood->fails);
    for (size_t i = 0; i < flood->n; i++)
        CHECK_EQ(sp_submit(flood->pool, flood->pointers[i]), SP_OK);
    sp__alloc_fail_at(-1, false);
    CHECK_EQ(load_relaxed(&worker->is_asked), 0);
    CHECK(!sp__injector_is_empty(&flood->pool->injector));
    CHECK(sp__deque_size(&worker->deque) < flood->n);
}

static void who_is_asked_hands_out_many_and_all_of_them_run(void)
{
    for (int fails = 0; fails < 2; fails++) {
        struct flood flood = {
            .pool = new_pool(1), .n = SP_DEQUE_CAPACITY / 2, .fails = fails};
        flood.items = sp__alloc(flood.n * sizeof *flood.items);
        flood.pointers = sp__alloc(flood.n * sizeof *flood.pointers);
        for (size_t i = 0; i < flood.n; i++) {
            flood.items[i].order = (struct order *)(void *)&flood;
            flood.pointers[i] = &flood.items[i].task;
            sp_task_init(flood.pointers[i], drop_in, NULL);
        }
        sp_task_init(&flood.task, hand_out_when_asked, NULL);
        CHECK_EQ(sp_submit(flood.pool, &flood.task), SP_OK);
        wait_for(&flood.task);
        CHECK_EQ(sp_pool_shutdown(flood.pool, SP_DRAIN), SP_OK);
        CHECK_EQ(load_relaxed(&flood.run), flood.n);
        sp_pool_free(flood.pool);
        sp__free(flood.items);
        sp__free(flood.pointers);
    }
}

static void more_than_fits_spills_and_all_of_it_runs(void)
{
    for (uint32_t workers = 1; workers <= 3; workers++) {
        struct flood flood = {.pool = new_pool(workers),
                              .n = 3 * SP_DEQUE_CAPACITY + 1};
        flood.items = sp__alloc(flood.n * sizeof *flood.items);
        flood.pointers = sp__alloc(flood.n * sizeof *flood.pointers);
        for (size_t i = 0; i < flood.n; i++) {
            flood.items[i].order = (struct order *)(void *)&flood;
            flood.pointers[i] = &flood.items[i].task;
            sp_task_init(flood.pointers[i], drop_in, NULL);
        }
        sp_task_init(&flood.task, flood_own_deque, NULL);
        CHECK_EQ(sp_submit(flood.pool, &flood.task), SP_OK);
        wait_for(&flood.task);
        sp_pool_stats stats;
        CHECK_EQ(sp_pool_shutdown(flood.pool, SP_DRAIN), SP_OK);
        sp_pool_get_stats(flood.pool, &stats);
        CHECK_EQ(load_relaxed(&flood.run), flood.n);
        CHECK_EQ(stats.submitted, flood.n + 1);
        CHECK_EQ(stats.executed, flood.n + 1);
        CHECK(stats.injected >= 1);
        CHECK(workers > 1 || stats.injected > 1, "nothing was spilled");
        sp_pool_free(flood.pool);
        sp__free(flood.items);
        sp__free(flood.pointers);
    }
}

/* ------------------------------------------------------------------- fairness */

struct chain {
    sp_task task;
    sp_task twin; /* a task is submitted once: two take turns, each made anew */
    sp_pool *pool;
    _Atomic(uint32_t) may_end;
    _Atomic(uint32_t) is_over;
};

static struct chain chain;

static void go_on(sp_task *task)
{
    sp_task *next = task == &chain.task ? &chain.twin : &chain.task;
    if (load_seq_cst(&chain.may_end)) {
        store_seq_cst(&chain.is_over, 1u);
        return;
    }
    sp_task_init(next, go_on, NULL);
    CHECK_EQ(sp_submit(chain.pool, next), SP_OK);
}

static void end_chain(sp_task *task)
{
    (void)task;
    store_seq_cst(&chain.may_end, 1u);
}

static void a_worker_that_feeds_itself_still_serves_others(void)
{
    sp_task outside;
    chain = (struct chain){.pool = new_pool(1)};
    sp_task_init(&chain.task, go_on, NULL);
    sp_task_init(&outside, end_chain, NULL);
    CHECK_EQ(sp_submit(chain.pool, &chain.task), SP_OK);
    CHECK_EQ(sp_submit(chain.pool, &outside), SP_OK);
    await(&chain.is_over, 1);
    wait_for(&outside);
    sp_pool_free(chain.pool);
}

static sp_task older;

/* Submits a task, then successors until that one has run. */
static void ask_again(sp_task *task)
{
    sp_task_init(&older, end_chain, NULL);
    CHECK_EQ(sp_submit(chain.pool, &older), SP_OK);
    go_on(task); /* whose successors only go_on() */
}

static void a_worker_that_feeds_itself_still_serves_its_oldest_task(void)
{
    chain = (struct chain){.pool = new_pool(1)};
    sp_task_init(&chain.task, ask_again, NULL);
    CHECK_EQ(sp_submit(chain.pool, &chain.task), SP_OK);
    await(&chain.is_over, 1);
    sp_pool_free(chain.pool);
}

static _Atomic(uint32_t) joins;

static void count_join(void *user)
{
    (void)user;
    fetch_add_seq_cst(&joins, 1u);
}

static void a_worker_that_joins_loops_still_serves_tasks(void)
{
    sp_pool *pool = new_pool(1);
    sp_task task;
    /* Never exhausted: as soon as it is left it can be joined again. */
    int slot = sp__region_take_slot(&pool->regions);
    sp__region_open(&pool->regions, slot, count_join, NULL);
    sp__idle_notify(&pool->idle);
    await(&joins, 10);
    sp_task_init(&task, end_chain, NULL);
    CHECK_EQ(sp_submit(pool, &task), SP_OK);
    wait_for(&task);
    sp__region_close(&pool->regions, slot);
    sp_pool_free(pool);
}

static void a_blocked_worker_does_not_keep_tasks_to_itself(void)
{
    struct order *order = new_order(hold_gate);
    sp_pool_free(order->pool);
    order->pool = new_pool(2);
    CHECK_EQ(sp_submit(order->pool, &order->gate.task), SP_OK);
    await(&order->has_begun, 1);
    CHECK_EQ(sp_submit_many(order->pool, order->pointers, MANY), SP_OK);
    await(&order->n_seen, MANY); /* by the other one */
    store_seq_cst(&order->may_end, 1u);
    end_order(order);
    sp__free(order);
}

static void the_search_comes_to_take_as_long_as_waking_up(void)
{
    int64_t ns = 50000;
    for (int i = 0; i < 100; i++) {
        int64_t before = ns;
        ns = sp__keepalive_after(ns, 4000);
        CHECK(ns >= 4000 && ns <= before);
    }
    CHECK(ns < 4010, "%lld", (long long)ns);
    for (int i = 0; i < 100; i++)
        ns = sp__keepalive_after(ns, INT64_MAX);
    CHECK(ns > 99900 && ns <= 100000, "%lld", (long long)ns);
    for (int i = 0; i < 100; i++)
        ns = sp__keepalive_after(ns, 0);
    CHECK(ns >= 2000 && ns < 2010, "%lld", (long long)ns);
}

/* Let the one worker fall asleep and wake it, so often. What it searches for then. */
static int64_t keepalive_after_naps(sp_pool *pool, int naps)
{
    sp_pool_stats stats;
    for (int i = 0; i <= naps; i++) {
        do {
            sp__os_yield();
            sp_pool_get_stats(pool, &stats);
        } while (stats.parked < (uint64_t)i + 1);
        sp_task task;
        sp_task_init(&task, end_chain, NULL);
        CHECK_EQ(sp_submit(pool, &task), SP_OK);
        wait_for(&task);
    }
    return pool->workers[0].keepalive_ns; /* as it was when the task ended, or before */
}

static void a_search_as_long_as_the_user_wants_stays_so(void)
{
    sp_pool_options options = {.workers = 1, .keepalive_us = 7};
    sp_pool *pool;
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    int64_t ns = keepalive_after_naps(pool, 10);
    sp_pool_free(pool);
    CHECK_EQ(ns, 7000);
    pool = new_pool(1);
    bool learns = pool->staff.learns_keepalive;
    CHECK_EQ(learns, sp_usable_cpus() > 1);
    ns = keepalive_after_naps(pool, 10);
    sp_pool_free(pool);
    CHECK(learns ? ns >= 2000 && ns <= 100000 : ns == 0, "%lld", (long long)ns);
}

int main(void)
{
    RUN(a_worker_knows_its_pool_and_blocks_signals_but_those_of_a_crash);
    RUN(tasks_from_outside_run_in_order_on_one_worker);
    RUN(tasks_from_a_worker_run_mostly_newest_first);
    RUN(urgent_tasks_overtake_and_idle_ones_wait);
    RUN(urgent_tasks_overtake_the_own_deque);
    RUN(nothing_starves_in_a_stream_of_urgent_tasks);
    RUN(who_is_asked_hands_out_many_and_all_of_them_run);
    RUN(more_than_fits_spills_and_all_of_it_runs);
    RUN(a_worker_that_feeds_itself_still_serves_others);
    RUN(a_worker_that_feeds_itself_still_serves_its_oldest_task);
    RUN(a_worker_that_joins_loops_still_serves_tasks);
    RUN(a_blocked_worker_does_not_keep_tasks_to_itself);
    RUN(the_search_comes_to_take_as_long_as_waking_up);
    RUN(a_search_as_long_as_the_user_wants_stays_so);
    return 0;
}
