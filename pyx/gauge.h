/*
 * gauge.h - a number that one thread sets and others read, without a lock.
 *
 * For what is right at any moment, whichever value is seen: how long to spin, how
 * often threads take turns, whether to look for deadlocks. With a GIL a variable would
 * do; without one, that is a data race.
 */
#ifndef SP_PYX_GAUGE_H
#define SP_PYX_GAUGE_H

#include <stdint.h>

#include "base/atomics.h"

/** In zeroed memory it says 0. */
struct sp_gauge {
    _Atomic(int64_t) value; /* relaxed: it tells nothing about anything else */
};

/** What was set last, or a moment ago. */
static inline int64_t sp_gauge_read(const struct sp_gauge *gauge)
{
    return load_relaxed(&gauge->value);
}

/** Whoever must notice at once is told by other means, such as a bell. */
static inline void sp_gauge_set(struct sp_gauge *gauge, int64_t value)
{
    store_relaxed(&gauge->value, value);
}

#endif /* SP_PYX_GAUGE_H */
