# Loops over ranges of indices: on the pool, the calling thread takes part, looks up
# from time to time for Ctrl-C, and says how far it is.

cdef struct LoopPlan:
    sp_pool *pool
    intptr_t begin
    intptr_t end
    void *acc  # of a reduction
    size_t acc_size
    sp_watched watched


cdef int run_loop_plan(void *data, sp_word *ret_value) noexcept nogil:
    cdef LoopPlan *plan = <LoopPlan *>data
    sp_watched_begin(&plan.watched)
    if plan.watched.body != NULL:
        return sp_parallel_for(
            plan.pool, plan.begin, plan.end, plan.watched.grain, sp_watched_piece,
            &plan.watched,
        )
    return sp_parallel_reduce(
        plan.pool, plan.begin, plan.end, plan.watched.grain, sp_watched_reduce,
        sp_watched_combine, plan.acc, plan.acc_size, &plan.watched,
    )


cdef LoopPlan loop_plan(
    ExecutorBase executor, intptr_t begin, intptr_t end, intptr_t grain
):
    cdef LoopPlan plan
    memset(&plan, 0, sizeof(plan))
    plan.pool = executor.home.pool.made()
    plan.begin = begin
    plan.end = end
    plan.watched.grain = grain
    return plan


@cython.final
cdef class Looker:
    """What the thread that started a loop does between two pieces."""

    cdef sp_cell *cell
    cdef object report  # None, or called with (done, total)
    cdef intptr_t total
    cdef object error

    cdef int look(self, intptr_t done):
        try:
            PyErr_CheckSignals()
            if self.report is not None:
                self.report(done, self.total)
        except BaseException as error:
            self.error = error
            sp_task_cancel(&self.cell.task)  # it runs: kernels see it in sp_cancelled()
            return 1
        return 0


cdef int look_up(void *looker, intptr_t done) noexcept nogil:
    with gil:
        return (<Looker>looker).look(done)


cdef int run_loop(
    ExecutorBase executor, Job job, LoopPlan *loop, object report
) except -1:
    """Run a loop over the executor's pool, here; raise what went wrong."""
    cdef Looker looker = Looker.__new__(Looker)
    cdef sp_cell *cell = sp_cell_for_plan(run_loop_plan, sizeof(LoopPlan))
    if cell == NULL:
        raise MemoryError("stealpool: no memory for a task")
    looker.cell = cell
    looker.report = report
    looker.total = loop.end - loop.begin
    looker.error = None
    loop.watched.look = look_up
    loop.watched.looker = <void *>looker
    memcpy(sp_cell_plan(cell), loop, sizeof(LoopPlan))
    try:
        watch(executor.home, cell)
        with nogil:
            sp_cell_run_inline(cell)
        sp_home_count_attach(executor.home.home)
        if looker.error is not None:
            raise looker.error
        raise_of(job, cell, executor.home)
    finally:
        looker.error = None  # no cycle through its traceback
        settle(cell)
        sp_task_unref(&cell.task)
    return 0


# ------------------------------------------------------------- kernels over a range

cdef struct RangeCall:
    sp_callee callee
    bint is_void
    sp_combine_fn combine  # of a reduction; NULL: a ufunc's loop
    void *combine_user
    sp__loop_fn combine_loop
    void *combine_data
    intptr_t combine_count
    intptr_t combine_item
    sp_word[MAX_PARAMETERS] words


cdef int call_range(intptr_t begin, intptr_t end, void *user) noexcept nogil:
    cdef RangeCall *call = <RangeCall *>user
    cdef sp_word[MAX_PARAMETERS] words
    cdef sp_word value
    memcpy(words, call.words, call.callee.shape.words * sizeof(sp_word))
    words[0].integer = begin
    words[1].integer = end
    value = sp__call(call.callee.function, call.callee.shape, words)
    return 0 if call.is_void else <int>value.integer


cdef int call_reduce(
    intptr_t begin, intptr_t end, void *acc, void *user
) noexcept nogil:
    cdef RangeCall *call = <RangeCall *>user
    cdef sp_word[MAX_PARAMETERS] words
    cdef sp_word value
    memcpy(words, call.words, call.callee.shape.words * sizeof(sp_word))
    words[0].integer = begin
    words[1].integer = end
    words[2].pointer = acc
    value = sp__call(call.callee.function, call.callee.shape, words)
    return 0 if call.is_void else <int>value.integer


