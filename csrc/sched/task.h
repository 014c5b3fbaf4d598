/*
 * task.h - the life of a task: one atomic word.
 *
 *      pending --claim--> running --complete--> done
 *         \----cancel---> cancelled
 *
 * (and running --revoke--> cancelled, when whoever claimed it finds its token
 * cancelled, before he calls anything)
 *
 * struct sp_task is declared in stealpool.h, so that callers can embed it. Its
 * `state` word holds, all changed together by one read-modify-write:
 *
 *      bits 0..1   phase, enum sp_phase
 *      bit  2      WAITER: somebody sleeps on the word, wake when it ends
 *      bits 3..4   TICKET(i): ticket i is armed, deliver when it ends
 *      bit  5      STOP: a running task was asked to stop
 *      bit  6      DETACHED: nobody has a handle (spawn.c); the word never changes
 *      bit  7      CRATE: no task, but many (injector.h); the word never changes
 *      bits 8..31  references
 *
 * Exactly one thread makes each change of phase: the one whose compare-exchange
 * succeeds (claim, cancel), or the one that claimed (complete). Flags are set
 * only while the task has not ended, so the change that ends it sees them all,
 * and no flag is set behind its back. That is the whole protocol: no fence, no
 * second word, no lost wake-up (pairs T1, T2, T3 in sched/README.md).
 */
#ifndef SP_SCHED_TASK_H
#define SP_SCHED_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "sched/token.h"
#include "stealpool.h"

#define SP__TASK_PHASE 0x3u
#define SP__TASK_WAITER 0x4u
#define SP__TASK_TICKET(i) (0x8u << (i))
#define SP__TASK_STOP 0x20u
#define SP__TASK_DETACHED 0x40u
#define SP__TASK_CRATE 0x80u
#define SP__TASK_REF 0x100u

/**
 * Count in the pool's reference, before the task is published to a queue.
 * The caller has a reference.
 */
void sp__task_enqueue(sp_task *task);

/**
 * Take a queued task for running. True for one caller; false when it was
 * cancelled, or is run by somebody else.
 */
bool sp__task_claim(sp_task *task);

/**
 * End a task that the caller claimed and ran by other means than its `run`.
 * The queue's reference, if there is one, stays.
 */
void sp__task_complete(sp_task *task);

/**
 * What a worker does with a task from a queue: run it if it can be claimed and its token
 * is not cancelled, and drop the queue's reference. The task may be gone on return. When
 * it has run, and before anybody can know, before_end(arg) is called; NULL = nothing.
 * @return whether it was run here.
 */
bool sp__task_execute(sp_task *task, void (*before_end)(void *), void *arg);

/** The same, but cancel it instead of running it (shutdown). */
void sp__task_throw_away(sp_task *task);

/**
 * Say whose stop flag sp_cancelled() looks at in this thread: the task that
 * runs here, or the one around the loop that this thread has joined.
 * @return the former one, to be put back.
 */
sp_task *sp__task_set_current(sp_task *task);

/**
 * What a thread does now and then while it calls kernels, every LOOK_NS at most: a host's
 * main thread has signals to handle. The caller's memory.
 */
struct sp__look {
    void (*look)(void *arg);
    void *arg;
    int64_t next_ns; /* when it is due; 0: nobody has asked yet */
};

/** Have sp__task_look() look from now on, in this thread; NULL: nothing.
 * @return the former one, to be put back. */
struct sp__look *sp__task_set_look(struct sp__look *look);

/** Between two pieces of work: look, if that is due. So does sp_cancelled(). */
void sp__task_look(void);

/** The task that this thread runs or works for; NULL outside of tasks. */
sp_task *sp__task_current(void);

/** True when the task, which is running, was asked to stop, by itself or with its
 * token. NULL is never asked. */
static inline bool sp__task_is_stopped(const sp_task *task)
{
    return task && ((load_relaxed(&task->state) & SP__TASK_STOP) ||
                    sp__token_is_cancelled(task->token));
}

/** The caller's reference is the only one to a task that has ended, so that nobody can
 * come by another. */
static inline bool sp__task_is_unshared(const sp_task *task)
{
    /* acquire (T2): what others did before they dropped theirs. */
    uint32_t state = load_acquire(&task->state);
    return (state & SP__TASK_PHASE) >= SP_DONE && state < 2 * SP__TASK_REF;
}

/** Made by sp_spawn(). For whoever took it from a queue. */
static inline bool sp__task_is_detached(const sp_task *task)
{
    return load_relaxed(&task->state) & SP__TASK_DETACHED;
}

#endif /* SP_SCHED_TASK_H */
