#include "queues.h"

#include <stddef.h>

void sp_queues_init(struct sp_queues *queues)
{
    queues->entrance.place = 1;
    for (uint32_t i = 0; i < SP_LANE_QUEUES; i++)
        queues->threads[i].place = 2 + i;
}

static struct sp_calls *queue_at(struct sp_queues *queues, uint32_t place)
{
    return place == 1 ? &queues->entrance : &queues->threads[place - 2];
}

void sp_queues_join(struct sp_queues *queues, struct sp_taker *taker)
{
    uint32_t used = load_relaxed(&queues->used);
    if (used < SP_LANE_QUEUES)
        store_relaxed(&queues->used, used + 1);
    else
        used = queues->sharers++ % SP_LANE_QUEUES;
    taker->place = 2 + used;
}

void sp_queues_put(struct sp_queues *queues, uint32_t place, struct sp_call *call,
                   uint32_t priority)
{
    bool is_own = place && priority == SP_LANE_NORMAL;
    struct sp_calls *calls = is_own ? queue_at(queues, place) : &queues->entrance;
    sp_calls_lock(calls);
    sp_calls_append(calls, call, priority);
    sp_calls_unlock(calls);
}

/* ---------------------------------------------------------------- for a thread */

/* How many calls to take along. */
static uint32_t share(struct sp_queues *queues, struct sp_calls *calls,
                      bool had_to_wait)
{
    uint32_t used = load_relaxed(&queues->used), n = calls->queued / 2;
    if (calls == &queues->entrance)
        n = had_to_wait && used > 1 ? calls->queued / used : 0;
    return n < SP_LANE_PATIENCE ? n : SP_LANE_PATIENCE - 1;
}

static struct sp_call *take_from(struct sp_queues *queues, struct sp_taker *taker,
                                 struct sp_calls *calls)
{
    struct sp_calls *own = queue_at(queues, taker->place);
    bool had_to_wait = sp_calls_lock(calls);
    struct sp_call *call = sp_calls_pop(calls);
    uint32_t n = call && calls != own ? share(queues, calls, had_to_wait) : 0;
    if (n > 0 && sp_calls_try_lock(own)) {
        if (own->queued == 0) /* or they would wait behind others */
            taker->has_moved = sp_calls_move(calls, own, SP_LANE_NORMAL, n) > 0;
        sp_calls_unlock(own);
    }
    sp_calls_unlock(calls);
    if (call)
        taker->elsewhere = calls == &queues->entrance ? 0 : taker->elsewhere + 1;
    return call;
}

/* From the `nth` thread's queue after the taker's own, if anything is there. */
static struct sp_call *take_from_nth(struct sp_queues *queues, struct sp_taker *taker,
                                     uint32_t nth)
{
    uint32_t i = (taker->place - 2 + nth) % load_relaxed(&queues->used);
    struct sp_calls *calls = &queues->threads[i];
    return load_relaxed(&calls->shown) ? take_from(queues, taker, calls) : NULL;
}

static bool has(struct sp_calls *calls, uint32_t priority)
{
    return load_relaxed(&calls->shown) & 1u << priority;
}

struct sp_call *sp_queues_take(struct sp_queues *queues, struct sp_taker *taker)
{
    struct sp_calls *entrance = &queues->entrance;
    struct sp_call *call = NULL;
    bool is_due =
        taker->elsewhere >= SP_LANE_PATIENCE && load_relaxed(&entrance->shown);
    taker->has_moved = false;
    if (++taker->takes % SP_LANE_PATIENCE == 0)
        call = take_from_nth(queues, taker, taker->takes / SP_LANE_PATIENCE);
    if (!call && (is_due || has(entrance, SP_LANE_HIGH)))
        call = take_from(queues, taker, entrance);
    if (!call)
        call = take_from_nth(queues, taker, 0);
    if (!call && has(entrance, SP_LANE_NORMAL))
        call = take_from(queues, taker, entrance);
    for (uint32_t i = 1; !call && i < load_relaxed(&queues->used); i++)
        call = take_from_nth(queues, taker, i);
    if (!call && load_relaxed(&entrance->shown))
        call = take_from(queues, taker, entrance);
    return call;
}

/* ----------------------------------------------------------------- for anybody */

static struct sp_call *pop_from(struct sp_calls *calls)
{
    sp_calls_lock(calls);
    struct sp_call *call = sp_calls_pop(calls);
    sp_calls_unlock(calls);
    return call;
}

struct sp_call *sp_queues_pop(struct sp_queues *queues)
{
    struct sp_calls *entrance = &queues->entrance;
    struct sp_call *call = NULL;
    if (has(entrance, SP_LANE_HIGH) || has(entrance, SP_LANE_NORMAL))
        call = pop_from(entrance);
    for (uint32_t i = 0; !call && i < load_relaxed(&queues->used); i++)
        if (load_seq_cst(&queues->threads[i].shown)) /* (Q3) */
            call = pop_from(&queues->threads[i]);
    if (!call && load_seq_cst(&entrance->shown)) /* (Q3) */
        call = pop_from(entrance);
    return call;
}

bool sp_queues_remove(struct sp_queues *queues, struct sp_call *call)
{
    bool is_here = false;
    /* It may be moved before we have the lock. */
    for (uint32_t place; !is_here && (place = load_relaxed(&call->place));) {
        struct sp_calls *calls = queue_at(queues, place);
        sp_calls_lock(calls);
        is_here = load_relaxed(&call->place) == place;
        if (is_here)
            sp_calls_unlink(calls, call);
        sp_calls_unlock(calls);
    }
    return is_here;
}

bool sp_queues_look_empty(struct sp_queues *queues)
{
    bool has_calls = load_relaxed(&queues->entrance.shown);
    for (uint32_t i = 0; !has_calls && i < load_relaxed(&queues->used); i++)
        has_calls = load_relaxed(&queues->threads[i].shown);
    return !has_calls;
}

uint32_t sp_queues_count(struct sp_queues *queues)
{
    uint32_t used = load_relaxed(&queues->used), n = 0;
    for (uint32_t place = 1; place <= 1 + used; place++) {
        sp_calls_lock(queue_at(queues, place));
        n += queue_at(queues, place)->queued;
    }
    for (uint32_t place = 1; place <= 1 + used; place++)
        sp_calls_unlock(queue_at(queues, place));
    return n;
}
