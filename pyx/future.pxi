# Futures: real ones, a subclass of the standard library's, without its lock.
#
# A Future of ours that nobody observes has no Condition, no lists of waiters and
# callbacks. It takes its result over from the cell when it is asked ("ready"), and
# nobody need be told. A Future is *observed* once somebody asked for _condition,
# _waiters or _done_callbacks, that is: the standard library waits for it, or it has
# a callback. Then its end is announced exactly once, by publish(): in the drainer
# thread for kernels, in the lane's thread for Python callables, in the cancelling
# thread for cancel().

cdef enum State:
    PENDING
    RUNNING
    CANCELLED
    CANCELLED_AND_NOTIFIED
    FINISHED

cdef tuple STATE_NAMES = (
    "PENDING", "RUNNING", "CANCELLED", "CANCELLED_AND_NOTIFIED", "FINISHED",
)

cdef unsigned EXECUTOR_TICKET = 0  # to the drainer
cdef unsigned WAITER_TICKET = 1    # to as_completed() and wait() for any


@cython.final
@cython.no_gc_clear
cdef class Observers:
    """What the standard library keeps in every Future, made when asked for."""

    cdef object condition
    cdef list waiters
    cdef list callbacks


cdef class FutureBase:
    """The first base of Future: its fields and methods, in C."""

    cdef sp_cell *cell      # NULL: made by the user, or ready
    cdef Home home          # None: made by the user
    cdef object job         # Job, or (function, args, kwargs) until it has run
    cdef object value       # once ready: the result, or the exception
    cdef Observers observers
    cdef State state        # what _state says
    cdef State outcome      # once ready: FINISHED or CANCELLED_AND_NOTIFIED
    cdef bint is_ready      # value and outcome are valid
    cdef bint is_error      # value is an exception

    def __init__(self):
        pass

    def __dealloc__(self):
        if self.cell != NULL:
            abandon(self)

    def __setattr__(self, name, value):
        track(self)
        PyObject_GenericSetAttr(self, name, value)

    # ------------------------------------- the standard library's private fields

    @property
    def _state(self):
        peek(self)
        if self.state == PENDING and self.running():
            return STATE_NAMES[<int>RUNNING]
        return STATE_NAMES[<int>self.state]

    @_state.setter
    def _state(self, name):
        self.state = <State>STATE_NAMES.index(name)
        self.outcome = self.state
        self.is_ready = self.state in (FINISHED, CANCELLED, CANCELLED_AND_NOTIFIED)

    @property
    def _result(self):
        peek(self)
        return None if self.is_error else self.value

    @_result.setter
    def _result(self, value):
        if value is not None or not self.is_error:
            self.value = value
            self.is_error = False

    @property
    def _exception(self):
        peek(self)
        return self.value if self.is_error else None

    @_exception.setter
    def _exception(self, value):
        if value is not None:
            self.value = value
            self.is_error = True

    @property
    def _condition(self):
        cdef object condition
        with cython.critical_section(self):
            if observed(self).condition is None:
                condition = _Condition()
                # Another thread may have been quicker.
                if self.observers.condition is None:
                    self.observers.condition = condition
            return self.observers.condition

    @property
    def _waiters(self):
        with cython.critical_section(self):
            return observed(self).waiters

    @property
    def _done_callbacks(self):
        with cython.critical_section(self):
            return observed(self).callbacks

    # --------------------------------------------------------- the public methods

    def __repr__(self):
        cdef str words = self._state.partition("_")[0].lower()
        if self.state == FINISHED:
            what = "raised" if self.is_error else "returned"
            words += f" {what} {type(self.value).__name__}"
        return f"<{type(self).__name__} at {id(self):#x} state={words}>"

    def done(self):
        """True once the call has ended, or was cancelled."""
        peek(self)
        return self.is_ready

    def cancelled(self):
        """True if the call was cancelled."""
        peek(self)
        return self.is_ready and self.outcome != FINISHED

    def running(self):
        """True while the call is being run."""
        with cython.critical_section(self):
            if self.cell != NULL:
                return sp_task_phase(&self.cell.task) == SP_RUNNING
            return self.state == RUNNING

    def cancel(self):
        """Cancel the call if it has not begun; if it has, ask it to stop.

        Returns
        -------
        bool
            True if the call was cancelled and will never run.
        """
        if self.home is None:
            return _StdFuture.cancel(self)
        cdef sp_cell *cell = borrow(self)
        if cell == NULL:
            return self.outcome != FINISHED
        cdef sp_status status = sp_task_cancel(&cell.task)
        sp_task_unref(&cell.task)
        if status == SP_EBUSY:
            return False
        if status == SP_EDONE:
            return self.cancelled()
        sp_home_count_ended(self.home.home)
        get_ready(self)
        if self.observers is not None:
            publish(self)
        return True

    def result(self, timeout=None):
        """The result of the call; waits for it.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait; for ever if None.

        Raises
        ------
        TimeoutError
            If the call has not ended by then.
        CancelledError
            If it was cancelled.
        Exception
            What the call raised; a KernelError for a kernel that failed.
        """
        if not self.is_ready:
            if self.home is None:
                return _StdFuture.result(self, timeout)
            await_end(self, timeout)
        if self.outcome != FINISHED:
            raise _CancelledError()
        if not self.is_error:
            return self.value
        try:
            raise self.value
        finally:
            self = None  # break the cycle exception -> traceback -> frame -> self

    def exception(self, timeout=None):
        """The exception that the call raised, or None; waits as result() does."""
        if not self.is_ready:
            if self.home is None:
                return _StdFuture.exception(self, timeout)
            await_end(self, timeout)
        if self.outcome != FINISHED:
            raise _CancelledError()
        return self.value if self.is_error else None

    def add_done_callback(self, fn):
        """Call ``fn(self)`` once the call has ended.

        Callbacks run in the order in which they were added: in a thread of the
        library's for a kernel, in the thread that ran it for a Python callable, in
        this thread if the call has ended already. Exceptions are logged.
        """
        cdef bint is_over
        with cython.critical_section(self):
            if self.state < CANCELLED:
                observed(self)
            # Observing may have found that the call has ended. From here to the append
            # no other thread comes in between.
            is_over = self.state >= CANCELLED
            if not is_over:
                self.observers.callbacks.append(fn)
        if is_over:
            call_back(self, fn)

    def _invoke_callbacks(self):
        """Call the callbacks, once. The standard library's set_result() does so.

        All are called. What is not an Exception, such as SystemExit, is raised then.
        """
        cdef list callbacks = None
        cdef object first = None
        if self.observers is None:
            return
        none_left = []
        with cython.critical_section(self):
            callbacks, self.observers.callbacks = self.observers.callbacks, none_left
        for fn in callbacks:
            try:
                call_back(self, fn)
            except BaseException as error:
                if first is None:
                    first = error
                else:
                    report_unraisable(error, self)
        if first is not None:
            raise first

    def _get_snapshot(self):
        """(done, cancelled, result, exception): asyncio asks for it since 3.14."""
        peek(self)
        if not self.is_ready:
            return False, False, None, None
        if self.outcome != FINISHED:
            return True, True, None, None
        if self.is_error:
            return True, False, None, self.value
        return True, False, self.value, None

    def _run(self):
        """Run a Python callable in the calling thread, unless it was cancelled."""
        run_callable(self)

    def __reduce__(self):
        raise TypeError(
            "a Future belongs to its process and cannot be pickled; send its result()"
        )


