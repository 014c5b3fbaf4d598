# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: freethreading_compatible=True
"""All that Cython code can give to the pool, and take from it."""
cimport stealpool
from libc.math cimport sqrt
from libc.stdint cimport int32_t, intptr_t
from libc.string cimport memset

cdef enum:
    CANCELLED = -7  # SP_ECANCELLED: the task ends as cancelled
    NEGATIVE = 5


# ------------------------------------------------- kernels, one of each kind


cdef api double triple(double x) noexcept nogil:
    return 3 * x


cdef api double distance(double x, void *user) noexcept nogil:
    cdef double *point = <double *>user
    return sqrt((x - point[0]) ** 2 + point[1] ** 2)


cdef api int roots(
    const double *x, intptr_t n, double *out, void *user
) noexcept nogil:
    """A batch."""
    cdef intptr_t i
    for i in range(n):
        if x[i] < 0:
            return stealpool.fail(NEGATIVE, b"a negative number")
        out[i] = sqrt(x[i])
    return 0


cdef api int square(intptr_t begin, intptr_t end, void *user) noexcept nogil:
    """A piece of a loop."""
    cdef double *x = <double *>user
    cdef intptr_t i
    for i in range(begin, end):
        if x[i] < 0:
            return stealpool.fail(NEGATIVE, b"a negative number")
        x[i] *= x[i]
    return 0


cdef api int add_up(
    intptr_t begin, intptr_t end, double *total, const double *x
) noexcept nogil:
    """A piece of a reduction, and how two are combined."""
    cdef intptr_t i
    for i in range(begin, end):
        total[0] += x[i]
    return 0


cdef api void add(void *into, const void *other, void *user) noexcept nogil:
    (<double *>into)[0] += (<const double *>other)[0]


cdef api void sum_rows(
    char **args, const intptr_t *dims, const intptr_t *steps, void *data
) noexcept nogil:
    """A loop of NumPy's kind, (n)->()."""
    cdef intptr_t i, k
    cdef double total
    for i in range(dims[0]):
        total = 0.0
        for k in range(dims[1]):
            total += (<double *>(args[0] + i * steps[0] + k * steps[2]))[0]
        (<double *>(args[1] + i * steps[1]))[0] = total


cdef api int blur(
    const stealpool.View *src, stealpool.View *dst, const stealpool.Rect *tile,
    void *user,
) noexcept nogil:
    """A tile: the mean of a pixel and its neighbours above and below."""
    cdef Py_ssize_t y, x
    cdef const float *a
    cdef float *b
    for y in range(dst.height):
        a = <const float *>(<const char *>src.data + y * src.stride)
        b = <float *>(<char *>dst.data + y * dst.stride)
        for x in range(dst.width * dst.channels):
            b[x] = (
                a[x]
                + (<const float *>(<const char *>a + src.stride))[x]
                + (<const float *>(<const char *>a + 2 * src.stride))[x]
            ) / 3
    return 0


# ---------------------------------------------------- errors and cancellation


cdef api int fail_in_words_only(int code) noexcept nogil:
    stealpool.fail(code, b"words of a kernel that did not fail")
    return 0


cdef api int only_code(int code) noexcept nogil:
    return code


cdef api int until_cancelled(int code) noexcept nogil:
    while not stealpool.is_cancelled():
        pass
    return code


# ----------------------------------------------------------------- task trees


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


# --------------------------------------------------------------------- groups

cdef struct Item:
    int32_t code   # what the task returns
    int32_t ended


cdef int end_with_code(void *user) noexcept nogil:
    cdef Item *item = <Item *>user
    item.ended = 1
    if item.code == CANCELLED:
        while not stealpool.is_cancelled():
            pass
        return CANCELLED
    return stealpool.fail(item.code, b"as asked for") if item.code else 0


def run_group(int[::1] codes, executor, bint cancel=False):
    """(error, how many tasks began) of tasks that end with these codes."""
    cdef stealpool.Handle handle = stealpool.handle(executor)
    cdef stealpool.Group group
    cdef Item[64] items
    cdef void *token = stealpool.token_new(NULL)
    cdef int error, i
    cdef Py_ssize_t n = codes.shape[0]
    assert n <= 64 and token != NULL
    memset(items, 0, sizeof(items))
    for i in range(n):
        items[i].code = codes[i]
    with nogil:
        stealpool.group_open(&group, handle.pool, token)
        for i in range(n):
            if stealpool.group_spawn(&group, end_with_code, &items[i]):
                break
        if cancel:
            stealpool.token_cancel(token)
        error = stealpool.group_join(&group)
    was_cancelled = stealpool.token_is_cancelled(token)
    stealpool.token_free(token)
    assert was_cancelled == cancel
    return error, sum([items[i].ended for i in range(n)])


# ----------------------------------------------------- loops and built-in kernels


def sum_of_squares(double[::1] x, executor):
    """(code, sum): a loop, and a reduction inside of nogil code."""
    cdef stealpool.Handle handle = stealpool.handle(executor)
    cdef double total = 0.0
    cdef int code
    with nogil:
        code = stealpool.parallel_for(
            handle.pool, 0, x.shape[0], 0, square, &x[0]
        )
        if code == 0:
            code = stealpool.parallel_reduce(
                handle.pool, 0, x.shape[0], 0, add_piece, add, &total,
                sizeof(double), &x[0],
            )
    return code, total


cdef int add_piece(
    intptr_t begin, intptr_t end, void *acc, void *user
) noexcept nogil:
    return add_up(begin, end, <double *>acc, <const double *>user)


def cosines(double[::1] x):
    """In place, by the built-in vector kernel."""
    with nogil:
        stealpool.math_array(stealpool.COS, &x[0], &x[0], x.shape[0])


cdef double distance_at(double x, void *user) noexcept nogil:
    return distance(x, user)


def integral_of_distance(double a, double b, executor):
    cdef stealpool.Handle handle = stealpool.handle(executor)
    cdef double[2] point
    cdef double result = 0.0
    point[0] = 0.0
    point[1] = 1.0
    with nogil:
        stealpool.integrate(handle.pool, distance_at, point, a, b, 1000, &result)
    return result


cdef stealpool.View view_of(float[:, ::1] image):
    return stealpool.View(
        &image[0, 0], image.strides[0], image.shape[0], image.shape[1], 1
    )


def blurred(float[:, ::1] image, float[:, ::1] out, executor, double sigma):
    """The built-in Gaussian; with sigma 0 the tile kernel from above."""
    cdef stealpool.Handle handle = stealpool.handle(executor)
    cdef stealpool.View src = view_of(image), dst = view_of(out)
    cdef int code
    with nogil:
        if sigma > 0:
            code = stealpool.gaussian_filter_f32(handle.pool, &src, &dst, sigma, sigma)
        else:
            code = stealpool.parallel_tiles(
                handle.pool, &src, &dst, 1, 0, sizeof(float), blur, NULL
            )
    return code
