# One call of a ufunc, planned: what runs without the GIL, and what must outlive that.
#
# A call that needs no casts runs on a grid, which all threads read. One that does runs
# on copies of NumPy's buffered iterator, one for each thread.


cdef extern from *:
    """
    #include "base/atomics.h"
    #include "base/os.h"

    /* Iterators that threads claim: bit i of `taken` is iterator i of n < 64. With
     * fewer iterators than threads, somebody waits for a moment. */
    static int claim_iterator(_Atomic(uint64_t) *taken, int n)
    {
        uint64_t seen = load_relaxed(taken);
        for (;;) {
            int i = __builtin_ctzll(~seen);
            if (i >= n) {
                sp__os_yield();
                seen = load_relaxed(taken);
                continue;
            }
            /* acquire, and release below: the iterator as its last user left it. */
            if (cas_weak_acquire(taken, &seen, seen | (uint64_t)1 << i))
                return i;
        }
    }

    static void give_back_iterator(_Atomic(uint64_t) *taken, int i)
    {
        fetch_sub_release(taken, (uint64_t)1 << i);
    }
    """
    ctypedef struct taken_bits "_Atomic(uint64_t)":
        pass
    int claim_iterator(taken_bits *taken, int n) noexcept nogil
    void give_back_iterator(taken_bits *taken, int i) noexcept nogil

cdef enum:
    MOST_ITERATORS = 63

# Between two looks at the clock, at signals, at what others have said.
cdef int64_t STEP_NS = 500_000
cdef int64_t SIGNALS_NS = 20_000_000

# A piece: beginning and ending one takes some 200 ns, most of it for the floating-point
# environment. There are enough of them that threads end together.
cdef double PIECE_NS = 20_000.0
cdef double FEWEST_PIECES = 64.0

cdef int INTERRUPTED = 1
cdef int LOOP_FAILED = 2

cdef struct Job:
    sp__grid grid  # of a buffered call: what it calls, only
    sp__grid_fp fp
    intptr_t n_indices

    int n_iterators
    NpyIter **iterators
    NpyIter_IterNextFunc *next
    taken_bits taken
    npy_intp n_points  # of a buffered call
    widening wide      # of a reduction that converts

    unsigned long owner  # the thread that has called the ufunc
    int64_t looked_ns    # when the owner looked for signals
    int64_t spent_ns     # by the owner, on this many indices
    intptr_t done
    void *call           # the Call, borrowed


cdef int run_buffered(Job *job, intptr_t begin, intptr_t end) noexcept nogil:
    cdef sp__grid *grid = &job.grid
    cdef int slot = claim_iterator(&job.taken, job.n_iterators)
    cdef NpyIter *iterator = job.iterators[slot]
    cdef npy_intp first = begin * SP__GRID_BLOCK
    cdef npy_intp last = min(end * SP__GRID_BLOCK, job.n_points)
    cdef char *message = NULL
    cdef char **data
    cdef npy_intp *strides
    cdef npy_intp *length
    cdef char *args[SP__GRID_ARGS]
    cdef int code = LOOP_FAILED
    if NpyIter_ResetToIterIndexRange(iterator, first, last, &message):
        data = NpyIter_GetDataPtrArray(iterator)
        strides = NpyIter_GetInnerStrideArray(iterator)
        length = NpyIter_GetInnerLoopSizePtr(iterator)
        while True:
            if grid.mask >= 0:
                code = sp__grid_masked(
                    grid.loop, grid.context, grid.aux, grid.n_args, data, length[0],
                    strides, data[grid.mask], strides[grid.mask],
                )
            else:
                memcpy(args, data, grid.n_args * sizeof(char *))
                code = grid.loop(grid.context, args, length, strides, grid.aux)
            if code != 0 or not job.next(iterator):
                break
    give_back_iterator(&job.taken, slot)
    return code


cdef int run_step(Job *job, intptr_t begin, intptr_t end) noexcept nogil:
    cdef int code
    if job.n_iterators:
        code = run_buffered(job, begin, end)
    else:
        code = sp__grid_run(&job.grid, begin, end)
    return LOOP_FAILED if code else 0


cdef bint is_interrupted(Job *job) noexcept with gil:
    """Run signal handlers, in the thread that has called the ufunc."""
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        (<Call>job.call).interruption = error
        return True
    return False


cdef int run_piece(intptr_t begin, intptr_t end, void *user) noexcept nogil:
    cdef Job *job = <Job *>user
    cdef bint is_owner = PyThread_get_thread_ident() == job.owner
    cdef fenv_t before = sp__grid_fp_enter(&job.fp)
    cdef intptr_t step = 16, stop
    cdef int64_t start_ns = sp__os_now_ns(), now_ns, spent_ns
    cdef int code = 0
    while begin < end and code == 0:
        stop = begin + step if step < end - begin else end
        code = run_step(job, begin, stop)
        now_ns = sp__os_now_ns()
        spent_ns = now_ns - start_ns
        start_ns = now_ns
        if spent_ns < STEP_NS:
            step *= 2
        elif spent_ns > 4 * STEP_NS and step > 1:
            step //= 2
        if is_owner:
            job.spent_ns += spent_ns
            job.done += stop - begin
            if now_ns - job.looked_ns > SIGNALS_NS:
                job.looked_ns = now_ns
                if is_interrupted(job):
                    code = INTERRUPTED
        begin = stop
    sp__grid_fp_leave(&job.fp, &before)
    return code


