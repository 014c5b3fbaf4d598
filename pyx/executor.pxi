# Executor, the native part: build a task, submit it, count. What the options mean
# is in python/stealpool/executor.py.

cdef enum:
    DRAIN_EVERY = 256  # submits, if the same thread never waits


@cython.final
cdef class Members:
    """The futures of a group, which hears of all errors in the end."""

    cdef list futures
    cdef size_t prune_at

    def __cinit__(self):
        self.futures = []
        self.prune_at = 64

    cdef int add(self, FutureBase future) except -1:
        with cython.critical_section(self):
            self.futures.append(future)
            if len(self.futures) >= self.prune_at:
                self.futures = [each for each in self.futures if not ended_well(each)]
                self.prune_at = 2 * len(self.futures) + 64
        return 0

    cdef list all(self):
        with cython.critical_section(self):
            return list(self.futures)


cdef bint ended_well(FutureBase future) except -1:
    """The call has ended, and the group has nothing to say about it."""
    peek(future)
    return sp_latch_is_set(&future.ready) and not future.is_error


cdef class ExecutorBase:
    """The first base of Executor."""

    cdef Home home
    cdef Members members  # None: not of a group
    cdef object __weakref__

    def _open(
        self,
        native_workers,
        str thread_name_prefix="",
        queue_capacity=None,
        on_full="block",
        uint32_t python_workers=0,
    ):
        """Take a pool: a private one of a size, or the process's (None)."""
        cdef Pool pool
        cdef Gates gates = None
        if native_workers is None:
            pool = shared_pool()
        else:
            name = (thread_name_prefix or "stealpool").encode()
            pool = Pool(native_workers, name)
        if queue_capacity is not None:
            gates = Gates(
                queue_capacity,
                ON_FULL.index(on_full),
                pool.workers(),
                python_workers,
            )
        drain_reclaimed()  # of executors that nobody has waited for
        clear_graveyard()
        self.home = Home(
            pool, native_workers is not None, CallQueue(python_workers), gates
        )
        homes.add(self.home)

    def _borrow(self, ExecutorBase parent not None):
        """Become a view of an open executor, or of another view."""
        parent.check_open()
        self.home = parent.home.borrowed()
        self.members = parent.members

    def _set(
        self,
        int priority,
        CancellationToken token,
        double timeout,
        bint copies_context,
    ):
        """What a view asks for; a timeout of 0 is none."""
        self.home.home.priority = <sp_priority>priority
        self.home.copies_context = copies_context
        self.home.home.timeout_ms = <uint32_t>(timeout * 1000 + 0.999)
        if timeout:
            start_drainer()
        if token is not None:
            sp_canceller_attach(token.canceller, self.home.home)

    def _found_group(self):
        """Record futures from now on; the first error cancels the token."""
        self.members = Members()
        self.home.home.cancels_on_error = True

    def _members(self):
        """The futures of a group, but for those that are known to have ended well."""
        return self.members.all()

    def __del__(self):
        if self.home is not None:
            sp_latch_set(&self.home.dropped)

    def _close(self, reason):
        """Refuse new tasks; the message of every later submit() is `reason`."""
        self.home.close(reason)
        if self.home.gates is not None:
            self.home.gates.wake()

    @property
    def _shutdown_reason(self):
        """None while open, then the message of submit()."""
        if self.home is None or not sp_latch_is_set(&self.home.closed):
            return None
        return self.home.shutdown_reason

    @property
    def _home(self):
        if self.home is None:
            raise RuntimeError(f"{type(self).__name__}.__init__() was not called")
        return self.home

    @property
    def _is_stale(self):
        return (<Home>self._home).home.is_stale

    @property
    def _waits_for_room(self):
        """submit() waits when the queue is full."""
        return (
            self.home is not None
            and self.home.gates is not None
            and self.home.gates.on_full == BLOCK
        )

    @property
    def _is_on_own_lane(self):
        """True in a thread that runs callables of this executor."""
        return is_on_lane_of(self._home)

    cdef int check_open(self) except -1:
        with cython.critical_section(self):
            self.check_not_closed()
        if self.home is None or self.home.home.is_stale:
            if self._is_stale:
                self._reopen_after_fork()
        return 0

    cdef int check_not_closed(self) except -1:
        if self.home is not None and sp_latch_is_set(&self.home.closed):
            if sp_latch_is_set(&self.home.lane.has_failed):
                raise BrokenThreadPool(self.home.lane.reason)
            raise_closed(self.home.shutdown_reason)
        return 0

    def __reduce__(self):
        raise TypeError(
            f"{type(self).__name__} has threads of this process and cannot be pickled; "
            "make one where it is needed"
        )

    # ------------------------------------------------------------------- submitting

    def submit(self, fn, /, *args, **kwargs):
        """Schedule a call; returns its Future at once.

        Parameters
        ----------
        fn : Kernel or callable
            A Kernel, or a built-in one such as ``stealpool.kernels.integrate``, runs
            on the native lane, without the GIL. Any other callable runs on the Python
            lane, in a thread of Python's.
        *args, **kwargs
            Its arguments. Arrays given to a Kernel are not copied: they are pinned
            until the future is resolved, and must not be changed until then, nor
            resized by NumPy's ``resize(refcheck=False)``, which nobody can notice.

        Returns
        -------
        Future

        Raises
        ------
        RuntimeError
            After shutdown.
        TypeError, ValueError, OverflowError
            For arguments that do not fit a Kernel. Nothing is queued then.
        """
        cdef object job
        self.check_open()
        if isinstance(fn, Kernel):
            job = (<Kernel>fn).job_for(args, kwargs)
            return self.submit_cell((<Job>job).cell_from(args), job)
        if isinstance(fn, Builtin):
            job = (<Builtin>fn).planner(*args, **kwargs)
            if job is not None:
                return self.submit_cell((<Plan>job).cell_from(args), job)
            fn = (<Builtin>fn).function
        future = self.submit_callable(fn, args, kwargs)
        if self._initializer is not None:
            self._lane.fail_if_broken()
        return self.recorded(future)

    cdef FutureBase submit_callable(self, fn, tuple args, dict kwargs):
        """Queue a Python callable."""
        cdef FutureBase future = self.make_callable(fn, args, kwargs)
        cdef bint plain = is_plain(self.home)
        cdef Admission admission = QUEUE
        if not plain:
            admission = admit(self.home, SP_PYTHON_LANE)
            if admission == DO_NOT_RUN:
                forget(future)
                return future
        self.queue_callable(future, cell_of(future), admission, plain)
        return future

    cdef FutureBase make_callable(self, fn, tuple args, dict kwargs):
        """The Future of a call that is to be queued."""
        cdef Home home = self.home
        if sp_latch_is_set(&home.lane.has_failed):
            raise BrokenThreadPool(home.lane.reason)
        context = PyContext_CopyCurrent() if home.copies_context else None
        cdef tuple job = (fn, args, kwargs if kwargs else None, context)
        cdef sp_cell *cell = sp_cell_for_callable()
        if cell == NULL:
            raise MemoryError("stealpool: no memory for a task")
        keep(cell, job)
        return new_future(home, job, cell)

    cdef int queue_callable(
        self, FutureBase future, sp_cell *cell, Admission admission, bint plain
    ) except -1:
        """Queue a call that was admitted, or run it."""
        cdef Home home = self.home
        cdef bint needs_thread = False
        try:
            # No other thread and no signal handler comes in between: what is accepted
            # is queued before the executor closes its lane.
            with cython.critical_section(home):
                self.check_not_closed()
                sp_cell_join(cell, home.home)
                if admission == QUEUE:
                    needs_thread = home.lane.put(future, cell, <int>home.home.priority)
                sp_home_count_submitted(home.home, 1)
        except BaseException:
            leave(home, SP_PYTHON_LANE, not plain)
            raise
        if needs_thread:
            self.start_thread(future)
        elif starts:
            self.finish_starts(future)
        if not plain:
            see_future_to_end(home, future)
            if admission == RUN_HERE:
                run_callable(future)
        return 0

    cdef int start_thread(self, FutureBase future) except -1:
        """One more thread for the lane; if there is none at all, nothing is queued."""
        cdef CallQueue queue = self.home.lane  # another one in the child of a fork
        cdef Start start = None
        try:
            start = begin_start(self._lane)
            if not self._lane.start(start) and start.claim():
                queue.thread_failed()
        except BaseException:
            if start is None or start.claim():
                queue.thread_failed()
            future.cancel()
            raise
        finally:
            if start is not None:
                end_start(start)
        return 0

    cdef int finish_starts(self, FutureBase future) except -1:
        """Its thread may be one that the caller, a signal handler, has kept from its
        start: whatever he waits with, it is to run."""
        try:
            finish_starts()
        except BaseException:
            future.cancel()
            raise
        return 0

    cdef FutureBase submit_cell(self, sp_cell *cell, Job job):
        """Queue a cell, which becomes the Future's."""
        cdef FutureBase future = new_future(self.home, job, cell)
        cdef bint plain = is_plain(self.home)
        cdef Admission admission = QUEUE
        if not plain:
            admission = admit(self.home, SP_NATIVE_LANE)
            if admission == DO_NOT_RUN:
                forget(future)
                return future
        self.queue_cell(future, cell, admission, plain)
        return self.recorded(future)

    cdef int queue_cell(
        self, FutureBase future, sp_cell *cell, Admission admission, bint plain
    ) except -1:
        """Queue a kernel's call that was admitted, or run it."""
        cdef sp_status status = SP_OK
        cdef sp_pool *pool
        arm_pins(cell)
        if admission == RUN_HERE:
            self.run_here(cell)
            return 0
        try:
            pool = self.home.pool.made()
            with cython.critical_section(self.home):
                # While the arguments were converted, anything may have happened.
                self.check_not_closed()
                sp_cell_join(cell, self.home.home)
                status = sp_submit(pool, &cell.task)
            if status != SP_OK:
                take_back(cell)
                raise_status(status)
        except BaseException:
            leave(self.home, SP_NATIVE_LANE, not plain)
            raise
        self.count_submitted(1)
        if not plain:
            see_future_to_end(self.home, future)
        return 0

    cdef FutureBase recorded(self, FutureBase future):
        """What a group waits for in the end."""
        if self.members is not None:
            self.members.add(future)
        return future

    cdef int count_submitted(self, size_t n) except -1:
        cdef uint64_t before = sp_home_count_submitted(self.home.home, n)
        if before // DRAIN_EVERY != (before + n) // DRAIN_EVERY:
            drain_reclaimed()
        return 0

    def submit_many(self, Kernel kernel not None, arguments, /):
        """Schedule one call of a kernel for each entry of `arguments`.

        The calls are queued in one operation, after all arguments were checked: all
        are queued, or none. Only if the executor has a `queue_capacity` and waits for
        room, they are queued as room comes; if it is shut down meanwhile, those that
        have not begun are cancelled.

        Parameters
        ----------
        kernel : Kernel
        arguments : iterable of tuples, or of scalars, or array
            One tuple of arguments a call. For a kernel with one parameter the
            arguments themselves will do, for example a one-dimensional array; a
            two-dimensional array gives one call a row, a structured one a call an
            entry. Of an array of numbers no Python object is made.

        Returns
        -------
        list of Future
            In the order of `arguments`.
        """
        self.check_open()
        cdef list futures = submit_calls(self, kernel, arguments)
        if self.members is not None:
            for future in futures:
                self.members.add(<FutureBase>future)
        return futures

    cdef int run_here(self, sp_cell *cell) except -1:
        """Run a kernel in the calling thread, as one of the home's tasks."""
        try:
            with cython.critical_section(self.home):
                self.check_not_closed()
                sp_cell_join(cell, self.home.home)
        except BaseException:
            leave(self.home, SP_NATIVE_LANE, 1)
            raise
        self.count_submitted(1)
        see_to_end(self.home, cell)
        with nogil:
            sp_cell_run_inline(cell)
        return 0

    # --------------------------------------------------------------------- ending

    def _cancel_queued(self):
        """Cancel all calls that have not begun, those of views included."""
        self.home.cancel(False)

    def _await_tasks(self, timeout):
        """Wait until no task is unfinished; False if the timeout passes first."""
        return await_home(self.home, ns_of(timeout))

    def _close_pool(self, wait):
        """A private pool takes no more tasks; join its workers if `wait`."""
        if not self.home.is_private or self.home.home.is_stale:
            return
        if wait:
            self.home.pool.shut_down()
        else:
            self.home.pool.close()

    # ------------------------------------------------------------------ statistics

    def _stats(self):
        cdef sp_pool_stats stats = self.home.pool.stats()
        cdef uint64_t ended = self.home.ended()
        # A task is counted as submitted a moment after it was queued.
        cdef uint64_t submitted = max(self.home.submitted(), ended)
        return {
            "submitted": submitted,
            "completed": ended,
            "unfinished": submitted - ended,
            "queued": min(self.home.queued(), submitted - ended),
            "attaches": self.home.attaches(),
            "workers": self.home.pool.workers(),
            "executed": stats.executed,
            "injected": stats.injected,
            "stolen": stats.stolen,
            "parked": stats.parked,
            "woken": stats.woken,
            "loops": stats.loops,
        }

    def _running(self):
        """Names of some calls that are running."""
        found = []
        self.home.collect_running(found, SIGHT_MOST)
        return [name_of_kept(kept) for kept in found]

    @property
    def _native_workers(self):
        return self.home.pool.workers()


