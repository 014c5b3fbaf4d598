/*
 * random.h - xorshift64 (Marsaglia 2003), for choices that need no quality:
 * which worker to steal from.
 */
#ifndef SP_BASE_RANDOM_H
#define SP_BASE_RANDOM_H

#include <stdint.h>

/** The next number; `*state` is never 0. One thread at a time. */
static inline uint64_t sp__random_next(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

/** A number below `bound`, which is at least 1. */
static inline uint32_t sp__random_below(uint64_t *state, uint32_t bound)
{
    return (uint32_t)((sp__random_next(state) >> 32) * bound >> 32);
}

#endif /* SP_BASE_RANDOM_H */
