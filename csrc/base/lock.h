/*
 * lock.h - a lock for what is short and rare. Who waits sleeps: a spinning thread of
 * real-time priority would keep the one that has the lock from its CPU.
 */
#ifndef SP_BASE_LOCK_H
#define SP_BASE_LOCK_H

#include "base/atomics.h"
#include "base/os.h"

struct sp__lock {
    _Atomic(uint32_t) word; /* 0 free, 1 taken, 2 taken and somebody sleeps */
};

static inline void sp__lock_take(struct sp__lock *lock)
{
    uint32_t word = 0;
    /* acquire (L1): what the one before us did under the lock. */
    if (cas_acquire(&lock->word, &word, 1u))
        return;
    while (exchange_acquire(&lock->word, 2u) != 0)
        sp__os_wait(&lock->word, 2u, SP__OS_NO_DEADLINE);
}

static inline void sp__lock_give(struct sp__lock *lock)
{
    /* release (L1): what we did. */
    if (exchange_release(&lock->word, 0u) == 2)
        sp__os_wake_one(&lock->word);
}

/** In the child of a fork, where nobody else is: the lock is free. */
static inline void sp__lock_reset(struct sp__lock *lock)
{
    store_relaxed(&lock->word, 0u);
}

#endif /* SP_BASE_LOCK_H */
