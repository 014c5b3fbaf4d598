#include "sched/slab.h"

#include <stddef.h>

#include "base/memory.h"

#define CELLS_AHEAD 10

_Static_assert(sizeof(struct sp__block) == 128 * (SP_SLAB_BLOCK_CELLS + 1),
               "as slab.h says");

static struct sp__block *make_block(struct sp__slab *slab)
{
    struct sp__block *block = sp__alloc(sizeof *block);
    if (!block)
        return NULL;
    block->slab = slab;
    block->made_before = slab->newest;
    slab->newest = block;
    for (int i = 0; i < SP_SLAB_BLOCK_CELLS; i++)
        sp__cell_set_home(&block->cells[i], block);
    return block;
}

static bool has_free(struct sp__slab *slab)
{
    if (!slab->free && load_relaxed(&slab->returned))
        /* acquire (M1): whoever freed its cells is done with them. */
        slab->free = exchange_acquire(&slab->returned, NULL);
    return slab->free;
}

static bool begin_block(struct sp__slab *slab)
{
    struct sp__block *block = has_free(slab) ? slab->free : make_block(slab);
    if (!block)
        return false;
    slab->free = block->next;
    /* relaxed: who frees one of its cells comes later. */
    store_relaxed(&block->back, 0u);
    slab->block = block;
    slab->left = SP_SLAB_BLOCK_CELLS;
    return true;
}

/* Whoever ran its last task has the cell's line. Ask for it some cells ahead. */
static void prefetch(struct sp__slab *slab, uint32_t cell)
{
    if (cell < SP_SLAB_BLOCK_CELLS)
        sp_prefetch(&slab->block->cells[cell]);
    else if (has_free(slab))
        sp_prefetch(&slab->free->cells[cell - SP_SLAB_BLOCK_CELLS]);
}

struct sp__cell *sp__slab_alloc(struct sp__slab *slab)
{
    if (sp_unlikely(slab->left == 0) && !begin_block(slab))
        return NULL;
    uint32_t cell = SP_SLAB_BLOCK_CELLS - slab->left--;
    prefetch(slab, cell + CELLS_AHEAD);
    return &slab->block->cells[cell];
}

static void tell(struct sp__tally *tally)
{
    struct sp__block *block = tally->block;
    uint32_t n = tally->n;
    if (n == 0)
        return;
    *tally = (struct sp__tally){0};
    /* acq_rel (M3): our use of these cells, and that of all who told before, to whoever
     * tells of the last one. */
    if (fetch_add_acq_rel(&block->back, n) + n < SP_SLAB_BLOCK_CELLS)
        return;
    struct sp__slab *slab = block->slab;
    struct sp__block *newest = load_relaxed(&slab->returned);
    do
        block->next = newest;
    /* release (M1): all use of the block. Later pushes are RMWs and continue it. */
    while (!cas_weak_release(&slab->returned, &newest, block));
}

void sp__cell_free(struct sp__freed *freed, const struct sp__cell *cell)
{
    struct sp__block *block = sp__cell_home(cell);
    struct sp__tally *tally =
        &freed->tallies[(uintptr_t)block / sizeof *block % SP__FREED_BLOCKS];
    if (sp_unlikely(tally->block != block)) {
        tell(tally);
        tally->block = block;
    }
    tally->n++;
}

void sp__freed_tell(struct sp__freed *freed)
{
    for (int i = 0; i < SP__FREED_BLOCKS; i++)
        tell(&freed->tallies[i]);
}

bool sp__slab_try_lock(struct sp__slab *slab)
{
    uint32_t unlocked = 0;
    /* acquire (M2): the slab as the one before us left it. */
    return !load_relaxed(&slab->lock) && cas_weak_acquire(&slab->lock, &unlocked, 1);
}

void sp__slab_unlock(struct sp__slab *slab)
{
    store_release(&slab->lock, 0); /* (M2) */
}

void sp__slab_destroy(struct sp__slab *slab)
{
    while (slab->newest) {
        struct sp__block *block = slab->newest;
        slab->newest = block->made_before;
        sp__free(block);
    }
}
