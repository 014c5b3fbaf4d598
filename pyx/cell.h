/*
 * cell.h - what lies behind a Future: a task, its arguments, its result.
 *
 * A cell is made when a call is submitted, alone or with others (block.h). The Future has
 * one reference, the pool's queue another until the task has ended; the last one frees
 * the cell, in any thread, without the GIL. What a cell's block holds of Python (`keep`:
 * the kernel, pinned buffers) is dropped by sp_cell_settle()'s caller, under the GIL,
 * before that: by whoever first sees the task ended, or by the drainer when the Future
 * is gone.
 *
 * No Python.h here: Python objects are pointers that are carried, not looked at.
 */
#ifndef SP_PYX_CELL_H
#define SP_PYX_CELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomics.h"
#include "block.h"
#include "home.h"
#include "lane.h"
#include "sched/task.h"
#include "stealpool.h"

struct sp_cell {
    sp_task task;    /* first: cells and tasks convert */
    void *future;    /* borrowed; NULL when it is gone */
    int32_t error;   /* 0, or the kernel's code (T1) */
    uint16_t offset; /* from the block's beginning, in words */
    _Atomic(uint8_t) is_settled;
    _Atomic(uint8_t) is_timed_out; /* before it ended (T1, T3) */

    /* A call's arguments, or a struct sp_call; or a plan's data, from the second word
     * on. When the task has ended, the first is the result, or with an error the
     * kernel's words, malloc'd, or NULL (T1). */
    union sp__word words[];
};

static inline struct sp_cell *sp_cell_of(sp_task *task)
{
    return (struct sp_cell *)task;
}

static inline struct sp_block *sp_cell_block(const struct sp_cell *cell)
{
    return (struct sp_block *)((union sp__word *)(uintptr_t)cell - cell->offset);
}

static inline void sp_cell_set_block(struct sp_cell *cell, struct sp_block *block)
{
    cell->offset = (uint16_t)((union sp__word *)cell - (union sp__word *)block);
}

/** The home that the cell has joined; NULL: none. Not of a cell that is settled, for
 * its home may be gone. */
static inline struct sp_home *sp_cell_home(const struct sp_cell *cell)
{
    return sp_cell_block(cell)->home;
}

/** What a Future looks at when the task has ended is read soon. */
static inline void sp_cell_prefetch(const struct sp_cell *cell)
{
    __builtin_prefetch(&cell->task.state);
    __builtin_prefetch(cell->words);
}

/** The home of a cell that is not settled, so that its home is there; else NULL. */
static inline struct sp_home *sp_cell_unsettled_home(const struct sp_cell *cell)
{
    return load_relaxed(&cell->is_settled) ? NULL : sp_cell_home(cell);
}

/** What the cell's task must know of the home that it is about to join. */
static inline void sp_cell_set_home(struct sp_cell *cell, struct sp_home *home)
{
    cell->task.group = &home->group;
    cell->task.priority = home->priority;
}

/** SP_NATIVE_LANE for a kernel, SP_PYTHON_LANE for a Python callable. */
static inline unsigned sp_cell_lane(const struct sp_cell *cell)
{
    return sp_cell_block(cell)->kind == SP_CALLABLE ? SP_PYTHON_LANE : SP_NATIVE_LANE;
}

/** A plan's data. */
static inline void *sp_cell_plan(struct sp_cell *cell)
{
    return cell->words + 1;
}

/** What the kernel said about its error, or NULL. Of a cell that has an error. */
static inline const char *sp_cell_message(const struct sp_cell *cell)
{
    return cell->words[0].pointer;
}

/** A pending cell in memory of `block`; the words are the caller's. */
void sp_cell_init(struct sp_cell *cell, struct sp_block *block);

/** Blocks of one cell; see block.h. NULL: no memory. */
struct sp_cell *sp_cell_for_call(struct sp_callee *callee);
struct sp_cell *sp_cell_for_plan(sp_plan_fn plan, size_t size);
struct sp_cell *sp_cell_for_callable(void);

/** What lanes queue, of a Python callable's cell; and back. */
static inline struct sp_call *sp_cell_call(struct sp_cell *cell)
{
    return (struct sp_call *)(void *)cell->words;
}

static inline struct sp_cell *sp_cell_of_call(struct sp_call *call)
{
    return (struct sp_cell *)(void *)((char *)call - offsetof(struct sp_cell, words));
}

/** sp_task_cancel() for a cell; its home counts it as ended. */
sp_status sp_cell_cancel(struct sp_cell *cell);

static inline bool sp_cell_has_ended(const struct sp_cell *cell)
{
    /* acquire (T1): what the task wrote. */
    return (load_acquire(&cell->task.state) & SP__TASK_PHASE) >= SP_DONE;
}

/** The task has ended, with a result. */
static inline bool sp_cell_has_result(const struct sp_cell *cell)
{
    /* acquire (T1): what the task wrote. */
    uint32_t phase = load_acquire(&cell->task.state) & SP__TASK_PHASE;
    return phase == SP_DONE && cell->error == 0 && !load_relaxed(&cell->is_timed_out);
}

/** Of a cell whose task has ended: it never ran, or it stopped because it was asked
 * to, and said so with SP_ECANCELLED. */
bool sp_cell_was_cancelled(const struct sp_cell *cell);

/** The task's time limit has passed before it ended. */
static inline bool sp_cell_timed_out(struct sp_cell *cell)
{
    return load_relaxed(&cell->is_timed_out);
}

/** Run the cell's call or plan, here and now, without a pool. */
void sp_cell_run_inline(struct sp_cell *cell);

/**
 * Claim a Python callable's cell for the calling thread, which runs it and then
 * calls sp_cell_finish(). False: cancelled, or claimed by somebody else.
 */
bool sp_cell_claim(struct sp_cell *cell);

/**
 * The callable has returned, and its Future knows the result: end the task, so that
 * waiters wake. May be called without the GIL, for they will want it. Its home has
 * counted the end.
 */
void sp_cell_finish(struct sp_cell *cell);

/**
 * Wait for `n` tasks, the last one first: what was submitted last tends to end
 * last, so one sleep is often enough. Returns as sp_task_wait(); in the case of
 * SP_OK all have ended, cancelled ones too.
 */
sp_status sp_cells_wait(struct sp_cell *const *cells, size_t n, int64_t timeout_ns);

/**
 * Look at the task for `spin_ns`, if a worker of `pool`, which runs it, is on
 * another CPU. True when it has ended.
 */
bool sp_cell_spin(struct sp_cell *cell, const sp_pool *pool, int64_t spin_ns);

/**
 * Before sleeping for the task: yield this CPU, if all workers of `pool` are on it, for
 * as long as that is cheap (see sched/yield.h). Without the GIL, which nobody else could
 * have meanwhile; with it, when to get it back would take far longer than the task.
 */
void sp_cell_yield(struct sp_cell *cell, sp_pool *pool);

#endif /* SP_PYX_CELL_H */
