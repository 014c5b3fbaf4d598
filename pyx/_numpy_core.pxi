# Planning a call of a generalised ufunc, such as matmul: split over the dimensions that
# its signature does not name.
#
# NumPy lets axis= and axes= say which axes the names mean, where they are not the last
# ones. Here the operands are turned so that they are, and the results turned back.


cdef Call plan_core(Arguments a, object ufunc):
    cdef Call call = Call.__new__(Call)
    cdef sp__grid *grid = &call.job.grid
    cdef PyUFuncObject *u = <PyUFuncObject *><void *>ufunc
    cdef npy_intp[SP__GRID_CORE] sizes
    cdef int n = u.nargs, i, n_strides = 0
    cdef NpyIter *iterator
    cdef list given = None, axes = None
    if a.mask is not None or u.core_num_dim_ix > SP__GRID_CORE:
        return None
    if a.axes is not None:
        given = list(a.operands)
        axes = find_axes(a, u)
        if axes is None or not turn(a, u, axes):
            return None
    for i in range(n):
        n_strides += u.core_num_dims[i]
        if a.operands[i] is None:
            continue
        if i >= a.n_in and needs_cast(a.array(i), a.dtypes[i]):
            return None
        if i < a.n_in and not _np.can_cast(a.operands[i].dtype, a.dtypes[i]):
            return None  # it may warn
    if n_strides > SP__GRID_CORE or overlaps_badly(a, True):
        return None
    if not find_core_sizes(a, u, sizes):
        return None
    iterator = core_iterator(a, u, sizes)
    try:
        for i in range(n):  # inputs may have been cast
            a.operands[i] = owned(NpyIter_GetOperandArray(iterator)[i])
        if not call.take_grid(iterator, n):
            return None
    finally:
        NpyIter_Deallocate(iterator)

    grid.n_core_dims = u.core_num_dim_ix
    memcpy(grid.core_dims, sizes, u.core_num_dim_ix * sizeof(npy_intp))
    take_core_strides(grid, a, u)
    grid.block = 1
    grid.most_blocks = 256
    call.job.n_indices = sp__grid_indices(grid)
    if call.job.n_indices < 2:
        return None  # nothing to split
    strides = [grid.inner.strides[i] for i in range(n)]
    if not call.take_loop(ufunc, a.info, tuple(strides)):
        return None
    call.name = ufunc.__name__.encode()
    call.operands = a.operands
    outputs = a.operands[a.n_in:]
    if axes is not None:
        for i in range(a.n_in, n):
            outputs[i - a.n_in] = (
                turned_back(a.operands[i], axes[i], a.axes.get("keepdims", False))
                if given[i] is None else given[i]
            )
    call.result = outputs[0] if a.n_out == 1 else tuple(outputs)
    return call


cdef list find_axes(Arguments a, PyUFuncObject *u):
    """Of each operand, the axes that the signature names; none below 0.

    None for what NumPy refuses, or is not understood here.
    """
    cdef object axis = a.axes.get("axis"), keepdims = a.axes.get("keepdims", False)
    cdef object axes = a.axes.get("axes"), each
    cdef list found = []
    cdef int n_core = u.core_num_dims[0], n_outer = 0, n_dims, i
    if type(keepdims) is not bool or (axis is not None and axes is not None):
        return None
    for i in range(u.nargs):
        if i < a.n_in:
            if a.array(i) == NULL or PyArray_NDIM(a.array(i)) < u.core_num_dims[i]:
                return None
            n_outer = max(n_outer, PyArray_NDIM(a.array(i)) - u.core_num_dims[i])
        if "keepdims" in a.axes and u.core_num_dims[i] != (n_core if i < a.n_in else 0):
            return None
    if axis is not None and (type(axis) is not int or u.core_num_dim_ix != 1):
        return None
    if type(axes) is list and len(axes) == a.n_in and not keepdims:
        axes = axes + [()] * a.n_out  # those have none, or else there is nothing to do
    if axes is not None and (type(axes) is not list or len(axes) != u.nargs):
        return None
    for i in range(u.nargs):
        n_named = n_core if keepdims else u.core_num_dims[i]
        n_dims = n_outer + n_named if i >= a.n_in else PyArray_NDIM(a.array(i))
        if a.array(i) != NULL and PyArray_NDIM(a.array(i)) != n_dims:
            return None
        if axes is not None:
            each = axes[i] if type(axes[i]) is tuple else (axes[i],)
        elif axis is not None:
            each = (axis,) * n_named
        else:
            each = tuple(range(n_dims - n_named, n_dims))
        if len(each) != n_named:
            return None
        for number in each:
            if type(number) is not int or not -n_dims <= number < n_dims:
                return None
        each = tuple([number % n_dims for number in each])
        if len(set(each)) != n_named:
            return None
        found.append(each)
    return found


cdef bint turn(Arguments a, PyUFuncObject *u, list axes) except -1:
    """Put the named axes last; of outputs that keep those of the inputs, drop them."""
    cdef object each
    cdef int i
    for i in range(u.nargs):
        each = a.operands[i]
        if each is None:
            continue
        others = [axis for axis in range(each.ndim) if axis not in axes[i]]
        if len(axes[i]) == u.core_num_dims[i]:
            a.operands[i] = each.transpose(*others, *axes[i])
            continue
        for axis in axes[i]:
            if each.shape[axis] != 1:
                return False
        a.operands[i] = each.reshape([each.shape[axis] for axis in others])
        if not may_overlap(a.operands[i], each):
            return False  # a copy, or empty
    return True


cdef object turned_back(object output, tuple axes, bint keepdims):
    if keepdims:
        return _np.expand_dims(output, axes)
    n_others = output.ndim - len(axes)
    return _np.moveaxis(output, range(n_others, output.ndim), axes)


