/*
 * completion.h - finished tasks on their way to one consumer.
 *
 * A Treiber stack that is only ever taken whole, hence without ABA, and a
 * doorbell that rings when the stack was empty. Not Vyukov's queue: there, a
 * producer that is descheduled between two stores makes the consumer wait, and
 * ours may hold the GIL.
 *
 *            push  drain  is_empty  free     - may run at the same time
 * push        -     -       -        X       X caller excludes
 * drain       -     X       -        X
 *
 * Lock-free: push. Wait-free: drain, is_empty.
 */
#ifndef SP_SCHED_COMPLETION_H
#define SP_SCHED_COMPLETION_H

#include "stealpool.h"

/**
 * Put a ticket into its queue, and ring if the queue was empty. The ticket's
 * reference to its task goes with it.
 */
void sp__completion_push(sp_ticket *ticket);

#endif /* SP_SCHED_COMPLETION_H */
