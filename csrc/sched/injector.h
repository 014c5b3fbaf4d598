/*
 * injector.h - the queue for tasks that come from outside the pool.
 *
 * Two parts. The inbox is a stack to which anyone pushes with one
 * compare-exchange: a submitter, who may hold the GIL, never waits for a worker
 * that lost its CPU. The stash is a plain list in order of arrival, used by
 * whoever holds the try-lock: he empties the inbox into it, reversed, and takes
 * from its front. Hence first in, first out.
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

struct sp__injector {
    /* Newest task, linked by `next`; lowest bit: closed. Publishes tasks (J1). */
    SP_CACHE_ALIGNED _Atomic(uintptr_t) inbox;
    SP_CACHE_ALIGNED _Atomic(uint32_t) lock; /* who takes; guards the stash (J2) */
    _Atomic(uint32_t) stashed;               /* length of the stash; for is_empty */
    sp_task *oldest;                         /* under the lock */
    sp_task *newest;                         /* under the lock */
};

enum sp__inject_result { SP__INJECT_TAKEN, SP__INJECT_NONE, SP__INJECT_MAYBE };

/**
 * Push the `n` tasks from `first` to `last`, linked by `next` from the newest
 * (`first`) to the oldest. False when closed, and nothing happened.
 */
bool sp__injector_push(struct sp__injector *injector, sp_task *first, sp_task *last);

/** The same for tasks that were accepted already: works when closed, too. */
void sp__injector_spill(struct sp__injector *injector, sp_task *first, sp_task *last);

/**
 * Take up to `max` tasks, oldest first, into `tasks`.
 * @param ret_n  written on TAKEN: at least 1.
 */
enum sp__inject_result sp__injector_take(struct sp__injector *injector, sp_task **tasks,
                                         uint32_t max, uint32_t *ret_n);

/** Refuse new tasks from now on. */
void sp__injector_close(struct sp__injector *injector);

bool sp__injector_is_closed(const struct sp__injector *injector);

/** Nothing to take at this moment. A task whose push came before, in the
 * seq-cst order, is not overlooked (S1). */
bool sp__injector_is_empty(const struct sp__injector *injector);

#endif /* SP_SCHED_INJECTOR_H */
