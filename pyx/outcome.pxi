# How a Future comes by its outcome: from the cell, once its task has ended.


cdef int get_ready(FutureBase future) except -1:
    """Take the result over from the cell, whose task has ended.

    If nobody observes the future, it is finished thereby.
    """
    cdef sp_cell *cell
    with cython.critical_section(future):
        cell = cell_of(future)
        if cell == NULL:
            return 0
        take_result(future, cell)
        if sp_latch_is_set(&future.ready):  # another thread was quicker
            return 0
        announce_ready(future)
        let_go(future, cell)
    return 0


cdef inline void announce_ready(FutureBase future) noexcept:
    """Value and outcome are there. In the future's critical section."""
    if future.observers is None:
        future.state = future.outcome
    sp_latch_set(&future.ready)


cdef int take_result(FutureBase future, sp_cell *cell) except -1:
    future.outcome = FINISHED
    if type(future.job) is Kernel and sp_cell_has_result(cell):
        # Its object may never be asked for, and costs more than the call.
        future.returns = (<Kernel>future.job).returns_number()
        future.link.word = cell.words[0]
    elif sp_cell_timed_out(cell):
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
            job.name, cell.error, sp_cell_message(cell), job.returns_status()
        )
    finally:
        sp_task_unref(&cell.task)
    if not sp_latch_is_set(&future.ready):
        future.value = error
        future.is_error = True
        track(future)  # exception -> traceback -> frame -> future
    return 0


cdef int raise_of(Job job, sp_cell *cell, Home home=None) except -1:
    """Raise what a cell has ended with that this thread has run, for a home or not."""
    if sp_cell_timed_out(cell):
        seconds = home.home.timeout_ms / 1000.0
        raise _TimeoutError(f"{job.name} had not ended {seconds:g} s after it began")
    if sp_cell_was_cancelled(cell):
        raise _CancelledError()
    if cell.error:
        raise exception_of_error(
            job.name, cell.error, sp_cell_message(cell), job.returns_status()
        )
    return 0


cdef int let_go(FutureBase future, sp_cell *cell) except -1:
    """Drop the cell: arguments, buffers, and the future's reference to it."""
    future.job = None
    if future.returns == T_VOID:
        future.link.cell = NULL
    cdef void *kept = sp_cell_let_go(cell)
    if kept != NULL:
        Py_DECREF(<object>kept)  # taken in keep()
    return 0


cdef int peek(FutureBase future) except -1:
    """Get ready if the call has ended."""
    cdef bint has_ended = False
    cdef sp_cell *cell
    with cython.critical_section(future):
        cell = cell_of(future)
        if cell != NULL:
            # A callable's thread makes its future ready before it ends the task.
            has_ended = sp_cell_has_ended(cell)
    if has_ended:
        get_ready(future)
    return 0


cdef int abandon(sp_cell *cell) except -1:
    """The future dies before its result was taken."""
    cell.future = NULL
    cdef sp_home *home = sp_cell_home(cell)
    if home == NULL:
        give_up(cell)
        return 0
    if home.is_stale:
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
