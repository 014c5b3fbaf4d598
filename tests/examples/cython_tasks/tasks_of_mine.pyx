# cython: language_level=3
"""A project of its own that uses stealpool's pool from nogil code."""
cimport stealpool
from libc.stdint cimport intptr_t
from libc.stdlib cimport free, malloc

# ----------------------------------------------- kernels, for stealpool.kernel()


cdef api double triple(double x) noexcept nogil:
    return 3 * x


cdef api double sum_of(const double *x, Py_ssize_t n) noexcept nogil:
    cdef double total = 0
    cdef Py_ssize_t i
    for i in range(n):
        total += x[i]
    return total


cdef api int check(int code) noexcept nogil:
    if code:
        return stealpool.fail(code, b"the code was not 0")
    return 0


cdef api int fail_in_words_only(int code) noexcept nogil:
    stealpool.fail(code, b"words of a kernel that did not fail")
    return 0


cdef api int only_code(int code) noexcept nogil:
    return code


cdef api int until_cancelled(int code) noexcept nogil:
    while not stealpool.is_cancelled():
        pass
    return code


# --------------------------------------------------- tasks that spawn and join


cdef struct Fibonacci:
    void *pool
    long n  # the number; then the result


cdef int fibonacci(void *user) noexcept nogil:
    cdef Fibonacci *job = <Fibonacci *>user
    cdef Fibonacci left, right
    cdef void *task
    cdef int code
    if job.n < 2:
        return 0
    left = Fibonacci(job.pool, job.n - 1)
    right = Fibonacci(job.pool, job.n - 2)
    task = stealpool.spawn(job.pool, fibonacci, &left)
    code = fibonacci(&right)
    code = stealpool.join(task) or code
    job.n = left.n + right.n
    return code


def fibonacci_number(long n, executor):
    cdef stealpool.Handle handle = stealpool.handle(executor)
    cdef Fibonacci job = Fibonacci(handle.pool, n)
    cdef int code
    with nogil:
        code = fibonacci(&job)
    return job.n if code == 0 else code


# ---------------------------------------------------------------------- futures


cdef int free_and_fail(void *user) noexcept nogil:
    cdef int code = (<int *>user)[0]
    free(user)
    return stealpool.fail(code, b"as asked for") if code else 0


def future_with_code(int code, executor):
    """A Future of what was spawned without the GIL."""
    cdef stealpool.Handle handle = stealpool.handle(executor)
    cdef int *user = <int *>malloc(sizeof(int))
    cdef void *spawned
    if user == NULL:
        raise MemoryError
    user[0] = code
    with nogil:
        spawned = stealpool.spawn(handle.pool, free_and_fail, user)
    if spawned == NULL:
        free(user)
    return stealpool.future_of(handle, spawned)


cdef int do_nothing(void *user) noexcept nogil:
    return 0


def make_spawner(executor):
    """A function that spawns on an executor's pool, even when that is shut down."""
    cdef stealpool.Handle handle = stealpool.handle(executor)

    def spawn_and_join():
        return stealpool.join(stealpool.spawn(handle.pool, do_nothing, NULL))

    return spawn_and_join


# ------------------------------------------------------------------------ loops


cdef int square_piece(intptr_t begin, intptr_t end, void *user) noexcept nogil:
    cdef double *x = <double *>user
    cdef intptr_t i
    for i in range(begin, end):
        if x[i] < 0:
            return stealpool.fail(5, b"a negative number")
        x[i] *= x[i]
    return 0


def square(double[::1] x, executor, intptr_t grain=0):
    cdef stealpool.Handle handle = stealpool.handle(executor)
    cdef intptr_t n = x.shape[0]
    cdef void *data = <void *>&x[0] if n else NULL
    cdef int code
    with nogil:
        code = stealpool.parallel_for(handle.pool, 0, n, grain, square_piece, data)
    return code