cdef bint find_core_sizes(Arguments a, PyUFuncObject *u, npy_intp *sizes) except -1:
    """The sizes of the named dimensions. False: NumPy knows better, or refuses."""
    cdef int i, j, name, n_core
    cdef npy_intp size
    cdef PyArrayObject *array
    for i in range(u.core_num_dim_ix):
        sizes[i] = u.core_dim_sizes[i]  # -1, if it is not part of the signature
    for i in range(u.nargs):
        array = a.array(i)
        if array == NULL:
            continue
        n_core = u.core_num_dims[i]
        if PyArray_NDIM(array) < n_core:
            return False
        for j in range(n_core):
            name = u.core_dim_ixs[u.core_offsets[i] + j]
            size = PyArray_DIMS(array)[PyArray_NDIM(array) - n_core + j]
            if sizes[name] < 0:
                sizes[name] = size
            elif sizes[name] != size:
                return False
    for i in range(u.core_num_dim_ix):
        if sizes[i] < 0:
            return False
    return True


cdef NpyIter *core_iterator(
    Arguments a, PyUFuncObject *u, npy_intp *sizes
) except NULL:
    """NumPy's iterator over the other dimensions; it casts inputs, allocates outputs.

    If one output has dimensions of its own, they are part of it until that is
    allocated, so that it is laid out as by NumPy.
    """
    cdef PyArrayObject *operands[SP__GRID_ARGS]
    cdef PyArray_Descr *dtypes[SP__GRID_ARGS]
    cdef uint32_t[SP__GRID_ARGS] op_flags
    cdef int axes[SP__GRID_ARGS][64]
    cdef int *op_axes[SP__GRID_ARGS]
    cdef npy_intp[64] shape
    cdef int n_outer = 0, n_dims, i, j, at, own
    cdef NpyIter *iterator
    for i in range(u.nargs):
        if a.array(i) != NULL:
            n_outer = max(n_outer, PyArray_NDIM(a.array(i)) - u.core_num_dims[i])
    allocate_outputs(a, u, sizes)
    n_dims = n_outer
    for i in range(a.n_in, u.nargs):
        if a.array(i) == NULL:
            n_dims += u.core_num_dims[i]
    if n_dims > 64:
        raise ValueError("too many dimensions")
    for j in range(n_outer):
        shape[j] = -1
    at = n_outer
    for i in range(u.nargs):
        own = n_outer
        if a.array(i) != NULL:
            own = PyArray_NDIM(a.array(i)) - u.core_num_dims[i]
        for j in range(n_outer):
            axes[i][j] = j - (n_outer - own) if j >= n_outer - own else -1
        for j in range(n_outer, n_dims):
            axes[i][j] = -1
        if a.array(i) == NULL:
            for j in range(u.core_num_dims[i]):
                shape[at] = sizes[u.core_dim_ixs[u.core_offsets[i] + j]]
                axes[i][at] = own + j
                at += 1
        op_axes[i] = axes[i]
        operands[i] = a.array(i)
        dtypes[i] = <PyArray_Descr *><void *>a.dtypes[i]
        if i < a.n_in:
            op_flags[i] = (
                NPY_ITER_ALIGNED | NPY_ITER_COPY | NPY_ITER_READONLY | u.op_flags[i]
            )
        elif u.op_flags[i]:
            op_flags[i] = u.op_flags[i]
        else:
            op_flags[i] = (
                NPY_ITER_ALIGNED | NPY_ITER_WRITEONLY | NPY_ITER_ALLOCATE
                | NPY_ITER_NO_SUBTYPE | NPY_ITER_NO_BROADCAST
            )
    iterator = NpyIter_AdvancedNew(
        u.nargs, operands,
        u.iter_flags | NPY_ITER_MULTI_INDEX | NPY_ITER_REFS_OK | NPY_ITER_ZEROSIZE_OK,
        a.order, NPY_UNSAFE_CASTING, op_flags, dtypes, n_dims, op_axes, shape, 0,
    )
    try:
        for j in range(n_outer, n_dims):
            NpyIter_RemoveAxis(iterator, n_outer)
        NpyIter_RemoveMultiIndex(iterator)
    except BaseException:
        NpyIter_Deallocate(iterator)
        raise
    return iterator


cdef int allocate_outputs(
    Arguments a, PyUFuncObject *u, npy_intp *sizes
) except -1:
    """If several have dimensions of their own, for an iterator cannot do that."""
    cdef int n = 0, i, j
    cdef list shapes
    for i in range(a.n_in, u.nargs):
        n += u.core_num_dims[i] > 0
    if n < 2:
        return 0
    shapes = [
        each.shape[:each.ndim - u.core_num_dims[i]]
        for i, each in enumerate(a.operands) if each is not None
    ]
    outer = _np.broadcast_shapes(*shapes)
    for i in range(a.n_in, u.nargs):
        if a.operands[i] is None:
            core = [
                sizes[u.core_dim_ixs[u.core_offsets[i] + j]]
                for j in range(u.core_num_dims[i])
            ]
            a.operands[i] = _np.empty((*outer, *core), a.dtypes[i])
    return 0


cdef int take_core_strides(sp__grid *grid, Arguments a, PyUFuncObject *u) except -1:
    cdef int i, j, axis
    cdef PyArrayObject *array
    grid.n_core_strides = 0
    for i in range(u.nargs):
        array = a.array(i)
        for j in range(u.core_num_dims[i]):
            axis = PyArray_NDIM(array) - u.core_num_dims[i] + j
            grid.core_strides[grid.n_core_strides] = (
                PyArray_STRIDES(array)[axis] if PyArray_DIMS(array)[axis] != 1 else 0
            )
            grid.n_core_strides += 1
    return 0
