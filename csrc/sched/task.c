#include "sched/task.h"

#include <assert.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/os.h"
#include "sched/completion.h"
#include "sched/group.h"
#include "sched/spawn.h"
#include "sched/worker.h"

_Static_assert(sizeof(_Atomic(uint32_t)) == sizeof(uint32_t) &&
                   _Alignof(_Atomic(uint32_t)) == _Alignof(uint32_t),
               "C and C++ would disagree on struct sp_task");

_Static_assert(SP_TICKETS == 2, "one bit says which ticket it is");

static _Thread_local sp_task *current;

static sp_phase phase_of(uint32_t state)
{
    return (sp_phase)(state & SP__TASK_PHASE);
}

static bool has_ended(uint32_t state)
{
    return phase_of(state) >= SP_DONE;
}

void sp_task_init(sp_task *task, sp_task_fn run, sp_release_fn release)
{
    *task = (sp_task){.run = run, .release = release};
    store_relaxed(&task->state, SP_PENDING | SP__TASK_REF);
}

void sp_task_set_priority(sp_task *task, sp_priority priority)
{
    assert(priority >= SP_PRIORITY_LOW && priority <= SP_PRIORITY_HIGH);
    assert(sp_task_phase(task) == SP_PENDING);
    task->priority = priority;
}

void sp_task_set_token(sp_task *task, sp_token *token)
{
    assert(sp_task_phase(task) == SP_PENDING);
    task->token = token;
}

sp_phase sp_task_phase(const sp_task *task)
{
    /* acquire (T1): what the task wrote, from the thread that ended it. */
    return phase_of(load_acquire(&task->state));
}

/* ------------------------------------------------------------- references */

void sp_task_ref(sp_task *task)
{
    fetch_add_relaxed(&task->state, SP__TASK_REF);
}

static void drop_last(sp_task *task)
{
    if (task->release)
        task->release(task);
}

void sp_task_unref(sp_task *task)
{
    /* acq_rel (T2): the last one to drop sees what all others did before they
     * dropped theirs, and may free. */
    uint32_t old = fetch_sub_acq_rel(&task->state, SP__TASK_REF);
    assert(old >= SP__TASK_REF);
    if (old < 2 * SP__TASK_REF)
        drop_last(task);
}

void sp__task_enqueue(sp_task *task)
{
    sp_task_ref(task);
}

/* ------------------------------------------------------------ transitions */

bool sp__task_claim(sp_task *task)
{
    uint32_t state = load_relaxed(&task->state);
    while (phase_of(state) == SP_PENDING)
        /* The arguments came with the pointer, through a queue or otherwise;
         * acq_rel like all other changes of the word, so that none breaks the
         * chain from a flag to the end (T3). Kept: a weaker read-modify-write
         * would carry the chain on as well; alike, they need no proof each. */
        if (cas_weak_acq_rel(&task->state, &state, state | SP_RUNNING))
            return true;
    return false;
}

/*
 * Tell whoever asked. `old` is the state that was replaced by an ended one, so
 * nobody can ask any more. The task itself may be freed by now, except when a
 * ticket is armed, for that one holds a reference.
 */
static void announce_end(sp_task *task, uint32_t old, sp_group *group)
{
    if (old & SP__TASK_WAITER)
        sp__os_wake_all(&task->state);
    for (unsigned i = 0; i < SP_TICKETS; i++)
        if (old & SP__TASK_TICKET(i))
            sp__completion_push(&task->tickets[i]);
    if (group)
        sp__group_leave(group, 1);
}

/*
 * running -> done or cancelled; drops `refs` references in the same step. Everything
 * needed afterwards is read before: after it the owner may free the task, be it on his
 * stack.
 */
static void end_claimed(sp_task *task, sp_phase phase, uint32_t refs)
{
    sp_group *group = task->group;
    sp_release_fn release = task->release;

    /* release (T1): the task's results, to whoever sees it done. acquire (T2, T3):
     * this may be the last reference; and the tickets' queues. */
    uint32_t change = (uint32_t)phase - SP_RUNNING - refs * SP__TASK_REF;
    uint32_t old = fetch_add_acq_rel(&task->state, change);
    assert(phase_of(old) == SP_RUNNING);
    announce_end(task, old, group);
    if (release && refs > 0 && old < (refs + 1) * SP__TASK_REF)
        release(task);
}

