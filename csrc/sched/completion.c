#include "sched/completion.h"

#include <assert.h>
#include <stdbool.h>

#include "base/atomics.h"
#include "base/compiler.h"
#include "base/memory.h"
#include "base/os.h"

/* In `newest`, whose other bits are then 0: the consumer sleeps on the word. */
#define SLEEPER ((uintptr_t)1)

struct sp_completion {
    /* Newest ticket, or SLEEPER, or 0. Publishes the tickets (C1). */
    SP_CACHE_ALIGNED _Atomic(uintptr_t) newest;
    SP_CACHE_ALIGNED sp_doorbell_fn ring; /* constant */
    void *user;                           /* constant */
    bool has_fd;                          /* constant */
    struct sp__os_bell bell;              /* constant; if has_fd */
    /* With a file descriptor: threads that may still ring it (C2). */
    SP_CACHE_ALIGNED _Atomic(uint32_t) ringing;
};

static sp_ticket *ticket_of(uintptr_t newest)
{
    return (sp_ticket *)(newest & ~SLEEPER);
}

/* The half of `newest` that holds SLEEPER: a system call looks at 32 bits. */
static _Atomic(uint32_t) *sleep_word(sp_completion *queue)
{
    char *newest = (char *)&queue->newest;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    newest += sizeof(uintptr_t) - sizeof(uint32_t);
#endif
    return (_Atomic(uint32_t) *)(void *)newest;
}

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

sp_status sp_completion_create_fd(sp_completion **ret_queue, int *ret_fd)
{
    sp_completion *queue;
    sp_status status = sp_completion_create(&queue, NULL, NULL);
    if (status != SP_OK)
        return status;
    if (!sp__os_bell_create(&queue->bell)) {
        sp__free(queue);
        return SP_EFILES;
    }
    queue->has_fd = true;
    *ret_queue = queue;
    *ret_fd = queue->bell.fd;
    return SP_OK;
}

void sp_completion_free(sp_completion *queue)
{
    if (!queue)
        return;
    assert(sp_completion_is_empty(queue));
    if (queue->has_fd) {
        /* Its number may be given to another file at once. acquire (C2): the last
         * thread has rung it. */
        while (load_acquire(&queue->ringing) > 0)
            sp__os_yield();
        sp__os_bell_destroy(&queue->bell);
    }
    sp__free(queue);
}

/* Returns what `newest` was. */
static uintptr_t push(sp_completion *queue, sp_ticket *ticket)
{
    uintptr_t newest = load_relaxed(&queue->newest);
    do
        ticket->next = ticket_of(newest);
    /* release (C1): the ticket, and with it the task's results, to drain(). */
    while (!cas_weak_release(&queue->newest, &newest, (uintptr_t)ticket));
    /* The ticket, its task and, unless `ringing` holds it, even the queue may be gone
     * by now, so a sleeper is woken by address alone. */
    if (newest & SLEEPER)
        sp__os_wake_all(sleep_word(queue));
    return newest;
}

void sp__completion_push(sp_ticket *ticket)
{
    sp_completion *queue = (sp_completion *)(ticket->queue & ~(uintptr_t)1);
    sp_doorbell_fn ring = queue->ring;
    void *user = queue->user;
    if (queue->has_fd) {
        fetch_add_relaxed(&queue->ringing, 1u);
        if (!ticket_of(push(queue, ticket)))
            sp__os_bell_ring(&queue->bell);
        fetch_sub_release(&queue->ringing, 1u); /* (C2) */
        return;
    }
    if (!ticket_of(push(queue, ticket)) && ring)
        ring(user);
}

int sp_completion_is_empty(const sp_completion *queue)
{
    return ticket_of(load_relaxed(&queue->newest)) == NULL;
}

sp_status sp_completion_wait(sp_completion *queue, int64_t timeout_ns)
{
    int64_t deadline_ns = sp__os_deadline(timeout_ns);
    uintptr_t newest = 0;
    for (;;) {
        /* Kept: the other side changes the same word, and reads the newest. */
        if (!cas_seq_cst(&queue->newest, &newest, SLEEPER) && ticket_of(newest))
            return SP_OK;
        switch (sp__os_wait(sleep_word(queue), SLEEPER, deadline_ns)) {
        case SP__OS_WOKEN:
            break;
        case SP__OS_TIMED_OUT:
            return sp_completion_is_empty(queue) ? SP_ETIMEDOUT : SP_OK;
        case SP__OS_INTERRUPTED:
            return sp_completion_is_empty(queue) ? SP_EINTR : SP_OK;
        }
        newest = 0;
    }
}

sp_ticket *sp_completion_drain(sp_completion *queue)
{
    /* First, so that it is rung for what comes after the exchange. */
    if (queue->has_fd)
        sp__os_bell_clear(&queue->bell);
    /* acquire (C1). A push after this finds the queue empty and rings. */
    sp_ticket *newest = ticket_of(exchange_acquire(&queue->newest, 0));
    sp_ticket *oldest = NULL;
    while (newest) {
        sp_ticket *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}
