# What other Cython modules can cimport; declared in python/stealpool/_core.pxd.

cdef struct NativeCall:
    native_fn function
    void *user
    void *before  # of its group


cdef int run_native_call(void *data, sp_word *ret_value) noexcept nogil:
    cdef NativeCall *call = <NativeCall *>data
    return call.function(call.user)


cdef class NativeJob(Job):
    """A call that was spawned from nogil code."""

    cdef object result_of(self, sp_cell *cell):
        return None


cdef NativeJob native_job = NativeJob.__new__(NativeJob)
native_job.name = "spawned from nogil code"
cdef NativeJob loop_job = NativeJob.__new__(NativeJob)
loop_job.name = "the loop"


cdef class Handle:
    """An executor as code without the GIL sees it: its pool.

    Keep it as long as native code uses the pool. In Cython it is made by
    ``stealpool.handle(executor)``, under the GIL, and has the attribute ``pool``.

    Parameters
    ----------
    executor : Executor

    Attributes
    ----------
    address : int
        Of the pool, for native code that takes an ``sp_pool *``, such as
        ``sp_parallel_for()``; see :func:`stealpool.get_address`.
    """

    def __cinit__(self, ExecutorBase executor not None):
        executor.check_open()
        self.executor = executor
        self.home = <void *>executor.home.home
        self.pool = <void *>executor.home.pool.made()

    @property
    def address(self):
        """The address of the pool, an ``sp_pool *``, for native code."""
        return <uintptr_t>self.pool


cdef Handle handle(object executor):
    return Handle(executor)


cdef sp_cell *new_call(native_fn function, void *user, void *before) noexcept nogil:
    cdef sp_cell *cell = sp_cell_for_plan(run_native_call, sizeof(NativeCall))
    cdef NativeCall *call
    if cell == NULL:
        return NULL
    call = <NativeCall *>sp_cell_plan(cell)
    call.function = function
    call.user = user
    call.before = before
    return cell


cdef void *spawn(void *pool, native_fn function, void *user) noexcept nogil:
    cdef sp_cell *cell = new_call(function, user, NULL)
    if cell != NULL and sp_submit(<sp_pool *>pool, &cell.task) != SP_OK:
        sp_task_unref(&cell.task)
        return NULL
    return <void *>cell


cdef int join(void *spawned) noexcept nogil:
    cdef sp_cell *cell = <sp_cell *>spawned
    cdef sp_status status = SP_EINTR
    if cell == NULL:  # spawn() has failed
        return <int>SP_ECLOSED
    # What this thread said with fail() before: a task that is run here, instead of
    # being waited for, begins without words.
    cdef const char *words = sp_take_failure()
    cdef char *said = strdup(words) if words[0] else NULL
    while status == SP_EINTR:
        status = sp_task_wait(&cell.task, -1, 0)
    cdef int error = cell.error if status == SP_OK else <int>status
    if cell.error and error == cell.error and sp_cell_message(cell) != NULL:
        sp_fail(error, sp_cell_message(cell))  # for a caller who passes the error on
    elif said != NULL:
        sp_fail(1, said)
    free(said)
    sp_task_unref(&cell.task)
    return error


cdef object future_of(Handle executor, void *spawned):
    cdef sp_cell *cell = <sp_cell *>spawned
    if cell == NULL:
        raise RuntimeError(
            "nothing was spawned: the pool is shut down, or there is no memory"
        )
    # The pool outlives the task, even if the Future is gone first.
    keep(cell, native_job)
    cdef Home home = (<ExecutorBase>executor.executor).home
    sp_cell_join_late(cell, <sp_home *>executor.home)
    cdef FutureBase future = new_future(home, native_job, cell)
    see_future_to_end(home, future)
    return future


cdef int parallel_for(
    void *pool, intptr_t begin, intptr_t end, intptr_t grain, range_fn body, void *user
) noexcept nogil:
    return sp_parallel_for(<sp_pool *>pool, begin, end, grain, body, user)


cdef struct NativeLoop:
    void *pool
    intptr_t begin
    intptr_t end
    intptr_t grain
    range_fn body
    void *user


cdef int run_native_loop(void *data, sp_word *ret_value) noexcept nogil:
    cdef NativeLoop *loop = <NativeLoop *>data
    return parallel_for(
        loop.pool, loop.begin, loop.end, loop.grain, loop.body, loop.user
    )


