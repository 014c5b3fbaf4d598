# Kernels that are called piece by piece: with the shapes of arrays (batch, loop, tile)
# or with a range of indices. What the pieces mean is in python/stealpool/abis.py.


cdef class ArrayKernel(Kernel):
    """A Kernel that knows the shapes of its arrays, and makes those of its results.

    Called, it runs in the calling thread; with ``executor=``, it is split over the
    executor's native pool, and the calling thread takes part. Submitted, a call runs
    on one worker. ``out=`` takes the array, or the tuple of arrays, for the results.
    """

    cdef readonly object planner

    def __call__(self, *args, executor=None, **kwargs):
        cdef ArrayPlan plan = self.planner(self, args, kwargs)
        if executor is None:
            return plan.run_here()
        return plan.run_over(executor)

    cdef Job job_for(self, tuple args, dict kwargs):
        return <ArrayPlan?>self.planner(self, args, {} if kwargs is None else kwargs)


cdef struct ArrayHead:
    PlanHead head
    sp_range_fn piece  # of the first axis; NULL: it cuts itself
    intptr_t n


cdef class ArrayPlan(Plan):
    """A call of an ArrayKernel, or of a reduction. The data begin with an ArrayHead."""

    cdef object finish  # makes the result out of self.result, or None

    cdef object result_of(self, sp_cell *cell):
        return self.result if self.finish is None else self.finish(self.result)

    cdef object run_here(self, sp_pool *pool=NULL):
        cdef sp_cell *cell
        (<PlanHead *>self.data).pool = pool
        cell = self.cell_from(())
        try:
            with nogil:
                sp_cell_run_inline(cell)
            raise_of(self, cell)
            return self.result_of(cell)
        finally:
            settle(cell)
            sp_task_unref(&cell.task)

    cdef object run_over(self, ExecutorBase executor):
        cdef ArrayHead *head = <ArrayHead *>self.data
        executor.check_open()
        if head.piece == NULL:
            sp_home_count_attach(executor.home.home)
            return self.run_here(executor.home.pool.pool)
        cdef LoopPlan loop = loop_plan(executor, 0, head.n, 0)
        loop.watched.body = head.piece
        loop.watched.user = self.data
        run_loop(executor, self, &loop, None)
        return self.result_of(NULL)


cdef int raise_of(Job job, sp_cell *cell) except -1:
    """Raise what a cell that was run in this thread has ended with."""
    if cell.error == 0:
        return 0
    if sp_cell_was_cancelled(cell):
        raise _CancelledError()
    raise exception_of_error(job.name, cell.error, cell.message, False)


cdef int run_array(void *data, sp_word *ret_value) noexcept nogil:
    """All of it, in one call."""
    cdef ArrayHead *head = <ArrayHead *>data
    return head.piece(0, head.n, data)


cdef ArrayPlan new_array_plan(Kernel kernel, size_t size, int n_views, object result):
    cdef ArrayPlan plan = ArrayPlan.__new__(ArrayPlan)
    plan.allocate(size)
    plan.name = kernel.name
    plan.run_fn = run_array
    plan.pins = Pins(kernel, n_views)
    plan.result = result
    return plan


# --------------------------------------------------------------------------- batches

ctypedef int (*batch_fn)(
    const void *x, intptr_t n, void *out, void *user
) noexcept nogil

cdef struct BatchPlan:
    ArrayHead head
    batch_fn function
    char *x
    char *out
    intptr_t x_item
    intptr_t out_item
    void *user


cdef int batch_piece(intptr_t begin, intptr_t end, void *data) noexcept nogil:
    cdef BatchPlan *plan = <BatchPlan *>data
    return plan.function(
        plan.x + begin * plan.x_item, end - begin, plan.out + begin * plan.out_item,
        plan.user,
    )


def plan_batch(Kernel kernel not None, x, out, user):
    """Plan a batch of checked arrays; `user` is a buffer or None."""
    cdef ArrayPlan plan = new_array_plan(kernel, sizeof(BatchPlan), 3, out)
    cdef BatchPlan *data = <BatchPlan *>plan.data
    data.head.piece = batch_piece
    data.head.n = x.size
    data.function = <batch_fn>kernel.callee.function
    data.x = <char *>plan.pins.add(x).buf
    data.out = <char *>plan.pins.add(out).buf
    data.x_item = x.itemsize
    data.out_item = out.itemsize
    data.user = user_pointer(kernel, plan.pins, user)
    return plan


