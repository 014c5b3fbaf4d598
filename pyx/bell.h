/*
 * bell.h - what the drainer sleeps on.
 *
 * Rung by completion queues: urgently for a Future that somebody observes, lazily for
 * buffers that somebody may yet collect. Any thread rings, one listens.
 */
#ifndef SP_PYX_BELL_H
#define SP_PYX_BELL_H

#include <stdint.h>

#include "base/atomics.h"

struct sp_bell {
    _Atomic(uint32_t) rung; /* SP_BELL_LAZY | SP_BELL_URGENT (B1) */
};

#define SP_BELL_LAZY 1u
#define SP_BELL_URGENT 2u

/* Doorbells (sp_doorbell_fn) of a struct sp_bell. */
void sp_bell_ring_lazily(void *bell);
void sp_bell_ring_urgently(void *bell);

/** The alarm of a bell that has none. */
#define SP_BELL_NO_ALARM INT64_MAX

/**
 * Sleep until the bell has been rung urgently, or was rung lazily `patience_ns`
 * ago, or it is `alarm_ns` on the monotonic clock; clear it.
 */
void sp_bell_wait(struct sp_bell *bell, int64_t patience_ns, int64_t alarm_ns);

#endif /* SP_PYX_BELL_H */
