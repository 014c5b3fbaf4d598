# Executor, the native part: build a task, submit it, count. What the options mean
# is in python/stealpool/executor.py.

cdef enum:
    DRAIN_EVERY = 256  # submits, if the same thread never waits


cdef class ExecutorBase:
    """The first base of Executor."""

    cdef Home home
    cdef readonly object _shutdown_reason  # None while open, then submit()'s message
    cdef object __weakref__

    def __cinit__(self, *args, **kwargs):
        self._shutdown_reason = None

    def _open(
        self, native_workers, str thread_name_prefix="", uint32_t python_workers=0
    ):
        """Take a pool: a private one of a size, or the process's (None)."""
        cdef Pool pool
        if native_workers is None:
            pool = shared_pool()
        else:
            name = (thread_name_prefix or "stealpool").encode()
            pool = Pool(native_workers, name)
        clear_graveyard()
        self.home = Home(pool, native_workers is not None, CallQueue(python_workers))
        homes.add(self.home)

    def _close(self, reason):
        """Refuse new tasks; the message of every later submit() is `reason`."""
        with cython.critical_section(self):
            self._shutdown_reason = reason

    @property
    def _home(self):
        if self.home is None:
            raise RuntimeError(f"{type(self).__name__}.__init__() was not called")
        return self.home

    @property
    def _is_stale(self):
        return (<Home>self._home).home.is_stale

    @property
    def _is_on_own_lane(self):
        """True in a thread that runs callables of this executor."""
        return is_on_lane_of(self._home)

    cdef int check_open(self) except -1:
        self.check_not_closed()
        if self.home is None or self.home.home.is_stale:
            if self._is_stale:
                self._reopen_after_fork()
        return 0

    cdef int check_not_closed(self) except -1:
        if self._shutdown_reason is not None:
            raise_closed(self._shutdown_reason)
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
            until the future is resolved, and must not be changed until then.

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
        return future

    cdef FutureBase submit_callable(self, fn, tuple args, dict kwargs):
        """Queue a Python callable."""
        cdef CallQueue lane = self.home.lane
        if lane.broken is not None:
            raise BrokenThreadPool(lane.broken)
        context = PyContext_CopyCurrent() if self.home.copies_context else None
        cdef tuple job = (fn, args, kwargs if kwargs else None, context)
        cdef sp_cell *cell = sp_cell_for_callable()
        if cell == NULL:
            raise MemoryError("stealpool: no memory for a task")
        keep(cell, job)
        cdef FutureBase future = new_future(self.home, job, cell)
        cdef bint needs_thread
        # No other thread and no signal handler comes in between: what is accepted is
        # queued before the executor closes its lane.
        with cython.critical_section(self):
            self.check_not_closed()
            sp_cells_join(&cell, 1, self.home.home)
            needs_thread = lane.put(future, cell, self.home.priority)
            sp_home_count_submitted(self.home.home, 1)
        if needs_thread:
            self.start_thread(future)
        return future

    cdef int start_thread(self, FutureBase future) except -1:
        """One more thread for the lane; if there is none at all, nothing is queued."""
        try:
            self._lane.start_thread()
        except BaseException:
            future.cancel()
            raise
        return 0

    cdef FutureBase submit_cell(self, sp_cell *cell, Job job):
        """Queue a cell, which becomes the Future's."""
        cdef FutureBase future = new_future(self.home, job, cell)
        cdef sp_status status
        arm_pins(cell)
        with cython.critical_section(self):
            # While the arguments were converted, anything may have happened.
            self.check_not_closed()
            sp_cells_join(&cell, 1, self.home.home)
            status = sp_submit(self.home.pool.pool, &cell.task)
        if status != SP_OK:
            take_back(cell)
            raise_status(status)
        self.count_submitted(1)
        return future

    cdef int count_submitted(self, size_t n) except -1:
        cdef uint64_t before = sp_home_count_submitted(self.home.home, n)
        if before // DRAIN_EVERY != (before + n) // DRAIN_EVERY:
            drain_reclaimed()
        return 0

    def submit_many(self, Kernel kernel not None, arguments, /):
        """Schedule one call of a kernel for each entry of `arguments`.

        The calls are queued in one operation, after all arguments were checked: all
        are queued, or none.

        Parameters
        ----------
        kernel : Kernel
        arguments : iterable of tuples, or of scalars, or array
            One tuple of arguments a call. For a kernel with one parameter the
            arguments themselves will do, for example a one-dimensional array; a
            two-dimensional array gives one call a row.

        Returns
        -------
        list of Future
            In the order of `arguments`.
        """
        self.check_open()
        cdef list rows = rows_of(kernel, arguments)
        cdef size_t n = len(rows), i, made = 0
        cdef list futures = []
        if n == 0:
            return futures
        cdef sp_task **tasks = <sp_task **>malloc(n * sizeof(sp_task *))
        if tasks == NULL:
            raise MemoryError(f"stealpool: no memory for {n} tasks")
        cdef sp_status status
        cdef sp_cell *cell
        cdef Job job
        try:
            for row in rows:
                if type(row) is not tuple:
                    row = (row,)
                job = kernel.job_for(<tuple>row, None)
                cell = job.cell_from(<tuple>row)
                tasks[made] = &cell.task
                made += 1
                futures.append(new_future(self.home, job, cell))
            for i in range(n if kernel.n_pointers else 0):
                arm_pins(sp_cell_of(tasks[i]))
            with cython.critical_section(self):
                self.check_not_closed()
                # Cells and tasks convert: a task is a cell's first member.
                sp_cells_join(<sp_cell **>tasks, n, self.home.home)
                status = sp_submit_many(self.home.pool.pool, tasks, n)
            if status != SP_OK:
                for i in range(n):
                    take_back(sp_cell_of(tasks[i]))
                raise_status(status)
        except BaseException:
            for future in futures:
                forget(<FutureBase>future)
            raise
        finally:
            free(tasks)
        self.count_submitted(n)
        return futures

    # --------------------------------------------------------------------- ending

    def _cancel_queued(self):
        """Cancel all kernels that have not begun."""
        sp_home_cancel_kernels(self.home.home)

    def _await_tasks(self, timeout):
        """Wait until no task is unfinished; False if the timeout passes first."""
        return await_group(self.home.home, ns_of(timeout))

    def _close_pool(self, wait):
        """A private pool takes no more tasks; join its workers if `wait`."""
        if not self.home.is_private or self.home.home.is_stale:
            return
        if wait:
            self.home.pool.shut_down()
        else:
            sp_pool_close(self.home.pool.pool, SP_DRAIN)

    # ------------------------------------------------------------------ statistics

    def _stats(self):
        cdef sp_pool_stats stats
        cdef sp_home *home = self.home.home
        cdef uint64_t ended = sp_home_ended(home)
        # A task is counted as submitted a moment after it was queued.
        cdef uint64_t submitted = max(sp_home_submitted(home), ended)
        memset(&stats, 0, sizeof(stats))
        if not home.is_stale:
            sp_pool_get_stats(self.home.pool.pool, &stats)
        return {
            "submitted": submitted,
            "completed": ended,
            "unfinished": submitted - ended,
            "attaches": sp_home_attaches(home),
            "workers": sp_pool_workers(self.home.pool.pool),
            "executed": stats.executed,
            "injected": stats.injected,
            "stolen": stats.stolen,
            "parked": stats.parked,
            "woken": stats.woken,
            "loops": stats.loops,
        }

    @property
    def _native_workers(self):
        return sp_pool_workers(self.home.pool.pool)


