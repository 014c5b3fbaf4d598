#include "calls.h"

#include <stddef.h>

#include "base/os.h"

/* ------------------------------------------------------------------ the lock */

/* So often is the lock looked at before the CPU is left to others, one of whom may
 * have it. */
#define LOOKS 64

bool sp_calls_try_lock(struct sp_calls *calls)
{
    uint32_t unlocked = 0;
    return cas_acquire(&calls->lock, &unlocked, 1); /* acquire (Q1): the lists */
}

bool sp_calls_lock(struct sp_calls *calls)
{
    if (sp_calls_try_lock(calls))
        return false;
    do {
        int looks = 0;
        while (load_relaxed(&calls->lock) && looks++ < LOOKS)
            sp__os_pause();
        if (looks > LOOKS)
            sp__os_yield();
    } while (!sp_calls_try_lock(calls));
    return true;
}

void sp_calls_unlock(struct sp_calls *calls)
{
    uint32_t has = calls->has;
    uint32_t shown = load_relaxed(&calls->shown);
    if (has & ~shown)
        store_seq_cst(&calls->shown, has); /* (Q3) */
    else if (has != shown)
        store_relaxed(&calls->shown, has); /* who sees it late looks in vain */
    store_release(&calls->lock, 0);        /* (Q1) */
}

/* ----------------------------------------------------------------- the lists */

void sp_calls_append(struct sp_calls *calls, struct sp_call *call, uint32_t priority)
{
    call->priority = priority;
    call->after = NULL;
    call->before = calls->lists[priority].last;
    if (call->before)
        call->before->after = call;
    else
        calls->lists[priority].first = call;
    calls->lists[priority].last = call;
    calls->has |= 1u << priority;
    calls->queued++;
    store_relaxed(&call->place, calls->place); /* ordered by the lock */
}

/* Its place is still here. */
static void cut_out(struct sp_calls *calls, struct sp_call *call)
{
    uint32_t priority = call->priority;
    if (call->before)
        call->before->after = call->after;
    else
        calls->lists[priority].first = call->after;
    if (call->after)
        call->after->before = call->before;
    else
        calls->lists[priority].last = call->before;
    if (!calls->lists[priority].first) {
        calls->has &= ~(1u << priority);
        calls->lists[priority].passed_over = 0;
    }
    calls->queued--;
}

void sp_calls_unlink(struct sp_calls *calls, struct sp_call *call)
{
    cut_out(calls, call);
    store_relaxed(&call->place, 0);
}

/* Which list is served next; some list is not empty. */
static uint32_t choose(struct sp_calls *calls)
{
    uint32_t chosen = SP_LANE_PRIORITIES;
    if (calls->has == 1u << SP_LANE_NORMAL) /* as a rule */
        return SP_LANE_NORMAL;
    for (uint32_t p = 0; p < SP_LANE_PRIORITIES; p++) {
        if (!calls->lists[p].first)
            continue;
        if (chosen == SP_LANE_PRIORITIES ||
            calls->lists[p].passed_over >= SP_LANE_PATIENCE)
            chosen = p;
    }
    return chosen;
}

/* Cut the first call of the chosen list out. */
static struct sp_call *serve(struct sp_calls *calls, uint32_t chosen)
{
    if (calls->has != 1u << chosen)
        for (uint32_t p = 0; p < SP_LANE_PRIORITIES; p++)
            if (p != chosen && calls->lists[p].first)
                calls->lists[p].passed_over++;
    calls->lists[chosen].passed_over = 0;
    struct sp_call *call = calls->lists[chosen].first;
    cut_out(calls, call);
    return call;
}

struct sp_call *sp_calls_pop(struct sp_calls *calls)
{
    if (calls->queued == 0)
        return NULL;
    struct sp_call *call = serve(calls, choose(calls));
    store_relaxed(&call->place, 0);
    return call;
}

uint32_t sp_calls_move(struct sp_calls *from, struct sp_calls *to, uint32_t priority,
                       uint32_t most)
{
    uint32_t n = 0;
    for (; n < most && from->queued > 0 && choose(from) == priority; n++)
        sp_calls_append(to, serve(from, priority), priority); /* from place to place */
    return n;
}
