# How a Future comes by its outcome: from the cell, once its task has ended.


cdef int get_ready(FutureBase future) except -1:
    """Take the result over from the cell, whose task has ended.

    If nobody observes the future, it is finished thereby.
    """
    with cython.critical_section(future):
        if sp_latch_is_set(&future.ready) or future.cell == NULL:
            return 0
        take_result(future)
        if sp_latch_is_set(&future.ready):  # another thread was quicker
            return 0
        sp_latch_set(&future.ready)
        if future.observers is None:
            future.state = future.outcome
        let_go(future)
    return 0


cdef int take_result(FutureBase future) except -1:
    cdef sp_cell *cell = future.cell
    future.outcome = FINISHED
    if sp_cell_timed_out(cell):
        future.value = timeout_error(future)
        future.is_error = True
        track(future)
    elif sp_cell_was_cancelled(cell):
        future.outcome = CANCELLED_AND_NOTIFIED
    elif cell.error:
        take_error(future, cell)
    else:
        try:
            future.value = (<Job>future.job).result_of(cell)
        except BaseException as error:  # no memory for the result
            future.value = error
            future.is_error = True
            track(future)
    return 0


cdef object timeout_error(FutureBase future):
    """The outcome of a call that had not ended in time."""
    cdef double seconds = future.home.home.timeout_ms / 1000.0
    cdef str name = "the call"
    if isinstance(future.job, Job):
        name = f"kernel {(<Job>future.job).name}"
    elif future.job is not None:
        name = getattr(future.job[0], "__qualname__", name)
    return _TimeoutError(f"{name} had not ended {seconds:g} s after its submit")


cdef int take_error(FutureBase future, sp_cell *cell) except -1:
    cdef Job job = future.job
    sp_task_ref(&cell.task)
    try:
        # Making an exception may let the collector, and so other threads, run.
        error = exception_of_error(
            job.name, cell.error, cell.message, isinstance(job, Plan)
        )
    finally:
        sp_task_unref(&cell.task)
    if not sp_latch_is_set(&future.ready):
        future.value = error
        future.is_error = True
        track(future)  # exception -> traceback -> frame -> future
    return 0


cdef int let_go(FutureBase future) except -1:
    """Drop the cell: arguments, buffers, and the future's reference to it."""
    cdef sp_cell *cell = future.cell
    future.cell = NULL
    future.job = None
    settle(cell)
    sp_task_unref(&cell.task)
    return 0


cdef int peek(FutureBase future) except -1:
    """Get ready if the call has ended."""
    cdef bint has_ended = False
    with cython.critical_section(future):
        if not sp_latch_is_set(&future.ready) and future.cell != NULL:
            # A callable's thread makes its future ready before it ends the task.
            has_ended = sp_task_phase(&future.cell.task) >= SP_DONE
    if has_ended:
        get_ready(future)
    return 0


cdef int abandon(FutureBase future) except -1:
    """The future dies before its result was taken."""
    cdef sp_cell *cell = future.cell
    cell.future = NULL
    if cell.home == NULL:
        give_up(cell)
        return 0
    if cell.home.is_stale:
        return 0
    # The drainer settles the cell when the task has ended - unless a ticket says
    # so already, which pinned buffers have from the start.
    if sp_task_notify(&cell.task, EXECUTOR_TICKET, reclaimed) == SP_EDONE:
        settle(cell)
    sp_task_unref(&cell.task)
    return 0


cdef int give_up(sp_cell *cell) except -1:
    """A cell that was not submitted. Whoever waits for it sees it cancelled."""
    sp_task_cancel(&cell.task)
    settle(cell)
    sp_task_unref(&cell.task)
    return 0
