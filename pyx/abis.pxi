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

    cdef bint returns_status(self) noexcept:
        return False

    cdef object result_of(self, sp_cell *cell):
        return self.result if self.finish is None else self.finish(self.result)

    cdef object run_over(self, ExecutorBase executor):
        cdef ArrayHead *head = <ArrayHead *>self.data
        executor.check_open()
        if head.piece == NULL:
            return self.run(executor)
        cdef LoopPlan loop = loop_plan(executor, 0, head.n, 0)
        loop.watched.body = head.piece
        loop.watched.user = self.data
        run_loop(executor, self, &loop, None)
        return self.result_of(NULL)


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


# ---------------------------------------------------------- kernels of numbers, mapped

cdef struct Column:
    Type type
    int word
    char *data
    intptr_t stride

cdef struct MapPlan:
    ArrayHead head
    sp_callee callee
    Type returns
    char *out
    int n_columns
    Column[MAX_PARAMETERS] columns
    sp_word[MAX_PARAMETERS] words


cdef int map_piece(intptr_t begin, intptr_t end, void *data) noexcept nogil:
    cdef MapPlan *plan = <MapPlan *>data
    cdef sp_word[MAX_PARAMETERS] words
    cdef sp_word value
    cdef Column *column
    cdef intptr_t i
    cdef int k
    memcpy(words, plan.words, plan.callee.shape.words * sizeof(sp_word))
    for i in range(begin, end):
        if i % 1024 == 0 and sp_cancelled():
            return <int>SP_ECANCELLED
        for k in range(plan.n_columns):
            column = &plan.columns[k]
            load_word(&words[column.word], column.type, column.data + i * column.stride)
        value = sp__call(plan.callee.function, plan.callee.shape, words)
        store_word(plan.returns, plan.out, i, value)
    return 0


cdef inline void load_word(sp_word *word, Type type, const char *at) noexcept nogil:
    if type == T_FLOAT64:
        word.real = (<const double *>at)[0]
    elif type == T_FLOAT32:
        word.real32 = (<const float *>at)[0]
    elif type == T_INT64 or type == T_UINT64:
        word.integer = (<const int64_t *>at)[0]
    elif type == T_INT32:
        word.integer = (<const int32_t *>at)[0]
    elif type == T_UINT32:
        word.integer = (<const uint32_t *>at)[0]
    elif type == T_INT16:
        word.integer = (<const int16_t *>at)[0]
    elif type == T_UINT16:
        word.integer = (<const uint16_t *>at)[0]
    elif type == T_INT8:
        word.integer = (<const int8_t *>at)[0]
    else:  # bool, too
        word.integer = (<const uint8_t *>at)[0]


cdef inline void store_word(
    Type type, char *out, intptr_t i, sp_word value
) noexcept nogil:
    if type == T_FLOAT64:
        (<double *>out)[i] = value.real
    elif type == T_FLOAT32:
        (<float *>out)[i] = value.real32
    elif type == T_INT64 or type == T_UINT64:
        (<int64_t *>out)[i] = value.integer
    elif type == T_INT32 or type == T_UINT32:
        (<int32_t *>out)[i] = <int32_t>value.integer
    elif type == T_INT16 or type == T_UINT16:
        (<int16_t *>out)[i] = <int16_t>value.integer
    else:
        (<int8_t *>out)[i] = <int8_t>value.integer


def columns_of(Kernel kernel not None):
    """(dtypes of the arguments, dtype of the result) of a kernel of numbers that
    cannot fail; None for others."""
    cdef int i
    cdef list dtypes = []
    if type(kernel) is not Kernel or kernel.callee.returns_status:
        return None
    if kernel.returns == T_VOID or kernel.n_arguments == 0:
        return None
    for i in range(kernel.n_parameters):
        if kernel.parameters[i].type == T_POINTER:
            return None
        if kernel.parameters[i].type != T_BOUND:
            dtypes.append(TYPE_NAMES[<int>kernel.parameters[i].type])
    return dtypes, TYPE_NAMES[<int>kernel.returns]


def mapped_kernel(Kernel kernel not None, planner):
    """A kernel of columns: `planner(kernel, args, kwargs)` calls plan_map()."""
    cdef ArrayKernel made = ArrayKernel.__new__(ArrayKernel)
    made.name = kernel.name
    made.signature = kernel.signature
    made.source = kernel
    made.planner = planner
    made.n_pointers = 1  # its plans have pins
    return made


def plan_map(Kernel kernel not None, tuple columns, out):
    """Plan the calls of a kernel of numbers for each row of checked columns."""
    cdef ArrayPlan plan = new_array_plan(
        kernel, sizeof(MapPlan), <int>len(columns) + 1, out
    )
    cdef MapPlan *data = <MapPlan *>plan.data
    cdef Py_buffer *view
    cdef Parameter *parameter
    cdef int i
    data.head.piece = map_piece
    data.head.n = out.size
    data.callee = kernel.callee
    data.returns = kernel.returns
    data.out = <char *>plan.pins.add(out).buf
    for i in range(kernel.n_parameters):
        parameter = &kernel.parameters[i]
        if parameter.type == T_BOUND:
            data.words[parameter.word].pointer = kernel.bound
            continue
        view = plan.pins.add(columns[data.n_columns])
        data.columns[data.n_columns] = Column(
            parameter.type, parameter.word, <char *>view.buf, view.strides[0]
        )
        data.n_columns += 1
    return plan
