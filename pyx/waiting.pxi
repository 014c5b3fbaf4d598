# Waiting for one Future and for many; the policy is in python/stealpool/waiting.py.


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


cdef sp_gauge may_spin  # 0 with one CPU: there we only yield

# How long a waiter looks at the task before it gives the GIL away: long enough for a
# worker that is awake; and when getting the GIL back was dear, because another thread
# runs Python code, a tenth of that, which is what waiting in vain may cost.
cdef int64_t SPIN_NS = 20000
cdef int64_t MOST_SPIN_NS = 500000
cdef sp_gauge spin_ns  # of whichever thread has waited last


cdef bint spin(sp_cell *cell, Home home):
    """Look at the task for a while, with the GIL in hand. True when it has ended.

    Its worker may need this CPU, which is then given away; the GIL is kept if it is
    dear, for another thread would have it for a switch interval.
    """
    cdef int64_t ns = sp_gauge_read(&spin_ns)
    if not sp_latch_is_set(&home.pool.is_made):  # it waits in line
        return False
    if sp_gauge_read(&may_spin) and sp_cell_spin(cell, home.pool.pool, ns):
        return True
    if ns > SPIN_NS:
        sp_cell_yield(cell, home.pool.pool)
    return sp_task_phase(&cell.task) >= SP_DONE


