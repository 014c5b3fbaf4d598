/*
 * latch.h - a flag that goes up once, after what it announces was written.
 *
 * With a GIL a bool would do. Without one, a thread that sees a Future ready must see
 * its result, too, and asks without taking the Future's lock: that is all that
 * result() of a future that has ended costs.
 */
#ifndef SP_PYX_LATCH_H
#define SP_PYX_LATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"

/** In zeroed memory it is down. */
struct sp_latch {
    _Atomic(uint8_t) is_up; /* (V1), (V2) */
};

/** Once this is true, so is all that was written before sp_latch_set(). */
static inline bool sp_latch_is_set(const struct sp_latch *latch)
{
    return load_acquire(&latch->is_up) != 0; /* (V1) */
}

/** All that it announces has been written. */
static inline void sp_latch_set(struct sp_latch *latch)
{
    store_release(&latch->is_up, 1); /* (V1) */
}

/** Raise it; true: it was down, and who lowers it sees what was written before. */
static inline bool sp_latch_raise(struct sp_latch *latch)
{
    return exchange_acq_rel(&latch->is_up, 1) == 0; /* (V2) */
}

/** Lower it, to look at what was written by those who found it up. */
static inline void sp_latch_lower(struct sp_latch *latch)
{
    exchange_acq_rel(&latch->is_up, 0); /* (V2) */
}

/** For a Future whose user sets and takes back its state by hand. */
static inline void sp_latch_take_back(struct sp_latch *latch)
{
    store_release(&latch->is_up, 0); /* (V1) */
}

#endif /* SP_PYX_LATCH_H */
