#include "sched/injector.h"

#include <string.h>

#include "base/memory.h"
#include "base/os.h"
#include "sched/task.h"

#define CLOSED ((uintptr_t)1)

#define PAUSES_PER_LOSS 16

static sp_task *task_of(uintptr_t inbox)
{
    return (sp_task *)(inbox & ~CLOSED);
}

#define STEPS_AHEAD 24
#define TASKS_AHEAD 24 /* in a crate */

/* A walk over a list would wait for one line after the other, each on another CPU. But the
 * tasks of one submitter lie in memory in even steps for long stretches (slab.h): so ask
 * for what lies some steps ahead. A wrong guess costs a line too many. */
static void prefetch_ahead(const sp_task *task, const sp_task *next)
{
    intptr_t step = (intptr_t)next - (intptr_t)task;
    sp_prefetch((const void *)((uintptr_t)task + (uintptr_t)(STEPS_AHEAD * step)));
}

/* After the push of a high task. Coherence keeps this hint: it is cleared before the
 * inbox is emptied. If our push came after that, so does this store; if not, whoever
 * emptied the inbox has our task, and sets the hint again if he leaves it in the
 * stash. */
static void hurry(struct sp__injector *injector)
{
    if (!load_relaxed(&injector->is_urgent))
        store_relaxed(&injector->is_urgent, SP__LANE_HIGH);
}

/* Somebody else has changed the inbox. If that was a submitter, he may have more to push:
 * with the line to himself he does so in a third of the time. A taker leaves it empty. */
static uintptr_t look_again(const struct sp__injector *injector, uintptr_t inbox)
{
    if (!task_of(inbox))
        return inbox;
    for (int i = 0; i < PAUSES_PER_LOSS; i++)
        sp__os_pause();
    return load_relaxed(&injector->inbox);
}

/* A list of tasks by its ends: in registers, for a compare-exchange waits for what it
 * stores to come back from memory. */
static bool push(struct sp__injector *injector, sp_task *newest, sp_task *oldest,
                 bool has_high, bool even_when_closed)
{
    uintptr_t inbox = load_relaxed(&injector->inbox);
    for (;;) {
        if ((inbox & CLOSED) && !even_when_closed)
            return false;
        oldest->next = task_of(inbox);
        uintptr_t next = (uintptr_t)newest | (inbox & CLOSED);
        /* release (J1): the tasks, to the worker that empties the inbox. seq-cst
         * (S1): the load of `searching` that follows in sp__idle_notify() must not
         * come first. acquire (J3): who cleared the hint before. */
        if (cas_weak_seq_cst(&injector->inbox, &inbox, next))
            break;
        inbox = look_again(injector, inbox);
    }
    if (sp_unlikely(has_high))
        hurry(injector);
    return true;
}

bool sp__injector_push(struct sp__injector *injector, const struct sp__batch *batch)
{
    return push(injector, batch->newest, batch->oldest, batch->has_high, false);
}

bool sp__injector_push_one(struct sp__injector *injector, sp_task *task)
{
    return push(injector, task, task, false, false);
}

void sp__injector_spill(struct sp__injector *injector, const struct sp__batch *batch)
{
    push(injector, batch->newest, batch->oldest, batch->has_high, true);
}

/* ----------------------------------------------------------------- crates */

struct sp__crate *sp__crate_new(uint32_t max)
{
    struct sp__crate *crate = sp__alloc(sizeof *crate + max * sizeof *crate->tasks);
    if (crate) {
        store_relaxed(&crate->entry.state, SP__TASK_CRATE);
        crate->entry.priority = SP_PRIORITY_NORMAL;
        crate->begin = crate->end = 0;
    }
    return crate;
}

void sp__crate_free(struct sp__crate *crate)
{
    sp__free(crate);
}

/* NULL: it is a task. */
static struct sp__crate *crate_of(sp_task *entry)
{
    return load_relaxed(&entry->state) & SP__TASK_CRATE
               ? sp_container_of(entry, struct sp__crate, entry)
               : NULL;
}

