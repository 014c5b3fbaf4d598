/*
 * idle.h - what a worker does without work: searching -> sleepy -> parked.
 *
 *   searching  looks for work, counted in `searching`; only some may at a time
 *   sleepy     has announced its sleep (its bit in `sleepers` is set) and looks
 *              a last time
 *   parked     sleeps in the kernel on its parker
 *
 * The rule that loses no wake-up: a submitter publishes his task, then looks at
 * `searching` and `sleepers`; a worker announces its sleep, then looks at the
 * queues. All four are seq-cst, so one of the two sees the other (S1, S2). A
 * worker that moves tasks from one queue to another is a submitter, too: in its
 * hands nobody sees them.
 *
 * I1  A bit in `sleepers` is cleared by the waker, who will unpark that worker,
 *     or by its owner. Whoever clears it counts the worker as searching.
 * I2  If a task is queued, then somebody is searching, or nobody sleeps, or a
 *     submitter is between his publication and his look at `sleepers`.
 * I3  The last searcher that finds work wakes another if work is left (chain).
 * I4  A failed try-lock or a lost steal counts as "maybe work".
 *
 * tests/models/idle.py checks the protocol, states and all.
 */
#ifndef SP_SCHED_IDLE_H
#define SP_SCHED_IDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "base/compiler.h"
#include "stealpool.h"

#define SP__IDLE_WORDS ((SP_MAX_WORKERS + 63) / 64)

/* One worker's bed. */
struct sp__parker {
    SP_CACHE_ALIGNED _Atomic(uint32_t) token; /* enum in idle.c; passes I1's claim */
    _Atomic(uint32_t) rung_on; /* the waker's CPU, and when; hints (P1) */
    _Atomic(int64_t) rung_at;
};

struct sp__idle {
    SP_CACHE_ALIGNED _Atomic(uint32_t) searching; /* workers, awake or being woken */
    _Atomic(uint32_t) is_stuck; /* no worker can take up a task: see staff.h (S8) */
    _Atomic(uint64_t) sleepers[SP__IDLE_WORDS]; /* bit set: parked, or about to */
    SP_CACHE_ALIGNED uint32_t words;            /* constant */
    uint32_t places;                            /* constant */
    _Atomic(uint32_t) max_searching;            /* by the number of workers */
    struct sp__parker *parkers;                 /* constant; one a worker */
    _Atomic(uint64_t) woken;                    /* statistics */
};

/** Prepare beds for so many workers, at most. */
sp_status sp__idle_init(struct sp__idle *idle, uint32_t places);
void sp__idle_destroy(struct sp__idle *idle);

/** From now on there are so many workers: how many may search at a time. */
void sp__idle_resize(struct sp__idle *idle, uint32_t workers);

/** Nobody searches, nobody sleeps: the child of a fork. */
void sp__idle_reset(struct sp__idle *idle);

/**
 * After publishing work: wake one worker, unless one is searching already and
 * will find it, or all are busy. If all sleep in tasks, have those that wait for groups
 * look whether it is theirs.
 */
void sp__idle_notify(struct sp__idle *idle);

/** Somebody has nothing to do, as far as one can see. A hint. */
bool sp__idle_has_idle(const struct sp__idle *idle);

/** Wake every sleeper (shutdown). */
void sp__idle_notify_all(struct sp__idle *idle);

/** Become a searcher, if there are not enough; false then. */
bool sp__idle_start_search(struct sp__idle *idle);

/**
 * Stop searching because work was found.
 * @return true for the last searcher, who must sp__idle_notify() if there is
 *         more work than he takes: I3.
 */
bool sp__idle_end_search(struct sp__idle *idle);

/**
 * Announce that `worker` will sleep; it no longer counts as searching. The
 * caller then looks at all queues once more, and either withdraws or parks.
 */
void sp__idle_announce(struct sp__idle *idle, uint32_t worker, bool is_searching);

/**
 * Take the announcement back. True: the caller is searching again. False: a
 * waker was faster, and the caller must sp__idle_park(), which will not sleep.
 */
bool sp__idle_withdraw(struct sp__idle *idle, uint32_t worker);

/**
 * Sleep until woken. On return the caller counts as searching.
 *
 * @return How long it took to be woken by a thread on another CPU, in ns, its own part
 *         included; -1: not that, or the caller did not sleep.
 */
int64_t sp__idle_park(struct sp__idle *idle, uint32_t worker);

#endif /* SP_SCHED_IDLE_H */
