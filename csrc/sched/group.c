#include "sched/group.h"

#include <assert.h>

#include "base/atomics.h"
#include "base/os.h"
#include "sched/help.h"
#include "sched/worker.h"

void sp_group_init(sp_group *group)
{
    *group = (sp_group){0};
}

void sp_group_set_token(sp_group *group, sp_token *token)
{
    group->token = token;
}

void sp_group_add(sp_group *group, sp_task *task)
{
    task->group = group;
    if (group->token)
        task->token = group->token;
    sp__group_enter(group, 1);
}

void sp__group_enter(sp_group *group, uint32_t n)
{
    fetch_add_relaxed(&group->unfinished, n);
}

uint32_t sp_group_unfinished(const sp_group *group)
{
    /* acquire (G1): at zero, everything that the tasks wrote. */
    return load_acquire(&group->unfinished) & SP__GROUP_COUNT;
}

void sp__group_leave(sp_group *group, uint32_t n)
{
    /* acq_rel (G1): what these tasks wrote goes to whoever sees zero, through the
     * chain of decrements in between. The waiter is woken by address alone. Kept: a
     * read-modify-write carries a release on whatever its own order. */
    uint32_t old = fetch_sub_acq_rel(&group->unfinished, n);
    assert((old & SP__GROUP_COUNT) >= n);
    if ((old & ~SP__GROUP_LOOK) == (SP__GROUP_WAITER | n))
        sp__os_wake_all(&group->unfinished);
}

sp_status sp_group_wait(sp_group *group, int64_t timeout_ns)
{
    struct sp__worker *worker = sp__worker_current();
    if (worker)
        return sp__help_wait(worker, group, timeout_ns);
    int64_t deadline_ns = sp__os_deadline(timeout_ns);
    while (sp_group_unfinished(group) > 0) {
        /* Kept: the other side changes the same word, and reads the newest. */
        uint32_t state = fetch_or_acq_rel(&group->unfinished, SP__GROUP_WAITER);
        if ((state & SP__GROUP_COUNT) == 0)
            break;
        state |= SP__GROUP_WAITER;
        switch (sp__os_wait(&group->unfinished, state, deadline_ns)) {
        case SP__OS_WOKEN:
            break;
        case SP__OS_TIMED_OUT:
            return sp_group_unfinished(group) ? SP_ETIMEDOUT : SP_OK;
        case SP__OS_INTERRUPTED:
            return sp_group_unfinished(group) ? SP_EINTR : SP_OK;
        }
    }
    return SP_OK;
}
