/*
 * array_loop.h - run a loop of NumPy's kind over arrays of any shape.
 *
 * NumPy's ufuncs, and what numba makes of @vectorize and @guvectorize, are
 * functions that go along one axis of arrays of any strides: the *outer* axis.
 * Here they are called for all other axes, too. The *core* dimensions of a
 * generalised ufunc are the function's own affair: their sizes and strides are
 * passed on.
 */
#ifndef SP_KERNELS_ARRAY_LOOP_H
#define SP_KERNELS_ARRAY_LOOP_H

#include <stddef.h>
#include <stdint.h>

/**
 * `args` are the first elements; `dims` the number of steps along the outer axis,
 * then the sizes of the core dimensions; `steps` the bytes of a step of each
 * operand, then the strides of its core dimensions, operand by operand.
 */
typedef void (*sp__loop_fn)(char **args, const intptr_t *dims, const intptr_t *steps,
                            void *data);

#define SP__LOOP_MAX_OPERANDS 64
#define SP__LOOP_MAX_AXES 64

/** One call over whole arrays. It is copied bytewise: no pointers into itself. */
struct sp__array_loop {
    sp__loop_fn function;
    void *data;
    int32_t n_operands;
    int32_t n_axes;       /* outer ones, at least 1 */
    int32_t n_core_dims;  /* different ones: sizes */
    int32_t n_core_steps; /* of all operands together */
    /* Addresses of the operands; sizes of the outer axes; sizes of the core
     * dimensions; core strides; outer strides, operand by operand. */
    intptr_t words[];
};

/** Bytes of a call with these numbers. */
static inline size_t sp__array_loop_size(size_t n_operands, size_t n_axes,
                                         size_t n_core_dims, size_t n_core_steps)
{
    size_t words = n_operands + n_axes + n_core_dims + n_core_steps;
    return sizeof(struct sp__array_loop) +
           (words + n_operands * n_axes) * sizeof(intptr_t);
}

/**
 * Make one axis of two neighbours where all operands allow it, but for the
 * first `n_kept` axes. The result of the loop stays the same.
 */
void sp__array_loop_coalesce(struct sp__array_loop *loop, int32_t n_kept);

/**
 * Run the loop for begin ... end-1 of the first outer axis. An sp_range_fn.
 * @return 0, or SP_ECANCELLED when the surrounding task was asked to stop.
 */
int sp__array_loop_run(intptr_t begin, intptr_t end, void *loop);

#endif /* SP_KERNELS_ARRAY_LOOP_H */
