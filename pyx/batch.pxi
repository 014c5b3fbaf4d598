# submit_many(): all calls are checked and converted first, then queued in one step.
#
# The calls of a kernel that takes numbers only share blocks of cells (block.h). One
# that takes arrays pins them for each call, and an executor with a queue_capacity
# admits calls as there is room: there each call is made alone, as submit() does it.


@cython.final
@cython.no_gc
cdef class Batch:
    """Cells of a kernel, in blocks; ours until they are queued."""

    cdef Kernel kernel
    cdef Home home
    cdef sp_block **blocks
    cdef size_t n, n_blocks

    def __cinit__(self, Kernel kernel, Home home, size_t n):
        cdef size_t i, most = (n + SP_BLOCK_MOST - 1) // SP_BLOCK_MOST
        self.kernel = kernel
        self.home = home
        self.n = n
        self.blocks = <sp_block **>malloc(most * sizeof(sp_block *))
        if self.blocks == NULL:
            raise MemoryError(f"stealpool: no memory for {n} tasks")
        for i in range(most):
            self.blocks[i] = sp_block_for_calls(
                &kernel.callee, min(n - i * SP_BLOCK_MOST, <size_t>SP_BLOCK_MOST),
                home.home,
            )
            if self.blocks[i] == NULL:
                raise MemoryError(f"stealpool: no memory for {n} tasks")
            self.n_blocks += 1

    def __dealloc__(self):
        cdef size_t i
        for i in range(self.n_blocks):
            sp_block_free(self.blocks[i])
        free(self.blocks)

    cdef int convert_columns(self, Columns columns) except -1:
        cdef size_t i
        for i in range(self.n_blocks):
            columns.convert(self.blocks[i], i * SP_BLOCK_MOST)
        return 0

    cdef int convert_rows(self, list rows) except -1:
        """Each is a tuple of arguments, or the only argument."""
        cdef Kernel kernel = self.kernel
        cdef Parameter *only = kernel.only_argument()
        cdef sp_block *block
        cdef sp_word *words
        cdef size_t i, k
        for i in range(self.n_blocks):
            block = self.blocks[i]
            for k in range(block.n_cells):
                row = rows[i * SP_BLOCK_MOST + k]
                words = sp_block_cell(block, k).words
                if type(row) is tuple:
                    kernel.check_count(len(<tuple>row))
                    kernel.fill_words(words, 0, <tuple>row, None)
                else:
                    kernel.check_count(1)
                    kernel.convert(&words[only.word], only, row, 0, None)
                    kernel.bind(words)
        return 0

    cdef list futures(self):
        """A Future for each cell. If there is no memory, they know nothing of it."""
        cdef list made = PyList_New(self.n)
        PyObject_GC_UnTrack(made)  # no collection shall look at it again and again
        cdef FutureBase future
        cdef sp_block *block
        cdef size_t i, k, n = 0
        try:
            for i in range(self.n_blocks):
                block = self.blocks[i]
                for k in range(block.n_cells):
                    future = empty_future(self.home, self.kernel)
                    attach(future, sp_block_cell(block, k))
                    Py_INCREF(future)
                    PyList_SET_ITEM(made, n, future)
                    n += 1
        except BaseException:
            for i in range(n):
                (<FutureBase>made[i]).link.cell = NULL
            raise
        finally:
            PyObject_GC_Track(made)
        return made

    cdef sp_status queue(self, ExecutorBase executor) except? SP_EINVAL:
        """Queue the cells, which are their Futures' from now on."""
        cdef Home home = self.home
        cdef sp_status status = SP_OK
        cdef bint may_run = not sp_canceller_is_cancelled(home.home.canceller)
        cdef sp_pool *pool
        cdef size_t i, n = self.n_blocks
        self.n_blocks = 0
        for i in range(n):
            Py_INCREF(self.kernel)  # dropped with the last cell; see settle()
            self.blocks[i].keep = <void *>self.kernel
        try:
            pool = home.pool.made()
            with cython.critical_section(home):
                executor.check_not_closed()
                if may_run:
                    sp_blocks_join(self.blocks, n, home.home)
                    status = sp_blocks_submit(pool, self.blocks, n)
                else:
                    sp_blocks_refuse(self.blocks, n)
        except BaseException:
            sp_blocks_refuse(self.blocks, n)
            raise
        if status == SP_OK and may_run:
            executor.count_submitted(self.n)
        return status


