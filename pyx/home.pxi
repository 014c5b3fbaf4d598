# The native half of an executor: its pool, its group of tasks, its counters.


cdef uint64_t epoch = 0  # counts the forks that led to this process


@cython.final
cdef class Pool:
    """Owns a native pool. A pool of the process that forked us is left alone."""

    cdef sp_pool *pool
    cdef uint64_t born

    def __cinit__(self, unsigned workers, bytes name):
        cdef sp_pool_options options
        memset(&options, 0, sizeof(options))
        options.workers = workers
        options.name = name
        self.born = epoch
        cdef sp_status status
        with nogil:  # starting threads takes its time
            status = sp_pool_create(&self.pool, &options)
        if status == SP_ETHREAD:
            raise RuntimeError(
                "can't start new thread: the system refused even one native worker; "
                "see the limits on processes (ulimit -u) and memory"
            )
        raise_status(status)

    def __dealloc__(self):
        if self.pool != NULL and self.born == epoch:
            sp_pool_free(self.pool)  # closed, and without tasks: at once

    cdef int shut_down(self) except -1:
        """Run what is queued, stop the workers."""
        cdef sp_status status
        if self.pool == NULL or self.born != epoch:
            return 0
        with nogil:
            status = sp_pool_shutdown(self.pool, SP_DRAIN)
        if status == SP_EBUSY:
            raise RuntimeError("a pool cannot be shut down by one of its own workers")
        return 0


cdef Pool process_pool = None


cdef Pool shared_pool():
    """The pool that all executors without a size of their own borrow."""
    global process_pool
    if process_pool is None or process_pool.born != epoch:
        process_pool = Pool(0, b"stealpool")
    return process_pool


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
    cdef readonly CallQueue lane
    cdef bint is_private
    cdef bint copies_context  # callables run in a copy of the submitter's context
    cdef int priority         # 1: high, 0: normal, -1: low
    cdef object __weakref__

    def __cinit__(self, Pool pool, bint is_private, CallQueue lane):
        self.home = <sp_home *>calloc(1, sizeof(sp_home))
        if self.home == NULL:
            raise MemoryError("stealpool: no memory for an executor")
        sp_home_init(self.home)
        self.pool = pool
        self.is_private = is_private
        self.lane = lane
        self.copies_context = True

    def __dealloc__(self):
        if self.home == NULL or self.home.is_stale:
            return
        if sp_home_is_over(self.home):
            free(self.home)
            return
        # The pool stays open for what is queued, and is freed with the grave.
        graveyard.append(Grave.make(self.home, self.pool))

    cdef uint32_t unfinished(self):
        return sp_group_unfinished(&self.home.group)


@cython.final
@cython.no_gc
cdef class Grave:
    """What tasks still use of a home that nobody refers to."""

    cdef sp_home *home
    cdef Pool pool

    @staticmethod
    cdef Grave make(sp_home *home, Pool pool):
        cdef Grave grave = Grave.__new__(Grave)
        grave.home = home
        grave.pool = pool
        return grave

    def __dealloc__(self):
        # A home whose kernels never ended is leaked rather than freed under them.
        if not self.home.is_stale and self.is_over():
            free(self.home)

    cdef bint is_over(self):
        return sp_home_is_over(self.home)


cdef list graveyard = []


cdef int clear_graveyard() except -1:
    """Free what the last tasks have left."""
    global graveyard
    if graveyard:
        graveyard = [grave for grave in graveyard if not (<Grave>grave).is_over()]
    return 0
