# Planning u.reduce(a, axis=...) and u.accumulate(a, axis=...): split over the axes
# that are kept, never over those that are reduced, so that each result is the sum,
# or what it is, of the same terms in the same order as with NumPy.

@cython.final
@cython.no_gc
cdef class Fold:
    """The arguments of a reduction, sorted out."""

    cdef PyArrayObject *array
    cdef object operand
    cdef object out
    cdef object mask
    cdef set axes           # to be reduced
    cdef bint keeps_dims
    cdef bint has_initial
    cdef object initial     # None = begin with the first element
    cdef object dtype
    cdef widen_fn widen     # NULL = no conversion


# What NumPy calls the arguments that come by position, after the array.
cdef tuple REDUCE_NAMES = ("axis", "dtype", "out", "keepdims", "initial", "where")
cdef tuple ACCUMULATE_NAMES = ("axis", "dtype", "out")


cdef Fold fold_of(tuple args, dict kwargs, tuple names):
    """None for what is left to NumPy."""
    cdef Fold f = Fold.__new__(Fold)
    cdef dict named
    cdef int n_dims
    if not args or len(args) > 1 + len(names) or not PyArray_CheckExact(args[0]):
        return None
    named = dict(zip(names, args[1:]))
    for name, value in kwargs.items():
        if name not in names or name in named:
            return None
        named[name] = value
    f.operand = args[0]
    f.array = <PyArrayObject *><void *>f.operand
    n_dims = PyArray_NDIM(f.array)
    axis = named.get("axis", 0)
    if not isinstance(axis, tuple):
        axis = (axis,)
    f.axes = set()
    for each in axis:
        if type(each) is not int or not -n_dims <= each < n_dims:
            return None
        f.axes.add(each % n_dims)
    if len(f.axes) != len(axis) or not 0 < len(f.axes) < n_dims:
        return None
    f.out = named.get("out")
    if isinstance(f.out, tuple) and len(f.out) == 1:
        f.out = f.out[0]
    if f.out is not None and not (
        PyArray_CheckExact(f.out)
        and PyArray_ISWRITEABLE(<PyArrayObject *><void *>f.out)
        and has_places_of_its_own(<PyArrayObject *><void *>f.out)
        and not may_overlap(f.out, f.operand)
    ):
        return None
    f.keeps_dims = named.get("keepdims", False) is True
    if named.get("keepdims", False) not in (True, False):
        return None
    f.initial = named.get("initial", _np._NoValue)
    f.has_initial = f.initial is not _np._NoValue
    f.mask = named.get("where", True)
    if f.mask is True:
        f.mask = None
    elif (
        not PyArray_CheckExact(f.mask)
        or f.mask.dtype.char != "?"
        or f.mask.shape != f.operand.shape
        or (f.out is not None and may_overlap(f.out, f.mask))
    ):
        return None
    f.dtype = named.get("dtype")
    return f


cdef tuple resolve_fold(Fold f, object ufunc, bint must_match):
    """(dtypes, capsule) of the loop; None if NumPy must cast."""
    cdef dict keywords = {"casting": "unsafe", "reduction": True}
    cdef tuple dtypes
    if f.dtype is not None:
        keywords["signature"] = (f.dtype, None, None)
    out_dtype = None if f.out is None else f.out.dtype
    dtypes, info = ufunc._resolve_dtypes_and_context(
        (out_dtype, f.operand.dtype, None), **keywords
    )
    f.widen = NULL
    if dtypes[0] != dtypes[2]:
        return None
    if needs_cast(f.array, dtypes[1]):
        if must_match or dtypes[0] != dtypes[1]:
            return None
        f.widen = widening_between(f.operand.dtype, dtypes[1])
        if f.widen == NULL:
            return None
    if f.out is not None and needs_cast(
        <PyArrayObject *><void *>f.out, dtypes[0]
    ):
        return None
    if must_match and dtypes[0] != dtypes[1]:
        return None
    return dtypes, info


cdef bint take_start(Call call, Fold f, object ufunc, object dtype) except -1:
    """What the results begin with."""
    cdef sp__grid *grid = &call.job.grid
    cdef object initial = f.initial if f.has_initial else ufunc.identity
    grid.item_size = dtype.itemsize
    if grid.item_size > sizeof(grid.initial):
        return False
    if initial is None:
        grid.start = SP__GRID_COPY
        return f.mask is None  # or else NumPy refuses
    if not f.has_initial:
        initial = identity_of(ufunc, dtype, initial)
        if initial is None:
            return False
    start = _np.empty((), dtype)
    start[()] = initial
    grid.start = SP__GRID_FILL
    memcpy(
        grid.initial, PyArray_BYTES(<PyArrayObject *><void *>start), grid.item_size
    )
    return True


