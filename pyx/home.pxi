# The native half of an executor: its pool, its group of tasks, its counters.


cdef uint64_t epoch = SP_FIRST_COUNT  # counts the forks that led to this process


@cython.final
cdef class Pool:
    """Owns a native pool, which is made for the first kernel: many executors run none.

    A pool of the process that forked us is left alone.
    """

    cdef sp_pool *pool     # NULL until it is made
    cdef sp_latch is_made  # `pool` is valid
    cdef unsigned size     # 0: one worker for each usable CPU
    cdef bytes name
    cdef uint64_t born
    cdef bint is_abandoned
    cdef bint is_closed  # in the critical section; whoever makes it later closes it

    def __cinit__(self, unsigned size, bytes name):
        self.size = size
        self.name = name
        self.born = epoch

    cdef sp_pool *made(self) except NULL:
        """The native pool, at work."""
        if not sp_latch_is_set(&self.is_made):
            self.make()
        return self.pool

    cdef int make(self) except -1:
        cdef sp_pool *pool = NULL
        cdef sp_pool_options options
        cdef sp_status status
        memset(&options, 0, sizeof(options))
        options.workers = self.size
        options.name = self.name
        with nogil:  # starting threads takes its time
            status = sp_pool_create(&pool, &options)
        if status == SP_ETHREAD:
            raise RuntimeError(
                "can't start new thread: the system refused even one native worker; "
                "see the limits on processes (ulimit -u) and memory"
            )
        raise_status(status)
        # Another thread, or a signal handler in this one, may have been quicker.
        with cython.critical_section(self):
            if self.pool == NULL:
                self.pool, pool = pool, NULL
                sp_latch_set(&self.is_made)
            if self.is_closed:
                sp_pool_close(self.pool, SP_DRAIN)
        with nogil:
            sp_pool_free(pool)
        return 0

    cdef bint make_no_more(self) except -1:
        """Whether it was made; who makes it from now on, closes it."""
        with cython.critical_section(self):
            self.is_closed = True
        return sp_latch_is_set(&self.is_made)

    cdef unsigned workers(self):
        """How many it has, or will have."""
        if sp_latch_is_set(&self.is_made):
            return sp_pool_workers(self.pool)
        return self.size if self.size else sp_usable_cpus()

    cdef sp_pool_stats stats(self):
        cdef sp_pool_stats stats
        memset(&stats, 0, sizeof(stats))
        if sp_latch_is_set(&self.is_made) and self.born == epoch:
            sp_pool_get_stats(self.pool, &stats)
        return stats

    cdef int close(self) except -1:
        """Its workers end when nothing is queued any more."""
        if self.make_no_more():
            sp_pool_close(self.pool, SP_DRAIN)
        return 0

    def __dealloc__(self):
        if self.pool != NULL and self.born == epoch and not self.is_abandoned:
            sp_pool_free(self.pool)  # closed, and without tasks: at once

    cdef bint shut_down(self, int64_t left_ns=-1) except -1:
        """Run what is queued, stop the workers. False: they go on after that time."""
        cdef int64_t deadline_ns = now_ns() + left_ns
        cdef sp_status status = SP_EINTR
        if self.born != epoch or self.is_abandoned or not self.make_no_more():
            return True
        if sp_on_worker(self.pool):
            raise RuntimeError("a pool cannot be shut down by one of its own workers")
        sp_pool_close(self.pool, SP_DRAIN)
        while status != SP_OK:
            PyErr_CheckSignals()
            with nogil:
                status = sp__pool_wait(self.pool, left_ns)
            if status == SP_ETIMEDOUT:
                return False
            if left_ns > 0:
                left_ns = max(deadline_ns - now_ns(), 1)
        with nogil:
            sp_pool_shutdown(self.pool, SP_DRAIN)
        return True

    cdef int abandon(self) except -1:
        """At exit: its workers run kernels that do not stop. They and what they use
        are leaked."""
        self.is_abandoned = True
        if self.make_no_more():
            sp_pool_close(self.pool, SP_ABANDON)
        return 0


cdef Pool process_pool = None
cdef object pool_lock = _RLock()  # of process_pool