cdef int loop_over(
    Handle executor, intptr_t begin, intptr_t end, intptr_t grain, range_fn body,
    void *user,
) except? -1:
    cdef Home home = (<ExecutorBase>executor.executor).home
    cdef NativeLoop *loop
    cdef sp_cell *cell
    cdef int code
    if home.home.canceller == NULL and home.home.timeout_ms == 0:
        with nogil:
            code = parallel_for(executor.pool, begin, end, grain, body, user)
        return code
    cell = sp_cell_for_plan(run_native_loop, sizeof(NativeLoop))
    if cell == NULL:
        raise MemoryError("stealpool: no memory for a task")
    loop = <NativeLoop *>sp_cell_plan(cell)
    loop.pool, loop.user, loop.body = executor.pool, user, body
    loop.begin, loop.end, loop.grain = begin, end, grain
    try:
        watch(home, cell)
        with nogil:
            sp_cell_run_inline(cell)
        if sp_cell_timed_out(cell) or sp_task_phase(&cell.task) == SP_CANCELLED:
            raise_of(loop_job, cell, home)
        return cell.error
    finally:
        settle(cell)
        sp_task_unref(&cell.task)


cdef int is_cancelled() noexcept nogil:
    return sp_cancelled()


cdef int fail(int code, const char *message) noexcept nogil:
    return sp_fail(code, message)


cdef int parallel_reduce(
    void *pool, intptr_t begin, intptr_t end, intptr_t grain, reduce_fn body,
    combine_fn combine, void *result, size_t size, void *user
) noexcept nogil:
    return sp_parallel_reduce(
        <sp_pool *>pool, begin, end, grain, body, combine, result, size, user
    )


# ---------------------------------------------------------------- tokens and groups


cdef void *token_new(void *parent) noexcept nogil:
    cdef sp_token *token = <sp_token *>malloc(sizeof(sp_token))
    if token != NULL:
        sp_token_init(token, <sp_token *>parent)
    return token


cdef void token_cancel(void *token) noexcept nogil:
    sp_token_cancel(<sp_token *>token)


cdef bint token_is_cancelled(void *token) noexcept nogil:
    return sp_token_is_cancelled(<sp_token *>token) != 0


cdef void token_free(void *token) noexcept nogil:
    if token != NULL:
        sp_token_end(<sp_token *>token)
        free(token)


cdef void group_open(Group *group, void *pool, void *token) noexcept nogil:
    group.pool = pool
    group.token = token
    group.newest = NULL


cdef int group_spawn(Group *group, native_fn function, void *user) noexcept nogil:
    cdef sp_status status
    cdef sp_cell *cell = new_call(function, user, group.newest)
    if cell == NULL:
        return <int>SP_ENOMEM
    if group.token != NULL:
        sp_task_set_token(&cell.task, <sp_token *>group.token)
    status = sp_submit(<sp_pool *>group.pool, &cell.task)
    if status != SP_OK:
        sp_task_unref(&cell.task)
        return <int>status
    group.newest = cell
    return 0


cdef int group_join(Group *group) noexcept nogil:
    cdef sp_cell *cell = <sp_cell *>group.newest
    cdef sp_cell *before
    cdef int error = 0, code
    group.newest = NULL
    while cell != NULL:
        before = <sp_cell *>(<NativeCall *>sp_cell_plan(cell)).before
        code = join(cell)
        if code and not error:
            cancel_chain(before)
        # What was spawned earlier says it, unless it is only that it was cancelled.
        if code and (not error or code != <int>SP_ECANCELLED):
            error = code
        cell = before
    return error


cdef void cancel_chain(sp_cell *cell) noexcept nogil:
    while cell != NULL:
        if sp_task_phase(&cell.task) == SP_PENDING:
            sp_task_cancel(&cell.task)
        cell = <sp_cell *>(<NativeCall *>sp_cell_plan(cell)).before


# ----------------------------------------------------------------- built-in kernels


cdef int math_array(int fn, const double *x, double *y, size_t n) noexcept nogil:
    return sp_math_array(<sp_math>fn, x, y, n)


cdef int polynomial_array(
    const double *c, size_t n_c, const double *x, double *y, size_t n
) noexcept nogil:
    return sp_polynomial_array(c, n_c, x, y, n)


cdef int integrate(
    void *pool, scalar_fn f, void *user, double a, double b, int64_t n, double *result
) noexcept nogil:
    cdef sp_integrand integrand
    memset(&integrand, 0, sizeof(integrand))
    integrand.kind = SP_INTEGRAND_SCALAR_USER
    integrand.scalar_user = f
    integrand.user = user
    return sp_integrate(<sp_pool *>pool, &integrand, a, b, n, result)


