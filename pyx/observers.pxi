# Telling those who observe a Future of its end: the standard library's waiters, and
# callbacks.


cdef Observers observed(FutureBase future):
    """The observers; from the first call on, publish() announces the end.

    In the future's critical section.
    """
    cdef Observers observers
    if future.observers is not None:
        return future.observers
    cdef sp_cell *cell = cell_of(future)
    if cell != NULL:
        start_drainer_for(cell)
    observers = Observers.__new__(Observers)
    observers.waiters = []
    observers.callbacks = []
    track(future)
    # All this may have let other threads in, the rest does not: a future whose
    # announcement is ordered has observers.
    if future.observers is None and not order_announcement(future):
        get_ready(future)  # has ended: nothing is left to announce
    if future.observers is None:
        future.observers = observers
    return future.observers


@cython.final
cdef class SettledCondition:
    """The condition of all futures of executors that ended without one.

    Their state does not change any more, so there is nothing to lock and nobody to be
    told. The standard library's wait() takes the conditions of all its futures.
    """

    def acquire(self, blocking=True, timeout=-1):
        return True

    def release(self):
        pass

    def __enter__(self):
        return True

    def __exit__(self, *exc_info):
        pass

    def wait(self, timeout=None):
        """Not for long: nobody would notify."""
        return True

    def wait_for(self, predicate, timeout=None):
        return predicate()

    def notify(self, n=1):
        pass

    def notify_all(self):
        pass


cdef object settled = SettledCondition()


cdef object condition_of(FutureBase future):
    """What the standard library locks: who has acquired one releases the same one.

    Its wait() believes _state, which does not change while it has the condition. So if
    the call has ended and nobody has said so yet, it is said here: what done() knows,
    wait() knows, too.
    """
    cdef object condition
    cdef bint is_ours = future.home is not None
    peek(future)
    if is_ours and sp_latch_is_set(&future.ready) and is_observed(future):
        announce(future)  # callbacks are left to who would have announced it
    with cython.critical_section(future):
        if is_ours and future.state >= CANCELLED:
            if future.observers is None or future.observers.condition is None:
                return settled
        if observed(future).condition is None:
            condition = _Condition()
            # Another thread may have been quicker, to make one or to end the call.
            if future.observers.condition is None:
                if is_ours and future.state >= CANCELLED:
                    return settled
                future.observers.condition = condition
        return future.observers.condition


cdef int start_drainer_for(sp_cell *cell) except -1:
    """A callable needs the drainer only if it is cancelled from afar."""
    cdef bint must_start = is_native(cell)  # it may be gone when we are back
    try:
        start_drainer()
    except RuntimeError:  # no thread to be had
        if must_start:
            raise
    return 0


cdef bint order_announcement(FutureBase future) except -1:
    """Have the drainer told when the task ends. False: it has ended.

    Of a callable that runs to its end the drainer is not told: see end_callable().
    """
    cdef sp_cell *cell = cell_of(future)
    if cell == NULL:
        return True
    cdef sp_task *task = &cell.task
    cdef sp_status status = sp_task_notify(task, EXECUTOR_TICKET, announced)
    if status == SP_EBUSY:  # armed for the sake of its buffers
        if sp_task_unnotify(task, EXECUTOR_TICKET) == SP_EDONE:
            return False
        status = sp_task_notify(task, EXECUTOR_TICKET, announced)
    if status == SP_EDONE:
        return False
    Py_INCREF(future)  # dropped in drain_announced()
    return True


cdef int publish(FutureBase future) except -1:
    """Announce the end of a ready, observed future, once, and call its callbacks."""
    if announce(future):
        future._invoke_callbacks()
    return 0


cdef bint announce(FutureBase future) except -1:
    """Tell those who wait of the end, unless they know; true: it has callbacks, to be
    called now. Several threads may come here, see cancel() and condition_of()."""
    cdef object condition = None
    with cython.critical_section(future):
        if future.state < CANCELLED:
            condition = future.observers.condition
            if condition is None:
                future.state = future.outcome
    if condition is not None:
        with condition:
            tell_waiters(future)
    with cython.critical_section(future):
        return len(future.observers.callbacks) > 0


cdef int tell_waiters(FutureBase future) except -1:
    """With the condition in hand."""
    with cython.critical_section(future):
        if future.state >= CANCELLED:
            return 0
        future.state = future.outcome
    for waiter in future.observers.waiters:
        tell(waiter, future)
    future.observers.condition.notify_all()
    return 0


cdef int tell(object waiter, FutureBase future) except -1:
    if future.outcome != FINISHED:
        waiter.add_cancelled(future)
    elif future.is_error:
        waiter.add_exception(future)
    else:
        waiter.add_result(future)
    return 0


# How deep callbacks may nest: each that adds a callback to a future that has ended
# calls it there and then, as the standard library does. Deeper ones are called when
# the outermost has returned, so that a chain of any length ends.
cdef int MAX_NESTING = 50
cdef object nesting = _thread_local()


cdef int call_back(FutureBase future, object fn) except -1:
    cdef int depth = getattr(nesting, "depth", 0)
    if depth == MAX_NESTING:
        nesting.deferred.append((future, fn))
        return 0
    if depth == 0:
        nesting.deferred = _deque()
    nesting.depth = depth + 1
    try:
        call_and_log(future, fn)
    finally:
        if depth == 0:
            call_deferred(nesting.deferred)
        nesting.depth = depth
    return 0


cdef int call_deferred(object deferred) except -1:
    while deferred:
        future, fn = deferred.popleft()
        try:
            call_and_log(<FutureBase>future, fn)
        except BaseException as error:
            report_unraisable(error, future)
    return 0


cdef int call_and_log(FutureBase future, object fn) except -1:
    try:
        fn(future)
    except Exception:
        _LOGGER.exception("exception calling callback for %r", future)
    return 0
