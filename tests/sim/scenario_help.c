/* Workers that wait for groups. */
#include "base/os.h"
#include "check.h"
#include "sched/group.h"
#include "sched/pool.h"
#include "sim.h"
#include "stealpool.h"

#define PARTIES 2
#define CHILDREN 6 /* more than a deque has room for */

/* One that spawns and waits. */
struct party {
    sp_group group;
    uint32_t children;
    uint32_t spawned; /* by itself */
    bool has_stranger;
    _Atomic(uint32_t) runs;
    uint32_t results[CHILDREN]; /* plain: the group's end makes them visible */
};

struct errand {
    struct party *party;
    uint32_t index;
};

static struct {
    sp_pool *pool;
    struct party parties[PARTIES];
    sp_group all;
    _Atomic(uint32_t) strangers;
    _Atomic(uint32_t) ended;
    _Atomic(uint32_t) met;
} box;

/* What this thread waits for, and so may run on top. */
static _Thread_local const sp_group *waits_for;

static void create(uint32_t workers, uint32_t max_blocked)
{
    sp_pool_options options = {.workers = workers,
                               .keepalive_us = 1,
                               .max_workers = 2,
                               .max_blocked = max_blocked};
    CHECK_EQ(sp_pool_create(&box.pool, &options), SP_OK);
    for (int i = 0; i < PARTIES; i++)
        sp_group_init(&box.parties[i].group);
    sp_group_init(&box.all);
}

static void wait_for(sp_group *group)
{
    waits_for = group;
    while (sp_group_wait(group, -1) == SP_EINTR)
        ;
    waits_for = NULL;
}

static void begin_task(const sp_group *group)
{
    CHECK(!waits_for || waits_for == group, "a stranger");
    waits_for = NULL;
}

static void run_child(void *arg)
{
    const struct errand *errand = arg;
    const sp_group *waited_for = waits_for;
    begin_task(&errand->party->group);
    errand->party->results[errand->index] = errand->index + 1;
    fetch_add_relaxed(&errand->party->runs, 1u);
    waits_for = waited_for;
}

static void run_stranger(void *arg)
{
    (void)arg;
    begin_task(NULL);
    fetch_add_relaxed(&box.strangers, 1u);
}

static void spawn(sp_group *group, sp_spawn_fn run, struct party *party, uint32_t index)
{
    struct errand errand = {party, index};
    CHECK_EQ(sp_spawn(box.pool, group, run, &errand, sizeof errand), SP_OK);
}

static void spawn_and_wait(void *arg)
{
    struct party *party = ((struct errand *)arg)->party;
    begin_task(NULL);
    for (uint32_t i = 0; i < party->spawned; i++)
        spawn(&party->group, run_child, party, i);
    if (party->has_stranger)
        spawn(&box.all, run_stranger, NULL, 0);
    wait_for(&party->group);
    CHECK_EQ(load_relaxed(&party->runs), party->children);
    for (uint32_t i = 0; i < party->children; i++)
        CHECK_EQ(party->results[i], i + 1);
    fetch_add_seq_cst(&box.ended, 1u);
}

static void begin(int i, uint32_t children, bool has_stranger)
{
    box.parties[i].spawned = children - sp_group_unfinished(&box.parties[i].group);
    box.parties[i].children = children;
    box.parties[i].has_stranger = has_stranger;
    spawn(&box.all, spawn_and_wait, &box.parties[i], 0);
}

/* All that was spawned has run when the pool is gone. */
static void end(uint32_t parties, uint32_t strangers)
{
    wait_for(&box.all);
    sp_pool_free(box.pool);
    CHECK_EQ(load_relaxed(&box.ended), parties);
    CHECK_EQ(load_relaxed(&box.strangers), strangers);
}

SCENARIO(the_only_worker_runs_what_it_waits_for, .share = 5)
{
    create(1, SP_NEVER);
    begin(0, CHILDREN, true);
    end(1, 1);
}

