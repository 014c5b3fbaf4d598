# csrc/kernels/grid.h, in the same order.
from libc.stdint cimport intptr_t, uint32_t


cdef extern from "kernels/grid.h" nogil:
    enum:
        SP__GRID_ARGS
        SP__GRID_DIMS
        SP__GRID_CORE
        SP__GRID_BLOCK

    ctypedef int (*sp__grid_loop)(
        void *context, char **data, const intptr_t *lengths, const intptr_t *strides,
        void *aux,
    )

    struct sp__grid_dim:
        intptr_t length
        intptr_t *strides

    enum sp__grid_start:
        SP__GRID_AS_IS
        SP__GRID_FILL
        SP__GRID_COPY
        SP__GRID_SCAN

    struct sp__grid:
        sp__grid_loop loop
        void *context
        void *aux
        int n_args
        int mask
        int n_copied
        char **data
        sp__grid_dim inner
        bint inner_is_free
        intptr_t block
        intptr_t most_blocks
        int n_free
        sp__grid_dim *free
        int n_fold
        sp__grid_dim *fold
        int n_core_dims
        int n_core_strides
        intptr_t *core_dims
        intptr_t *core_strides
        sp__grid_start start
        size_t item_size
        char *initial

    intptr_t sp__grid_indices(const sp__grid *grid)
    intptr_t sp__grid_points(const sp__grid *grid)
    int sp__grid_run(const sp__grid *grid, intptr_t begin, intptr_t end)
    int sp__grid_masked(
        sp__grid_loop loop, void *context, void *aux, int n_args, char **data,
        intptr_t length, const intptr_t *strides, const char *mask,
        intptr_t mask_stride,
    )

    ctypedef struct fenv_t:
        pass
    struct sp__grid_fp:
        uint32_t raised
    void sp__grid_fp_init(sp__grid_fp *fp)
    fenv_t sp__grid_fp_enter(const sp__grid_fp *fp)
    void sp__grid_fp_leave(sp__grid_fp *fp, const fenv_t *before)

    int FE_DIVBYZERO
    int FE_OVERFLOW
    int FE_UNDERFLOW
    int FE_INVALID
