/*
 * slab.h - cells for detached tasks, which nobody but the pool holds.
 *
 * A slab gives out cells of one size, block by block, in the order in which they lie in
 * memory. A block is given out again when all of its cells have come back: so a cell is
 * not read before it is written, and whoever walks over tasks of one submitter walks
 * through memory in even steps. Each worker has a slab, used by it alone; threads from
 * outside share some, each under a lock that nobody waits for: who finds it taken takes
 * another slab. Who frees cells counts those of a block together, and tells the block
 * now and then (M3); who tells of the last one pushes the block to `returned` (M1), which
 * the user empties when it needs a block. Memory is given back when the pool is freed, for
 * then no task is left.
 *
 *            alloc  tell      - may run at the same time
 * alloc        X     -        X caller excludes (owner, or the lock)
 * tell         -     -
 */
#ifndef SP_SCHED_SLAB_H
#define SP_SCHED_SLAB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "base/compiler.h"
#include "stealpool.h"

/*
 * Two cache lines, of which a task with a short argument needs one: the argument begins
 * where another task has its tickets. `task.run` is what sp_spawn() was given, and the
 * place of `release` is used for the block; see sp__cell_home().
 */
struct sp__cell {
    sp_task task;
    unsigned char more[128 - sizeof(sp_task)];
};

/* With its head, a block takes 16 KiB: so much may one task keep that runs for long. */
#ifndef SP_SLAB_BLOCK_CELLS
#define SP_SLAB_BLOCK_CELLS 127
#endif

struct sp__block {
    struct sp__block *next; /* of those that are free */
    struct sp__block *made_before;
    struct sp__slab *slab;
    _Atomic(uint32_t) back; /* cells that were freed since it was given out (M3) */
    SP_CACHE_ALIGNED struct sp__cell cells[SP_SLAB_BLOCK_CELLS];
};

/** Where the cell lies; NULL: too large for a slab, from sp__alloc(). */
static inline struct sp__block *sp__cell_home(const struct sp__cell *cell)
{
    return (struct sp__block *)(uintptr_t)cell->task.release;
}

static inline void sp__cell_set_home(struct sp__cell *cell, struct sp__block *home)
{
    cell->task.release = (sp_release_fn)(uintptr_t)home;
}

/** The argument's copy, of SP_SPAWN_BYTES or more. */
static inline void *sp__cell_arg(struct sp__cell *cell)
{
    return cell->task.tickets;
}

struct sp__slab {
    SP_CACHE_ALIGNED struct sp__block *block; /* cells come from here */
    uint32_t left;                            /* in it */
    struct sp__block *free;                   /* blocks */
    struct sp__block *newest;                 /* of all */
    _Atomic(uint32_t) lock;    /* from outside: who has it uses the slab (M2) */
    _Atomic(uint64_t) spawned; /* by those who had it; for sp_pool_get_stats() */
    SP_CACHE_ALIGNED _Atomic(struct sp__block *) returned; /* by whoever (M1) */
};

/* Cells that one thread has freed, of some blocks, which do not know yet. Several, for
 * tasks of several submitters come mixed. */
#define SP__FREED_BLOCKS 4

struct sp__freed {
    struct sp__tally {
        struct sp__block *block;
        uint32_t n;
    } tallies[SP__FREED_BLOCKS];
};

/** A cell of unspecified content; NULL when there is no memory. User only. */
struct sp__cell *sp__slab_alloc(struct sp__slab *slab);

/** Free a cell of any slab: count it, and maybe tell its block, or another one. */
void sp__cell_free(struct sp__freed *freed, const struct sp__cell *cell);

/** Tell all blocks. Nothing is kept back then. */
void sp__freed_tell(struct sp__freed *freed);

/** Take the slab, unless somebody has it. */
bool sp__slab_try_lock(struct sp__slab *slab);
void sp__slab_unlock(struct sp__slab *slab);

/** Free all memory. Nobody uses a cell any more. */
void sp__slab_destroy(struct sp__slab *slab);

#endif /* SP_SCHED_SLAB_H */
