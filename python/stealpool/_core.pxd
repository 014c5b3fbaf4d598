# What other Cython modules can cimport. All functions are nogil, except where a
# Python object is an argument.
from libc.stdint cimport int64_t, intptr_t

# A task: 0, or an error code (see fail()).
ctypedef int (*native_fn)(void *user) noexcept nogil

# A piece of a loop: the indices begin ... end-1. Not 0 stops the loop.
ctypedef int (*range_fn)(intptr_t begin, intptr_t end, void *user) noexcept nogil


cdef class Handle:
    cdef object executor
    cdef void *home
    cdef void *pool

# An executor for nogil code; keep it as long as `.pool` is in use.
cdef Handle handle(object executor)

# Submit function(user) to a pool. NULL: no memory, or the pool is shut down. The
# result must go to join() or to future_of(), once.
cdef void *spawn(void *pool, native_fn function, void *user) noexcept nogil

# Wait for what was spawned; returns its error code, or a negative status.
cdef int join(void *spawned) noexcept nogil

# A Future, for Python to wait for what was spawned.
cdef object future_of(Handle executor, void *spawned)

# Call body on pieces of begin ... end-1, here and on the pool's free workers.
# `grain` is the least number of indices of a piece, 0 = automatic.
cdef int parallel_for(
    void *pool, intptr_t begin, intptr_t end, intptr_t grain, range_fn body, void *user
) noexcept nogil

# The same with the GIL, which it lets go, for the executor or view of a handle: its
# token ends it (SP_ECANCELLED, or CancelledError), or its time limit (TimeoutError).
cdef int loop_over(
    Handle executor, intptr_t begin, intptr_t end, intptr_t grain, range_fn body,
    void *user,
) except? -1

# Inside a task or a loop: has somebody asked for it to stop?
cdef int is_cancelled() noexcept nogil

# Inside a task or a loop: say why it fails. Returns `code`, which must not be 0.
cdef int fail(int code, const char *message) noexcept nogil

# ------------------------------------------------------------------ reductions

# A piece of a reduction: adds to `acc`, which starts as a copy of the result.
ctypedef int (*reduce_fn)(
    intptr_t begin, intptr_t end, void *acc, void *user
) noexcept nogil

# into = into + other, where `other` stands to its right.
ctypedef void (*combine_fn)(void *into, const void *other, void *user) noexcept nogil

# Reduce a range into `result`, `size` bytes that hold the neutral element; the same
# result for any number of workers.
cdef int parallel_reduce(
    void *pool, intptr_t begin, intptr_t end, intptr_t grain, reduce_fn body,
    combine_fn combine, void *result, size_t size, void *user
) noexcept nogil

# ------------------------------------------------------------ tokens and groups

# A token asks many tasks to stop at once, and those of all tokens below it. NULL: no
# memory. Free it after all tasks that have it.
cdef void *token_new(void *parent) noexcept nogil
cdef void token_cancel(void *token) noexcept nogil
cdef bint token_is_cancelled(void *token) noexcept nogil
cdef void token_free(void *token) noexcept nogil

# Tasks that are waited for together. In memory of yours, its fields are private.
cdef struct Group:
    void *pool
    void *token
    void *newest

# Begin a group; `token` may be NULL.
cdef void group_open(Group *group, void *pool, void *token) noexcept nogil

# Submit function(user). Not 0, a negative status: nothing was submitted.
cdef int group_spawn(Group *group, native_fn function, void *user) noexcept nogil

# Wait for all tasks; the group is empty then. Returns 0, or the error of the task that
# was spawned first of those that failed; tasks that have not begun when an error is
# found are cancelled.
cdef int group_join(Group *group) noexcept nogil

# ------------------------------------------------------------- built-in kernels

# Functions for math_array().
cdef enum:
    COS = 0
    SIN = 1
    EXP = 2
    LOG = 3
    SQRT = 4

# y[i] = fn(x[i]); y may be x.
cdef int math_array(int fn, const double *x, double *y, size_t n) noexcept nogil

# y[i] = c[0] + c[1] x[i] + ..., n_c coefficients.
cdef int polynomial_array(
    const double *c, size_t n_c, const double *x, double *y, size_t n
) noexcept nogil

ctypedef double (*scalar_fn)(double x, void *user) noexcept nogil

# The left rectangle rule with n points.
cdef int integrate(
    void *pool, scalar_fn f, void *user, double a, double b, int64_t n, double *result
) noexcept nogil

# An image, or a part of one: rows are `stride` bytes apart. See sp_image.
cdef struct View:
    void *data
    Py_ssize_t stride
    Py_ssize_t height
    Py_ssize_t width
    Py_ssize_t channels

# Where a tile lies in the image.
cdef struct Rect:
    Py_ssize_t y
    Py_ssize_t x
    Py_ssize_t height
    Py_ssize_t width

cdef int gaussian_filter_u8(
    void *pool, const View *src, const View *dst, double sigma_y, double sigma_x
) noexcept nogil
cdef int gaussian_filter_f32(
    void *pool, const View *src, const View *dst, double sigma_y, double sigma_x
) noexcept nogil
cdef int rgb_to_gray_u8(void *pool, const View *src, const View *dst) noexcept nogil
cdef int rgb_to_gray_f32(void *pool, const View *src, const View *dst) noexcept nogil

# A tile: `src` has halo_y more rows on either side of it, and halo_x more columns.
ctypedef int (*tile_fn)(
    const View *src, View *dst, const Rect *tile, void *user
) noexcept nogil

# Call body on tiles that cover dst; samples have `item` bytes, borders are reflected.
cdef int parallel_tiles(
    void *pool, const View *src, const View *dst, Py_ssize_t halo_y, Py_ssize_t halo_x,
    size_t item, tile_fn body, void *user
) noexcept nogil
