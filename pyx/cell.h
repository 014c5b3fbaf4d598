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
 * A home is the native half of an Executor. It lists its unsettled cells, so
 * that shutdown(cancel_futures=True) can cancel them.
 *
 * No Python.h here: Python objects are pointers that are carried, not looked at.
 */
#ifndef SP_PYX_CELL_H
#define SP_PYX_CELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomics.h"
#include "kernels/call.h"
#include "lane.h"
#include "stealpool.h"

/* What is called, shared by all calls of one Kernel object, who owns it. */
struct sp_callee {
    sp__callee_fn function;
    struct sp__call_shape shape;
    bool returns_status; /* a result that is not 0 is an error */
};

struct sp_cell;

struct sp_home {
    sp_group group;              /* its unfinished tasks */
    _Atomic(uint32_t) lock;      /* spin lock of the list (H1) */
    struct sp_cell *cells;       /* unsettled, doubly linked */
    _Atomic(uint64_t) attaches;  /* times the library took the GIL for it */
    _Atomic(uint64_t) submitted; /* tasks that were accepted */
    _Atomic(uint64_t) ended;     /* of these, counted before anybody can see it */
    bool is_stale;               /* belongs to the process that forked us */
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
    uint32_t reserved;
    char *message;          /* the kernel's words, malloc'd, or NULL (T1) */
    union sp__word words[]; /* arguments, the plan's own data, or a struct sp_call */
};

static inline struct sp_cell *sp_cell_of(sp_task *task)
{
    return (struct sp_cell *)task;
}

/** A home without cells, in zeroed memory. */
void sp_home_init(struct sp_home *home);

/** The library has taken the GIL for this home's sake. */
static inline void sp_home_count_attach(struct sp_home *home)
{
    fetch_add_relaxed(&home->attaches, 1u);
}

/** `n` tasks were accepted; returns how many there were before. */
static inline uint64_t sp_home_count_submitted(struct sp_home *home, size_t n)
{
    return fetch_add_relaxed(&home->submitted, n);
}

/** A task has ended, or is about to. */
static inline void sp_home_count_ended(struct sp_home *home)
{
    fetch_add_relaxed(&home->ended, 1u);
}

static inline uint64_t sp_home_ended(struct sp_home *home)
{
    return load_relaxed(&home->ended);
}

static inline uint64_t sp_home_submitted(struct sp_home *home)
{
    return load_relaxed(&home->submitted);
}

static inline uint64_t sp_home_attaches(struct sp_home *home)
{
    return load_relaxed(&home->attaches);
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

/** List the cells in `home` and count their tasks in. Before they are submitted. */
void sp_cells_join(struct sp_cell *const *cells, size_t n, struct sp_home *home);

/** List a plan's cell that was submitted already; its task is not counted in. */
void sp_cell_join_late(struct sp_cell *cell, struct sp_home *home);

/**
 * The task has ended, or will not be submitted: take the cell from its home's
 * list. The first caller gets the reference that the cell kept, and drops it;
 * later ones get NULL.
 */
void *sp_cell_settle(struct sp_cell *cell);

/** Of a cell whose task has ended: it never ran, or it stopped because it was asked
 * to, and said so with SP_ECANCELLED. */
bool sp_cell_was_cancelled(const struct sp_cell *cell);

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

/** Cancel all queued kernels of a home. Their Futures learn of it later. */
void sp_home_cancel_kernels(struct sp_home *home);

/** True when no cell will use the home again: all tasks ended, all cells settled. */
bool sp_home_is_over(struct sp_home *home);

/**
 * Wait for `n` tasks, the last one first: what was submitted last tends to end
 * last, so one sleep is often enough. Returns as sp_task_wait(); in the case of
 * SP_OK all have ended, cancelled ones too.
 */
sp_status sp_cells_wait(struct sp_cell *const *cells, size_t n, int64_t timeout_ns);

/**
 * Look at the task for a moment, if a worker of `pool`, which runs it, is on
 * another CPU. True when it has ended.
 */
bool sp_cell_spin(struct sp_cell *cell, const sp_pool *pool);

/* -------------------------------------------------------------------- bell */

/*
 * What the drainer sleeps on. Rung by completion queues: urgently for a Future
 * that somebody observes, lazily for buffers that somebody may yet collect.
 */
struct sp_bell {
    _Atomic(uint32_t) rung; /* SP_BELL_LAZY | SP_BELL_URGENT (B1) */
};

#define SP_BELL_LAZY 1u
#define SP_BELL_URGENT 2u

/* Doorbells (sp_doorbell_fn) of a struct sp_bell. */
void sp_bell_ring_lazily(void *bell);
void sp_bell_ring_urgently(void *bell);

/**
 * Sleep until the bell has been rung urgently, or was rung lazily `patience_ns`
 * ago; clear it.
 */
void sp_bell_wait(struct sp_bell *bell, int64_t patience_ns);

#endif /* SP_PYX_CELL_H */