cdef list submit_calls(ExecutorBase executor, Kernel kernel, object arguments):
    """One call for each entry of `arguments`."""
    cdef Columns columns = None
    cdef list rows = None
    cdef Batch batch
    cdef list futures
    cdef bint are_alone = type(kernel) is not Kernel or kernel.n_pointers > 0
    if executor.home.gates is not None:
        are_alone = True
    if not isinstance(arguments, (list, tuple)) and is_array(arguments):
        check_array(kernel, arguments)
        if not are_alone:
            columns = columns_in(kernel, arguments)
        if columns is None:
            rows = arguments.tolist()
            if arguments.ndim == 2:
                rows = [tuple(row) for row in rows]
    else:
        rows = list(arguments)
    cdef size_t n = len(rows) if columns is None else columns.n
    if n == 0:
        return []
    if are_alone:
        return submit_alone(executor, kernel, rows)
    batch = Batch(kernel, executor.home, n)
    if columns is None:
        batch.convert_rows(rows)
        rows = None
    else:
        batch.convert_columns(columns)
    futures = batch.futures()
    raise_status(batch.queue(executor))
    see_all_to_end(executor.home, futures)
    return futures


cdef int see_all_to_end(Home home, list futures) except -1:
    """What see_to_end() does, for futures that were queued together."""
    cdef sp_cell *cell
    if home.home.timeout_ms:
        set_alarm(home)
    if sp_canceller_is_cancelled(home.home.canceller):
        for future in futures:
            cell = borrow(<FutureBase>future)
            if cell != NULL:
                sp_cell_cancel(cell)
                sp_task_unref(&cell.task)
    return 0


# ------------------------------------------------------------------------- arrays


cdef bint is_array(object arguments) except -1:
    if isinstance(arguments, memoryview):
        return True
    return hasattr(arguments, "__array_interface__")


cdef int check_array(Kernel kernel, object array) except -1:
    cdef int ndim = array.ndim
    if ndim != 2 and (ndim != 1 or kernel.n_pointers):
        raise ValueError(
            f"kernel {kernel.name}: an array of arguments must have one or two "
            f"dimensions and hold scalars, got {ndim} dimensions for the signature "
            f"{kernel.signature}; pass a list of tuples"
        )
    return 0


# --------------------------------------------------------------- each with its own cell


cdef list submit_alone(ExecutorBase executor, Kernel kernel, list rows):
    """Calls that need more than a word for each argument, or wait for room."""
    cdef size_t n = len(rows), i, made = 0, queued = 0
    cdef list futures = []
    cdef sp_task **tasks = <sp_task **>malloc(n * sizeof(sp_task *))
    if tasks == NULL:
        raise MemoryError(f"stealpool: no memory for {n} tasks")
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
            futures.append(new_future(executor.home, job, cell))
        for i in range(n if kernel.n_pointers else 0):
            arm_pins(sp_cell_of(tasks[i]))
        if is_plain(executor.home):
            submit_tasks(executor, tasks, n)
        else:
            while queued < n:
                queued += submit_some(executor, tasks + queued, n - queued)
    except BaseException:
        for future in futures:
            forget(<FutureBase>future)
        raise
    finally:
        free(tasks)
    return futures


cdef int submit_tasks(ExecutorBase executor, sp_task **tasks, size_t n) except -1:
    """Queue cells, which are their Futures'."""
    cdef Home home = executor.home
    cdef sp_pool *pool = home.pool.made()
    cdef sp_status status
    cdef size_t i
    with cython.critical_section(home):
        executor.check_not_closed()
        for i in range(n):
            sp_cell_join(sp_cell_of(tasks[i]), home.home)
        status = sp_submit_many(pool, tasks, n)
    if status != SP_OK:
        for i in range(n):
            take_back(sp_cell_of(tasks[i]))
        raise_status(status)
    executor.count_submitted(n)
    return 0


cdef size_t submit_some(ExecutorBase executor, sp_task **tasks, size_t n) except 0:
    """Queue, cancel or run as many as the home's settings allow; how many."""
    cdef Home home = executor.home
    cdef size_t i
    cdef uint32_t most, room = <uint32_t>min(n, <size_t>SP_GATE_MOST)
    cdef bint may_block
    cdef sp_gate *gate = NULL
    if sp_canceller_is_cancelled(home.home.canceller):
        for i in range(n):
            sp_task_cancel(tasks[i])
        return n
    if home.gates is not None:
        gate = &home.gates.gates[SP_NATIVE_LANE]
        if home.gates.on_full == RAISE:
            if not sp_gate_enter(gate, room, room):
                raise_full(home.gates, SP_NATIVE_LANE)
        else:
            most = room
            room = sp_gate_enter(gate, 1, most)
            may_block = home.gates.on_full == BLOCK and not is_on_lane_of(home)
            if room == 0 and may_block:
                room = await_room(home, gate, most)
    if room == 0:
        sp_gate_enter_anyway(gate)
        executor.run_here(sp_cell_of(tasks[0]))
        return 1
    try:
        submit_tasks(executor, tasks, room)
    except BaseException:
        leave(home, SP_NATIVE_LANE, room)
        raise
    for i in range(room):
        see_to_end(home, sp_cell_of(tasks[i]))
    return room