static uint32_t unpack(struct sp__crate *crate, sp_task **tasks, uint32_t max)
{
    uint32_t n = crate->end - crate->begin;
    if (n > max)
        n = max;
    for (uint32_t i = 0; i < n; i++) {
        tasks[i] = crate->tasks[crate->begin++];
        sp_prefetch(tasks[i]);
    }
    return n;
}

/* The same of a group. What is not of it stays, in order, before what was not looked at. */
static uint32_t unpack_of(struct sp__crate *crate, const sp_group *group,
                          sp_task **tasks, uint32_t max)
{
    uint32_t i = crate->begin, n = 0, kept = 0;
    for (; i < crate->end && n < max; i++) {
        sp_task *task = crate->tasks[i];
        if (i + TASKS_AHEAD < crate->end)
            sp_prefetch(crate->tasks[i + TASKS_AHEAD]);
        if (task->group == group)
            tasks[n++] = task;
        else
            crate->tasks[crate->begin + kept++] = task;
    }
    sp_task **rest = &crate->tasks[i - kept];
    memmove(rest, &crate->tasks[crate->begin], kept * sizeof *rest);
    crate->begin = i - kept;
    return n;
}

/* Under the lock: it is empty. */
static void throw_away(struct sp__injector *injector, struct sp__crate *crate)
{
    crate->entry.next = injector->empty_crates;
    injector->empty_crates = &crate->entry;
}

/* ------------------------------------------------------------------ lanes */

/* Newest first on the way in, so each task goes before those that came before it. */
static void put_in_front(struct sp__lane *lane, sp_task *task)
{
    task->next = lane->oldest;
    lane->oldest = task;
    if (!lane->newest)
        lane->newest = task;
}

static void append(struct sp__lane *lane, const struct sp__lane *arrived)
{
    if (!arrived->oldest)
        return;
    if (lane->newest)
        lane->newest->next = arrived->oldest;
    else
        lane->oldest = arrived->oldest;
    lane->newest = arrived->newest;
}

/* Put tasks of all lanes, newest first, behind those in the stash. Returns how many
 * of them are normal. */
static uint32_t sort_into_lanes(struct sp__injector *injector, sp_task *newest)
{
    struct sp__lane high = {.oldest = NULL};
    struct sp__lane normal = {.oldest = NULL};
    struct sp__lane low = {.oldest = NULL};
    uint32_t n_normal = 0;
    while (newest) {
        sp_task *task = newest;
        newest = task->next;
        prefetch_ahead(task, newest);
        if (sp_likely(task->priority == SP_PRIORITY_NORMAL)) {
            const struct sp__crate *crate = crate_of(task);
            n_normal += crate ? crate->end - crate->begin : 1;
            put_in_front(&normal, task);
        } else {
            put_in_front(task->priority == SP_PRIORITY_HIGH ? &high : &low, task);
        }
    }
    append(&injector->lanes[0], &high);
    append(&injector->lanes[1], &normal);
    append(&injector->lanes[2], &low);
    return n_normal;
}

static uint32_t lanes_with_tasks(const struct sp__injector *injector)
{
    uint32_t lanes = 0;
    for (int i = 0; i < SP__LANES; i++)
        lanes |= injector->lanes[i].oldest ? 1u << i : 0;
    return lanes;
}

/* Under the lock. False when there was nothing in it. */
static bool empty_inbox(struct sp__injector *injector)
{
    if (load_relaxed(&injector->is_urgent))
        store_relaxed(&injector->is_urgent, 0u);
    else if (!task_of(load_relaxed(&injector->inbox)))
        return false;
    /* acquire (J1). release (J3): that the hint was cleared; (X2): that we are awake.
     * Leaves the closed bit as it is. */
    sp_task *newest = task_of(fetch_and_acq_rel(&injector->inbox, CLOSED));
    if (!newest)
        return false;
    uint32_t n_normal = sort_into_lanes(injector, newest);
    store_relaxed(&injector->n_normal, load_relaxed(&injector->n_normal) + n_normal);
    store_relaxed(&injector->arrivals, load_relaxed(&injector->arrivals) + 1);
    /* seq-cst (S1): before the mover's look at `sleepers`. */
    store_seq_cst(&injector->stashed, lanes_with_tasks(injector));
    return true;
}