ctypedef char *byte_pointer


cdef void call_combine(void *into, const void *other, void *user) noexcept nogil:
    cdef RangeCall *call = <RangeCall *>user
    cdef byte_pointer[3] args
    cdef intptr_t[3] steps
    if call.combine != NULL:
        call.combine(into, other, call.combine_user)
        return
    args[0] = args[2] = <char *>into
    args[1] = <char *>other
    steps[0] = steps[1] = steps[2] = call.combine_item
    call.combine_loop(args, &call.combine_count, steps, call.combine_data)


cdef bint is_range(Kernel kernel, int n_least):
    """Does it begin with two indices, and say at most whether it went well?"""
    cdef int i
    if kernel.n_parameters < n_least or kernel.returns not in (T_VOID, T_INT32):
        return False
    for i in range(2):
        if kernel.parameters[i].type not in (T_INT64, T_UINT64):
            return False
    return True


cdef Pins fill_range(RangeCall *call, Kernel kernel, int first, tuple args):
    """Convert what follows the indices (and the accumulator); returns the pins."""
    cdef int i, wanted = 0
    for i in range(first, kernel.n_parameters):
        wanted += kernel.parameters[i].type != T_BOUND
    if len(args) != wanted:
        raise TypeError(
            f"kernel {kernel.name} takes {wanted} argument"
            f"{'s' if wanted != 1 else ''} besides the range ({kernel.signature}), "
            f"got {len(args)}"
        )
    cdef Pins pins = Pins(kernel, kernel.n_pointers)
    memset(call, 0, sizeof(RangeCall))
    call.callee = kernel.callee
    call.is_void = kernel.returns == T_VOID
    kernel.fill_words(call.words, first, args, pins)
    return pins


def run_range(
    ExecutorBase executor not None, Kernel kernel not None, intptr_t begin,
    intptr_t end, tuple args, intptr_t grain, report,
):
    """Executor.for_range() of a kernel; the arguments are checked here."""
    cdef RangeCall call
    cdef LoopPlan loop
    cdef Pins pins
    cdef Parameter *last
    executor.check_open()
    if isinstance(kernel, ReduceKernel):
        return run_reduce(executor, kernel, begin, end, args, grain, report)
    if type(kernel) is not Kernel or not is_range(kernel, 2):
        raise ValueError(
            f"for_range needs a kernel that begins with two indices and returns int or "
            "void, such as 'int (intptr_t begin, intptr_t end, void *user)'; "
            f"{kernel.name} is {kernel.signature!r}"
        )
    pins = fill_range(&call, kernel, 2, args)
    loop = loop_plan(executor, begin, end, grain)
    loop.watched.body = call_range
    loop.watched.user = &call
    if kernel.n_parameters == 3 and kernel.returns == T_INT32:
        last = &kernel.parameters[2]
        if last.type == T_POINTER or last.type == T_BOUND:  # it is the very type
            loop.watched.body = <sp_range_fn>kernel.callee.function
            loop.watched.user = call.words[last.word].pointer
    run_loop(executor, kernel, &loop, report)
    return None


# ------------------------------------------------------------------------ reductions


