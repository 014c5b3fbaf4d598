/*
 * grid.h - a strided inner loop, called for all points of an n-dimensional grid.
 *
 * What NumPy's iterator does with a ufunc's inner loop, cut into pieces that
 * any thread can run. The grid is described once and only read afterwards.
 *
 * Its dimensions are of three kinds:
 *
 *   inner   goes to the loop, as its length and steps
 *   free    every point has outputs of its own: points run in any order
 *   fold    all points have the same outputs: they run in order, in one thread
 *
 *     c = a + b            inner free, cut into blocks; the others free
 *     sum(a, axis=-1)      inner fold, never cut; the others free
 *     sum(a, axis=0)       inner free, cut into blocks; one fold
 *     cumsum(a, axis=0)    inner fold, with the first result given (scan)
 *     matmul(a, b)         inner free, and core dimensions, known to the loop
 *
 * A piece is a range of indices: for each point of the free dimensions, in the
 * order of memory, the blocks of the inner dimension, if that is free, too.
 * Blocks begin at multiples of SP__GRID_BLOCK elements, so that vector code
 * meets the same groups of elements as in one call for the whole; and what is
 * folded is never cut. So results are, bit for bit, those of one thread.
 */
#ifndef SP_KERNELS_GRID_H
#define SP_KERNELS_GRID_H

#include <fenv.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomics.h"

#define SP__GRID_ARGS 16 /* operands, with a mask */
#define SP__GRID_DIMS 16 /* beside the inner one */
#define SP__GRID_CORE 48 /* core dimensions, and core strides of all operands */

#define SP__GRID_BLOCK 1024 /* of loops that see single elements */

/** NumPy's PyArrayMethod_StridedLoop: 0 on success. */
typedef int (*sp__grid_loop)(void *context, char *const *data, const intptr_t *lengths,
                             const intptr_t *strides, void *aux);

struct sp__grid_dim {
    intptr_t length;
    intptr_t strides[SP__GRID_ARGS];
};

enum sp__grid_start {
    SP__GRID_AS_IS, /* outputs are not touched before the loop is called */
    SP__GRID_FILL,  /* they get `initial` */
    SP__GRID_COPY,  /* they get the first element, which is then left out */
    SP__GRID_SCAN   /* the same, and each result is an operand of the next */
};

struct sp__grid {
    sp__grid_loop loop;
    void *context;
    void *aux;

    int n_args;   /* that the loop has */
    int mask;     /* index of a boolean operand behind those; -1 = none */
    int n_copied; /* operands, with the mask: for which `data` and strides are given */
    char *data[SP__GRID_ARGS];

    struct sp__grid_dim inner;
    bool inner_is_free;
    intptr_t block;       /* of a free inner dimension; at least 1 */
    intptr_t most_blocks; /* that go to the loop in one call; at least 1 */
    int n_free;
    struct sp__grid_dim free[SP__GRID_DIMS]; /* the fastest first */
    int n_fold;
    struct sp__grid_dim fold[SP__GRID_DIMS];

    /* What follows the inner length and the operands' steps in the arguments of
     * a generalised ufunc's loop. */
    int n_core_dims;
    int n_core_strides;
    intptr_t core_dims[SP__GRID_CORE];
    intptr_t core_strides[SP__GRID_CORE];

    /* Folds: operand 0 is the result so far, operand 1 the array, operand 2 the
     * result. */
    enum sp__grid_start start;
    size_t item_size;
    char initial[32];
};

/** Number of indices: sp__grid_run() takes ranges of 0 ... n-1. */
intptr_t sp__grid_indices(const struct sp__grid *grid);

/** Number of points of all dimensions. */
intptr_t sp__grid_points(const struct sp__grid *grid);

/**
 * Call the loop for the indices begin ... end-1.
 * @return 0, or what the loop returned.
 */
int sp__grid_run(const struct sp__grid *grid, intptr_t begin, intptr_t end);

/**
 * Call the loop once for each run of true elements of a mask, with `n_args`
 * operands; as NumPy does for where=.
 */
int sp__grid_masked(sp__grid_loop loop, void *context, void *aux, int n_args,
                    char *const *data, intptr_t length, const intptr_t *strides,
                    const char *mask, intptr_t mask_stride);

/**
 * The caller's floating-point environment, in which all pieces compute, with
 * the exceptions that they raise.
 */
struct sp__grid_fp {
    fenv_t env;
    _Atomic(uint32_t) raised; /* FE_DIVBYZERO, ... */
};

/** Take the calling thread's environment, without the exceptions it has seen. */
void sp__grid_fp_init(struct sp__grid_fp *fp);

/** Before a piece: compute as the owner does. Returns what was there. */
fenv_t sp__grid_fp_enter(const struct sp__grid_fp *fp);

/** After a piece: note what was raised, and compute as before. */
void sp__grid_fp_leave(struct sp__grid_fp *fp, const fenv_t *before);

#endif /* SP_KERNELS_GRID_H */