cdef Pool shared_pool():
    """The pool that all executors without a size of their own borrow."""
    global process_pool
    with pool_lock:
        if process_pool is None or process_pool.born != epoch:
            process_pool = Pool(0, b"stealpool")
        return process_pool


@cython.final
@cython.no_gc
cdef class Gates:
    """Bounds of the two lanes, of an executor with a queue_capacity and its views."""

    cdef sp_gate gates[2]
    cdef readonly uint32_t capacity
    cdef int on_full  # an OnFull

    def __cinit__(
        self, uint32_t capacity, int on_full, uint32_t native, uint32_t python
    ):
        self.capacity = capacity
        self.on_full = on_full
        sp_gate_init(&self.gates[SP_NATIVE_LANE], native, capacity)
        sp_gate_init(&self.gates[SP_PYTHON_LANE], python, capacity)

    cdef int wake(self) except -1:
        """Who waits for room looks whether his executor is closed."""
        sp_gate_wake(&self.gates[SP_NATIVE_LANE])
        sp_gate_wake(&self.gates[SP_PYTHON_LANE])
        return 0

    cdef int reset(self) except -1:
        """In the child of a fork."""
        sp_gate_reset(&self.gates[SP_NATIVE_LANE])
        sp_gate_reset(&self.gates[SP_PYTHON_LANE])
        return 0


@cython.final
@cython.no_gc
cdef class Home:
    """A struct sp_home, and the pool that its tasks run on.

    Futures refer to their home, not to their executor, so that an executor can be
    collected while they live. Cells use the struct without a reference: one that is
    dropped with tasks unfinished, or cells unsettled, is buried until that is over.
    """

    cdef sp_home *home
    cdef Pool pool
    cdef Gates gates           # None: no limit
    cdef readonly CallQueue lane  # shared with views
    cdef bint is_private
    cdef bint copies_context   # callables run in a copy of the submitter's context
    cdef bint is_timed         # on the drainer's list of those with time limits
    cdef object shutdown_reason  # once closed: submit()'s message
    cdef sp_latch closed       # shutdown_reason is there
    cdef sp_latch dropped      # the view is gone
    cdef list views            # the Homes of views, until they are dropped and over
    cdef size_t prune_at       # look through `views` when they are so many
    cdef uint64_t past_submitted, past_ended, past_attaches  # of dropped views
    cdef object __weakref__

    def __cinit__(self, Pool pool, bint is_private, CallQueue lane, Gates gates):
        self.home = <sp_home *>calloc(1, sizeof(sp_home))
        if self.home == NULL:
            raise MemoryError("stealpool: no memory for an executor")
        sp_home_init(self.home)
        self.pool = pool
        self.is_private = is_private
        self.lane = lane
        self.gates = gates
        if gates is not None:
            self.home.gates = gates.gates
        self.copies_context = True
        self.views = []
        self.prune_at = 8

    def __dealloc__(self):
        if self.home == NULL or self.home.is_stale:
            return
        if sp_home_is_over(self.home):
            sp_home_destroy(self.home)
            free(self.home)
            return
        # The pool stays open for what is queued, and is freed with the grave.
        grave = Grave.make(self)
        graveyard.append(grave)

    cdef Home borrowed(self):
        """The home of a new view: same pool, lane and gates; tasks of its own."""
        cdef Home home = Home(self.pool, False, self.lane, self.gates)
        home.home.priority = self.home.priority
        home.copies_context = self.copies_context
        home.home.cancels_on_error = self.home.cancels_on_error
        with cython.critical_section(self):
            if len(self.views) >= self.prune_at:
                self.prune()
            self.views.append(home)
            if sp_latch_is_set(&self.closed):  # and so not seen by close()
                home.shutdown_reason = self.shutdown_reason
                sp_latch_set(&home.closed)
        homes.add(home)
        return home

    cdef int prune(self) except -1:
        """Forget the views that are gone, and whose tasks have ended."""
        cdef Home view
        cdef list left = []
        for each in self.views:
            view = <Home>each
            if sp_latch_is_set(&view.dropped) and view.is_over():
                self.past_submitted += view.submitted()
                self.past_ended += view.ended()
                self.past_attaches += view.attaches()
            else:
                left.append(view)
        self.views = left
        self.prune_at = 2 * len(left) + 8
        return 0

    cdef bint is_over(self):
        """No unfinished task, here or in a view."""
        if sp_group_unfinished(&self.home.group) > 0:
            return False
        for view in self.all_views():
            if not (<Home>view).is_over():
                return False
        return True

    cdef int close(self, object reason) except -1:
        """Refuse new tasks, here and in all views."""
        with cython.critical_section(self):
            if not sp_latch_is_set(&self.closed):
                self.shutdown_reason = reason
                sp_latch_set(&self.closed)
        for view in self.all_views():
            (<Home>view).close(reason)
        return 0

    cdef list all_views(self):
        with cython.critical_section(self):
            return list(self.views)

    cdef int cancel(self, bint running) except -1:
        """Cancel what is queued, here and in views; with `running`, ask the rest."""
        sp_home_cancel(self.home, running)
        for view in self.all_views():
            (<Home>view).cancel(running)
        return 0

    cdef uint64_t queued(self):
        """How many have not begun. Looks at each that is unsettled."""
        cdef uint64_t n = 0 if self.home.is_stale else sp_home_queued(self.home)
        for view in self.all_views():
            n += (<Home>view).queued()
        return n

    cdef int collect_running(self, list found, size_t most) except -1:
        """Append what up to `most` calls keep that are running."""
        cdef Sight sight
        sight.n, sight.most = 0, min(most, SIGHT_MOST)
        if not self.home.is_stale:
            sp_home_visit_running(self.home, see_running, &sight)
        while sight.n > 0:
            sight.n -= 1
            found.append(<object>sight.seen[sight.n])
            Py_DECREF(<object>sight.seen[sight.n])  # taken in see_running()
        for view in self.all_views():
            if len(found) < most:
                (<Home>view).collect_running(found, most - len(found))
        return 0

    cdef uint64_t submitted(self):
        cdef uint64_t n = self.past_submitted + sp_home_submitted(self.home)
        for view in self.all_views():
            n += (<Home>view).submitted()
        return n

    cdef uint64_t ended(self):
        cdef uint64_t n = self.past_ended + sp_home_ended(self.home)
        for view in self.all_views():
            n += (<Home>view).ended()
        return n

    cdef uint64_t attaches(self):
        cdef uint64_t n = self.past_attaches + sp_home_attaches(self.home)
        for view in self.all_views():
            n += (<Home>view).attaches()
        return n


