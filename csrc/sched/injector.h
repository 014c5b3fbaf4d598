/*
 * injector.h - the queue for tasks that come from outside the pool.
 *
 * Two parts. The inbox is a stack to which anyone pushes with one
 * compare-exchange: a submitter, who may hold the GIL, never waits for a worker
 * that lost its CPU. The stash is one plain list for each lane (high, normal, low),
 * in order of arrival, used by whoever holds the try-lock: he empties the inbox
 * into it, reversed, and takes from a lane's front. Hence first in, first out in
 * each lane. There is one inbox for all lanes, so that tasks of several lanes are
 * accepted or refused together.
 *
 *            push  take  close  is_empty      - may run at the same time
 * all         -     -     -       -
 *
 * Lock-free: push, close. take may return MAYBE: another worker has the lock
 * and there may be tasks left; never treat that as "nothing".
 */
#ifndef SP_SCHED_INJECTOR_H
#define SP_SCHED_INJECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomics.h"
#include "base/compiler.h"
#include "stealpool.h"

enum {
    SP__LANE_HIGH = 1,
    SP__LANE_NORMAL = 2,
    SP__LANE_LOW = 4,
    SP__LANE_ALL = 7,
    SP__LANES = 3,
};

struct sp__lane {
    sp_task *oldest;
    sp_task *newest;
    sp_task *walked; /* up to this one, none is of the group `sought`; or NULL */
};

/* Tasks that a thread is about to push: a list by `next`, oldest last. */
struct sp__batch {
    sp_task *newest;
    sp_task *oldest;
    bool has_high;
};

/** Add a task, or a crate's entry, to a batch that was zeroed. */
static inline void sp__batch_add(struct sp__batch *batch, sp_task *task)
{
    task->next = batch->newest;
    batch->newest = task;
    if (!batch->oldest)
        batch->oldest = task;
    batch->has_high |= task->priority == SP_PRIORITY_HIGH;
}

/*
 * Tasks of normal priority that go through the queue together: one entry in its lists, so
 * that none of them is looked at on the way. Memory of its own, which goes with the last.
 */
struct sp__crate {
    sp_task entry;
    uint32_t begin; /* tasks that are left, oldest first */
    uint32_t end;
    sp_task *tasks[];
};

/** An empty one with room for `max`; for `tasks` and `end` to be written. NULL: no
 * memory. */
struct sp__crate *sp__crate_new(uint32_t max);
void sp__crate_free(struct sp__crate *crate);

struct sp__injector {
    /* Newest task, linked by `next`; lowest bit: closed. Publishes tasks (J1). */
    SP_CACHE_ALIGNED _Atomic(uintptr_t) inbox;
    SP_CACHE_ALIGNED _Atomic(uint32_t) lock; /* who takes; guards the stash (J2) */
    _Atomic(uint32_t) stashed;               /* lanes with tasks; for is_empty */
    _Atomic(uint32_t) n_normal;              /* in the stash; a hint */
    _Atomic(uint32_t) arrivals;       /* how often the inbox was emptied into it */
    struct sp__lane lanes[SP__LANES]; /* under the lock */
    const sp_group *sought;           /* likewise; by sp__injector_take_of() */
    sp_task *empty_crates;            /* likewise; to be freed */
    /* A hint: SP__LANE_HIGH = there may be a task of that lane. Before each task of his own
     * a worker looks here, so it is alone, and normal tasks never write to it. */
    SP_CACHE_ALIGNED _Atomic(uint32_t) is_urgent;
};

enum sp__inject_result {
    SP__INJECT_TAKEN,
    SP__INJECT_NONE,  /* nothing in these lanes */
    SP__INJECT_MOVED, /* the same; but tasks of other lanes were moved meanwhile */
    SP__INJECT_MAYBE, /* somebody else has the lock */
};

/** Push all tasks of a batch, which has some. False when closed, and nothing
 * happened. */
bool sp__injector_push(struct sp__injector *injector, const struct sp__batch *batch);

/** The same for a single task, which is not a high one. */
bool sp__injector_push_one(struct sp__injector *injector, sp_task *task);

/** The same for tasks that were accepted already: works when closed, too. */
void sp__injector_spill(struct sp__injector *injector, const struct sp__batch *batch);

/** A task of the high lane may be here: take it before anything else. */
static inline bool sp__injector_is_urgent(const struct sp__injector *injector)
{
    return sp_unlikely(load_relaxed(&injector->is_urgent));
}

/**
 * Take tasks of one lane, oldest first, into `tasks`: of the highest of `lanes` (a sum
 * of SP__LANE_*) that has any. Up to `max` normal ones; of the others one, for in a
 * deque they would lose their place.
 *
 * After TAKEN and MOVED the caller was a submitter, too: sp__idle_notify(), if
 * anything is left here, or when he has published what he took.
 * @param ret_n  written on TAKEN: at least 1.
 */
enum sp__inject_result sp__injector_take(struct sp__injector *injector, uint32_t lanes,
                                         sp_task **tasks, uint32_t max,
                                         uint32_t *ret_n);

/**
 * Take up to `max` tasks of a group, of all lanes, into `tasks`, wherever they are in the
 * queue. A walk over all that came since the last one for this group; and over everything
 * if there was one for another group in between.
 *
 * After TAKEN, and after MOVED, the caller was a submitter, as above.
 * @param ret_arrivals  written on NONE and MOVED, when there was nothing: nothing need be
 *                      looked for until sp__injector_has_arrivals().
 */
enum sp__inject_result sp__injector_take_of(struct sp__injector *injector,
                                            const sp_group *group, sp_task **tasks,
                                            uint32_t max, uint32_t *ret_n,
                                            uint32_t *ret_arrivals);

/** For a start: everything in the stash came since. */
uint32_t sp__injector_arrivals(const struct sp__injector *injector);

/** Something came since. A hint. */
bool sp__injector_has_arrivals(const struct sp__injector *injector, uint32_t arrivals);

/** Refuse new tasks from now on. */
void sp__injector_close(struct sp__injector *injector);

bool sp__injector_is_closed(const struct sp__injector *injector);

/** Nothing to take at this moment. A task whose push came before, in the
 * seq-cst order, is not overlooked (S1). */
bool sp__injector_is_empty(const struct sp__injector *injector);

#endif /* SP_SCHED_INJECTOR_H */
