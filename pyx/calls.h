/*
 * calls.h - one queue of callables, with priorities; a lane has several (lane.h).
 *
 * Three lists, first in first out. The first call of the highest list that is not empty
 * is served, but a list that was passed over SP_LANE_PATIENCE times in a row comes next.
 *
 * The queue owns no call, and needs no memory: calls are linked. Each says in which
 * queue it is, by number, so that it can be taken out of the middle by somebody who has
 * nothing but the call.
 *
 * The lists belong to whoever holds a lock: the queue's own, or, where one lock guards
 * more than this queue (with a GIL), that one. With the queue's own lock comes `shown`:
 * what the queue has, to be read by anybody without the lock. It is written when the lock
 * is given back, and only when it changes, so that those who look from afar rarely
 * disturb those who are at work.
 *
 * A call that goes from one queue to another does so under both locks, and names one of
 * them all the time: whoever holds the lock of the queue that a call names has the call.
 */
#ifndef SP_PYX_CALLS_H
#define SP_PYX_CALLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"

#define SP_LANE_PATIENCE 16

enum { SP_LANE_HIGH, SP_LANE_NORMAL, SP_LANE_LOW, SP_LANE_PRIORITIES };

/** A queued callable's part in its queue. Zeroed memory is a call that is not queued. */
struct sp_call {
    struct sp_call *before, *after; /* neighbours in the list */
    uint32_t priority;
    _Atomic(uint32_t) place; /* the queue's; 0: in none. Written with its lock held */
};

/** Zeroed memory but for `place`, a number above 0 that no other queue has. */
struct sp_calls {
    _Atomic(uint32_t) shown; /* bit p: calls of priority p wait (Q3) */
    char apart[60];          /* from what changes with each call */
    _Atomic(uint32_t) lock;  /* of all that follows (Q1) */
    uint32_t place;
    uint32_t queued; /* calls */
    uint32_t has;    /* bit p: list p is not empty */
    struct {
        struct sp_call *first, *last;
        uint32_t passed_over; /* times in a row */
    } lists[SP_LANE_PRIORITIES];
    char apart_too[60]; /* from the next queue */
};

/** Wait for the lock, a few instructions long. True: somebody else had it. */
bool sp_calls_lock(struct sp_calls *calls);

/** False: somebody else has it. Who holds one lock gets a second one only so. */
bool sp_calls_try_lock(struct sp_calls *calls);

/** Show what there is, and give the lock back. */
void sp_calls_unlock(struct sp_calls *calls);

/* With the lock held: */

/** Queue a call behind those of its priority. */
void sp_calls_append(struct sp_calls *calls, struct sp_call *call, uint32_t priority);

/** Take this one out; it is in this queue. */
void sp_calls_unlink(struct sp_calls *calls, struct sp_call *call);

/** Take the next one out; NULL: there is none. */
struct sp_call *sp_calls_pop(struct sp_calls *calls);

/** With both locks held: move the calls that come next, up to `most` of them, until one
 * has not this priority. Returns how many. */
uint32_t sp_calls_move(struct sp_calls *from, struct sp_calls *to, uint32_t priority,
                       uint32_t most);

#endif /* SP_PYX_CALLS_H */
