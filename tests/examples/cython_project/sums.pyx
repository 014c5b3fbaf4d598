# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: freethreading_compatible=True
"""Sums of numbers, over the native pool of an executor."""
cimport stealpool
from libc.math cimport isfinite, sqrt
from libc.stdint cimport intptr_t
from libc.stdlib cimport calloc, free

cdef enum:
    CANCELLED = -7     # SP_ECANCELLED: the task ends as cancelled
    NOT_FINITE = 3
    LEAF = 1000        # fewer numbers are not worth a task
    BLOCK = 1000


# ------------------------------------------------------------- a kernel for Python


cdef api double rms(const double *x, Py_ssize_t n) noexcept nogil:
    """The root of the mean of squares."""
    cdef double total = 0.0
    cdef Py_ssize_t i
    for i in range(n):
        total += x[i] * x[i]
    return sqrt(total / n)


cdef api int check_finite(const double *x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if not isfinite(x[i]):
            return stealpool.fail(NOT_FINITE, "a number is not finite")
    return 0


# -------------------------------------------------------------- tasks that spawn tasks


cdef struct Numbers:
    void *pool
    const double *x
    Py_ssize_t n
    double total  # the result


cdef int add_up(void *user) noexcept nogil:
    """A task: spawn one half, add up the other, join."""
    cdef Numbers *all = <Numbers *>user
    cdef Numbers left, right
    cdef void *spawned
    cdef Py_ssize_t i
    cdef int code
    if all.n <= LEAF:
        all.total = 0.0
        for i in range(all.n):
            if not isfinite(all.x[i]):
                return stealpool.fail(NOT_FINITE, "a number is not finite")
            all.total += all.x[i]
        return 0
    if stealpool.is_cancelled():
        return CANCELLED
    left = Numbers(all.pool, all.x, all.n // 2, 0.0)
    right = Numbers(all.pool, all.x + left.n, all.n - left.n, 0.0)
    spawned = stealpool.spawn(all.pool, add_up, &left)
    code = add_up(&right)
    if spawned == NULL:  # the pool is shut down: do it here
        code = add_up(&left) or code
    else:
        code = stealpool.join(spawned) or code
    all.total = left.total + right.total
    return code


cdef class Sum:
    """The memory of a sum: keep it until the task has ended."""

    cdef Numbers numbers
    cdef double[::1] x

    def __init__(self, double[::1] x):
        self.x = x
        self.numbers = Numbers(NULL, &x[0], x.shape[0], 0.0)

    def run(self, stealpool.Handle handle not None):
        """Add up here, with help from the pool; returns 0 or an error code."""
        cdef int code
        self.numbers.pool = handle.pool
        with nogil:
            code = add_up(&self.numbers)
        return code

    def run_there(self, stealpool.Handle handle not None):
        """Add up on the pool, and wait; returns 0, an error code, or a status."""
        cdef int code
        self.numbers.pool = handle.pool
        with nogil:
            code = stealpool.join(stealpool.spawn(handle.pool, add_up, &self.numbers))
        return code

    def start(self, stealpool.Handle handle not None):
        """Add up in the background; returns a Future."""
        cdef void *spawned
        self.numbers.pool = handle.pool
        with nogil:
            spawned = stealpool.spawn(handle.pool, add_up, &self.numbers)
        return stealpool.future_of(handle, spawned)

    @property
    def total(self):
        return self.numbers.total


# -------------------------------------------------------------- a task that waits


cdef int look_at(void *user) noexcept nogil:
    cdef int *is_over = <int *>user
    while not is_over[0]:
        if stealpool.is_cancelled():
            return CANCELLED
    is_over[0] = 2
    return 0


def until_set(int[::1] flag, stealpool.Handle handle not None):
    """A Future that is done once `flag[0]` was set to 1, which then becomes 2."""
    return stealpool.future_of(handle, stealpool.spawn(handle.pool, look_at, &flag[0]))


cdef struct Report:
    void *pool
    int was_joined


cdef int nothing(void *user) noexcept nogil:
    return 0


cdef int fail_then_join(void *user) noexcept nogil:
    cdef Report *report = <Report *>user
    cdef void *spawned = stealpool.spawn(report.pool, nothing, NULL)
    cdef int code = stealpool.fail(4, "first there was an error")
    report.was_joined = stealpool.join(spawned) == 0
    return code


cdef class FailThenJoin:
    """A task that fails, and cleans up what it has spawned."""

    cdef Report report

    def start(self, stealpool.Handle handle not None):
        self.report.pool = handle.pool
        return stealpool.future_of(
            handle, stealpool.spawn(handle.pool, fail_then_join, &self.report)
        )

    @property
    def was_joined(self):
        return bool(self.report.was_joined)


# ------------------------------------------------------------------------- a loop


cdef struct Blocks:
    const double *x
    Py_ssize_t n
    double *totals


cdef int add_up_blocks(intptr_t begin, intptr_t end, void *user) noexcept nogil:
    cdef Blocks *blocks = <Blocks *>user
    cdef Py_ssize_t i
    cdef intptr_t block
    for block in range(begin, end):
        for i in range(block * BLOCK, min((block + 1) * BLOCK, blocks.n)):
            if not isfinite(blocks.x[i]):
                return stealpool.fail(NOT_FINITE, "a number is not finite")
            blocks.totals[block] += blocks.x[i]
    return 0


def sum_of_blocks(double[::1] x, executor, Py_ssize_t grain=0):
    """(sum, code): a loop over blocks of a thousand numbers, in parallel."""
    cdef stealpool.Handle handle = stealpool.handle(executor)
    cdef Py_ssize_t n = (x.shape[0] + BLOCK - 1) // BLOCK
    cdef double *totals = <double *>calloc(max(n, 1), sizeof(double))
    cdef Blocks blocks = Blocks(&x[0], x.shape[0], totals)
    cdef double total = 0.0
    cdef Py_ssize_t i
    cdef int code
    if totals == NULL:
        raise MemoryError
    with nogil:
        code = stealpool.parallel_for(
            handle.pool, 0, n, grain, add_up_blocks, &blocks
        )
        for i in range(n):
            total += totals[i]
    free(totals)
    return total, code


def handle_of(executor):
    """What nogil code needs of an executor."""
    return stealpool.handle(executor)
