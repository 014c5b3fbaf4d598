/*
 * block.h - memory for cells: one, or many calls of one kernel that are submitted
 * together.
 *
 * Cells are made in blocks of up to SP_BLOCK_MOST, with one allocation and one entry in
 * their home's list for all of them. But for that each cell leads its own life: it is
 * queued, claimed, cancelled, waited for and freed alone. What the cells of a block have
 * in common is in front of them: what they call, their home, their due time, and what
 * they keep of Python.
 *
 * Two counts in one word (K1) say when the block is through with Python, and when its
 * memory is. When the last cell has been settled, the block leaves its home's list and
 * what it kept is given away; when the last cell has been freed, so is the block. A cell
 * is settled before it is freed. So one Future of a block that is never looked at keeps
 * some kilobytes, and what all cells kept, from being freed: that is why blocks are
 * small.
 */
#ifndef SP_PYX_BLOCK_H
#define SP_PYX_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomics.h"
#include "kernels/call.h"
#include "stealpool.h"

struct sp_cell;
struct sp_home;

/* What is called, shared by all calls of one Kernel object, who owns it. */
struct sp_callee {
    sp__callee_fn function;
    struct sp__call_shape shape;
    bool returns_status; /* a result that is not 0 is an error */
};

/* A job that is not the call of a kernel: a loop on the pool, say. Runs without
 * the GIL; returns 0 or an error code. */
typedef int (*sp_plan_fn)(void *plan, union sp__word *ret_value);

/** What the cells of a block are. */
enum sp_block_kind {
    SP_CALLABLE, /* a Python callable, run elsewhere */
    SP_KERNEL,   /* calls `callee` */
    SP_PLAN      /* calls `plan` */
};

struct sp_block {
    struct sp_home *home;            /* NULL until it joins one */
    struct sp_block *before, *after; /* in home->blocks */
    void *keep; /* owned reference, or NULL; see sp_cell_settle() */
    union {
        struct sp_callee *callee;
        sp_plan_fn plan;
    };
    uint32_t due_ms;          /* under the home's lock; SP_NOT_DUE: no time limit */
    _Atomic(uint16_t) counts; /* SP_BLOCK_CELL and SP_BLOCK_UNSETTLED of each (K1) */
    unsigned kind : 2;        /* enum sp_block_kind */
    unsigned n_cells : 7;
    unsigned words_of_cell : 7; /* from one cell to the next, if there are many */
};

#ifndef SP_BLOCK_MOST
#define SP_BLOCK_MOST 64
#endif
#define SP_BLOCK_CELL 1u
#define SP_BLOCK_UNSETTLED 0x100u
#define SP_NOT_DUE 0u

/**
 * `n` cells, 1 ... SP_BLOCK_MOST, for calls of `callee`, to join `home` and to be queued
 * with sp_blocks_submit(): all that can be done to them is done in one pass. The caller
 * fills in their words, and `keep`. NULL: no memory.
 */
struct sp_block *sp_block_for_calls(struct sp_callee *callee, size_t n,
                                    struct sp_home *home);

/** One cell, for a call of `callee`, which knows no home. */
struct sp_block *sp_block_for_call(struct sp_callee *callee);

/** One cell for a plan with `size` bytes of data of its own. */
struct sp_block *sp_block_for_plan(sp_plan_fn plan, size_t size);

/** One cell that has a task's life, and can be queued in a lane: for a Python callable. */
struct sp_block *sp_block_for_callable(void);

/** Free a block that was not joined or submitted, and whose cells nobody knows. */
void sp_block_free(struct sp_block *block);

static inline struct sp_cell *sp_block_cell(struct sp_block *block, size_t i)
{
    union sp__word *first = (union sp__word *)(void *)(block + 1);
    return (struct sp_cell *)(void *)(first + i * block->words_of_cell);
}

/** Of a block of many cells. */
static inline size_t sp_block_cell_bytes(const struct sp_block *block)
{
    return block->words_of_cell * sizeof(union sp__word);
}

/**
 * Queue all cells of joined blocks, in order: all of them, or none.
 * @return SP_OK; SP_ECLOSED: the tasks have been cancelled, and were counted out.
 */
sp_status sp_blocks_submit(sp_pool *pool, struct sp_block *const *blocks, size_t n);

/** Instead of submitting them: cancel all cells of blocks that were made for a home, but
 * have not joined it. */
void sp_blocks_refuse(struct sp_block *const *blocks, size_t n);

#endif /* SP_PYX_BLOCK_H */