cdef bint await_home(Home home, int64_t left_ns) except -1:
    """await_group() for a home and its views."""
    cdef int64_t deadline_ns = now_ns() + left_ns
    if not await_group(home.home, left_ns):
        return False
    for view in home.all_views():
        if left_ns > 0:
            left_ns = max(deadline_ns - now_ns(), 0)
        if not await_home(<Home>view, left_ns):
            return False
    return True


cdef bint await_group(sp_home *home, int64_t left_ns) except -1:
    """Wait until no task of a home is unfinished; False if the time passes first."""
    cdef int64_t deadline_ns = now_ns() + left_ns
    cdef sp_status status
    if home.is_stale or sp_group_unfinished(&home.group) == 0:
        return True
    finish_starts()
    while left_ns != 0:
        PyErr_CheckSignals()  # those that came while we waited for the GIL
        with nogil:
            status = sp_group_wait(&home.group, left_ns)
        sp_home_count_attach(home)
        if status == SP_OK:
            drain_reclaimed()
            return True
        PyErr_CheckSignals()
        if left_ns > 0:
            left_ns = max(deadline_ns - now_ns(), 0)
    return sp_group_unfinished(&home.group) == 0


cdef int arm_pins(sp_cell *cell) except -1:
    """See that the buffers of a cell are released when its task has ended."""
    if isinstance(<object>sp_cell_block(cell).keep, Pins):
        try:
            start_drainer()
        except RuntimeError:
            pass  # no thread to be had: waiters and submitters reclaim, too
        sp_task_notify(&cell.task, EXECUTOR_TICKET, reclaimed)
    return 0


cdef int take_back(sp_cell *cell) except -1:
    """The pool refused the cell; its group has been told."""
    sp_task_cancel(&cell.task)
    return 0


cdef int forget(FutureBase future) except -1:
    """Cancel a future that nobody has seen; its task may be queued, or not."""
    # With a reference: without a GIL, the drainer may be told and get there first.
    cdef sp_cell *cell = borrow(future)
    if cell != NULL:
        sp_cell_cancel(cell)
        if sp_task_phase(&cell.task) >= SP_DONE:
            get_ready(future)
        sp_task_unref(&cell.task)
    return 0


cdef object homes = _WeakSet()
