# The Python lane's half in C: running a callable, once. The threads are in
# python/stealpool/lane.py.

cdef object lane_threads = _thread_local()


def enter_lane(Home home not None):
    """The calling thread runs the callables of a home from now on."""
    lane_threads.home = home


cdef bint is_on_lane_of(Home home) except -1:
    """Is the calling thread one of those that run the callables of `home`?"""
    return getattr(lane_threads, "home", None) is home


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


def run_callables(queue, idle):
    """The main loop of a lane's thread, until it takes None from the queue.

    `idle` gets an entry whenever the thread waits. No Python code runs here between
    taking a future and running it: an asynchronous exception would lose it.
    """
    cdef FutureBase future
    take, try_to_take = queue.get, queue.get_nowait
    future = take()  # what the thread was started for, so it does not count as idle
    while future is not None:
        run_callable(future)
        future = None  # not while waiting for the next
        try:
            future = try_to_take()
        except BaseException:  # Empty, or no memory to say so
            future = wait_for_next(take, idle)
    queue.put(None)  # the next thread must end, too


cdef object wait_for_next(take, idle):
    """Take the next future; a thread may not end while there is no memory."""
    try:
        idle.put(None)
    except MemoryError:
        pass  # it does not count as idle, then
    while True:
        try:
            return take()
        except MemoryError:
            pass


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
        try:
            publish(future)
        except BaseException as error:
            report_unraisable(error, future)  # the thread has others to run
    return 0


cdef int run_if_on_lane(FutureBase future, sp_cell *cell) except -1:
    """A lane thread that waits for a queued callable of the same lane runs exactly that
    one: all other threads may be waiting, too."""
    if sp_task_phase(&cell.task) == SP_PENDING and is_on_lane_of(future.home):
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
