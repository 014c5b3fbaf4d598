/*
 * staff.h - which workers work: more or fewer at run time, others for those that
 * block, all anew in the child of a fork.
 *
 * A pool has a table of places for workers. Those below `due` work:
 *
 *      due = wanted (sp_pool_resize) + blocked (sp_blocking_begin), or as many of those as
 *            sp_pool_options.max_blocked says
 *
 * A worker that is not due steps back, between two tasks: it hands over what is in its
 * deque, and is dormant for a while, for it is often called back soon; then its thread
 * ends.
 *
 *      absent --start--> present --step back--> dormant --end--> left --join--> absent
 *                           ^-------call----------/
 *
 * All this is under a lock, for it is rare. Others read `due` and `places` without.
 *
 * A worker that sleeps in a task takes up no other. When all that are present sleep so,
 * some of them for groups, the pool is stuck: what is queued can be run only by these,
 * each those of its own, and so whoever comes upon that rouses them.
 */
#ifndef SP_SCHED_STAFF_H
#define SP_SCHED_STAFF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"
#include "base/os.h"
#include "stealpool.h"

struct sp__worker;

/* Of a worker's place. */
enum sp__presence {
    SP__ABSENT,  /* no thread was started, or it was joined */
    SP__PRESENT, /* its thread runs sp__worker_run() */
    SP__DORMANT, /* the same, but waits to be called back, for a while */
    SP__LEFT,    /* its thread ends, or has ended, and is not joined */
};

struct sp__staff {
    struct sp__lock lock;
    uint32_t blocked; /* workers between sp_blocking_begin() and _end(); locked */
    uint32_t
        asleep; /* workers that sleep in tasks, the blocked ones included; locked */
    uint32_t waiting;  /* of these, for groups; locked */
    uint32_t present;  /* workers that are; locked */
    uint32_t capacity; /* places; constant */
    uint32_t most;     /* that sp_pool_resize() may ask for; constant */
    uint32_t spare;    /* for so many of the blocked somebody stands in; constant */

    _Atomic(uint32_t) wanted; /* written under the lock */
    _Atomic(uint32_t) due;    /* likewise; a worker at this place is too many (S6) */
    _Atomic(uint32_t) places; /* likewise; that ever had a worker: only grows (S7) */

    /* How to start one; constant. */
    int64_t keepalive_ns; /* to begin with */
    bool learns_keepalive;
    uint32_t pin;
    uint32_t policy;
    uint32_t priority;
    char name[12];
};

/** Prepare, with options that are valid. */
void sp__staff_init(sp_pool *pool, const sp_pool_options *options, uint32_t workers);

/**
 * Start the first `wanted` workers, or as many as the system lets us.
 * @return SP_OK; SP_ETHREAD: none; SP_EPERM: some, but their policy is not permitted.
 */
sp_status sp__staff_start(sp_pool *pool);

/** Worker: is it one too many? */
static inline bool sp__staff_is_due(const struct sp__staff *staff, uint32_t index)
{
    /* seq-cst (S6): a worker's last look before it sleeps. Kept: see set_due(). */
    return index < load_seq_cst(&staff->due);
}

/** Worker that is one too many: step back. False: its thread is to end. */
bool sp__staff_step_back(struct sp__worker *worker);

/**
 * The worker will sleep, in a task: be it for the tasks of `group`, whose word has
 * SP__GROUP_LOOK set when it shall look for them again; NULL: for something else. When
 * `is_blocked`, somebody stands in. For another reason than a group the worker must not
 * have said so already.
 */
void sp__staff_falls_asleep(struct sp__worker *worker, sp_group *group,
                            bool is_blocked);

/** It goes on. */
void sp__staff_rises(struct sp__worker *worker, bool is_blocked);

/** If the pool is stuck, what is queued goes to the injector, and those who wait for
 * groups look there. */
void sp__staff_rouse(sp_pool *pool);

/** The pool was closed: no worker need stay dormant. */
void sp__staff_dismiss(sp_pool *pool);

/** All workers have ended: join their threads. */
void sp__staff_join(sp_pool *pool);

#endif /* SP_SCHED_STAFF_H */