@cython.final
@cython.no_gc  # nothing that it holds refers back
cdef class Call:
    """A call of a ufunc, planned."""

    cdef Job job
    cdef object info      # NumPy's capsule: owns the loop's context
    cdef list operands    # arrays, inputs first; the job has their addresses
    cdef object result    # what the call returns
    cdef bytes name       # for warnings
    cdef bint can_raise   # floating-point errors
    cdef BaseException interruption

    def __cinit__(self):
        memset(&self.job, 0, sizeof(Job))
        self.job.grid.mask = -1
        self.job.grid.block = SP__GRID_BLOCK
        self.job.grid.most_blocks = 16
        self.job.grid.inner_is_free = True

    def __dealloc__(self):
        for i in range(self.job.n_iterators):
            NpyIter_Deallocate(self.job.iterators[i])
        free(self.job.iterators)

    cdef bint take_loop(self, object ufunc, object info, tuple fixed_strides) except -1:
        """Have NumPy choose the loop. False: it needs the GIL."""
        cdef ufunc_call_info *c
        ufunc._get_strided_loop(info, fixed_strides=fixed_strides)
        c = <ufunc_call_info *>PyCapsule_GetPointer(info, "numpy_1.24_ufunc_call_info")
        if c.requires_pyapi:
            return False
        self.info = info
        self.can_raise = not c.no_floatingpoint_errors
        self.job.grid.loop = <sp__grid_loop>c.strided_loop
        self.job.grid.context = c.context
        self.job.grid.aux = c.auxdata
        self.job.grid.n_args = (<PyUFuncObject *><void *>ufunc).nargs
        return True

    cdef bint take_grid(self, NpyIter *iterator, int n_operands) except -1:
        """Copy what the iterator would do. False: it has too many dimensions."""
        cdef sp__grid *grid = &self.job.grid
        cdef npy_intp[64] shape
        cdef int n_dims = NpyIter_GetNDim(iterator), i
        cdef size_t size = n_operands * sizeof(npy_intp)
        if n_dims > SP__GRID_DIMS or NpyIter_GetIterSize(iterator) <= 0:
            return False
        NpyIter_GetShape(iterator, shape)
        memcpy(
            grid.data, NpyIter_GetDataPtrArray(iterator), n_operands * sizeof(char *)
        )
        grid.n_copied = n_operands
        grid.inner.length = 1
        for i in range(n_dims):
            strides = NpyIter_GetAxisStrideArray(iterator, i)
            if i == 0:
                grid.inner.length = shape[0]
                memcpy(grid.inner.strides, strides, size)
            else:
                grid.free[i - 1].length = shape[i]
                memcpy(grid.free[i - 1].strides, strides, size)
        grid.n_free = max(n_dims - 1, 0)
        return True

    cdef object run(self, object executor, double expected_ns):
        """Run it, split over the executor's pool, without the GIL.

        It takes about `expected_ns` of one thread; 0 = unknown. Returns NotImplemented
        if the loop has failed; it has left no exception then.
        """
        cdef Job *job = &self.job
        cdef Handle target = handle(executor)
        cdef intptr_t grain = self.grain_of(expected_ns)
        cdef int code
        job.call = <void *>self
        job.owner = PyThread_get_thread_ident()
        job.looked_ns = sp__os_now_ns()
        job.spent_ns = job.done = 0
        sp__grid_fp_init(&job.fp)
        code = loop_over(target, 0, job.n_indices, grain, run_piece, job)
        if self.interruption is not None:
            error, self.interruption = self.interruption, None
            raise error
        if PyErr_Occurred() != NULL:
            raise_what_is_set()
        if code == LOOP_FAILED:
            return NotImplemented
        if code:
            raise _CancelledError()
        if self.can_raise and job.fp.raised:
            warn_of_floating_point(self.name, job.fp.raised)
        return self.result

    cdef intptr_t grain_of(self, double expected_ns):
        """Indices of a piece of PIECE_NS; 0 = let the loop find out."""
        cdef intptr_t n = self.job.n_indices, grain
        if expected_ns <= 0:
            return 0
        grain = <intptr_t>(min(PIECE_NS / expected_ns, 1.0 / FEWEST_PIECES) * n)
        return grain if grain > 1 else 0

    cdef double ns_per_point(self):
        """As measured on the thread that has called."""
        if self.job.done == 0:
            return 0.0
        return (
            <double>self.job.spent_ns / self.job.done
            * self.job.n_indices / max(self.points(), 1)
        )

    cdef intptr_t points(self):
        if self.job.n_iterators:
            return self.job.n_points
        return sp__grid_points(&self.job.grid)


cdef extern from *:
    """
    static PyObject *pass_exception_on(void) { return NULL; }
    """
    object raise_what_is_set "pass_exception_on"()


cdef int warn_of_floating_point(const char *name, uint32_t raised) except -1:
    """As numpy.errstate says: ignore, warn, raise, call, print or log."""
    cdef int errors = 0
    if raised & FE_DIVBYZERO:
        errors |= UFUNC_FPE_DIVIDEBYZERO
    if raised & FE_OVERFLOW:
        errors |= UFUNC_FPE_OVERFLOW
    if raised & FE_UNDERFLOW:
        errors |= UFUNC_FPE_UNDERFLOW
    if raised & FE_INVALID:
        errors |= UFUNC_FPE_INVALID
    if errors:
        PyUFunc_GiveFloatingpointErrors(name, errors)
    return 0


cdef object owned(PyArrayObject *array):
    """A reference of our own to what an iterator holds."""
    return <object><PyObject *>array
