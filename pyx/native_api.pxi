# What other Cython modules can cimport; declared in python/stealpool/_core.pxd.

cdef struct NativeCall:
    native_fn function
    void *user


cdef int run_native_call(void *data, sp_word *ret_value) noexcept nogil:
    cdef NativeCall *call = <NativeCall *>data
    return call.function(call.user)


cdef class NativeJob(Job):
    """A call that was spawned from nogil code."""

    cdef object result_of(self, sp_cell *cell):
        return None


cdef NativeJob native_job = NativeJob.__new__(NativeJob)
native_job.name = "spawned from nogil code"


cdef class Handle:
    """An executor as nogil code sees it: keeps its pool alive.

    Make one with ``stealpool.handle(executor)``, under the GIL.
    """

    def __cinit__(self, ExecutorBase executor not None):
        executor.check_open()
        self.executor = executor
        self.home = <void *>executor.home.home
        self.pool = <void *>executor.home.pool.pool


cdef Handle handle(object executor):
    return Handle(executor)


cdef void *spawn(void *pool, native_fn function, void *user) noexcept nogil:
    cdef sp_cell *cell = sp_cell_for_plan(run_native_call, sizeof(NativeCall))
    cdef NativeCall *call
    if cell == NULL:
        return NULL
    call = <NativeCall *>cell.words
    call.function = function
    call.user = user
    if sp_submit(<sp_pool *>pool, &cell.task) != SP_OK:
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
    if error and cell.message != NULL:
        sp_fail(error, cell.message)  # for a caller who passes the error on
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
    sp_cell_join_late(cell, <sp_home *>executor.home)
    return new_future((<ExecutorBase>executor.executor).home, native_job, cell)


cdef int parallel_for(
    void *pool, intptr_t begin, intptr_t end, intptr_t grain, range_fn body, void *user
) noexcept nogil:
    return sp_parallel_for(<sp_pool *>pool, begin, end, grain, body, user)


cdef int is_cancelled() noexcept nogil:
    return sp_cancelled()


cdef int fail(int code, const char *message) noexcept nogil:
    return sp_fail(code, message)