SCENARIO(somebody_stands_in_for_a_worker_that_waits, .share = 20)
{
    create(1, 1);
    begin(0, 2, true);
    begin(1, 1, false);
    end(2, 1);
}

/* G2, S8: a batch from the injector may have brought each what the other waits for. */
SCENARIO(two_workers_wait_and_nobody_stands_in, .share = 60)
{
    create(2, SP_NEVER);
    begin(0, CHILDREN - 1, true);
    begin(1, 1, true);
    end(2, 2);
}

static void let_go(void *arg)
{
    struct party *party = ((struct errand *)arg)->party;
    run_child(arg);
    sp__group_leave(&party->group, 1);
}

/* S8: the only worker is asleep, or about to. */
SCENARIO(a_worker_that_waits_sees_what_comes_from_outside, .share = 30)
{
    create(1, SP_NEVER);
    sp__group_enter(&box.parties[0].group, 1);
    begin(0, 1, false);
    spawn(&box.all, run_stranger, NULL, 0);
    spawn(&box.parties[0].group, let_go, &box.parties[0], 0);
    end(1, 1);
}

/* The other one's task is in its deque, or in the injector. */
static void block_until_it_has_ended(void *arg)
{
    begin_task(NULL);
    spawn(&box.parties[0].group, let_go, ((struct errand *)arg)->party, 0);
    sp_blocking_begin();
    while (load_seq_cst(&box.ended) == 0)
        sp__os_yield();
    sp_blocking_end();
}

SCENARIO(a_blocked_worker_hides_nothing_from_who_waits, .share = 30)
{
    create(2, SP_NEVER);
    sp__group_enter(&box.parties[0].group, 1);
    begin(0, 1, false);
    spawn(&box.all, block_until_it_has_ended, &box.parties[0], 0);
    end(1, 0);
}

static void meet(void)
{
    fetch_add_seq_cst(&box.met, 1u);
    while (load_seq_cst(&box.met) < 2)
        sp__os_yield();
}

static void meet_and_wait(void *arg)
{
    meet();
    spawn_and_wait(arg);
}

static void spawn_for_the_other(void *arg)
{
    begin_task(NULL);
    meet();
    spawn(&box.parties[0].group, let_go, ((struct errand *)arg)->party, 0);
}

/* Whoever steps back may be the last that was not asleep. */
SCENARIO(a_worker_that_goes_hides_nothing_from_who_waits, .share = 30)
{
    create(2, SP_NEVER);
    sp__group_enter(&box.parties[0].group, 1);
    box.parties[0].children = 1;
    spawn(&box.all, meet_and_wait, &box.parties[0], 0);
    spawn(&box.all, spawn_for_the_other, &box.parties[0], 0);
    while (load_seq_cst(&box.met) < 2)
        sp__os_yield();
    CHECK_EQ(sp_pool_resize(box.pool, 1), SP_OK);
    end(1, 0);
}

static void spawn_unless_closed(sp_group *group, const struct errand *errand)
{
    sp_status status = sp_spawn(box.pool, group, run_child, errand, sizeof *errand);
    CHECK(status == SP_OK || status == SP_ECLOSED);
}

static void wait_until_abandoned(void *arg)
{
    struct party *party = ((struct errand *)arg)->party;
    begin_task(NULL);
    for (uint32_t i = 0; i < 3; i++) {
        struct errand errand = {&box.parties[i == 2], i};
        spawn_unless_closed(&errand.party->group, &errand);
    }
    waits_for = &party->group;
    while (sp_group_wait(&party->group, -1) == SP_EINTR)
        ;
    waits_for = NULL;
    fetch_add_seq_cst(&box.ended, 1u);
}

SCENARIO(a_worker_waits_no_longer_for_what_is_abandoned, .share = 40)
{
    create(1, sim_choose(2) ? 1 : SP_NEVER);
    spawn(NULL, wait_until_abandoned, &box.parties[0], 0);
    while (sim_choose(4) && !load_seq_cst(&box.ended))
        sp__os_yield();
    sp_pool_close(box.pool, SP_ABANDON);
    sp_pool_free(box.pool);
    CHECK_EQ(sp_group_unfinished(&box.parties[0].group), 0);
    CHECK_EQ(sp_group_unfinished(&box.parties[1].group), 0);
}