void sp__task_complete(sp_task *task)
{
    end_claimed(task, SP_DONE, 0);
}

/* Only whoever claimed the task may look at its token, for it need not live longer
 * than the task, and entries in queues do. */
static bool is_revoked(const sp_task *task)
{
    return sp_unlikely(sp__token_is_cancelled(task->token));
}

static void run(sp_task *task)
{
    sp_task *outer = sp__task_set_current(task);
    task->run(task);
    sp__task_set_current(outer);
}

bool sp__task_execute(sp_task *task, void (*before_end)(void *), void *arg)
{
    if (sp__task_is_detached(task)) {
        bool is_due = !is_revoked(task);
        if (is_due) {
            sp_task *outer = sp__task_set_current(task);
            sp__detached_run(task);
            sp__task_set_current(outer);
            if (before_end)
                before_end(arg);
        }
        sp__detached_end(task);
        return is_due;
    }
    if (!sp__task_claim(task)) {
        sp_task_unref(task);
        return false;
    }
    if (is_revoked(task)) {
        end_claimed(task, SP_CANCELLED, 1);
        return false;
    }
    run(task);
    if (before_end)
        before_end(arg);
    end_claimed(task, SP_DONE, 1);
    return true;
}

sp_status sp_task_run(sp_task *task)
{
    if (!sp__task_claim(task))
        return SP_EDONE;
    if (is_revoked(task)) {
        end_claimed(task, SP_CANCELLED, 0);
        return SP_ECANCELLED;
    }
    struct sp__worker *worker = sp__worker_current();
    uint32_t named = worker ? sp__frames_name(&worker->frames) : 0;
    run(task);
    if (worker)
        sp__frames_unname(&worker->frames, named);
    end_claimed(task, SP_DONE, 0);
    return SP_OK;
}

/* pending -> cancelled; false when it was not pending. The caller has a
 * reference. */
static bool cancel_pending(sp_task *task)
{
    uint32_t state = load_relaxed(&task->state);
    while (phase_of(state) == SP_PENDING) {
        sp_group *group = task->group;
        /* release (T1): what led to this, to whoever sees it cancelled. acquire (T3):
         * the tickets' queues. */
        if (!cas_weak_acq_rel(&task->state, &state, state | SP_CANCELLED))
            continue;
        announce_end(task, state, group);
        return true;
    }
    return false;
}

/* Set a flag that is honoured when the task ends; false when it has ended. */
static bool set_before_end(sp_task *task, uint32_t flag, uint32_t refs)
{
    uint32_t state = load_relaxed(&task->state);
    for (;;) {
        if (has_ended(state))
            return false;
        uint32_t next = (state | flag) + refs * SP__TASK_REF;
        /* release (T3): a ticket's queue, read by whoever ends the task. Kept acq_rel:
         * see claim(). */
        if (cas_weak_acq_rel(&task->state, &state, next))
            return true;
    }
}

sp_status sp_task_cancel(sp_task *task)
{
    if (cancel_pending(task))
        return SP_OK;
    return set_before_end(task, SP__TASK_STOP, 0) ? SP_EBUSY : SP_EDONE;
}

void sp__task_throw_away(sp_task *task)
{
    if (sp__task_is_detached(task)) {
        sp__detached_end(task);
        return;
    }
    /* Its waiter may be running it: that one is not asked to stop. */
    cancel_pending(task);
    sp_task_unref(task);
}

/* ---------------------------------------------------------------- waiting */

static sp_status ended_status(const sp_task *task)
{
    return sp_task_phase(task) == SP_CANCELLED ? SP_ECANCELLED : SP_OK;
}

static bool spin_until_end(const sp_task *task, int64_t spin_ns)
{
    int64_t until = sp__os_deadline(spin_ns);
    do {
        for (int i = 0; i < 16; i++) {
            if (sp_task_phase(task) >= SP_DONE)
                return true;
            sp__os_pause();
        }
    } while (sp__os_now_ns() < until);
    return false;
}

