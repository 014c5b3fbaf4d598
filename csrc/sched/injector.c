#include "sched/injector.h"

#define CLOSED ((uintptr_t)1)

static sp_task *task_of(uintptr_t inbox)
{
    return (sp_task *)(inbox & ~CLOSED);
}

static bool push(struct sp__injector *injector, sp_task *first, sp_task *last,
                 bool even_when_closed)
{
    uintptr_t inbox = load_relaxed(&injector->inbox);
    uintptr_t next;
    do {
        if ((inbox & CLOSED) && !even_when_closed)
            return false;
        last->next = task_of(inbox);
        next = (uintptr_t)first | (inbox & CLOSED);
    }
    /* release (J1): the tasks, to the worker that empties the inbox. seq-cst
     * (S1): the load of `searching` that follows in sp__idle_notify() must not
     * come first. */
    while (!cas_weak_seq_cst(&injector->inbox, &inbox, next));
    return true;
}

bool sp__injector_push(struct sp__injector *injector, sp_task *first, sp_task *last)
{
    return push(injector, first, last, false);
}

void sp__injector_spill(struct sp__injector *injector, sp_task *first, sp_task *last)
{
    push(injector, first, last, true);
}

/* Under the lock. */
static void empty_inbox(struct sp__injector *injector)
{
    if (!task_of(load_relaxed(&injector->inbox)))
        return;
    /* acquire (J1). Leaves the closed bit as it is. */
    uintptr_t inbox = fetch_and_seq_cst(&injector->inbox, CLOSED);
    sp_task *task = task_of(inbox);
    sp_task *newest = task;
    sp_task *oldest = NULL;
    uint32_t n = 0;
    while (task) {
        sp_task *next = task->next;
        task->next = oldest;
        oldest = task;
        task = next;
        n++;
    }
    if (injector->newest)
        injector->newest->next = oldest;
    else
        injector->oldest = oldest;
    injector->newest = newest;
    /* seq-cst (S1): before the mover's look at `sleepers`. */
    store_seq_cst(&injector->stashed, load_relaxed(&injector->stashed) + n);
}

/* Under the lock. */
static uint32_t take_from_stash(struct sp__injector *injector, sp_task **tasks,
                                uint32_t max)
{
    uint32_t n = 0;
    while (n < max && injector->oldest) {
        tasks[n++] = injector->oldest;
        injector->oldest = injector->oldest->next;
    }
    if (!injector->oldest)
        injector->newest = NULL;
    store_relaxed(&injector->stashed, load_relaxed(&injector->stashed) - n);
    return n;
}

enum sp__inject_result sp__injector_take(struct sp__injector *injector, sp_task **tasks,
                                         uint32_t max, uint32_t *ret_n)
{
    if (sp__injector_is_empty(injector))
        return SP__INJECT_NONE;
    uint32_t unlocked = 0;
    /* acquire (J2): the stash, as the one before us left it. */
    if (load_relaxed(&injector->lock) ||
        !cas_weak_acquire(&injector->lock, &unlocked, 1))
        return SP__INJECT_MAYBE;

    empty_inbox(injector);
    uint32_t n = take_from_stash(injector, tasks, max);
    store_release(&injector->lock, 0); /* (J2) */
    if (n == 0)
        return SP__INJECT_NONE;
    *ret_n = n;
    return SP__INJECT_TAKEN;
}

void sp__injector_close(struct sp__injector *injector)
{
    /* seq-cst (S4): before the closer's look at `sleepers`. */
    fetch_or_seq_cst(&injector->inbox, CLOSED);
}

bool sp__injector_is_closed(const struct sp__injector *injector)
{
    /* seq-cst (S4): a worker's last look before it sleeps; see close(). */
    return load_seq_cst(&injector->inbox) & CLOSED;
}

bool sp__injector_is_empty(const struct sp__injector *injector)
{
    /* seq-cst (S1): after announcing sleep, before sleeping. Tasks on their way
     * from the inbox to the stash are in neither; the worker that moves them
     * looks again when it has, and wakes somebody if it leaves any. */
    return !task_of(load_seq_cst(&injector->inbox)) &&
           load_seq_cst(&injector->stashed) == 0;
}
