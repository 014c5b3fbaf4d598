/*
 * bell.h - what the drainer sleeps on.
 *
 * Rung by completion queues: urgently for a Future that somebody observes, lazily for
 * buffers that somebody may yet collect. Any thread rings, one listens.
 *
 * While the listener is away, in code of the user's that may take as long as it likes,
 * his deputy hears the bell. Whether he is away is a bit of the word that is rung, so
 * no ring goes to neither; and one that finds him there costs what it did.
 */
#ifndef SP_PYX_BELL_H
#define SP_PYX_BELL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"

struct sp_bell {
    _Atomic(uint32_t) rung;  /* SP_BELL_LAZY | SP_BELL_URGENT | SP_BELL_AWAY (B1) */
    _Atomic(uint32_t) calls; /* of the deputy, who sleeps on it (B2) */
};

#define SP_BELL_LAZY 1u
#define SP_BELL_URGENT 2u
#define SP_BELL_AWAY 4u

/** A bell that nobody has rung, and to which nobody listens. */
void sp_bell_init(struct sp_bell *bell);

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

/** The listener goes away: from now on the deputy hears the bell, and what was rung and
 * not heard yet. With an alarm he must be awake to hear it. */
void sp_bell_leave(struct sp_bell *bell, int64_t alarm_ns);

/** The listener is back. What the deputy has not heard, he hears. */
void sp_bell_return(struct sp_bell *bell);

/** The listener is away, at this moment. */
bool sp_bell_is_away(const struct sp_bell *bell);

/** Have the deputy look around. */
void sp_bell_call_deputy(struct sp_bell *bell);

/**
 * The deputy's sp_bell_wait(). `calls` is his own: what it said when he looked last, and
 * anything at first.
 * @return true: the listener is away, and there may be something to do. False: the
 * deputy was called, or woke up for nothing.
 */
bool sp_bell_stand_in(struct sp_bell *bell, uint32_t *calls, int64_t patience_ns,
                      int64_t alarm_ns);

#endif /* SP_PYX_BELL_H */