cdef class ReduceKernel(Kernel):
    """A Kernel that adds a range of indices to an accumulator.

    ``executor.for_range(kernel, start, stop, *args)`` runs it on pieces of the range
    and combines them from left to right; submitted or called with ``(start, stop,
    *args)`` it does the same on one worker, or in the calling thread, with the same
    result, bit for bit.
    """

    cdef object initial  # the neutral element, an array
    cdef object finish   # makes the result out of an accumulator
    cdef object combiner  # keeps its code
    cdef void *combine
    cdef bint combine_takes_user
    cdef sp__loop_fn combine_loop
    cdef void *combine_data

    def __call__(self, *args, **kwargs):
        if kwargs:
            self.refuse_keywords(kwargs)
        cdef ArrayPlan plan = self.job_for(args, None)
        return plan.run_here()

    cdef Pins fill_reduction(self, RangeCall *call, tuple args):
        cdef Pins pins = fill_range(call, self, 3, args)
        cdef Parameter *last = &self.parameters[self.n_parameters - 1]
        call.combine = <sp_combine_fn>self.combine
        call.combine_loop = self.combine_loop
        call.combine_data = self.combine_data
        call.combine_count = self.initial.size
        call.combine_item = self.initial.itemsize
        if self.n_parameters > 3 and last.type in (T_POINTER, T_BOUND):
            call.combine_user = call.words[last.word].pointer
        return pins

    cdef Job job_for(self, tuple args, dict kwargs):
        if kwargs:
            self.refuse_keywords(kwargs)
        if len(args) < 2:
            raise TypeError(
                f"kernel {self.name} takes a range, start and stop, and then its "
                f"arguments ({self.signature}), got {len(args)}"
            )
        cdef ArrayPlan plan = ArrayPlan.__new__(ArrayPlan)
        cdef ReducePlan *data = <ReducePlan *>plan.allocate(sizeof(ReducePlan))
        plan.name = self.name
        plan.run_fn = run_reduce_plan
        plan.result = self.initial.copy()
        plan.finish = self.finish
        data.begin = self.integer_from(T_INT64, args[0], 0)
        data.end = self.integer_from(T_INT64, args[1], 1)
        plan.pins = self.fill_reduction(&data.call, args[2:])
        data.acc = plan.pins.add(plan.result).buf
        data.acc_size = plan.result.nbytes
        return plan


cdef struct ReducePlan:
    ArrayHead head
    intptr_t begin
    intptr_t end
    void *acc
    size_t acc_size
    RangeCall call


cdef int run_reduce_plan(void *data, sp_word *ret_value) noexcept nogil:
    cdef ReducePlan *plan = <ReducePlan *>data
    return sp_parallel_reduce(
        NULL, plan.begin, plan.end, 0, call_reduce, call_combine, plan.acc,
        plan.acc_size, &plan.call,
    )


def make_reduction(
    Kernel body not None, combine, bint takes_user, loop, data, combiner, initial,
    finish,
):
    """Make a reduction of a kernel; see python/stealpool/abis.py.

    `combine` is the address of a function, or `loop` and `data` are those of a ufunc.
    """
    cdef ReduceKernel kernel = ReduceKernel.__new__(ReduceKernel)
    cdef int i
    if not is_range(body, 3) or body.parameters[2].type != T_POINTER:
        raise ValueError(
            "a reduction needs a kernel that begins with two indices and a pointer to "
            "the accumulator and returns int or void, such as 'int (intptr_t begin, "
            f"intptr_t end, void *acc, void *user)'; {body.name} is {body.signature!r}"
        )
    kernel.name = body.name
    kernel.signature = body.signature
    kernel.callee = body.callee
    for i in range(body.n_parameters):
        kernel.parameters[i] = body.parameters[i]
    kernel.n_parameters = body.n_parameters
    kernel.n_arguments = body.n_arguments - 1
    kernel.n_pointers = body.n_pointers
    kernel.returns = body.returns
    kernel.bound = body.bound
    kernel.source = (body, combiner)
    kernel.combine = <void *><uintptr_t>(combine or 0)
    kernel.combine_takes_user = takes_user
    kernel.combine_loop = <sp__loop_fn><uintptr_t>(loop or 0)
    kernel.combine_data = <void *><uintptr_t>(data or 0)
    kernel.initial = initial
    kernel.finish = finish
    return kernel


cdef object run_reduce(
    ExecutorBase executor, ReduceKernel kernel, intptr_t begin, intptr_t end,
    tuple args, intptr_t grain, object report,
):
    cdef RangeCall call
    cdef Pins pins = kernel.fill_reduction(&call, args)
    cdef LoopPlan loop = loop_plan(executor, begin, end, grain)
    cdef object acc = kernel.initial.copy()
    loop.acc = pins.add(acc).buf
    loop.acc_size = acc.nbytes
    loop.watched.reduce_body = call_reduce
    loop.watched.combine = call_combine
    loop.watched.user = &call
    run_loop(executor, kernel, &loop, report)
    return kernel.finish(acc)
