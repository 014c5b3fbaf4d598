/*
 * gate.h - bounds the calls that an executor has accepted and not ended.
 *
 * One for each lane, shared by an executor and its views. A submitter enters for each
 * call, whoever ends the call leaves. Who finds the gate full may wait until half of
 * the capacity is free: waking at the first free place would cost a switch a call.
 * A thread sleeps until then; who has other things to do, such as an event loop, leaves
 * an ear at the gate, which hears of it. Ears are listed under a spin lock (A2).
 */
#ifndef SP_PYX_GATE_H
#define SP_PYX_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "stealpool.h"

/** Somebody who hears of room. His memory, and the gate's while it is listed. */
struct sp_ear {
    struct sp_ear *next;
    void (*hear)(struct sp_ear *ear); /* once, in any thread; the ear is his again */
};

struct sp_gate {
    _Atomic(uint32_t) inside; /* calls; top bits: somebody waits, see sp_gate_wake() */
    uint32_t limit;           /* most calls inside */
    uint32_t low;             /* waiters wake when so many are left */
    _Atomic(uint32_t) lock;   /* spin lock of the list (A2) */
    struct sp_ear *ears;
};

#define SP_GATE_WAITER 0x80000000u
#define SP_GATE_WAKE 0x40000000u
#define SP_GATE_MOST 0x3fffffffu

/** Let `workers` calls run and `capacity` more wait for them. */
void sp_gate_init(struct sp_gate *gate, uint32_t workers, uint32_t capacity);

/**
 * Enter for `most` calls, or for as many as there is room for, if that is at least
 * `least`. Returns for how many; 0: there is no room, nothing happened.
 */
uint32_t sp_gate_enter(struct sp_gate *gate, uint32_t least, uint32_t most);

/** Enter for one call, room or not. */
void sp_gate_enter_anyway(struct sp_gate *gate);

/** Leave for `n` calls. */
void sp_gate_leave(struct sp_gate *gate, uint32_t n);

/** What sp_gate_wake() changes. Take it, see whether there is a reason not to wait, then
 * wait: a wake-up in between is not lost. */
uint32_t sp_gate_turn(struct sp_gate *gate);

/**
 * Sleep until there is room for half the capacity, or sp_gate_wake() is called after
 * `turn` was taken.
 * @return SP_OK, SP_ETIMEDOUT or SP_EINTR.
 */
sp_status sp_gate_wait(struct sp_gate *gate, uint32_t turn, int64_t timeout_ns);

/**
 * Have `ear` hear when there is room for half the capacity, or when sp_gate_wake() is
 * called after `turn` was taken.
 * @return false if one of the two is so already. Nothing has happened then.
 */
bool sp_gate_listen(struct sp_gate *gate, uint32_t turn, struct sp_ear *ear);

/** In the child of a fork: nobody has the lock, and who listened is not here. */
static inline void sp_gate_reset(struct sp_gate *gate)
{
    store_relaxed(&gate->lock, 0u);
    gate->ears = NULL;
}

/** Listen no more. @return false if the ear has heard, or is just being told. */
bool sp_gate_unlisten(struct sp_gate *gate, const struct sp_ear *ear);

/** Let all who wait look around: an executor was closed, or a token cancelled. */
void sp_gate_wake(struct sp_gate *gate);

/** Calls inside, at this moment. */
uint32_t sp_gate_inside(struct sp_gate *gate);

#endif /* SP_PYX_GATE_H */