static sp_status sleep_until_end(sp_task *task, int64_t deadline_ns)
{
    while (set_before_end(task, SP__TASK_WAITER, 0)) {
        uint32_t state = load_relaxed(&task->state);
        if (has_ended(state))
            break;
        switch (sp__os_wait(&task->state, state, deadline_ns)) {
        case SP__OS_WOKEN:
            break;
        case SP__OS_TIMED_OUT:
            return sp_task_phase(task) >= SP_DONE ? ended_status(task) : SP_ETIMEDOUT;
        case SP__OS_INTERRUPTED:
            return sp_task_phase(task) >= SP_DONE ? ended_status(task) : SP_EINTR;
        }
    }
    return ended_status(task);
}

sp_status sp_task_wait(sp_task *task, int64_t timeout_ns, int64_t spin_ns)
{
    if (sp_task_phase(task) >= SP_DONE)
        return ended_status(task);
    if (timeout_ns == 0)
        return SP_ETIMEDOUT;
    int64_t deadline_ns = sp__os_deadline(timeout_ns);
    if (sp__worker_current() && sp_task_run(task) != SP_EDONE)
        return ended_status(task);
    if (spin_ns > 0) {
        if (timeout_ns > 0 && spin_ns > timeout_ns)
            spin_ns = timeout_ns;
        if (spin_until_end(task, spin_ns))
            return ended_status(task);
    }
    sp_blocking_begin();
    sp_status status = sleep_until_end(task, deadline_ns);
    sp_blocking_end();
    return status;
}

/* ---------------------------------------------------------------- tickets */

sp_status sp_task_notify(sp_task *task, unsigned ticket, sp_completion *queue)
{
    assert(ticket < SP_TICKETS);
    uint32_t state = load_relaxed(&task->state);
    if (has_ended(state))
        return SP_EDONE;
    if (state & SP__TASK_TICKET(ticket))
        return SP_EBUSY;
    task->tickets[ticket].queue = (uintptr_t)queue | ticket;
    return set_before_end(task, SP__TASK_TICKET(ticket), 1) ? SP_OK : SP_EDONE;
}

sp_status sp_task_unnotify(sp_task *task, unsigned ticket)
{
    assert(ticket < SP_TICKETS);
    uint32_t flag = SP__TASK_TICKET(ticket);
    uint32_t state = load_relaxed(&task->state);
    for (;;) {
        if (has_ended(state))
            return SP_EDONE;
        assert(state & flag);
        /* The caller has a reference of his own, so this is not the last. Kept: see
         * claim(). */
        if (cas_weak_acq_rel(&task->state, &state, (state & ~flag) - SP__TASK_REF))
            return SP_OK;
    }
}

/* --------------------------------------------------------------- stopping */

sp_task *sp__task_set_current(sp_task *task)
{
    sp_task *outer = current;
    current = task;
    return outer;
}

sp_task *sp__task_current(void)
{
    return current;
}

/* Soon enough for a finger on Ctrl-C; seldom enough for a thread that waits 5 ms each
 * time until it may. */
#define LOOK_NS 30000000

static _Thread_local struct sp__look *current_look;

struct sp__look *sp__task_set_look(struct sp__look *look)
{
    struct sp__look *outer = current_look;
    current_look = look;
    return outer;
}

void sp__task_look(void)
{
    struct sp__look *look = current_look;
    if (sp_likely(!look))
        return;
    int64_t now_ns = sp__os_now_ns();
    if (look->next_ns == 0)
        look->next_ns = now_ns + LOOK_NS;
    if (now_ns < look->next_ns)
        return;
    look->next_ns = INT64_MAX; /* not again within */
    look->look(look->arg);
    look->next_ns = sp__os_now_ns() + LOOK_NS;
}

int sp_cancelled(void)
{
    sp__task_look();
    return sp__task_is_stopped(current);
}

sp_token *sp_current_token(void)
{
    return current ? current->token : NULL;
}