cdef void *user_pointer(Kernel kernel, Pins pins, object user) except? NULL:
    """The user data that the kernel was made with, or those of this call."""
    if user is None:
        return kernel.bound
    return kernel.pin(
        &kernel.parameters[kernel.n_parameters - 1], user, kernel.n_parameters - 1, pins
    )


# ----------------------------------------------------------------------------- loops


cdef int loop_piece(intptr_t begin, intptr_t end, void *data) noexcept nogil:
    return sp__array_loop_run(begin, end, <char *>data + sizeof(ArrayHead))


def plan_loop(
    Kernel kernel not None, object address, object data, list operands, tuple shape,
    list strides, list core_dims, list core_steps, object result,
):
    """Plan a loop of NumPy's kind over operands that fit together.

    `shape` are the outer axes, at least one, and `strides` each operand's strides
    along them; `core_dims` are the sizes, and `core_steps` the strides, of core
    dimensions.
    """
    cdef size_t n_axes = len(shape)
    cdef size_t n = len(operands)
    if n > SP__LOOP_MAX_OPERANDS or max(
        n_axes, <size_t>len(core_dims), <size_t>len(core_steps)
    ) > SP__LOOP_MAX_AXES:
        raise ValueError(f"kernel {kernel.name}: too many operands or axes")
    cdef size_t size = sp__array_loop_size(n, n_axes, len(core_dims), len(core_steps))
    cdef ArrayPlan plan = new_array_plan(
        kernel, sizeof(ArrayHead) + size, <int>n, result
    )
    cdef sp_array_loop *loop
    loop = <sp_array_loop *>(<char *>plan.data + sizeof(ArrayHead))
    cdef intptr_t *word = loop.words
    loop.function = <sp__loop_fn><uintptr_t>address
    loop.data = <void *><uintptr_t>data
    loop.n_operands = <int>n
    loop.n_axes = <int>n_axes
    loop.n_core_dims = <int>len(core_dims)
    loop.n_core_steps = <int>len(core_steps)
    for operand in operands:
        word[0] = <intptr_t>plan.pins.add(operand).buf
        word += 1
    for numbers in (shape, core_dims, core_steps, *strides):
        for number in numbers:
            word[0] = number
            word += 1
    sp__array_loop_coalesce(loop, 0)
    (<ArrayHead *>plan.data).piece = loop_piece
    (<ArrayHead *>plan.data).n = loop.words[loop.n_operands]
    return plan


# ----------------------------------------------------------------------------- tiles

cdef struct TilePlan:
    ArrayHead head
    sp_tile_fn function
    void *user
    sp_view src
    sp_view dst
    sp_tiling tiling
    char[16] fill  # one sample


cdef int run_tiles(void *data, sp_word *ret_value) noexcept nogil:
    cdef TilePlan *plan = <TilePlan *>data
    plan.tiling.fill = plan.fill  # the plan may have been copied
    return sp_parallel_tiles(
        plan.head.head.pool, &plan.src, &plan.dst, &plan.tiling, plan.function,
        plan.user,
    )


def plan_tiles(
    Kernel kernel not None, src, dst, tuple halo, str border, bytes fill not None, user
):
    """Plan a tile kernel over checked images; `fill` is one sample."""
    cdef ArrayPlan plan = new_array_plan(kernel, sizeof(TilePlan), 3, dst)
    cdef TilePlan *data = <TilePlan *>plan.data
    plan.run_fn = run_tiles
    data.function = <sp_tile_fn>kernel.callee.function
    fill_image(&data.src, plan.pins, src)
    fill_image(&data.dst, plan.pins, dst)
    data.user = user_pointer(kernel, plan.pins, user)
    data.tiling.halo_y, data.tiling.halo_x = halo
    data.tiling.src_item = src.itemsize
    data.tiling.dst_item = dst.itemsize
    data.tiling.border = <sp_border><int>BORDERS[border]
    memcpy(data.fill, <const char *>fill, min(len(fill), sizeof(data.fill)))
    return plan
