/*
 * home.h - the native half of an executor, or of a view of one.
 *
 * A home counts its tasks in a group, lists its unsettled blocks of cells, and knows what its
 * view asks for: a priority, a time limit, whether an error cancels the rest. All
 * tasks of a home can be cancelled at once, in any thread and without the GIL: that
 * is how a token, a group and shutdown(cancel_futures=True) reach them. A Future that
 * somebody observes has a ticket for the drainer, who tells them.
 *
 * The list is doubly linked, newest first, under a spin lock (H1).
 */
#ifndef SP_PYX_HOME_H
#define SP_PYX_HOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomics.h"
#include "base/counters.h"
#include "canceller.h"
#include "gate.h"
#include "stealpool.h"

struct sp_block;
struct sp_cell;

struct sp_home {
    sp_group group;                 /* its unfinished tasks */
    _Atomic(uint32_t) lock;         /* spin lock of the list (H1) */
    struct sp_block *blocks;        /* unsettled, newest first */
    struct sp_block *next_due;      /* the oldest whose time has not passed, or NULL */
    struct sp_gate *gates;          /* of the two lanes, or NULL: no limit; borrowed */
    struct sp_canceller *canceller; /* or NULL; with a reference */
    struct sp_home *next_of_canceller;
    _Atomic(uint64_t) attaches;  /* times the library took the GIL for it */
    _Atomic(uint64_t) submitted; /* tasks that were accepted */
    _Atomic(uint64_t) ended;     /* of these, counted before anybody can see it */
    int64_t born_ns;             /* what due times are relative to */
    uint32_t timeout_ms;         /* 0: none */
    sp_priority priority;        /* of its tasks */
    bool cancels_on_error;       /* the first error cancels the others */
    bool is_stale;               /* belongs to the process that forked us */
};

/* Lanes, as indices of `gates`. */
#define SP_NATIVE_LANE 0u
#define SP_PYTHON_LANE 1u

/** A home without cells, in zeroed memory. */
void sp_home_init(struct sp_home *home);

/** The library has taken the GIL for this home's sake. */
static inline void sp_home_count_attach(struct sp_home *home)
{
    fetch_add_relaxed(&home->attaches, 1u);
}

/** `n` tasks were accepted; returns the counter before, which begins anywhere. */
static inline uint64_t sp_home_count_submitted(struct sp_home *home, size_t n)
{
    return fetch_add_relaxed(&home->submitted, n);
}

/** A task of `lane` has ended, or is about to. */
static inline void sp_home_count_ended(struct sp_home *home, unsigned lane)
{
    fetch_add_relaxed(&home->ended, 1u);
    if (home->gates)
        sp_gate_leave(&home->gates[lane], 1);
}

static inline uint64_t sp_home_ended(struct sp_home *home)
{
    return load_relaxed(&home->ended) - SP_FIRST_COUNT;
}

static inline uint64_t sp_home_submitted(struct sp_home *home)
{
    return load_relaxed(&home->submitted) - SP_FIRST_COUNT;
}

static inline uint64_t sp_home_attaches(struct sp_home *home)
{
    return load_relaxed(&home->attaches) - SP_FIRST_COUNT;
}

/** List blocks that were made for `home`, and count their tasks in. Before they are
 * submitted. */
void sp_blocks_join(struct sp_block *const *blocks, size_t n, struct sp_home *home);

/** The same for a cell that was made alone. */
void sp_cell_join(struct sp_cell *cell, struct sp_home *home);

/** List a plan's cell that was submitted already: its time begins now. Its task is not
 * counted in. */
void sp_cell_join_late(struct sp_cell *cell, struct sp_home *home);

/** List a plan's cell that its caller is about to run himself: the home's token and time
 * limit stop it. Its task is not counted in. Whoever ran it settles it. */
void sp_cell_join_inline(struct sp_cell *cell, struct sp_home *home);

/**
 * The task has ended, or will not be submitted. When the last cell of a block is
 * settled, the block leaves its home's list, and the caller gets the reference that it
 * kept, and drops it; all others get NULL.
 */
void *sp_cell_settle(struct sp_cell *cell);

/** For the cell's Future, or whoever has its reference: settle the cell and drop the
 * reference. Returns as sp_cell_settle() does. */
void *sp_cell_let_go(struct sp_cell *cell);

/**
 * Cancel all queued tasks of a home; with `running`, ask the running ones to stop.
 * Their Futures learn of it later.
 */
void sp_home_cancel(struct sp_home *home, bool running);

/** Its tasks that have not begun, at this moment. Looks at all that are unsettled. */
size_t sp_home_queued(struct sp_home *home);

/** Calls visit(keep, visitor) for what the block of each running task keeps, until that
 * says false. With the list held, so that it is still kept: be quick, drop nothing. */
void sp_home_visit_running(struct sp_home *home,
                           int (*visit)(void *keep, void *visitor), void *visitor);

/**
 * Cancel the tasks whose time has passed, and ask those that run to stop.
 * @return when the next one's passes; INT64_MAX if there is none.
 */
int64_t sp_home_expire(struct sp_home *home, int64_t now_ns);

/** When the time of the oldest task passes; INT64_MAX if there is none. */
int64_t sp_home_next_due_ns(struct sp_home *home);

/** True when no cell will use the home again: all tasks ended, all cells settled. */
bool sp_home_is_over(struct sp_home *home);

/** What a home refers to; the home itself is its owner's memory. */
void sp_home_destroy(struct sp_home *home);

#endif /* SP_PYX_HOME_H */
