#include "sched/deque.h"

#include <stddef.h>

_Static_assert(SP_DEQUE_CAPACITY >= 2 &&
                   (SP_DEQUE_CAPACITY & (SP_DEQUE_CAPACITY - 1)) == 0,
               "SP_DEQUE_CAPACITY must be a power of two");

#define SLOT_MASK (SP_DEQUE_CAPACITY - 1)

void sp__deque_init(struct sp__deque *deque, int64_t start)
{
    store_relaxed(&deque->top, start);
    store_relaxed(&deque->bottom, start);
    deque->top_seen = start;
}

bool sp__deque_push_all(struct sp__deque *deque, sp_task *const *tasks, uint32_t n)
{
    int64_t bottom = load_relaxed(&deque->bottom);
    if (bottom + n - deque->top_seen > SP_DEQUE_CAPACITY) {
        /* acquire (D3): the slots to be reused were read by their thieves. */
        deque->top_seen = load_acquire(&deque->top);
        if (bottom + n - deque->top_seen > SP_DEQUE_CAPACITY)
            return false;
    }
    for (uint32_t i = 0; i < n; i++)
        store_relaxed(&deque->slots[(bottom + i) & SLOT_MASK], tasks[n - 1 - i]);
    /* release (D4): the slots, to the thief who sees the new bottom. seq-cst
     * (S2): the load of `sleepers` that follows in sp__idle_notify() must not
     * come first. */
    store_seq_cst(&deque->bottom, bottom + n);
    return true;
}

sp_task *sp__deque_pop(struct sp__deque *deque)
{
    int64_t bottom = load_relaxed(&deque->bottom) - 1;
    /* `top` only grows: what looks empty is. */
    if (bottom < load_relaxed(&deque->top))
        return NULL;

    /* seq-cst (D1): either the thief sees the smaller bottom and leaves the
     * task alone, or we see his larger top. Both store, then load. */
    store_seq_cst(&deque->bottom, bottom);
    int64_t top = load_seq_cst(&deque->top);
    if (bottom > top)
        return load_relaxed(&deque->slots[bottom & SLOT_MASK]);

    sp_task *task = NULL;
    if (bottom == top) {
        task = load_relaxed(&deque->slots[bottom & SLOT_MASK]);
        /* seq-cst (D2): the last task goes to whoever moves top. Kept: D1's store and
         * load before it are seq-cst, and order it here. */
        if (!cas_seq_cst(&deque->top, &top, top + 1))
            task = NULL;
    }
    store_relaxed(&deque->bottom, bottom + 1);
    return task;
}

uint32_t sp__deque_take_oldest(struct sp__deque *deque, sp_task **tasks, uint32_t max)
{
    int64_t bottom = load_relaxed(&deque->bottom);
    int64_t top = load_relaxed(&deque->top);
    for (;;) {
        if (top >= bottom)
            return 0;
        uint32_t n = bottom - top < max ? (uint32_t)(bottom - top) : max;
        for (uint32_t i = 0; i < n; i++)
            tasks[i] = load_relaxed(&deque->slots[(top + i) & SLOT_MASK]);
        /* seq-cst (D2): against thieves. Only we pop, and we do not. Kept: they change
         * the same word. */
        if (cas_seq_cst(&deque->top, &top, top + n))
            return n;
    }
}

enum sp__steal_result sp__deque_steal(struct sp__deque *deque, sp_task **ret_task)
{
    /* seq-cst (D1): see pop(). Kept: who reads an old top loses below; D1 is
     * one order of four accesses, and easier to follow so. */
    int64_t top = load_seq_cst(&deque->top);
    /* seq-cst (D1), and acquire (D4): the slot. */
    int64_t bottom = load_seq_cst(&deque->bottom);
    if (top >= bottom)
        return SP__STEAL_EMPTY;
    /* The slot may be overwritten while we read it, but only after `top` has
     * moved on, and then we lose below. */
    sp_task *task = load_relaxed(&deque->slots[top & SLOT_MASK]);
    /* seq-cst (D2), release (D3): our read of the slot comes before. Kept: the
     * owner's store and load are seq-cst, and so is our load of top. */
    if (!cas_seq_cst(&deque->top, &top, top + 1))
        return SP__STEAL_LOST;
    *ret_task = task;
    return SP__STEAL_TAKEN;
}

bool sp__deque_is_empty(const struct sp__deque *deque)
{
    /* seq-cst (S2): after announcing sleep, before sleeping. Kept for top: an old
     * one says that there may be work, and costs one look more. */
    return load_seq_cst(&deque->bottom) <= load_seq_cst(&deque->top);
}