cdef enum:
    SIGHT_MOST = 3


cdef struct Sight:
    size_t n, most
    void *seen[SIGHT_MOST]  # owned


cdef int see_running(void *keep, void *visitor) noexcept:
    """Of sp_home_visit_running(): no Python code runs here."""
    cdef Sight *sight = <Sight *>visitor
    if keep != NULL:
        Py_INCREF(<object>keep)
        sight.seen[sight.n] = keep
        sight.n += 1
    return sight.n < sight.most


cdef str name_of_kept(object kept):
    """Of what a block keeps, the name of what is called; see keep()."""
    if type(kept) is tuple:
        function = kept[0]
        return str(getattr(function, "__qualname__", type(function).__name__))
    if isinstance(kept, Pins):
        kept = (<Pins>kept).job
    return f"kernel {(<Job?>kept).name}"


@cython.final
@cython.no_gc
cdef class Grave:
    """What tasks still use of a home that nobody refers to."""

    cdef sp_home *home
    cdef Pool pool
    cdef Gates gates

    @staticmethod
    cdef Grave make(Home home):
        cdef Grave grave = Grave.__new__(Grave)
        grave.home = home.home
        grave.pool = home.pool
        grave.gates = home.gates
        return grave

    def __dealloc__(self):
        # A home whose kernels never ended is leaked rather than freed under them.
        if not self.home.is_stale and self.is_over():
            sp_home_destroy(self.home)
            free(self.home)

    cdef bint is_over(self):
        return sp_home_is_over(self.home)


cdef list graveyard = []


cdef int clear_graveyard() except -1:
    """Free what the last tasks have left.

    One call of a list's is atomic; two are not, even in its own critical section, which
    each of them enters again and so lets go.
    """
    for grave in all_graves():
        if (<Grave>grave).is_over():
            try:
                graveyard.remove(grave)
            except ValueError:
                pass  # another thread was quicker
    return 0


cdef list all_graves():
    return list(graveyard)