/* Under the lock: so many were taken out of a lane. */
static void account(struct sp__injector *injector, int i, uint32_t n)
{
    struct sp__lane *lane = &injector->lanes[i];
    if (1u << i == SP__LANE_NORMAL)
        store_relaxed(&injector->n_normal, load_relaxed(&injector->n_normal) - n);
    if (n > 0 && !lane->oldest) {
        lane->newest = NULL;
        /* release (X2): that we are awake, to who sees the stash empty. */
        store_release(&injector->stashed, load_relaxed(&injector->stashed) ^ (1u << i));
    }
}

/* Under the lock. */
static uint32_t take_from_lane(struct sp__injector *injector, int i, sp_task **tasks,
                               uint32_t max)
{
    struct sp__lane *lane = &injector->lanes[i];
    uint32_t n = 0;
    while (n < max && lane->oldest) {
        sp_task *entry = lane->oldest;
        struct sp__crate *crate = crate_of(entry);
        if (!crate)
            tasks[n++] = entry;
        else
            n += unpack(crate, tasks + n, max - n);
        if (crate && crate->begin < crate->end)
            break;
        lane->oldest = entry->next;
        if (entry == lane->walked)
            lane->walked = NULL;
        prefetch_ahead(entry, entry->next);
        if (crate)
            throw_away(injector, crate);
    }
    account(injector, i, n);
    return n;
}

/* Under the lock. */
static uint32_t take_of_lane(struct sp__injector *injector, int i, sp_task **tasks,
                             uint32_t max)
{
    struct sp__lane *lane = &injector->lanes[i];
    sp_task *before = lane->walked;
    sp_task *entry = before ? before->next : lane->oldest;
    uint32_t n = 0;
    while (entry && n < max) {
        sp_task *next = entry->next;
        struct sp__crate *crate = crate_of(entry);
        bool is_taken = !crate && entry->group == injector->sought;
        prefetch_ahead(entry, next);
        if (is_taken)
            tasks[n++] = entry;
        if (crate) {
            n += unpack_of(crate, injector->sought, tasks + n, max - n);
            is_taken = crate->begin == crate->end;
            if (!is_taken && n == max)
                break; /* there may be more in it */
        }
        if (!is_taken)
            before = entry;
        else if (before)
            before->next = next;
        else
            lane->oldest = next;
        if (is_taken && !next)
            lane->newest = before;
        if (is_taken && crate)
            throw_away(injector, crate);
        entry = next;
    }
    lane->walked = before;
    account(injector, i, n);
    return n;
}

/* Under the lock. Of one lane at a time: see take_from_stash(). */
static uint32_t take_of_stash(struct sp__injector *injector, sp_task **tasks,
                              uint32_t max)
{
    uint32_t n = 0;
    for (int i = 0; i < SP__LANES && n == 0; i++)
        n = take_of_lane(injector, i, tasks, 1u << i == SP__LANE_NORMAL ? max : 1);
    return n;
}

/* Under the lock. */
static uint32_t take_from_stash(struct sp__injector *injector, uint32_t lanes,
                                sp_task **tasks, uint32_t max)
{
    lanes &= load_relaxed(&injector->stashed);
    if (!lanes)
        return 0;
    int lane = __builtin_ctz(lanes);
    return take_from_lane(injector, lane, tasks,
                          1u << lane == SP__LANE_NORMAL ? max : 1);
}

/* Under the lock. What the stash has came before what is in the inbox, which is left to
 * its submitters as long as that will do: not if something urgent may be in it, or only
 * low tasks are here. */
static bool needs_inbox(const struct sp__injector *injector, uint32_t lanes)
{
    return load_relaxed(&injector->is_urgent) ||
           !(load_relaxed(&injector->stashed) & lanes & ~SP__LANE_LOW);
}

static bool try_lock(struct sp__injector *injector)
{
    uint32_t unlocked = 0;
    /* acquire (J2): the stash, as the one before us left it. */
    return !load_relaxed(&injector->lock) &&
           cas_weak_acquire(&injector->lock, &unlocked, 1);
}

