# The Python lane's half in C: running a callable, once. The threads are in
# python/stealpool/lane.py.

cdef object lane_threads = _thread_local()


def enter_lane():
    """The calling thread runs callables from now on."""
    lane_threads.inside = True


cdef bint is_native(sp_cell *cell):
    return cell.callee != NULL or cell.plan != NULL


cdef int run_callable(FutureBase future) except -1:
    """Claim, run, end, announce. Does nothing if somebody else has the future."""
    cdef sp_cell *cell = borrow(future)
    if cell == NULL:
        return 0
    if sp_cell_claim(cell):
        function, args, kwargs = future.job
        try:
            future.value = function(*args, **kwargs)
        except BaseException as error:
            future.value = error
            future.is_error = True
        del function, args, kwargs
        end_callable(future, cell)
    sp_task_unref(&cell.task)
    return 0


cdef int end_callable(FutureBase future, sp_cell *cell) except -1:
    with cython.critical_section(future):
        future.outcome = FINISHED
        future.is_ready = True
        if future.observers is None:
            future.state = FINISHED
        # Before the last thing that native waiters wait for: they look at it.
        sp_cell_finish(cell)
        let_go(future)
    if future.observers is not None:
        publish(future)
    return 0


cdef int run_if_on_lane(FutureBase future, sp_cell *cell) except -1:
    """A lane thread that waits for a queued callable runs exactly that one: all
    other threads may be waiting, too."""
    if getattr(lane_threads, "inside", False):
        if sp_task_phase(&cell.task) == SP_PENDING:
            run_callable(future)
    return 0


def fail_callable(FutureBase future not None, BaseException error not None):
    """End a queued callable with an exception, unless it was cancelled."""
    cdef sp_cell *cell = borrow(future)
    if cell == NULL:
        return
    if sp_cell_claim(cell):
        future.value = error
        future.is_error = True
        end_callable(future, cell)
    sp_task_unref(&cell.task)
