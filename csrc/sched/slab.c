#include "sched/slab.h"

#include <stddef.h>

#include "base/memory.h"

/* Cells got from the system at a time: 16 KiB. */
#define CHUNK_CELLS 127

/* Cells returned at a time. */
#define CHAIN_CELLS 32

struct sp__chunk {
    struct sp__chunk *next;
    SP_CACHE_ALIGNED struct sp__cell cells[CHUNK_CELLS];
};

static struct sp__cell *cell_of(sp_task *task)
{
    return sp_container_of(task, struct sp__cell, task);
}

static bool grow(struct sp__slab *slab)
{
    struct sp__chunk *chunk = sp__alloc(sizeof *chunk);
    if (!chunk)
        return false;
    chunk->next = slab->chunks;
    slab->chunks = chunk;
    for (int i = CHUNK_CELLS - 1; i >= 0; i--) {
        sp__cell_set_home(&chunk->cells[i], slab);
        sp__slab_free_own(slab, &chunk->cells[i]);
    }
    return true;
}

struct sp__cell *sp__slab_alloc(struct sp__slab *slab)
{
    if (!slab->free) {
        sp_task *returned = NULL;
        if (load_relaxed(&slab->returned))
            /* acquire (M1): whoever freed them is done with them. */
            returned = exchange_acquire(&slab->returned, NULL);
        if (returned)
            slab->free = cell_of(returned);
        else if (!grow(slab))
            return NULL;
    }
    struct sp__cell *cell = slab->free;
    slab->free = cell->task.next ? cell_of(cell->task.next) : NULL;
    return cell;
}

void sp__slab_free_own(struct sp__slab *slab, struct sp__cell *cell)
{
    cell->task.next = slab->free ? &slab->free->task : NULL;
    slab->free = cell;
}

void sp__chain_add(struct sp__chain *chain, struct sp__cell *cell)
{
    if (chain->n > 0 && chain->home != sp__cell_home(cell))
        sp__chain_return(chain);
    cell->task.next = chain->first;
    chain->first = &cell->task;
    if (chain->n == 0) {
        chain->home = sp__cell_home(cell);
        chain->last = &cell->task;
    }
    if (++chain->n == CHAIN_CELLS)
        sp__chain_return(chain);
}

void sp__chain_return(struct sp__chain *chain)
{
    if (chain->n == 0)
        return;
    struct sp__slab *home = chain->home;
    sp_task *newest = load_relaxed(&home->returned);
    do
        chain->last->next = newest;
    /* release (M1): our use of the cells. Later pushes are RMWs and continue it. */
    while (!cas_weak_release(&home->returned, &newest, chain->first));
    *chain = (struct sp__chain){0};
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
    while (slab->chunks) {
        struct sp__chunk *chunk = slab->chunks;
        slab->chunks = chunk->next;
        sp__free(chunk);
    }
}
