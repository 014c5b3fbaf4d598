# The Python lane: running callables. Its threads are started in
# python/stealpool/lane.py, its queue is in calls.pxi.

cdef extern from "Python.h":
    object PyContext_CopyCurrent()
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1
    bint PyFunction_Check(object function)
    object call_with "PyObject_Call" (object function, tuple args, PyObject *kwargs)


def enter_lane(CallQueue queue not None):
    """The calling thread runs the callables of a lane from now on."""
    sp_lane_enter(&queue.lane)


cdef bint is_on_lane_of(Home home):
    """Is the calling thread one of those that run the callables of `home`?"""
    return sp_lane_current() == &home.lane.lane


cdef bint is_native(sp_cell *cell):
    return sp_cell_lane(cell) == SP_NATIVE_LANE


# ------------------------------------------------------------------ the main loop

cdef sp_gauge switch_interval_ns


def run_callables(CallQueue queue not None):
    """The main loop of a lane's thread, until the lane is closed and empty.

    No Python code runs here between taking a call and running it: an asynchronous
    exception would lose it.
    """
    cdef sp_lane *lane = &queue.lane
    cdef sp_seat seat
    cdef sp_call *call
    cdef sp_cell *ended = NULL  # has run, but its task is not finished yet
    cdef FutureBase future
    cdef int64_t since_ns = now_ns(), called_ns, waited_ns
    sp_gauge_set(&switch_interval_ns, <int64_t>(_sys.getswitchinterval() * 1e9))
    memset(&seat, 0, sizeof(seat))
    sp_lane_sit(lane, &seat)
    while True:
        call = sp_lane_take(lane, &seat)
        if call == NULL:
            if sp_lane_is_over(lane):
                break
            with nogil:
                # Who waits for it wants the GIL: it is free by now.
                finish(ended)
                sp_lane_wait(lane, &seat)
                called_ns = sp__os_now_ns()
            ended = NULL
            since_ns = now_ns()
            waited_ns = since_ns - called_ns
            seat.is_late = waited_ns > sp_gauge_read(&switch_interval_ns) // 2
            continue
        finish(ended)
        future = future_of_call(call)
        with cython.critical_section(future):
            job = future.job  # which cancel() may drop
        function_was_python = job is not None and PyFunction_Check(job[0])
        job = None
        ended = run_unfinished(future)
        future = None  # not while waiting for the next
        if not function_was_python and not SP_IS_PARALLEL:
            # No bytecode has looked whether another thread wants the GIL.
            if now_ns() - since_ns > sp_gauge_read(&switch_interval_ns):
                with nogil:
                    finish(ended)
                ended = NULL
                since_ns = now_ns()
    finish(ended)
    sp_lane_leave(lane, &seat)


cdef void finish(sp_cell *cell) noexcept nogil:
    """End the task of a callable that has run, if there is one; drop a reference."""
    if cell != NULL:
        sp_cell_finish(cell)
        sp_task_unref(&cell.task)


# --------------------------------------------------------------------- one callable


cdef sp_cell *run_unfinished(FutureBase future, bint is_waiting=False) noexcept:
    """Claim, run, announce. Does nothing if somebody else has the future.

    A caller who waits for it leaves it to the drainer to announce the end: callbacks
    are not run inside result() or wait(). Returns a cell to finish(), or NULL.
    """
    cdef sp_cell *cell = borrow(future)
    if cell == NULL:
        return NULL
    if not sp_cell_claim(cell):
        sp_task_unref(&cell.task)
        return NULL
    cdef bint is_noted = sp_gauge_read(&is_debugging)
    try:
        if is_noted:
            note_begin(future)
        future.value = call_job(<tuple>future.job)
    except BaseException as error:
        future.value = error
        future.is_error = True
    if is_noted:
        note_end(future)
    is_waiting &= sp_gauge_read(&drainer_is_there)
    if end_callable(future, cell, is_waiting):
        return cell
    finish(cell)
    try:
        publish(future)
    except BaseException as error:
        report_unraisable(error, future)  # the thread has others to run
    return NULL


cdef object call_job(tuple job):
    """Call (function, args, kwargs or None, context or None)."""
    function, args, kwargs, context = job
    cdef PyObject *keywords = NULL if kwargs is None else <PyObject *>kwargs
    if context is None:
        return call_with(function, <tuple>args, keywords)
    PyContext_Enter(context)
    try:
        return call_with(function, <tuple>args, keywords)
    finally:
        PyContext_Exit(context)


cdef bint end_callable(
    FutureBase future, sp_cell *cell, bint is_waiting=False
) noexcept:
    """The result is there. False: somebody observes the future, which is to be
    published by the caller, who does not wait for it, once its task is finished."""
    cdef bint is_unobserved
    cdef sp_home *home = sp_cell_home(cell)
    if sp_cell_timed_out(cell):
        future.value = timeout_error(future)
        future.is_error = True
    if future.is_error and home.cancels_on_error:
        sp_canceller_cancel(home.canceller)
    with cython.critical_section(future):
        future.outcome = FINISHED
        sp_latch_set(&future.ready)
        is_unobserved = future.observers is None
        if is_unobserved:
            future.state = FINISHED
        elif is_waiting:
            is_unobserved = True  # by us: the drainer has a ticket
        elif sp_task_unnotify(&cell.task, EXECUTOR_TICKET) == SP_OK:
            Py_DECREF(future)  # taken in order_announcement()
        sp_home_count_ended(home, SP_PYTHON_LANE)
        let_go(future, cell)
    return is_unobserved


cdef int run_callable(FutureBase future, bint is_waiting=False) except -1:
    """Claim, run, end, announce, if nobody else does."""
    finish(run_unfinished(future, is_waiting))
    return 0


cdef int run_if_on_lane(FutureBase future, sp_cell *cell) except -1:
    """A lane thread that waits for a queued callable of the same lane runs exactly that
    one: all other threads may be waiting, too."""
    if sp_task_phase(&cell.task) == SP_PENDING and is_on_lane_of(future.home):
        future.home.lane.take_out(future, cell)
        run_callable(future, True)
    return 0


def fail_callable(FutureBase future not None, BaseException error not None):
    """End a callable that was taken out of its queue, unless it was cancelled."""
    cdef sp_cell *cell = borrow(future)
    if cell == NULL:
        return
    if not sp_cell_claim(cell):
        sp_task_unref(&cell.task)
        return
    future.value = error
    future.is_error = True
    is_unobserved = end_callable(future, cell)
    finish(cell)
    if not is_unobserved:
        publish(future)