class Future(FutureBase, _StdFuture):
    """The result, now or later, of a call.

    A ``concurrent.futures.Future`` in every respect: the standard library's
    ``wait()``, ``as_completed()`` and ``asyncio.wrap_future()`` accept it. Made by
    :meth:`Executor.submit`.
    """

    __slots__ = ()


Future.__module__ = "stealpool"
cdef tuple NO_ARGS = ()


cdef FutureBase new_future(Home home, object job, sp_cell *cell):
    """A pending Future, which takes over the caller's reference to the cell."""
    cdef FutureBase future
    try:
        future = <FutureBase>new_without_init(Future, NO_ARGS)
    except BaseException:  # no memory
        give_up(cell)
        raise
    future.home = home
    future.job = job
    future.cell = cell
    cell.future = <void *>future
    if type(job) is Kernel:
        # Numbers in, numbers out: it cannot be part of a cycle, so the collector
        # need not look at it, which is a third of what a submit costs.
        PyObject_GC_UnTrack(future)
    return future


cdef int track(FutureBase future) except -1:
    """The future may be part of a cycle from now on."""
    if not PyObject_GC_IsTracked(future):
        PyObject_GC_Track(future)
    return 0


cdef sp_cell *borrow(FutureBase future):
    """The future's cell with a reference of the caller's; NULL if it has none."""
    cdef sp_cell *cell
    with cython.critical_section(future):
        cell = future.cell
        if cell != NULL:
            sp_task_ref(&cell.task)
    return cell


# ------------------------------------------------------------------------- the end


cdef int get_ready(FutureBase future) except -1:
    """Take the result over from the cell, whose task has ended.

    If nobody observes the future, it is finished thereby.
    """
    with cython.critical_section(future):
        if future.is_ready or future.cell == NULL:
            return 0
        take_result(future)
        if future.is_ready:  # another thread was quicker
            return 0
        future.is_ready = True
        if future.observers is None:
            future.state = future.outcome
        let_go(future)
    return 0