cdef sp_gaussian gaussian_of(double sigma_y, double sigma_x) noexcept nogil:
    cdef sp_gaussian options
    memset(&options, 0, sizeof(options))
    options.sigma_y = sigma_y
    options.sigma_x = sigma_x
    options.truncate = 4.0
    options.radius_y = options.radius_x = -1
    options.border = SP_BORDER_REFLECT
    return options


# A View is an sp_image, field by field.
cdef int gaussian_filter_u8(
    void *pool, const View *src, const View *dst, double sigma_y, double sigma_x
) noexcept nogil:
    cdef sp_gaussian options = gaussian_of(sigma_y, sigma_x)
    return sp_gaussian_filter_u8(
        <sp_pool *>pool, <const sp_image *>src, <const sp_image *>dst, &options
    )


cdef int gaussian_filter_f32(
    void *pool, const View *src, const View *dst, double sigma_y, double sigma_x
) noexcept nogil:
    cdef sp_gaussian options = gaussian_of(sigma_y, sigma_x)
    return sp_gaussian_filter_f32(
        <sp_pool *>pool, <const sp_image *>src, <const sp_image *>dst, &options
    )


cdef int rgb_to_gray_u8(void *pool, const View *src, const View *dst) noexcept nogil:
    return sp_rgb_to_gray_u8(
        <sp_pool *>pool, <const sp_image *>src, <const sp_image *>dst
    )


cdef int rgb_to_gray_f32(void *pool, const View *src, const View *dst) noexcept nogil:
    return sp_rgb_to_gray_f32(
        <sp_pool *>pool, <const sp_image *>src, <const sp_image *>dst
    )


cdef int parallel_tiles(
    void *pool, const View *src, const View *dst, Py_ssize_t halo_y, Py_ssize_t halo_x,
    size_t item, tile_fn body, void *user
) noexcept nogil:
    cdef sp_tiling options
    memset(&options, 0, sizeof(options))
    options.halo_y = halo_y
    options.halo_x = halo_x
    options.src_item = options.dst_item = item
    return sp_parallel_tiles(
        <sp_pool *>pool, <const sp_view *>src, <const sp_view *>dst, &options,
        <sp_tile_fn>body, user,
    )


# ------------------------------------------------- what native code can call by address


cdef dict ADDRESSES = {
    "sp_cancelled": <uintptr_t>&sp_cancelled,
    "sp_fail": <uintptr_t>&sp_fail,
    "sp_take_failure": <uintptr_t>&sp_take_failure,
    "sp_parallel_for": <uintptr_t>&sp_parallel_for,
    "sp_parallel_reduce": <uintptr_t>&sp_parallel_reduce,
    "sp_submit": <uintptr_t>&sp_submit,
    "sp_submit_many": <uintptr_t>&sp_submit_many,
    "sp_task_init": <uintptr_t>&sp_task_init,
    "sp_task_wait": <uintptr_t>&sp_task_wait,
    "sp_task_cancel": <uintptr_t>&sp_task_cancel,
    "sp_task_phase": <uintptr_t>&sp_task_phase,
    "sp_task_unref": <uintptr_t>&sp_task_unref,
    "sp_group_init": <uintptr_t>&sp_group_init,
    "sp_group_add": <uintptr_t>&sp_group_add,
    "sp_group_wait": <uintptr_t>&sp_group_wait,
    "sp_spawn": <uintptr_t>&spawn,
    "sp_join": <uintptr_t>&join,
}


def get_address(str name not None):
    """The address of a function of the C API, for native code to call.

    Parameters
    ----------
    name : str
        A function of ``stealpool.h`` that a kernel has a use for, such as
        ``"sp_cancelled"``, ``"sp_fail"``, ``"sp_parallel_for"``; or ``"sp_spawn"`` and
        ``"sp_join"``, which are ``spawn`` and ``join`` of ``cimport stealpool``.

    Returns
    -------
    int
        Valid as long as the process.

    Raises
    ------
    ValueError
        For another name; the message lists those that there are.

    Examples
    --------
    >>> import ctypes, stealpool
    >>> is_cancelled = ctypes.CFUNCTYPE(ctypes.c_int)(
    ...     stealpool.get_address("sp_cancelled")
    ... )
    >>> is_cancelled()
    0
    """
    try:
        return ADDRESSES[name]
    except KeyError:
        raise ValueError(
            f"no address of {name!r}; there are {', '.join(sorted(ADDRESSES))}"
        ) from None
