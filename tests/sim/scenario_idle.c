/*
 * sched/idle.h with the least around it: one queue, a word, instead of a pool. A
 * wake-up that is lost ends in a deadlock.
 */
#include "base/atomics.h"
#include "base/os.h"
#include "check.h"
#include "sched/idle.h"
#include "sched/injector.h"
#include "sim.h"

#define WORKERS 2
#define TASKS 3

static struct {
    struct sp__idle idle;
    struct sp__injector queue;
    sp_task tasks[TASKS];
    _Atomic(uint32_t) taken;
} box;

static bool take(void)
{
    sp_task *task;
    uint32_t n;
    if (sp__injector_take(&box.queue, SP__LANE_ALL, &task, 1, &n) == SP__INJECT_TAKEN)
        return true;
    if (!sp__injector_is_empty(&box.queue))
        sp__os_yield(); /* as worker.c does: somebody else has its lock */
    return false;
}

static bool is_over(void)
{
    return sp__injector_is_closed(&box.queue) && sp__injector_is_empty(&box.queue);
}

/* Found something: if that was the last searcher and more is left, wake another. */
static void work(bool *is_searching)
{
    if (*is_searching && sp__idle_end_search(&box.idle) &&
        !sp__injector_is_empty(&box.queue))
        sp__idle_notify(&box.idle);
    *is_searching = false;
    /* The mover of tasks is a submitter, too: see injector.c. */
    if (!sp__injector_is_empty(&box.queue))
        sp__idle_notify(&box.idle);
    if (fetch_add_acq_rel(&box.taken, 1u) == TASKS - 1) {
        sp__injector_close(&box.queue);
        sp__idle_notify_all(&box.idle);
    }
}

static void worker(void *arg)
{
    uint32_t index = (uint32_t)(uintptr_t)arg;
    bool is_searching = false;
    while (!is_over()) {
        if (take()) {
            work(&is_searching);
            continue;
        }
        if (!is_searching)
            is_searching = sp__idle_start_search(&box.idle);
        sp__idle_announce(&box.idle, index, is_searching);
        if (is_over() && sp__idle_withdraw(&box.idle, index))
            break;
        if (sp__injector_is_empty(&box.queue) || !sp__idle_withdraw(&box.idle, index))
            sp__idle_park(&box.idle, index);
        is_searching = true;
    }
}

static void submit(void *arg)
{
    struct sp__batch batch = {0};
    sp__batch_add(&batch, arg);
    CHECK(sp__injector_push(&box.queue, &batch));
    sp__idle_notify(&box.idle);
}

SCENARIO(no_wake_up_is_lost, .share = 120)
{
    CHECK_EQ(sp__idle_init(&box.idle, WORKERS), SP_OK);
    if (sim_choose(2))
        box.idle.max_searching = 1; /* as with more workers */
    unsigned threads[WORKERS + 1];
    for (uint32_t i = 0; i < WORKERS; i++)
        threads[i] = sim_spawn(worker, (void *)(uintptr_t)i);
    threads[WORKERS] = sim_spawn(submit, &box.tasks[0]);
    submit(&box.tasks[1]);
    submit(&box.tasks[2]);
    for (int i = 0; i <= WORKERS; i++)
        sim_join(threads[i]);
    CHECK_EQ(load_relaxed(&box.taken), TASKS);
    sp__idle_destroy(&box.idle);
}

/* Tasks that wait for each other: it is not enough that a task is found later. */
static void meet(bool *is_searching)
{
    if (*is_searching && sp__idle_end_search(&box.idle) &&
        !sp__injector_is_empty(&box.queue))
        sp__idle_notify(&box.idle);
    *is_searching = false;
    if (!sp__injector_is_empty(&box.queue))
        sp__idle_notify(&box.idle);
    fetch_add_acq_rel(&box.taken, 1u);
    while (load_acquire(&box.taken) < WORKERS)
        sp__os_wait(&box.taken, 1, SP__OS_NO_DEADLINE);
    sp__os_wake_all(&box.taken);
}

static void meeting_worker(void *arg)
{
    uint32_t index = (uint32_t)(uintptr_t)arg;
    bool is_searching = false;
    while (!take()) {
        if (!is_searching)
            is_searching = sp__idle_start_search(&box.idle);
        sp__idle_announce(&box.idle, index, is_searching);
        if (sp__injector_is_empty(&box.queue) || !sp__idle_withdraw(&box.idle, index))
            sp__idle_park(&box.idle, index);
        is_searching = true;
    }
    meet(&is_searching);
}

SCENARIO(k_tasks_that_meet_wake_k_workers, .share = 80)
{
    CHECK_EQ(sp__idle_init(&box.idle, WORKERS), SP_OK);
    box.idle.max_searching = 1 + sim_choose(2);
    unsigned threads[WORKERS + 1];
    for (uint32_t i = 0; i < WORKERS; i++)
        threads[i] = sim_spawn(meeting_worker, (void *)(uintptr_t)i);
    threads[WORKERS] = sim_spawn(submit, &box.tasks[0]);
    submit(&box.tasks[1]);
    for (int i = 0; i <= WORKERS; i++)
        sim_join(threads[i]);
    sp__idle_destroy(&box.idle);
}

/* One submitter, one worker, one task at a time: announce against submit. */
SCENARIO(a_submit_meets_a_sleeper_or_is_seen, .share = 80)
{
    CHECK_EQ(sp__idle_init(&box.idle, 1), SP_OK);
    unsigned thread = sim_spawn(worker, (void *)0);
    for (int i = 0; i < TASKS; i++)
        submit(&box.tasks[i]);
    sim_join(thread);
    CHECK_EQ(load_relaxed(&box.taken), TASKS);
    sp__idle_destroy(&box.idle);
}
