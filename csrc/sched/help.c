#include "sched/help.h"

#include "base/atomics.h"
#include "base/os.h"
#include "sched/group.h"
#include "sched/pool.h"
#include "sched/spawn.h"
#include "sched/worker.h"

#define PAUSES_PER_LOOK 8

/* What a wait knows. */
struct wait {
    struct sp__worker *worker;
    sp_group *group;
    int64_t deadline_ns;
    int64_t until;     /* how long to spin; 0: not yet begun */
    bool may_have_own; /* the newest task of our deque may be the group's */
    uint32_t arrivals; /* the injector has nothing for us but what came since */
};

/* The group's last tasks may be those that we have run, and not told of (spawn.h). */
static bool is_done(const struct wait *wait)
{
    const struct sp__worker *worker = wait->worker;
    uint32_t kept_back = worker->left == wait->group ? worker->n_left : 0;
    return sp_group_unfinished(wait->group) == kept_back;
}

static bool is_late(const struct wait *wait)
{
    return wait->deadline_ns != SP__OS_NO_DEADLINE &&
           sp__os_now_ns() >= wait->deadline_ns;
}

static sp_task *take_injected(struct wait *wait)
{
    sp_task *task = sp__worker_take_of(wait->worker, wait->group, &wait->arrivals);
    wait->may_have_own |= task != NULL;
    return task;
}

static sp_task *find(struct wait *wait)
{
    const struct sp__injector *injector = &wait->worker->pool->injector;
    if (wait->may_have_own) {
        sp_task *task = sp__worker_pop_of(wait->worker, wait->group);
        if (task)
            return task;
        wait->may_have_own = false;
    }
    if (!sp__injector_has_arrivals(injector, wait->arrivals))
        return NULL;
    return take_injected(wait);
}

/* Others run what is left. True: done, or there may be something for us. */
static bool spin(struct wait *wait)
{
    const struct sp__worker *worker = wait->worker;
    const sp_pool *pool = worker->pool;
    if (worker->keepalive_ns == 0 || load_relaxed(&pool->staff.due) < 2)
        return false;
    int64_t now = sp__os_now_ns();
    if (wait->until == 0)
        wait->until = now + worker->keepalive_ns;
    for (; now < wait->until && now < wait->deadline_ns; now = sp__os_now_ns()) {
        if (is_done(wait) || sp__injector_has_arrivals(&pool->injector, wait->arrivals))
            return true;
        for (int i = 0; i < PAUSES_PER_LOOK; i++)
            sp__os_pause();
    }
    return false;
}

/* Counted as asleep. */
static sp_status sleep_on_word(struct wait *wait, sp_task **ret_task)
{
    _Atomic(uint32_t) *word = &wait->group->unfinished;
    for (;;) {
        /* acquire (G2): what is in the injector. */
        uint32_t state = fetch_or_acquire(word, SP__GROUP_WAITER);
        if ((state & SP__GROUP_COUNT) == 0)
            return SP_OK;
        if (state & SP__GROUP_LOOK) {
            /* acquire (G2): it may have been set again since. */
            fetch_and_acquire(word, ~SP__GROUP_LOOK);
            if ((*ret_task = take_injected(wait)) != NULL)
                return SP_OK;
            continue;
        }
        switch (sp__os_wait(word, state | SP__GROUP_WAITER, wait->deadline_ns)) {
        case SP__OS_WOKEN:
            break;
        case SP__OS_TIMED_OUT:
            return SP_ETIMEDOUT;
        case SP__OS_INTERRUPTED:
            return SP_EINTR;
        }
    }
}

/* Sleep until the group is done, or there is a task for us after all. */
static sp_status sleep_until_end(struct wait *wait, sp_task **ret_task)
{
    struct sp__worker *worker = wait->worker;
    sp__worker_lay_open(worker);
    if ((*ret_task = take_injected(wait)) != NULL)
        return SP_OK;
    sp__freed_tell(&worker->freed);
    sp__staff_falls_asleep(worker, wait->group, true);
    sp_status status = sleep_on_word(wait, ret_task);
    sp__staff_rises(worker, true);
    return status;
}

sp_status sp__help_wait(struct sp__worker *worker, sp_group *group, int64_t timeout_ns)
{
    struct wait wait = {
        .worker = worker,
        .group = group,
        .deadline_ns = sp__os_deadline(timeout_ns),
        .may_have_own = true,
        .arrivals = sp__injector_arrivals(&worker->pool->injector),
    };
    sp_status status = SP_OK;
    uint32_t named = sp__frames_name(&worker->frames);
    while (status == SP_OK && !is_done(&wait)) {
        if (is_late(&wait)) {
            status = SP_ETIMEDOUT;
            break;
        }
        sp_task *task = find(&wait);
        if (!task) {
            sp__detached_tell(worker, NULL);
            if (spin(&wait))
                continue;
            status = sleep_until_end(&wait, &task);
        }
        if (task) {
            sp__worker_nest(worker, task);
            wait.may_have_own = true;
            wait.until = 0;
        }
    }
    sp__frames_unname(&worker->frames, named);
    sp__detached_tell(worker, NULL);
    if (status != SP_OK && sp_group_unfinished(group) == 0)
        return SP_OK;
    return status;
}
