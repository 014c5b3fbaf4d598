/*
 * deque.h - Chase and Lev's work-stealing deque, bounded.
 *
 * The owner pushes and pops tasks at the bottom, thieves steal them at the top:
 * the owner works on what is warm in its cache, a thief takes what has waited
 * longest. Indices only grow, 64 bits wide, so there is neither wrap nor ABA;
 * the buffer never moves, so there is nothing to reclaim. A full deque refuses
 * and the worker spills half of it to the injector.
 *
 * Source: D. Chase, Y. Lev, "Dynamic circular work-stealing deque", SPAA 2005;
 * orders after N. M. Le et al., PPoPP 2013, with its two fences written as
 * seq-cst accesses.
 *
 *            push  pop  steal  is_empty      - may run at the same time
 * push        X     X     -       -          X caller excludes
 * pop         X     X     -       -          push and pop: owner thread only
 * steal       -     -     -       -
 *
 * Wait-free: push, pop, is_empty. Lock-free: steal, which may return LOST.
 * The last task is decided by the compare-exchange on `top` (D2); any other pop
 * by the owner's store to `bottom` and the load of `top` that follows it in the
 * seq-cst order (D1).
 */
#ifndef SP_SCHED_DEQUE_H
#define SP_SCHED_DEQUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "base/compiler.h"
#include "stealpool.h"

/* A power of two. Tests build with a tiny one. */
#ifndef SP_DEQUE_CAPACITY
#define SP_DEQUE_CAPACITY 1024
#endif

struct sp__deque {
    SP_CACHE_ALIGNED _Atomic(int64_t) top;    /* next to be stolen; thieves, owner */
    SP_CACHE_ALIGNED _Atomic(int64_t) bottom; /* next free slot; owner alone */
    int64_t top_seen;                         /* an old `top`; owner's own */
    SP_CACHE_ALIGNED _Atomic(sp_task *) slots[SP_DEQUE_CAPACITY];
};

enum sp__steal_result {
    SP__STEAL_TAKEN, /* `*ret_task` is the thief's now */
    SP__STEAL_EMPTY, /* there was nothing */
    SP__STEAL_LOST,  /* somebody was faster: there may be more */
};

/** Make an empty deque in zeroed memory; `start` is where its indices begin
 * (a test starts them high). */
void sp__deque_init(struct sp__deque *deque, int64_t start);

/** Owner: add `n` tasks at the bottom, the last of them first, so that pop gives
 * tasks[0]. False when they do not fit, and nothing happened. */
bool sp__deque_push_all(struct sp__deque *deque, sp_task *const *tasks, uint32_t n);

/** Owner: add a task at the bottom. False when full, and nothing happened. */
static inline bool sp__deque_push(struct sp__deque *deque, sp_task *task)
{
    return sp__deque_push_all(deque, &task, 1);
}

/** Owner: take the task at the bottom; NULL when there is none. */
sp_task *sp__deque_pop(struct sp__deque *deque);

/** Owner: how many there are, or were a moment ago. */
static inline uint32_t sp__deque_size(const struct sp__deque *deque)
{
    int64_t n = load_relaxed(&deque->bottom) - load_relaxed(&deque->top);
    return n > 0 ? (uint32_t)n : 0;
}

/** Owner: take up to `max` tasks from the top, oldest first. Returns how many. */
uint32_t sp__deque_take_oldest(struct sp__deque *deque, sp_task **tasks, uint32_t max);

/** Anyone: take the task at the top. */
enum sp__steal_result sp__deque_steal(struct sp__deque *deque, sp_task **ret_task);

/**
 * Anyone: nothing to steal at this moment. A task whose push came before, in
 * the seq-cst order, is not overlooked (S2).
 */
bool sp__deque_is_empty(const struct sp__deque *deque);

#endif /* SP_SCHED_DEQUE_H */
