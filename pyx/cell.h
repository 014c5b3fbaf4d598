/*
 * cell.h - what lies behind a Future: a task, its arguments, its result.
 *
 * A cell is malloc'd when a call is submitted. The Future has one reference, the
 * pool's queue another until the task has ended; the last one frees the cell,
 * in any thread, without the GIL. What a cell holds of Python (`keep`: the
 * kernel, pinned buffers) is dropped by sp_cell_settle()'s caller, under the
 * GIL, before that: by whoever first sees the task ended, or by the drainer when
 * the Future is gone.
 *
 * No Python.h here: Python objects are pointers that are carried, not looked at.
 */
#ifndef SP_PYX_CELL_H
#define SP_PYX_CELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomics.h"
#include "home.h"
#include "kernels/call.h"
#include "lane.h"
#include "stealpool.h"

/* What is called, shared by all calls of one Kernel object, who owns it. */
struct sp_callee {
    sp__callee_fn function;
    struct sp__call_shape shape;
    bool returns_status; /* a result that is not 0 is an error */
};

/* A job that is not the call of a kernel: a loop on the pool, say. Runs without
 * the GIL; returns 0 or an error code. */
typedef int (*sp_plan_fn)(void *plan, union sp__word *ret_value);

struct sp_cell {
    sp_task task; /* first: cells and tasks convert */
    struct sp_home *home;
    struct sp_cell *before, *after; /* in home->cells */
    void *future;                   /* borrowed; NULL when it is gone */
    _Atomic(void *) keep;           /* owned reference; NULL when settled */
    struct sp_callee *callee;       /* NULL: see plan */
    sp_plan_fn plan;                /* NULL: a Python callable, run elsewhere */
    union sp__word value;           /* the result (T1) */
    int32_t error;                  /* 0, or the kernel's code (T1) */
    _Atomic(uint32_t) due_ms;       /* see home.c; SP_CELL_NOT_DUE: no time limit */
    char *message;                  /* the kernel's words, malloc'd, or NULL (T1) */
    union sp__word words[]; /* arguments, the plan's own data, or a struct sp_call */
};

#define SP_CELL_NOT_DUE 0u
#define SP_CELL_TIMED_OUT UINT32_MAX

static inline struct sp_cell *sp_cell_of(sp_task *task)
{
    return (struct sp_cell *)task;
}

/** SP_NATIVE_LANE for a kernel, SP_PYTHON_LANE for a Python callable. */
static inline unsigned sp_cell_lane(const struct sp_cell *cell)
{
    return cell->callee || cell->plan ? SP_NATIVE_LANE : SP_PYTHON_LANE;
}

/** A cell for a call of `callee`: the caller fills `words` in. NULL: no memory. */
struct sp_cell *sp_cell_for_call(struct sp_callee *callee);

/** A cell for a plan with `size` bytes of data of its own, in `words`. */
struct sp_cell *sp_cell_for_plan(sp_plan_fn plan, size_t size);

/** A cell that has a task's life, and can be queued in a lane: for a Python callable. */
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

/** Of a cell whose task has ended: it never ran, or it stopped because it was asked
 * to, and said so with SP_ECANCELLED. */
bool sp_cell_was_cancelled(const struct sp_cell *cell);

/** The task's time limit has passed before it ended. */
static inline bool sp_cell_timed_out(struct sp_cell *cell)
{
    return load_relaxed(&cell->due_ms) == SP_CELL_TIMED_OUT;
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

#endif /* SP_PYX_CELL_H */
