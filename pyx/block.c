#include "block.h"

#include <stdlib.h>
#include <string.h>

#include "cell.h"
#include "sched/injector.h"
#include "sched/pool.h"
#include "sched/task.h"

_Static_assert(sizeof(struct sp_cell) + SP__CALL_MAX * sizeof(union sp__word) <
                   128 * sizeof(union sp__word),
               "words_of_cell has 7 bits");
_Static_assert(sizeof(struct sp_block) % _Alignof(struct sp_cell) == 0 &&
                   sizeof(struct sp_cell) % _Alignof(struct sp_cell) == 0,
               "cells follow the head of their block, and each other");

/* ------------------------------------------------------------------ memory */

/*
 * Full blocks of calls with few words, which bulk submitting needs by the hundred, are
 * kept for the next time: else their pages go back to the system with each batch, and to
 * be given new ones costs more than all that is done with them here. A spin lock that
 * nobody waits for (K2); who finds it taken, be it for ever in the child of a fork,
 * asks the system.
 */
#define KEPT_WORDS 4
#define KEPT_BYTES ((size_t)4 << 20)

static struct {
    _Atomic(uint32_t) lock;
    size_t bytes;
    struct sp_block
        *free[KEPT_WORDS + 1]; /* by the words of a cell, linked by `after` */
} kept;

static bool try_lock(void)
{
    uint32_t unlocked = 0;
    return cas_acquire(&kept.lock, &unlocked, 1); /* (K2) */
}

static void unlock(void)
{
    store_release(&kept.lock, 0); /* (K2) */
}

/* Words of a cell, if blocks like this one are kept; else 0. */
static size_t kept_words(size_t n, size_t cell_bytes)
{
#ifdef __SANITIZE_ADDRESS__
    return 0; /* so that it sees who comes too late */
#else
    size_t words = (cell_bytes - sizeof(struct sp_cell)) / sizeof(union sp__word);
    return n == SP_BLOCK_MOST && words <= KEPT_WORDS ? words : 0;
#endif
}

static struct sp_block *allocate(size_t n, size_t cell_bytes)
{
    size_t words = kept_words(n, cell_bytes);
    size_t bytes = sizeof(struct sp_block) + n * cell_bytes;
    struct sp_block *block = NULL;
    if (words && try_lock()) {
        block = kept.free[words];
        if (block) {
            kept.free[words] = block->after;
            kept.bytes -= bytes;
        }
        unlock();
    }
    return block ? block : malloc(bytes);
}

void sp_block_free(struct sp_block *block)
{
    size_t words = kept_words(block->n_cells, sp_block_cell_bytes(block));
    size_t bytes = sizeof *block + block->n_cells * sp_block_cell_bytes(block);
    bool is_kept = false;
    if (words && try_lock()) {
        is_kept = kept.bytes + bytes <= KEPT_BYTES;
        if (is_kept) {
            block->after = kept.free[words];
            kept.free[words] = block;
            kept.bytes += bytes;
        }
        unlock();
    }
    if (!is_kept)
        free(block);
}

/* ------------------------------------------------------------------ making */

/* A block whose first cell is ready; it has `n_words` of its own. */
static struct sp_block *make(enum sp_block_kind kind, size_t n, size_t bytes_of_words)
{
    size_t most = SIZE_MAX / SP_BLOCK_MOST - sizeof(struct sp_block);
    if (bytes_of_words > most - sizeof(struct sp_cell))
        return NULL;
    size_t cell_bytes = sizeof(struct sp_cell) + bytes_of_words;
    struct sp_block *block = allocate(n, cell_bytes);
    if (!block)
        return NULL;
    *block = (struct sp_block){.n_cells = n & 127, .kind = kind};
    if (n > 1)
        block->words_of_cell = cell_bytes / sizeof(union sp__word) & 127;
    store_relaxed(&block->counts, (uint16_t)(n * (SP_BLOCK_CELL | SP_BLOCK_UNSETTLED)));
    sp_cell_init(sp_block_cell(block, 0), block);
    return block;
}

static struct sp_block *make_calls(struct sp_callee *callee, size_t n)
{
    size_t bytes_of_words = callee->shape.words * sizeof(union sp__word);
    struct sp_block *block = make(SP_KERNEL, n, bytes_of_words);
    if (block) {
        block->callee = callee;
        memset(sp_block_cell(block, 0)->words, 0, bytes_of_words);
    }
    return block;
}

struct sp_block *sp_block_for_call(struct sp_callee *callee)
{
    return make_calls(callee, 1);
}

struct sp_block *sp_block_for_calls(struct sp_callee *callee, size_t n,
                                    struct sp_home *home)
{
    struct sp_block *block = make_calls(callee, n);
    if (!block)
        return NULL;
    size_t cell_bytes = sp_block_cell_bytes(block);
    struct sp_cell *first = sp_block_cell(block, 0), *before = first;
    sp_cell_set_home(first, home);
    sp__task_enqueue(&first->task);
    for (size_t i = 1; i < n; i++) {
        struct sp_cell *cell = sp_block_cell(block, i);
        /* Nobody has seen the first one yet, so it is a pattern for the others. */
        memcpy((void *)cell, (void *)first, cell_bytes);
        sp_cell_set_block(cell, block);
        cell->task.next = &before->task; /* as sp__batch_add() links them */
        before = cell;
    }
    return block;
}

struct sp_block *sp_block_for_plan(sp_plan_fn plan, size_t size)
{
    if (size > SIZE_MAX - sizeof(union sp__word))
        return NULL;
    struct sp_block *block = make(SP_PLAN, 1, sizeof(union sp__word) + size);
    if (!block)
        return NULL;
    block->plan = plan;
    sp_block_cell(block, 0)->words[0] = (union sp__word){0};
    return block;
}

struct sp_block *sp_block_for_callable(void)
{
    struct sp_block *block = make(SP_CALLABLE, 1, sizeof(struct sp_call));
    if (block)
        memset(sp_block_cell(block, 0)->words, 0, sizeof(struct sp_call));
    return block;
}

/* -------------------------------------------------------------- submitting */

static void cancel(struct sp_block *const *blocks, size_t n, bool are_strangers)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < blocks[i]->n_cells; k++) {
            sp_task *task = &sp_block_cell(blocks[i], k)->task;
            if (are_strangers)
                task->group = NULL; /* which has not counted them in */
            sp_task_cancel(task);
            sp_task_unref(task);
        }
}

sp_status sp_blocks_submit(sp_pool *pool, struct sp_block *const *blocks, size_t n)
{
    struct sp__batch batch = {.newest = NULL};
    size_t n_tasks = 0;
    for (size_t i = 0; i < n; i++) {
        n_tasks += blocks[i]->n_cells;
        /* The others of the block are linked to its first one already. */
        sp__batch_add(&batch, &sp_block_cell(blocks[i], 0)->task);
        batch.newest = &sp_block_cell(blocks[i], blocks[i]->n_cells - 1u)->task;
    }
    if (sp__pool_push_batch(pool, &batch, n_tasks))
        return SP_OK;
    cancel(blocks, n, false);
    return SP_ECLOSED;
}

void sp_blocks_refuse(struct sp_block *const *blocks, size_t n)
{
    cancel(blocks, n, true);
}
