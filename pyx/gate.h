/*
 * gate.h - bounds the calls that an executor has accepted and not ended.
 *
 * One for each lane, shared by an executor and its views. A submitter enters for each
 * call, whoever ends the call leaves. Who finds the gate full may wait until half of
 * the capacity is free: waking at the first free place would cost a switch a call.
 */
#ifndef SP_PYX_GATE_H
#define SP_PYX_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "stealpool.h"

struct sp_gate {
    _Atomic(uint32_t) inside; /* calls; top bits: somebody waits, see sp_gate_wake() */
    uint32_t limit;           /* most calls inside */
    uint32_t low;             /* waiters wake when so many are left */
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

/** Let all who wait look around: an executor was closed, or a token cancelled. */
void sp_gate_wake(struct sp_gate *gate);

/** Calls inside, at this moment. */
uint32_t sp_gate_inside(struct sp_gate *gate);

#endif /* SP_PYX_GATE_H */