static void unlock(struct sp__injector *injector)
{
    if (sp_unlikely(load_relaxed(&injector->stashed) & SP__LANE_HIGH))
        store_relaxed(&injector->is_urgent, SP__LANE_HIGH);
    sp_task *empty = injector->empty_crates;
    injector->empty_crates = NULL;
    store_release(&injector->lock, 0); /* (J2) */
    while (empty) {
        struct sp__crate *crate = crate_of(empty);
        empty = empty->next;
        sp__crate_free(crate);
    }
}

enum sp__inject_result sp__injector_take(struct sp__injector *injector, uint32_t lanes,
                                         sp_task **tasks, uint32_t max, uint32_t *ret_n)
{
    if (!(load_relaxed(&injector->stashed) & lanes) &&
        !(load_relaxed(&injector->is_urgent) & lanes) &&
        !task_of(load_relaxed(&injector->inbox)))
        return SP__INJECT_NONE;
    if (!try_lock(injector))
        return SP__INJECT_MAYBE;

    bool has_moved = needs_inbox(injector, lanes) && empty_inbox(injector);
    uint32_t n = take_from_stash(injector, lanes, tasks, max);
    unlock(injector);
    if (n == 0)
        return has_moved ? SP__INJECT_MOVED : SP__INJECT_NONE;
    *ret_n = n;
    return SP__INJECT_TAKEN;
}

enum sp__inject_result sp__injector_take_of(struct sp__injector *injector,
                                            const sp_group *group, sp_task **tasks,
                                            uint32_t max, uint32_t *ret_n,
                                            uint32_t *ret_arrivals)
{
    if (!try_lock(injector))
        return SP__INJECT_MAYBE;
    if (injector->sought != group)
        for (int i = 0; i < SP__LANES; i++)
            injector->lanes[i].walked = NULL;
    injector->sought = group;
    uint32_t n = take_of_stash(injector, tasks, max);
    /* seq-cst (S8): after `is_stuck` was set, by whoever roused us. */
    bool has_moved =
        n == 0 && task_of(load_seq_cst(&injector->inbox)) && empty_inbox(injector);
    if (has_moved)
        n = take_of_stash(injector, tasks, max);
    uint32_t arrivals = load_relaxed(&injector->arrivals);
    unlock(injector);
    if (n == 0) {
        *ret_arrivals = arrivals;
        return has_moved ? SP__INJECT_MOVED : SP__INJECT_NONE;
    }
    *ret_n = n;
    return SP__INJECT_TAKEN;
}

uint32_t sp__injector_arrivals(const struct sp__injector *injector)
{
    uint32_t arrivals = load_relaxed(&injector->arrivals);
    return load_relaxed(&injector->stashed) ? arrivals - 1 : arrivals;
}

bool sp__injector_has_arrivals(const struct sp__injector *injector, uint32_t arrivals)
{
    return load_relaxed(&injector->arrivals) != arrivals ||
           task_of(load_relaxed(&injector->inbox));
}

void sp__injector_close(struct sp__injector *injector)
{
    /* seq-cst (S4): before the closer's look at `sleepers`. Kept: who announces his
     * sleep after that reads `sleepers` as the closer left it, and sees this. */
    fetch_or_seq_cst(&injector->inbox, CLOSED);
}

bool sp__injector_is_closed(const struct sp__injector *injector)
{
    /* seq-cst (S4): a worker's last look before it sleeps. Kept: see close(). */
    return load_seq_cst(&injector->inbox) & CLOSED;
}

bool sp__injector_is_empty(const struct sp__injector *injector)
{
    /* seq-cst (S1): after announcing sleep, before sleeping. Tasks on their way
     * from the inbox to the stash are in neither; the worker that moves them
     * looks again when it has, and wakes somebody if it leaves any. */
    if (load_relaxed(&injector->stashed)) /* leaves the inbox to its submitters */
        return false;
    return !task_of(load_seq_cst(&injector->inbox)) &&
           load_seq_cst(&injector->stashed) == 0;
}
