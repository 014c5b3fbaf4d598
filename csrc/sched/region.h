/*
 * region.h - parallel regions: work that any free worker may join.
 *
 * A loop is not a task. Its caller opens a region, works, and closes it when
 * nothing is left to begin; workers without a task of their own join meanwhile
 * and leave when they find nothing to begin. The region lives on the caller's
 * stack. Closing waits for those who have joined - each at most one piece from
 * leaving - and for nobody else: a worker that never came costs nothing.
 *
 *            open  close  join  is_open      - may run at the same time
 * all         -     -      -      -
 *
 * There are SP__REGION_SLOTS slots; with none free, the caller works alone. The
 * danger is a worker that joins while the caller leaves: it counts itself in,
 * then looks whether the slot is still open; the caller closes the slot, then
 * looks whether somebody is in (R1, seq-cst on both sides).
 */
#ifndef SP_SCHED_REGION_H
#define SP_SCHED_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "base/compiler.h"
#include "stealpool.h"

#define SP__REGION_SLOTS 64

/* What a worker calls when it joins; returns when there is nothing to begin. */
typedef void (*sp__region_fn)(void *user);

struct sp__region_slot {
    SP_CACHE_ALIGNED _Atomic(uint32_t) inside; /* workers that joined (R1) */
    sp__region_fn work;                        /* written while closed and empty */
    void *user;                                /* likewise */
};

struct sp__regions {
    SP_CACHE_ALIGNED _Atomic(uint64_t) open; /* bit set: workers may join (R1) */
    _Atomic(uint64_t) taken;                 /* bit set: slot has an owner (R2) */
    struct sp__region_slot slots[SP__REGION_SLOTS];
};

/** Take a slot for a region; -1 when all are taken. */
int sp__region_take_slot(struct sp__regions *regions);

/** Let workers call work(user) until the region is closed. Wakes nobody. */
void sp__region_open(struct sp__regions *regions, int slot, sp__region_fn work,
                     void *user);

/** Nothing is left to begin: no more worker need join. Anyone who is inside. */
void sp__region_exhaust(struct sp__regions *regions, int slot);

/** Let no more worker in, wait until all inside have left, give the slot back. */
void sp__region_close(struct sp__regions *regions, int slot);

/** Worker: join a region if one is open. False when none was. */
bool sp__region_join_any(struct sp__regions *regions);

/** A region may be joined. Not overlooked if opened before, in the seq-cst
 * order (S3). */
static inline bool sp__region_is_open(const struct sp__regions *regions)
{
    return load_seq_cst(&regions->open) != 0;
}

#endif /* SP_SCHED_REGION_H */