cdef dict identities = {}


cdef object identity_of(object ufunc, object dtype, object identity):
    """What a loop begins with, which may depend on the dtype.

    For floats, a sum may begin with -0.0, in some versions of NumPy: the sum of -0.0
    tells. Unsigned all-ones are -1.
    """
    key = ufunc, dtype
    if key not in identities:
        found = _np.empty((), dtype)
        if dtype.kind == "u" and identity == -1:
            found[()] = ~dtype.type(0)
        else:
            found[()] = identity
        if dtype.kind in "fc" and identity == 0:
            zero = _np.empty((1, 1), dtype)
            zero[...] = -0.0
            begun = ufunc.reduce(zero, axis=0)
            if _np.signbit(begun.real[0]) and ufunc is _np.add:
                found[()] = -0.0
        identities[key] = found
    return identities[key]


cdef Call plan_reduce(Fold f, object ufunc, tuple dtypes, object info):
    cdef Call call = Call.__new__(Call)
    cdef sp__grid *grid = &call.job.grid
    cdef sp__grid_dim dim
    cdef PyUFuncObject *u = <PyUFuncObject *><void *>ufunc
    cdef int n = 2 + (f.mask is not None), i, n_dims
    cdef int n_kept = <int>len(kept_shape(f))
    cdef NpyIter *iterator
    if len(f.axes) > 1 and u.identity == PyUFunc_None:
        return None  # NumPy refuses
    if not take_start(call, f, ufunc, dtypes[0]):
        return None
    if grid.start == SP__GRID_COPY and (dtypes[0] != dtypes[1] or f.widen != NULL):
        return None
    iterator = fold_iterator(f, dtypes)
    try:
        if f.out is None:
            f.out = owned(NpyIter_GetOperandArray(iterator)[0])
        if not call.take_grid(iterator, n):
            return None
    finally:
        NpyIter_Deallocate(iterator)

    if f.mask is not None:  # the loop has its operands: out, in, out; then the mask
        grid.mask = 3
    spread(grid.data, n)
    spread(<char **>grid.inner.strides, n)
    grid.n_copied = n + 1
    grid.inner_is_free = grid.inner.strides[0] != 0 or grid.inner.length == 1
    n_dims = grid.n_free
    grid.n_free = 0
    for i in range(n_dims):
        dim = grid.free[i]
        spread(<char **>dim.strides, n)
        if dim.strides[0] != 0:
            grid.free[grid.n_free] = dim
            grid.n_free += 1
        else:
            grid.fold[grid.n_fold] = dim
            grid.n_fold += 1
    if grid.inner_is_free:
        # The loop is called for each row of each block: wide blocks, or none.
        grid.block = 512
        grid.most_blocks = 8
    call.job.n_indices = sp__grid_indices(grid)
    if call.job.n_indices < (8 if grid.inner_is_free else 2):
        return None
    strides = [grid.inner.strides[i] for i in range(3)]
    if f.widen != NULL:
        if not grid.inner_is_free and not is_grouped_freely(ufunc, dtypes[0]):
            return None
        strides[1] = dtypes[1].itemsize
    if not call.take_loop(ufunc, info, tuple(strides)):
        return None
    if f.widen != NULL:
        call.job.wide.loop = grid.loop
        call.job.wide.context = grid.context
        call.job.wide.widen = f.widen
        grid.loop = run_widening
        grid.context = &call.job.wide
    call.name = b"reduce"
    call.operands = [f.operand, f.out, f.mask]
    call.result = f.out if f.out.ndim == n_kept else f.out.reshape(kept_shape(f))
    return call


cdef tuple kept_shape(Fold f):
    """Of the result."""
    return tuple([
        1 if i in f.axes else n
        for i, n in enumerate(f.operand.shape) if f.keeps_dims or i not in f.axes
    ])


cdef void spread(char **words, int n) noexcept:
    """From (out, in, mask) to (out, in, out, mask)."""
    words[3] = words[2]
    words[2] = words[0]


