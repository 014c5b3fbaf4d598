#include "sched/completion.h"

#include <assert.h>

#include "base/atomics.h"
#include "base/compiler.h"
#include "base/memory.h"

struct sp_completion {
    SP_CACHE_ALIGNED _Atomic(sp_ticket *) newest; /* publishes the tickets (C1) */
    SP_CACHE_ALIGNED sp_doorbell_fn ring;         /* constant */
    void *user;                                   /* constant */
};

sp_status sp_completion_create(sp_completion **ret_queue, sp_doorbell_fn ring,
                               void *user)
{
    sp_completion *queue = sp__alloc(sizeof *queue);
    if (!queue)
        return SP_ENOMEM;
    queue->ring = ring;
    queue->user = user;
    *ret_queue = queue;
    return SP_OK;
}

void sp_completion_free(sp_completion *queue)
{
    assert(!queue || sp_completion_is_empty(queue));
    sp__free(queue);
}

void sp__completion_push(sp_ticket *ticket)
{
    sp_completion *queue = ticket->queue;
    sp_doorbell_fn ring = queue->ring;
    void *user = queue->user;
    sp_ticket *newest = load_relaxed(&queue->newest);
    do
        ticket->next = newest;
    /* release (C1): the ticket, and with it the task's results, to drain(). */
    while (!cas_weak_release(&queue->newest, &newest, ticket));
    /* The ticket, its task and even the queue may be gone by now. */
    if (!newest && ring)
        ring(user);
}

int sp_completion_is_empty(const sp_completion *queue)
{
    return load_relaxed(&queue->newest) == NULL;
}

sp_ticket *sp_completion_drain(sp_completion *queue)
{
    /* acquire (C1). A push after this finds the queue empty and rings. */
    sp_ticket *newest = exchange_acquire(&queue->newest, NULL);
    sp_ticket *oldest = NULL;
    while (newest) {
        sp_ticket *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}