cdef bint await_group(sp_home *home, int64_t left_ns) except -1:
    """Wait until no task of a home is unfinished; False if the time passes first."""
    cdef int64_t deadline_ns = now_ns() + left_ns
    cdef sp_status status
    if home.is_stale or sp_group_unfinished(&home.group) == 0:
        return True
    while left_ns != 0:
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
    if isinstance(<object>cell.keep, Pins):
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
    """A future that nobody has seen: its task was not queued."""
    if future.cell != NULL:
        sp_task_cancel(&future.cell.task)
        get_ready(future)
    return 0


cdef list rows_of(Kernel kernel, object arguments):
    """One entry a call: a tuple, or the only argument."""
    if isinstance(arguments, (list, tuple)):
        return list(arguments)
    if hasattr(arguments, "__array_interface__") or isinstance(arguments, memoryview):
        ndim = arguments.ndim
        if ndim == 2:
            return [tuple(row) for row in arguments.tolist()]
        if ndim != 1 or kernel.n_pointers:
            raise ValueError(
                f"kernel {kernel.name}: an array of arguments must have one or two "
                f"dimensions and hold scalars, got {ndim} dimensions for the signature "
                f"{kernel.signature}; pass a list of tuples"
            )
        return arguments.tolist()
    return list(arguments)


cdef object homes = _WeakSet()


def mark_stale():
    """In the child of a fork: native threads and what they run are not here."""
    global epoch, drainer, may_spin
    epoch += 1
    drainer = None
    for home in list(homes):
        (<Home>home).home.is_stale = True
    graveyard.clear()