cdef NpyIter *fold_iterator(Fold f, tuple dtypes) except NULL:
    cdef PyArrayObject *operands[3]
    cdef PyArray_Descr *op_dtypes[3]
    cdef uint32_t[3] op_flags
    cdef int[64] axes
    cdef int *op_axes[3]
    cdef int n_dims = PyArray_NDIM(f.array), n = 2, at = 0, i
    if n_dims > 64:
        raise ValueError("too many dimensions")
    for i in range(n_dims):
        if i not in f.axes:
            axes[i] = at
            at += 1
        elif f.keeps_dims and f.out is not None:
            axes[i] = at  # of length 1, as is checked
            at += 1
        else:
            axes[i] = -1
    if f.out is not None and f.out.shape != kept_shape(f):
        raise ValueError("wrong shape")  # which NumPy may broadcast, or refuse
    operands[0] = NULL if f.out is None else <PyArrayObject *><void *>f.out
    operands[1] = f.array
    op_dtypes[0] = <PyArray_Descr *><void *>dtypes[0]
    op_dtypes[1] = <PyArray_Descr *><void *>dtypes[1] if f.widen == NULL else NULL
    op_axes[0] = axes
    op_axes[1] = NULL
    op_flags[0] = (
        NPY_ITER_READWRITE | NPY_ITER_ALIGNED | NPY_ITER_ALLOCATE | NPY_ITER_NO_SUBTYPE
    )
    op_flags[1] = NPY_ITER_READONLY | NPY_ITER_ALIGNED | NPY_ITER_NO_BROADCAST
    if f.mask is not None:
        operands[2] = <PyArrayObject *><void *>f.mask
        op_dtypes[2] = NULL
        op_axes[2] = NULL
        op_flags[2] = NPY_ITER_READONLY
        n = 3
    return NpyIter_AdvancedNew(
        n, operands,
        NPY_ITER_ZEROSIZE_OK | NPY_ITER_REFS_OK | NPY_ITER_DONT_NEGATE_STRIDES
        | NPY_ITER_REDUCE_OK,
        NPY_KEEPORDER, NPY_UNSAFE_CASTING, op_flags, op_dtypes, n_dims, op_axes, NULL,
        0,
    )


cdef Call plan_accumulate(Fold f, object ufunc, tuple dtypes, object info):
    cdef Call call = Call.__new__(Call)
    cdef sp__grid *grid = &call.job.grid
    cdef PyArrayObject *operands[2]
    cdef PyArray_Descr *op_dtypes[2]
    cdef uint32_t[2] op_flags
    cdef NpyIter *iterator
    cdef int axis, i
    cdef npy_intp length
    (axis,) = f.axes
    length = PyArray_DIMS(f.array)[axis]
    if f.out is not None and f.out.shape != f.operand.shape:
        return None
    operands[0] = NULL if f.out is None else <PyArrayObject *><void *>f.out
    operands[1] = f.array
    for i in range(2):
        op_dtypes[i] = <PyArray_Descr *><void *>dtypes[0]
    op_flags[0] = (
        NPY_ITER_READWRITE | NPY_ITER_ALIGNED | NPY_ITER_NO_BROADCAST
        | NPY_ITER_ALLOCATE | NPY_ITER_NO_SUBTYPE
    )
    op_flags[1] = NPY_ITER_READONLY | NPY_ITER_ALIGNED
    iterator = NpyIter_AdvancedNew(
        2, operands, NPY_ITER_MULTI_INDEX | NPY_ITER_REFS_OK | NPY_ITER_ZEROSIZE_OK,
        NPY_KEEPORDER, NPY_UNSAFE_CASTING, op_flags, op_dtypes, -1, NULL, NULL, 0,
    )
    try:
        if f.out is None:
            f.out = owned(NpyIter_GetOperandArray(iterator)[0])
        NpyIter_RemoveAxis(iterator, axis)
        NpyIter_RemoveMultiIndex(iterator)
        if not call.take_grid(iterator, 2) or grid.n_free == SP__GRID_DIMS:
            return None
    finally:
        NpyIter_Deallocate(iterator)
    for i in range(grid.n_free, 0, -1):
        grid.free[i] = grid.free[i - 1]
    grid.free[0] = grid.inner
    grid.n_free += 1
    grid.inner.length = length
    grid.inner.strides[0] = PyArray_STRIDES(<PyArrayObject *><void *>f.out)[axis]
    grid.inner.strides[1] = PyArray_STRIDES(f.array)[axis]
    grid.inner_is_free = False
    spread(grid.data, 2)
    spread(<char **>grid.inner.strides, 2)
    for i in range(grid.n_free):
        spread(<char **>grid.free[i].strides, 2)
    grid.n_copied = 3
    grid.start = SP__GRID_SCAN
    grid.item_size = dtypes[0].itemsize
    call.job.n_indices = sp__grid_indices(grid)
    if call.job.n_indices < 2 or length < 1:
        return None
    strides = tuple([grid.inner.strides[i] for i in range(3)])
    if not call.take_loop(ufunc, info, strides):
        return None
    call.name = b"accumulate"
    call.operands = [f.operand, f.out]
    call.result = f.out
    return call
