# Futures: real ones, a subclass of the standard library's, without its lock.
#
# A Future of ours that nobody observes has no Condition, no lists of waiters and
# callbacks. It takes its result over from the cell when it is asked ("ready"), and
# nobody need be told. A Future is *observed* once somebody asked for _condition,
# _waiters or _done_callbacks, that is: the standard library waits for it, or it has
# a callback. Then its end is announced exactly once, by publish(): in the drainer
# thread for kernels, in the lane's thread for Python callables, in the cancelling
# thread for cancel(). If the standard library asks sooner, it is told there and then,
# see condition_of(); callbacks are still called in those threads.

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


cdef union Link:
    sp_cell *cell  # until the future is ready; NULL: made by the user
    sp_word word   # then: what a kernel of numbers has returned


cdef class FutureBase:
    """The first base of Future: its fields and methods, in C."""

    cdef Link link          # see cell_of() and value_of()
    cdef Home home          # None: made by the user
    cdef object job         # Job, or (function, args, kwargs) until it has run
    cdef object value       # once ready: the result, or the exception; see value_of()
    cdef Observers observers
    cdef void *reply        # borrowed: a Reply, to an event loop; or NULL
    cdef unsigned char state     # a State: what _state says
    cdef unsigned char outcome   # once ready: FINISHED or CANCELLED_AND_NOTIFIED
    cdef unsigned char returns   # once ready: the Type of link.word, or T_VOID
    cdef unsigned char is_error  # value is an exception
    cdef unsigned char is_being_cancelled  # by cancel(), which announces the end
    cdef sp_latch ready          # value and outcome are valid

    def __init__(self):
        pass

    def __dealloc__(self):
        if self.returns == T_VOID and self.link.cell != NULL:
            abandon(self.link.cell)

    def __setattr__(self, name, value):
        track(self)
        PyObject_GenericSetAttr(self, name, value)

    # ------------------------------------- the standard library's private fields

    @property
    def _state(self):
        return STATE_NAMES[<int>state_of(self)]

    @_state.setter
    def _state(self, name):
        cdef State state = <State>STATE_NAMES.index(name)
        if self.returns != T_VOID:
            self._result = value_of(self)
        with cython.critical_section(self):
            self.state = state
            self.outcome = state
            if state in (FINISHED, CANCELLED, CANCELLED_AND_NOTIFIED):
                sp_latch_set(&self.ready)
            else:
                sp_latch_take_back(&self.ready)

    @property
    def _result(self):
        peek(self)
        return None if self.is_error else value_of(self)

    @_result.setter
    def _result(self, value):
        if self.returns != T_VOID:
            self.returns = T_VOID
            self.link.cell = NULL
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
        return condition_of(self)

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
        cdef State state = state_of(self)
        cdef str words = STATE_NAMES[<int>state].partition("_")[0].lower()
        if state == FINISHED:
            what = "raised" if self.is_error else "returned"
            words += f" {what} {type(value_of(self)).__name__}"
        return f"<{type(self).__name__} at {id(self):#x} state={words}>"

    def done(self):
        """True once the call has ended, or was cancelled."""
        peek(self)
        return sp_latch_is_set(&self.ready)

    def cancelled(self):
        """True if the call was cancelled."""
        peek(self)
        return sp_latch_is_set(&self.ready) and self.outcome != FINISHED

    def running(self):
        """True while the call is being run."""
        cdef sp_cell *cell
        with cython.critical_section(self):
            cell = cell_of(self)
            if cell != NULL:
                return sp_task_phase(&cell.task) == SP_RUNNING
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
        cdef sp_status status
        # The drainer is told at once. It enters, and leaves the announcement to us.
        with cython.critical_section(self):
            status = sp_cell_cancel(cell)
            self.is_being_cancelled = status == SP_OK
        try:
            if status == SP_OK and not is_native(cell):
                self.home.lane.take_out(self, cell)
            sp_task_unref(&cell.task)
            if status == SP_EBUSY:
                return False
            if status == SP_EDONE:
                return self.cancelled()
            get_ready(self)
            if is_observed(self):
                publish(self)
        except BaseException:  # Ctrl-C, for example
            hand_over(self)
            raise
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
        if not sp_latch_is_set(&self.ready):
            if self.home is None:
                return _StdFuture.result(self, timeout)
            await_end(self, timeout)
        if self.outcome != FINISHED:
            raise _CancelledError()
        if not self.is_error:
            return value_of(self)
        try:
            raise self.value
        finally:
            self = None  # break the cycle exception -> traceback -> frame -> self

    def exception(self, timeout=None):
        """The exception that the call raised, or None; waits as result() does."""
        if not sp_latch_is_set(&self.ready):
            if self.home is None:
                return _StdFuture.exception(self, timeout)
            await_end(self, timeout)
        if self.outcome != FINISHED:
            raise _CancelledError()
        return self.value if self.is_error else None

    def set_running_or_notify_cancel(self):
        """For makers of executors, and of futures that are not an executor's."""
        if self.home is not None and self.cancelled():
            return False
        refuse_to_set(self)
        return _StdFuture.set_running_or_notify_cancel(self)

    def set_result(self, result):
        """Set the result of a Future that is not an executor's.

        Raises
        ------
        InvalidStateError
            If it has an outcome already, or gets it from an executor.
        """
        refuse_to_set(self)
        _StdFuture.set_result(self, result)

    def set_exception(self, exception):
        """Set the exception of a Future that is not an executor's; see set_result()."""
        refuse_to_set(self)
        _StdFuture.set_exception(self, exception)

    def add_done_callback(self, fn):
        """Call ``fn(self)`` once the call has ended.

        Callbacks run in the order in which they were added: in a thread of the
        library's for a kernel, in the thread that ran it for a Python callable, in
        this thread if the call has ended already. Exceptions are logged.
        """
        cdef bint is_over
        if relay(self, fn):
            return
        with cython.critical_section(self):
            if self.state < CANCELLED:
                observed(self)
            # Observing may have found that the call has ended. From here to the append
            # no other thread comes in between.
            is_over = self.state >= CANCELLED and not has_callbacks_due(self)
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
        if not is_observed(self):
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
        if not sp_latch_is_set(&self.ready):
            return False, False, None, None
        if self.outcome != FINISHED:
            return True, True, None, None
        if self.is_error:
            return True, False, None, self.value
        return True, False, value_of(self), None

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