cdef void learn_from_wait(int64_t price_ns) noexcept:
    """Getting the GIL back has taken this long."""
    sp_gauge_set(&spin_ns, min(max(price_ns // 10, SPIN_NS), MOST_SPIN_NS))


cdef int await_end(FutureBase future, object timeout) except -1:
    """Wait until the future is ready, or raise TimeoutError."""
    cdef int64_t left_ns = ns_of(timeout)
    cdef sp_cell *cell = borrow(future)
    cdef bint is_noted = False
    if cell == NULL:
        return 0
    try:
        if sp_task_phase(&cell.task) < SP_DONE:
            if not is_native(cell):
                if left_ns != 0:
                    run_if_on_lane(future, cell)
            elif left_ns != 0:
                spin(cell, future.home)
        if sp_gauge_read(&is_debugging) and left_ns < 0:
            is_noted = note_wait((future,), True)
        if wait_cells(&cell, 1, left_ns, future.home) == SP_ETIMEDOUT:
            raise _TimeoutError()
    finally:
        if is_noted:
            note_wait_over()
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
    cdef int64_t deadline_ns = 0, woken_ns
    cdef sp_status status = SP_OK
    cdef CallQueue lane = None
    cdef sp_pool *pool = NULL
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
    finish_starts()
    if not is_native(cells[i - 1]):  # the caller has the futures
        lane = (<FutureBase>cells[i - 1].future).home.lane
    elif sp_latch_is_set(&home.pool.is_made):  # else it waits in line
        pool = home.pool.pool
    while True:
        check_stale(cells, n)
        PyErr_CheckSignals()  # those that came while we spun
        with nogil:
            if lane is not None:
                sp_lane_spin(&lane.lane, &cells[i - 1].task)
            elif pool != NULL:
                sp_cell_yield(cells[i - 1], pool)
            status = sp_cells_wait(cells, n, left_ns)
            woken_ns = sp__os_now_ns()
        learn_from_wait(sp__os_now_ns() - woken_ns)
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
        if sp_task_phase(&cells[i].task) >= SP_DONE:
            continue
        if sp_cell_home(cells[i]).is_stale:
            raise BrokenThreadPool(
                "the task was submitted before this process was forked, and its worker "
                "is in the parent process; submit it again here"
            )
    return 0


# ------------------------------------------------------------------------ for many


cdef bint is_ours(object future):
    return isinstance(future, FutureBase) and (<FutureBase>future).home is not None


def all_ours(futures):
    """True if every future was made by an executor of ours."""
    for future in futures:
        if not is_ours(future):
            return False
    return True


cdef enum:
    AHEAD = 8  # cells that are on their way here while one is looked at


cdef inline void look_ahead(FutureBase future) noexcept:
    """Its cell is needed soon, and was last written by a worker on another CPU."""
    cdef sp_cell *cell
    with cython.critical_section(future):
        cell = cell_of(future)
    if cell != NULL:  # gone by now, perhaps: no harm
        sp_cell_prefetch(cell)


cdef bint ask(FutureBase future, sp_cell **ret_cell) except -1:
    """Get the future ready, if the call has ended; else borrow its cell, and True."""
    peek(future)
    if sp_latch_is_set(&future.ready):
        return False
    ret_cell[0] = borrow(future)
    return ret_cell[0] != NULL


def wait_all(set futures, timeout):
    """Wait until all futures are ready.

    However many they are, the GIL is taken once.

    Returns
    -------
    bool or None
        False: the timeout passed first. None: there is a future that was not made by
        an executor of ours, and nothing was waited for.
    """
    cdef int64_t left_ns = ns_of(timeout)
    cdef size_t n = 0, i
    cdef FutureBase future = None
    cdef sp_status status = SP_OK
    cdef sp_cell **cells
    cdef PyObject *asked[AHEAD]  # in turn
    cdef bint is_noted = False
    if not futures:
        return True
    cells = <sp_cell **>malloc(len(futures) * sizeof(sp_cell *))
    if cells == NULL:
        raise MemoryError(f"stealpool: no memory to wait for {len(futures)} futures")
    memset(asked, 0, sizeof(asked))
    try:
        i = 0
        for each in futures:
            if not is_ours(each):
                return None
            look_ahead(<FutureBase>each)
            if asked[i] != NULL:
                n += ask(<FutureBase>asked[i], &cells[n])
            asked[i] = <PyObject *>each  # which `futures` keeps
            i = (i + 1) % AHEAD
        for i in range(AHEAD):
            if asked[i] != NULL:
                n += ask(<FutureBase>asked[i], &cells[n])
        if n:
            future = <FutureBase>cells[n - 1].future
            run_those_on_lane(cells, n, left_ns)
            if left_ns != 0 and is_native(cells[n - 1]):
                spin(cells[n - 1], future.home)
            if sp_gauge_read(&is_debugging) and left_ns < 0:
                is_noted = note_wait(futures, True)
            status = wait_cells(cells, n, left_ns, future.home)
            for i in range(n):  # their futures are alive, so they know them
                if i + AHEAD < n:
                    sp_cell_prefetch(cells[i + AHEAD])
                peek(<FutureBase>cells[i].future)
    finally:
        if is_noted:
            note_wait_over()
        for i in range(n):
            sp_task_unref(&cells[i].task)
        free(cells)
    drain_reclaimed()
    return status == SP_OK


cdef int run_those_on_lane(sp_cell **cells, size_t n, int64_t left_ns) except -1:
    """Run what run_if_on_lane() would run, until the time has passed."""
    cdef int64_t deadline_ns = now_ns() + left_ns
    cdef size_t i
    for i in range(n):
        if is_native(cells[i]):
            continue
        if left_ns >= 0 and now_ns() >= deadline_ns:
            break
        # The caller has the futures, so their cells know them.
        run_if_on_lane(<FutureBase>cells[i].future, cells[i])
    return 0


@cython.final
@cython.no_gc
cdef class Completions:
    """Futures in the order in which they end: a completion queue of the waiter's.

    A future can report to one such queue at a time. One that already does is
    refused by add(), and the caller falls back on the standard library.
    """

    cdef sp_completion *queue
    cdef set armed         # futures that were not seen to end
    cdef size_t n_tickets  # theirs, in the queue or still to come
    cdef bint has_callables

    def __cinit__(self):
        self.armed = set()
        raise_status(sp_completion_create(&self.queue, NULL, NULL))

    def __dealloc__(self):
        if self.queue != NULL:
            self.close()
            sp_completion_free(self.queue)

    def add(self, FutureBase future):
        """Have the future report here.

        Returns
        -------
        bool or None
            True: it will. False: it is ready already. None: it cannot.
        """
        cdef sp_cell *cell = borrow(future)
        if cell == NULL:
            return False
        cdef sp_status status = SP_ENOMEM
        try:
            self.armed.add(future)  # first, for want of memory comes too late then
            self.has_callables |= not is_native(cell)
            status = sp_task_notify(&cell.task, WAITER_TICKET, self.queue)
        finally:
            sp_task_unref(&cell.task)
        if status == SP_OK:
            self.n_tickets += 1
            return True
        self.armed.discard(future)
        if status == SP_EBUSY:
            return None
        get_ready(future)
        return False

    def next_batch(self, timeout):
        """The futures that have ended since the last call; waits for the first.

        Returns an empty list if the timeout passes.
        """
        cdef int64_t left_ns = ns_of(timeout)
        cdef int64_t deadline_ns = 0
        cdef sp_status status
        cdef FutureBase future
        cdef sp_cell *cell
        cdef bint is_noted
        if left_ns > 0:
            deadline_ns = now_ns() + left_ns
        batch = self.take()
        while not batch and self.armed and left_ns != 0:
            future = next(iter(self.armed))
            if future.home.home.is_stale:
                cell = borrow(future)
                try:
                    check_stale(&cell, cell != NULL)
                finally:
                    if cell != NULL:
                        sp_task_unref(&cell.task)
            if not self.run_one_on_lane():
                is_noted = False
                finish_starts()
                PyErr_CheckSignals()
                if sp_gauge_read(&is_debugging) and left_ns < 0:
                    is_noted = note_wait(self.armed, False)
                with nogil:
                    status = sp_completion_wait(self.queue, left_ns)
                if is_noted:
                    note_wait_over()
                sp_home_count_attach(future.home.home)
                if status != SP_OK:
                    PyErr_CheckSignals()
            batch = self.take()
            if left_ns > 0:
                left_ns = max(deadline_ns - now_ns(), 0)
        return batch

    cdef bint run_one_on_lane(self) except -1:
        """Run a queued callable of the lane that the calling thread is of."""
        cdef FutureBase future
        cdef sp_cell *cell
        cdef bint was_run = False
        if not self.has_callables or sp_lane_current() == NULL:
            return False
        for future in list(self.armed):
            cell = borrow(future)
            if cell == NULL:
                continue
            if not is_native(cell) and sp_task_phase(&cell.task) == SP_PENDING:
                run_if_on_lane(future, cell)
                was_run = sp_task_phase(&cell.task) >= SP_DONE
            sp_task_unref(&cell.task)
            if was_run:
                return True
        return False

    cdef list take(self):
        cdef list batch = []
        cdef object first = None
        cdef sp_ticket *ticket = sp_completion_drain(self.queue)
        cdef sp_task *task
        cdef FutureBase future
        while ticket != NULL:
            task = sp_ticket_task(ticket)
            ticket = sp_ticket_next(ticket)
            self.n_tickets -= 1
            future = <FutureBase>sp_cell_of(task).future  # which `armed` keeps
            sp_task_unref(task)
            self.armed.discard(future)
            try:
                get_ready(future)
                batch.append(future)
            except BaseException as error:  # no memory; the others are taken first
                first = error
        if first is not None:
            raise first
        if batch:
            drain_reclaimed()
        return batch

    def close(self):
        """Report no more. Called at the latest when the object dies."""
        cdef FutureBase future
        cdef sp_cell *cell
        cdef sp_ticket *ticket
        cdef sp_task *task
        for future in self.armed:
            cell = borrow(future)
            if cell == NULL:
                continue
            if sp_task_unnotify(&cell.task, WAITER_TICKET) == SP_OK:
                self.n_tickets -= 1
            sp_task_unref(&cell.task)
        # The other tickets are in the queue, or are being put there.
        while self.n_tickets > 0:
            with nogil:
                sp_completion_wait(self.queue, -1)
            ticket = sp_completion_drain(self.queue)
            while ticket != NULL:
                task = sp_ticket_task(ticket)
                ticket = sp_ticket_next(ticket)
                self.n_tickets -= 1
                sp_task_unref(task)
        self.armed.clear()