cdef int take_result(FutureBase future) except -1:
    cdef sp_cell *cell = future.cell
    future.outcome = FINISHED
    if sp_cell_was_cancelled(cell):
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
    if not future.is_ready:
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
        if not future.is_ready and future.cell != NULL:
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


# ------------------------------------------------------------------- being observed


cdef Observers observed(FutureBase future):
    """The observers; from the first call on, publish() announces the end.

    In the future's critical section.
    """
    cdef Observers observers
    if future.observers is not None:
        return future.observers
    if future.cell != NULL and is_native(future.cell):
        start_drainer()
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


cdef bint order_announcement(FutureBase future) except -1:
    """Have the drainer told when a kernel ends. False: it has ended."""
    if future.cell == NULL or future.is_ready or not is_native(future.cell):
        return True
    cdef sp_task *task = &future.cell.task
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
    """Announce the end of a ready, observed future, once."""
    cdef object condition
    with cython.critical_section(future):
        if future.state >= CANCELLED:
            return 0
        condition = future.observers.condition
        if condition is None:
            future.state = future.outcome
    if condition is not None:
        with condition:
            # cancel() and the drainer may both have come here.
            if future.state >= CANCELLED:
                return 0
            with cython.critical_section(future):
                future.state = future.outcome
            for waiter in future.observers.waiters:
                tell(waiter, future)
            condition.notify_all()
    future._invoke_callbacks()
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


# ------------------------------------------------------------------------- waiting


cdef int64_t ns_of(object timeout) except? -2:
    """A timeout in seconds as nanoseconds; -1 = for ever."""
    if timeout is None:
        return -1
    cdef double seconds = timeout
    if seconds != seconds:
        raise ValueError("timeout must be a number of seconds or None, got nan")
    if seconds <= 0:
        return 0
    if seconds > 9.0e9:  # 285 years
        return -1
    return <int64_t>(seconds * 1e9)


cdef bint may_spin = True  # False with one CPU: what we wait for needs it


cdef int await_end(FutureBase future, object timeout) except -1:
    """Wait until the future is ready, or raise TimeoutError."""
    cdef int64_t left_ns = ns_of(timeout)
    cdef sp_cell *cell = borrow(future)
    if cell == NULL:
        return 0
    try:
        if sp_task_phase(&cell.task) < SP_DONE:
            if not is_native(cell):
                if left_ns != 0:
                    run_if_on_lane(future, cell)
            elif may_spin and left_ns != 0:
                # With the GIL in hand: getting it back next to a busy Python thread
                # takes a whole switch interval.
                sp_cell_spin(cell, future.home.pool.pool)
        if wait_cells(&cell, 1, left_ns, future.home) == SP_ETIMEDOUT:
            raise _TimeoutError()
    finally:
        sp_task_unref(&cell.task)
    get_ready(future)
    drain_reclaimed()
    return 0


cdef sp_status wait_cells(
    sp_cell **cells, size_t n, int64_t left_ns, Home home
) except? SP_EINVAL:
    """Wait for all cells without the GIL; SP_OK or SP_ETIMEDOUT.

    The GIL is taken back once, and once for each signal: a handler that runs in this
    thread ends the sleep. Between the last look for signals and falling asleep one may
    go unnoticed, as in CPython's own locks. Sleeping in slices would close that gap,
    but a timer costs a quarter of a round trip.
    """
    cdef int64_t deadline_ns = 0
    cdef sp_status status = SP_OK
    cdef size_t i
    if left_ns > 0:
        deadline_ns = now_ns() + left_ns
    for i in range(n, 0, -1):
        if sp_task_phase(&cells[i - 1].task) < SP_DONE:
            break
    else:
        return SP_OK
    if left_ns == 0:
        return SP_ETIMEDOUT
    while True:
        check_stale(cells, n)
        with nogil:
            status = sp_cells_wait(cells, n, left_ns)
        sp_home_count_attach(home.home)
        if status != SP_EINTR:
            return status if status == SP_ETIMEDOUT else SP_OK
        PyErr_CheckSignals()
        if left_ns > 0:
            left_ns = max(deadline_ns - now_ns(), 1)


cdef int check_stale(sp_cell **cells, size_t n) except -1:
    """After a fork, the workers of the parent's pool are not here."""
    cdef size_t i
    for i in range(n):
        if cells[i].home.is_stale and sp_task_phase(&cells[i].task) < SP_DONE:
            raise BrokenThreadPool(
                "the task was submitted before this process was forked, and its worker "
                "is in the parent process; submit it again here"
            )
    return 0