cdef int refuse_to_set(FutureBase future) except -1:
    """An executor ends the calls that it has accepted."""
    if future.home is None or future.done():
        return 0
    raise _InvalidStateError(
        f"{future._state}: {future!r} gets its outcome from its executor; make a "
        "stealpool.Future() to set one yourself, or cancel() this one"
    )


Future.__module__ = "stealpool"
cdef tuple NO_ARGS = ()
cdef object future_type = Future


cdef FutureBase new_future(Home home, object job, sp_cell *cell):
    """A pending Future, which takes over the caller's reference to the cell."""
    cdef FutureBase future
    try:
        future = empty_future(home, job)
    except BaseException:  # no memory
        give_up(cell)
        raise
    attach(future, cell)
    return future


cdef FutureBase empty_future(Home home, object job):
    """A Future that has no cell yet."""
    cdef FutureBase future = <FutureBase>new_without_init(future_type, NO_ARGS)
    future.home = home
    future.job = job
    if type(job) is Kernel:
        # Numbers in, numbers out: it cannot be part of a cycle, so the collector
        # need not look at it, which is a third of what a submit costs.
        PyObject_GC_UnTrack(future)
    return future


cdef inline void attach(FutureBase future, sp_cell *cell) noexcept:
    future.link.cell = cell
    cell.future = <void *>future


cdef inline sp_cell *cell_of(FutureBase future) noexcept:
    """The cell; NULL: made by the user, or ready."""
    return NULL if sp_latch_is_set(&future.ready) else future.link.cell


cdef inline object value_of(FutureBase future):
    """The result of a ready future. The object for a number is made when asked for."""
    if future.returns == T_VOID:
        return future.value
    with cython.critical_section(future):
        if future.value is None:
            future.value = number_of(<Type>future.returns, future.link.word)
        return future.value


cdef State state_of(FutureBase future) except? PENDING:
    """What _state says: FINISHED only once all who observe the future may know."""
    cdef State state
    peek(future)
    with cython.critical_section(future):
        state = <State>future.state
    if state == PENDING and future.running():
        return RUNNING
    return state


cdef inline bint has_callbacks_due(FutureBase future) noexcept:
    """Somebody is about to call its callbacks. In the future's critical section."""
    if future.home is None or future.observers is None:
        return False
    return len(future.observers.callbacks) > 0


cdef inline bint is_observed(FutureBase future) noexcept:
    with cython.critical_section(future):
        return future.observers is not None


cdef int track(FutureBase future) except -1:
    """The future may be part of a cycle from now on."""
    if not PyObject_GC_IsTracked(future):
        PyObject_GC_Track(future)
    return 0


cdef sp_cell *borrow(FutureBase future):
    """The future's cell with a reference of the caller's; NULL if it has none."""
    cdef sp_cell *cell
    with cython.critical_section(future):
        cell = cell_of(future)
        if cell != NULL:
            sp_task_ref(&cell.task)
    return cell
