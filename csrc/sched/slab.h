/*
 * slab.h - cells for detached tasks, which nobody but the pool holds.
 *
 * A slab gives out cells of one size. Each worker has one, used by it alone; threads
 * from outside share some, each under a lock that nobody waits for: who finds it taken
 * takes another slab. A cell that is freed by its slab's user goes to a plain list; any
 * other thread collects what it frees in a chain, and pushes a chain at a time to
 * `returned` (M1), which the user empties when it has no cells left. Memory is given
 * back when the pool is freed, for then no task is left.
 *
 *            alloc  free_own  free_chain      - may run at the same time
 * alloc        X       X          -           X caller excludes (owner, or the lock)
 * free_own     X       X          -
 * free_chain   -       -          -
 */
#ifndef SP_SCHED_SLAB_H
#define SP_SCHED_SLAB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "base/compiler.h"
#include "stealpool.h"

struct sp__slab;

/*
 * Two cache lines, of which a task with a short argument needs one: the argument begins
 * where another task has its tickets. `task.run` is what sp_spawn() was given, and the
 * place of `release` is used for the home slab; see sp__cell_home().
 */
struct sp__cell {
    sp_task task; /* `next` links free cells */
    unsigned char more[128 - sizeof(sp_task)];
};

/** Where the cell came from; NULL: too large for a slab, from sp__alloc(). */
static inline struct sp__slab *sp__cell_home(const struct sp__cell *cell)
{
    return (struct sp__slab *)(uintptr_t)cell->task.release;
}

static inline void sp__cell_set_home(struct sp__cell *cell, struct sp__slab *home)
{
    cell->task.release = (sp_release_fn)(uintptr_t)home;
}

/** The argument's copy, of SP_SPAWN_BYTES or more. */
static inline void *sp__cell_arg(struct sp__cell *cell)
{
    return cell->task.tickets;
}

struct sp__slab {
    SP_CACHE_ALIGNED struct sp__cell *free;
    struct sp__chunk *chunks;
    _Atomic(uint32_t) lock; /* from outside: who has it uses the slab (M2) */
    SP_CACHE_ALIGNED _Atomic(sp_task *) returned; /* by others (M1) */
};

/* Cells of one slab, freed by one other thread. */
struct sp__chain {
    struct sp__slab *home;
    sp_task *first, *last;
    uint32_t n;
};

/** A cell of unspecified content; NULL when there is no memory. User only. */
struct sp__cell *sp__slab_alloc(struct sp__slab *slab);

/** Free a cell of this slab. User only. */
void sp__slab_free_own(struct sp__slab *slab, struct sp__cell *cell);

/** Free a cell of another slab: collect it, maybe return the chain. */
void sp__chain_add(struct sp__chain *chain, struct sp__cell *cell);

/** Return what was collected. The chain is empty then. */
void sp__chain_return(struct sp__chain *chain);

/** Take the slab, unless somebody has it. */
bool sp__slab_try_lock(struct sp__slab *slab);
void sp__slab_unlock(struct sp__slab *slab);

/** Free all memory. Nobody uses a cell any more. */
void sp__slab_destroy(struct sp__slab *slab);

#endif /* SP_SCHED_SLAB_H */