static void leave_first_group(void *unused)
{
    (void)unused;
    sp__group_leave(&box.parties[0].group, 1);
}

static void wait_outside(void *unused)
{
    (void)unused;
    wait_for(&box.parties[0].group);
}

/* One waits who does not look, and sleeps again. */
SCENARIO(a_group_ends_while_its_tasks_are_looked_for, .share = 30)
{
    create(1, SP_NEVER);
    sp__group_enter(&box.parties[0].group, 1);
    spawn(&box.all, spawn_and_wait, &box.parties[0], 0);
    unsigned waiter = sim_spawn(wait_outside, NULL);
    unsigned other = sim_spawn(leave_first_group, NULL);
    spawn(&box.all, run_stranger, NULL, 0);
    sim_join(waiter);
    sim_join(other);
    end(1, 1);
}

/* What it had in its hands for a moment, and what comes next takes long. */
static void wait_then_need_stranger(void *arg)
{
    spawn_and_wait(arg);
    while (load_relaxed(&box.strangers) == 0)
        sp__os_yield();
}

SCENARIO(what_a_waiting_worker_puts_back_is_run_by_others, .share = 40)
{
    create(2, SP_NEVER);
    sp__group_enter(&box.parties[0].group, 1);
    box.parties[0].has_stranger = true;
    spawn(&box.all, wait_then_need_stranger, &box.parties[0], 0);
    unsigned other = sim_spawn(leave_first_group, NULL);
    sim_join(other);
    end(1, 1);
}

struct fib {
    int n;
    int *result;
    const sp_group *group;
};

static void fib(void *arg)
{
    struct fib self = *(struct fib *)arg;
    const sp_group *waited_for = waits_for;
    int results[2];
    sp_group group;
    begin_task(self.group);
    *self.result = self.n;
    if (self.n >= 2) {
        sp_group_init(&group);
        for (int i = 0; i < 2; i++) {
            struct fib next = {self.n - 1 - i, &results[i], &group};
            CHECK_EQ(sp_spawn(box.pool, &group, fib, &next, sizeof next), SP_OK);
        }
        wait_for(&group);
        *self.result = results[0] + results[1];
    }
    waits_for = waited_for;
}

SCENARIO(waits_nest, .share = 40)
{
    int result = 0;
    create(2, sim_choose(2) ? SP_NEVER : 1);
    struct fib root = {3, &result, &box.parties[0].group};
    CHECK_EQ(sp_spawn(box.pool, &box.parties[0].group, fib, &root, sizeof root), SP_OK);
    wait_for(&box.parties[0].group);
    sp_pool_free(box.pool);
    CHECK_EQ(result, 2);
}

/* The frame's owner sleeps, with somebody's task in its deque. */
static int wait_in_frame(sp_worker *worker, sp_frame *frame)
{
    (void)worker;
    (void)frame;
    wait_for(&box.parties[0].group);
    return 0;
}

static int fork_and_hide(sp_worker *worker, sp_frame *frame)
{
    sp_frame part;
    (void)frame;
    sp_fork(worker, &part, wait_in_frame);
    while (!sim_choose(2) && worker->split == 0)
        sp__os_yield();
    spawn(&box.parties[0].group, run_child, &box.parties[0], 0);
    sp__group_leave(&box.parties[0].group, 1);
    sp_join(worker, &part);
    return 0;
}

SCENARIO(a_frame_may_wait_for_a_group, .share = 30)
{
    sp_frame root;
    create(2, SP_NEVER);
    sp__group_enter(&box.parties[0].group, 1);
    CHECK_EQ(sp_run(box.pool, &root, fork_and_hide), 0);
    CHECK_EQ(sp_group_unfinished(&box.parties[0].group), 0);
    CHECK_EQ(load_relaxed(&box.parties[0].runs), 1);
    sp_pool_free(box.pool);
}
