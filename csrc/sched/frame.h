/*
 * frame.h - fork and join: a worker's stack of forked frames.
 *
 * A frame is a call that somebody else may make meanwhile. Its worker pushes it
 * when it forks and pops it when it joins: the pop is the claim, there is no state
 * to set or to test, and for thieves nothing has happened. Only the oldest frames
 * are shown to them, in `shown`:
 *
 *      0 ........ top ........ split ........ forked
 *        stolen       shown          private
 *
 * Frames are shown when a fork finds that none is, or that a thief took the last
 * one, or that somebody is idle; so a thief finds one, as a rule, without asking.
 * top and split are in one word, and who changes it decides: a thief adds 1 to top,
 * the owner takes split back. Nothing here stores to one word and then looks at
 * another, except to wake sleepers.
 *
 * A thief reads the slot after it has won. That is early enough: the slot of a
 * stolen frame is in use until the owner has joined it, which is after the thief
 * has finished. (So there is no ABA either: the word says what is shown now, not
 * what it was.)
 *
 *            fork  join  steal  steal_back  is_shown   - may run at the same time
 * fork        X     X     -         -          -        X caller excludes
 * join        X     X     -         -          -        fork and join: owner only
 * others      -     -     -         -          -
 *
 * While it waits for a stolen frame, a worker steals back: from that thief alone,
 * and only as long as that frame runs. What the thief has forked since is awaited by
 * the frame, as the frame is by the owner; so nothing runs on a stack but what that
 * stack waits for, no lock is ever met that the stack itself holds, and no stack gets
 * deeper than the serial program's (Wagner and Calder, "Leapfrogging", PPoPP 1993).
 *
 * Private frames and a word for both ends: T. van Dijk and J. van de Pol, "Lace",
 * Euro-Par 2014.
 */
#ifndef SP_SCHED_FRAME_H
#define SP_SCHED_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "base/compiler.h"
#include "stealpool.h"

/* Frames of one worker that can be stolen at a time; deeper ones are plain calls.
 * At least 2, at most 65535. Tests build with a tiny one. Enough for a tree of some
 * thousand levels, of which each leaves several frames behind: with fewer, whoever has
 * stolen all of them has nothing to do. The memory is touched as far as it is used. */
#ifndef SP_FRAME_CAPACITY
#define SP_FRAME_CAPACITY 16384
#endif

struct sp__worker;

/* What there is to say about a frame that is shown. */
struct sp__frame_slot {
    _Atomic(uint32_t) state; /* enum in frame.c; publishes code and words (F2) */
    int code;                /* what it returned */
    sp_frame *frame;         /* written while private, read by its thief (F1) */
    sp_task *task;           /* likewise: whose stop flag it looks at (see `named`) */
    char *words;             /* its sp_fail(), or NULL; the owner frees them */
};

struct sp__frames {
    SP_CACHE_ALIGNED sp_worker open; /* what sp_fork() and sp_join() use */
    uint32_t named;                  /* slots below have their task; owner's own */
    sp_frame *forked[SP_FRAME_CAPACITY];

    /* top: 16 | split: 16 | turn: 32. `turn` counts the frames and roots that this
     * worker has begun: see sp__frames_steal_back(). */
    SP_CACHE_ALIGNED _Atomic(uint64_t) shown;

    _Atomic(uint32_t) watchers; /* who wait for this worker's frames (W1) */
    _Atomic(uint32_t) bell;     /* they sleep on it */

    SP_CACHE_ALIGNED struct sp__frame_slot slots[SP_FRAME_CAPACITY];
};

/** Prepare in zeroed memory, or again when no thread uses it. */
void sp__frames_init(struct sp__frames *frames);

/**
 * Owner, before it runs another task on top of this one's frames: they are this one's,
 * also those that are not shown before that.
 * @return for sp__frames_unname(), when the other task is over.
 */
uint32_t sp__frames_name(struct sp__frames *frames);
void sp__frames_unname(struct sp__frames *frames, uint32_t named);

/** Anyone: a frame can be stolen. One that was shown before, in the seq-cst
 * order, is not overlooked (S5). */
static inline bool sp__frames_are_shown(const struct sp__frames *frames)
{
    /* seq-cst (S5). Kept: without it a worker sleeps that could have helped; the owner
     * runs the frame itself. */
    uint64_t shown = load_seq_cst(&frames->shown);
    return (shown & 0xffff) < (shown >> 16 & 0xffff);
}

/**
 * Worker `thief`, which has nothing to do: take the oldest frame shown by `victim`.
 * @return its slot, to be passed to sp__frames_run(); NULL when there is none.
 */
struct sp__frame_slot *sp__frames_steal(struct sp__frames *victim);

/** Run what was stolen, in worker `thief`, and tell its owner. */
void sp__frames_run(struct sp__worker *thief, struct sp__frame_slot *slot);

#endif /* SP_SCHED_FRAME_H */
