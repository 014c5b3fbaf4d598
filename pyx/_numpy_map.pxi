# Planning u(a, b, out=c): NumPy's rules, applied by NumPy where it has a function for
# them. What is not understood here is left to NumPy, by returning None: it comes to the
# same result, or to the error that NumPy raises.

cdef enum:
    MOST_OPERANDS = 15  # SP__GRID_ARGS, less the mask

cdef dict ORDERS = {
    "K": NPY_KEEPORDER, "C": NPY_CORDER, "F": NPY_FORTRANORDER, "A": NPY_ANYORDER,
}

cdef tuple CORE_NAMES = ("axis", "axes", "keepdims")


@cython.final
@cython.no_gc
cdef class Arguments:
    """The arguments of a call of a ufunc, sorted out."""

    cdef int n_in
    cdef int n_out
    cdef list operands      # arrays, or Python's numbers; None = to be allocated
    cdef object mask        # or None
    cdef NPY_ORDER order
    cdef object casting
    cdef object signature
    cdef dict axes          # axis=, axes= and keepdims= of a generalised ufunc, or None
    cdef tuple dtypes       # of the loop
    cdef object info        # NumPy's capsule

    cdef PyArrayObject *array(self, int i):
        cdef object each = self.operands[i]
        return NULL if each is None else <PyArrayObject *><void *>each


cdef Arguments arguments_of(object ufunc, tuple args, dict kwargs):
    """None for what is left to NumPy: subclasses, overrides, lists, rare keywords."""
    cdef Arguments a = Arguments.__new__(Arguments)
    cdef PyUFuncObject *u = <PyUFuncObject *><void *>ufunc
    cdef int n_given = <int>len(args), i
    a.n_in = u.nin
    a.n_out = u.nout
    if not u.nin <= n_given <= u.nargs or u.nargs > MOST_OPERANDS:
        return None
    a.operands = list(args[:u.nin])
    for i in range(u.nin):
        if not PyArray_CheckExact(a.operands[i]):
            if isinstance(a.operands[i], (_np.generic, bool)):
                a.operands[i] = _np.asarray(a.operands[i])
            elif type(a.operands[i]) not in (int, float, complex):
                return None
    a.operands += args[u.nin:]
    a.operands += [None] * (u.nargs - n_given)
    if not has_dimensions(a):
        return None  # a scalar comes of it
    a.order = NPY_KEEPORDER
    a.casting = "same_kind"
    a.signature = None
    if kwargs and not take_keywords(a, ufunc, kwargs, n_given):
        return None
    for i in range(u.nin, u.nargs):
        if a.operands[i] is not None and not (
            PyArray_CheckExact(a.operands[i])
            and PyArray_ISWRITEABLE(a.array(i))
            and has_places_of_its_own(a.array(i))
        ):
            return None
        if a.mask is not None and (a.operands[i] is None or u.op_flags[i]):
            return None  # NumPy leaves memory as it is, and may warn of that
    for i in range(u.nin):
        if u.op_flags[i] & (NPY_ITER_READWRITE | NPY_ITER_WRITEONLY):
            return None  # an input that is written to
    return a


cdef bint has_dimensions(Arguments a) except -1:
    cdef object each
    for each in a.operands:
        if each is not None and PyArray_CheckExact(each) and each.ndim > 0:
            return True
    return False


cdef bint take_keywords(Arguments a, object ufunc, dict kwargs, int n_given) except -1:
    cdef object value
    for key, value in kwargs.items():
        if key == "out":
            if value is None:
                continue
            if n_given > a.n_in:
                return False
            if not isinstance(value, tuple):
                value = (value,)
            if len(value) != a.n_out:
                return False
            a.operands[a.n_in:] = value
        elif key == "where":
            if value is True:
                continue
            if not PyArray_CheckExact(value) or value.dtype.char != "?":
                return False
            a.mask = value
        elif key == "order":
            if value not in ORDERS:
                return False
            a.order = <NPY_ORDER><int>ORDERS[value]
        elif key in CORE_NAMES and ufunc.signature is not None:
            if a.axes is None:
                a.axes = {}
            a.axes[key] = value
        elif key == "casting":
            a.casting = value
        elif key == "dtype":
            if value is not None:
                if a.signature is not None:
                    return False
                a.signature = (None,) * a.n_in + (value,) * a.n_out
        elif key == "signature" or key == "sig":
            if a.signature is not None:
                return False
            a.signature = value
        else:
            return False
    return True


cdef bint has_places_of_its_own(PyArrayObject *array):
    """Are no two elements in the same place? False also if that is hard to tell."""
    cdef npy_intp *shape = PyArray_DIMS(array)
    cdef npy_intp *strides = PyArray_STRIDES(array)
    cdef int n = PyArray_NDIM(array), i, j
    cdef npy_intp extent
    if PyArray_FLAGS(array) & (NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_F_CONTIGUOUS):
        return True
    for i in range(n):
        extent = PyArray_ITEMSIZE(array)
        for j in range(n):
            # What has shorter steps must fit into one step of this dimension.
            if j != i and shape[j] > 1 and abs(strides[j]) <= abs(strides[i]):
                extent += (shape[j] - 1) * abs(strides[j])
        if shape[i] > 1 and abs(strides[i]) < extent:
            return False
    return True


cdef bint is_same(PyArrayObject *one, PyArrayObject *other):
    """The same elements in the same order, so that in and out may be one."""
    cdef int n = PyArray_NDIM(one), i
    if PyArray_BYTES(one) != PyArray_BYTES(other) or n != PyArray_NDIM(other):
        return False
    if PyArray_ITEMSIZE(one) != PyArray_ITEMSIZE(other):
        return False
    for i in range(n):
        if PyArray_DIMS(one)[i] != PyArray_DIMS(other)[i]:
            return False
        if PyArray_STRIDES(one)[i] != PyArray_STRIDES(other)[i]:
            return False
    return True


cdef void bounds_of(PyArrayObject *array, char **ret_low, char **ret_high) noexcept:
    cdef char *low = PyArray_BYTES(array)
    cdef char *high = low + PyArray_ITEMSIZE(array)
    cdef int i
    cdef npy_intp reach
    for i in range(PyArray_NDIM(array)):
        reach = (PyArray_DIMS(array)[i] - 1) * PyArray_STRIDES(array)[i]
        if reach > 0:
            high += reach
        else:
            low += reach
    ret_low[0] = low
    ret_high[0] = high


cdef bint may_overlap(object one, object other) except -1:
    cdef char *low
    cdef char *high
    cdef char *other_low
    cdef char *other_high
    bounds_of(<PyArrayObject *><void *>one, &low, &high)
    bounds_of(<PyArrayObject *><void *>other, &other_low, &other_high)
    if high <= other_low or other_high <= low:
        return False
    try:  # no harder than NumPy itself tries
        return _np.shares_memory(one, other, max_work=1)
    except _np.exceptions.TooHardError:
        return True


cdef bint overlaps_badly(Arguments a, bint same_is_bad) except -1:
    """Does an output share memory with another operand, beyond u(x, out=x)?"""
    cdef int i, j
    cdef object out, other
    for i in range(a.n_in, a.n_in + a.n_out):
        out = a.operands[i]
        if out is None:
            continue
        if a.mask is not None and may_overlap(out, a.mask):
            return True
        for j in range(a.n_in + a.n_out):
            other = a.operands[j]
            if i == j or other is None:
                continue
            if j < a.n_in and not same_is_bad and is_same(a.array(i), a.array(j)):
                continue
            if may_overlap(out, other):
                return True
    return False


# They ask of each input whether it is true, which is no matter of casting=.
cdef set FROM_ANYTHING = {_np.logical_and, _np.logical_or, _np.logical_xor}


cdef bint resolve(Arguments a, object ufunc) except -1:
    """Have NumPy find the loop's dtypes. False: something may not be cast so.

    NumPy 2.4 crashes when that is so for a Python number; so it is told that anything
    may be cast, and what it finds is checked here.
    """
    cdef object each, dtype
    cdef int i
    cdef bint has_times = False
    cdef list given = []
    cdef dict options
    for each in a.operands:
        if each is None:
            given.append(None)
        elif PyArray_CheckExact(each):
            given.append(each.dtype)
            has_times |= each.dtype.kind in "mM"
        elif a.casting == "same_kind":
            given.append(type(each))
        else:
            return False
    if has_times:  # beside those, a number is as good as an array of numbers
        given = [
            _np.asarray(each).dtype if isinstance(dtype, type) else dtype
            for each, dtype in zip(a.operands, given)
        ]
    options = {} if a.signature is None else {"signature": a.signature}
    a.dtypes, a.info = ufunc._resolve_dtypes_and_context(
        tuple(given), casting="unsafe", **options
    )
    for i in range(a.n_in + a.n_out):
        each = given[i]
        if each is None or isinstance(each, type):
            continue
        if i < a.n_in and a.dtypes[i].kind == "b" and ufunc in FROM_ANYTHING:
            continue
        if not _np.can_cast(
            each if i < a.n_in else a.dtypes[i],
            a.dtypes[i] if i < a.n_in else each,
            a.casting,
        ):
            return False
    return True


cdef bint convert_numbers(Arguments a) except -1:
    """Python's numbers become arrays. False: not as simple as that."""
    cdef int i
    cdef object value, dtype
    for i in range(a.n_in):
        value = a.operands[i]
        if PyArray_CheckExact(value):
            continue
        dtype = a.dtypes[i]
        if dtype.kind not in "biufcmM":
            return False
        if dtype.char in "efF" and not is_harmless(value):
            return False
        a.operands[i] = _np.asarray(value, dtype=dtype)
    return True


cdef bint is_harmless(object value) except -1:
    """Is it far from where half and single precision under- or overflow?"""
    cdef double complex z = value
    cdef double part
    for part in (z.real, z.imag):
        if part != 0 and isfinite(part) and not 1e-4 < fabs(part) < 6e4:
            return False
    return True


cdef bint needs_cast(PyArrayObject *array, object dtype):
    return not PyArray_ISALIGNED(array) or not PyArray_EquivTypes(
        PyArray_DESCR(array), <PyArray_Descr *><void *>dtype
    )


cdef object cast_small(Arguments a, npy_intp buffer_size):
    """Cast small inputs, as NumPy does.

    Returns True if other operands must be cast on the way, None if NumPy must do it.
    """
    cdef bint is_buffered = False
    cdef int i
    cdef object each
    for i in range(a.n_in + a.n_out):
        each = a.operands[i]
        if each is None or not needs_cast(a.array(i), a.dtypes[i]):
            continue
        if (
            i < a.n_in
            and a.mask is None
            and PyArray_NDIM(a.array(i)) <= 1
            and PyArray_SIZE(a.array(i)) <= buffer_size
        ):
            if a.dtypes[i].kind != "b" and not _np.can_cast(each.dtype, a.dtypes[i]):
                return None  # it may warn
            a.operands[i] = each.astype(a.dtypes[i])
        else:
            is_buffered = True
    return is_buffered


cdef Call plan_map(Arguments a, object ufunc, int n_threads):
    """Plan a call of an ordinary ufunc whose dtypes are resolved."""
    cdef Call call = Call.__new__(Call)
    cdef npy_intp buffer_size = _np.getbufsize()
    cdef object is_buffered = cast_small(a, buffer_size)
    if is_buffered is None or overlaps_badly(a, is_buffered):
        return None
    call.name = ufunc.__name__.encode()
    if is_buffered:
        if not plan_buffered(call, a, ufunc, buffer_size, n_threads):
            return None
    else:
        if a.mask is None and a.n_out == 1:
            if not plan_trivial(call, a, ufunc) and not plan_grid(call, a, ufunc):
                return None
        elif not plan_grid(call, a, ufunc):
            return None
        call.job.n_indices = sp__grid_indices(&call.job.grid)
    call.operands = a.operands + [a.mask]
    if a.n_out == 1:
        call.result = a.operands[a.n_in]
    else:
        call.result = tuple(a.operands[a.n_in:])
    return call


cdef bint plan_trivial(Call call, Arguments a, object ufunc) except -1:
    """As NumPy's try_trivial_single_output_loop(): one call would do for all.

    With the same steps, for some loops choose their code by them.
    """
    cdef sp__grid *grid = &call.job.grid
    cdef int ordered = 0, flags, n_dims = 0, i, j
    cdef npy_intp *shape = NULL
    cdef PyArrayObject *array
    cdef object out
    if a.order == NPY_CORDER:
        ordered = NPY_ARRAY_C_CONTIGUOUS
    elif a.order == NPY_FORTRANORDER:
        ordered = NPY_ARRAY_F_CONTIGUOUS
    for i in range(a.n_in + 1):
        array = a.array(i)
        if array == NULL:
            continue
        if PyArray_NDIM(array) == 0 and i < a.n_in:
            grid.inner.strides[i] = 0
            continue
        if n_dims == 0:
            n_dims = PyArray_NDIM(array)
            shape = PyArray_DIMS(array)
        elif PyArray_NDIM(array) != n_dims:
            return False
        for j in range(n_dims):
            if PyArray_DIMS(array)[j] != shape[j]:
                return False
        if n_dims == 1:
            grid.inner.strides[i] = PyArray_STRIDES(array)[0]
            continue
        grid.inner.strides[i] = PyArray_ITEMSIZE(array)
        flags = PyArray_FLAGS(array)
        flags &= NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_F_CONTIGUOUS
        if flags == 0 or (ordered and flags != ordered):
            return False
        ordered = flags
    if n_dims == 0:
        return False
    if a.array(a.n_in) == NULL:
        dtype = a.dtypes[a.n_in]
        Py_INCREF(dtype)  # which PyArray_Empty() steals
        out = PyArray_Empty(
            n_dims, shape, <PyArray_Descr *><void *>dtype,
            ordered == NPY_ARRAY_F_CONTIGUOUS,
        )
        a.operands[a.n_in] = out
        grid.inner.strides[a.n_in] = PyArray_ITEMSIZE(a.array(a.n_in))
    grid.n_copied = a.n_in + 1
    for i in range(grid.n_copied):
        grid.data[i] = PyArray_BYTES(a.array(i))
    grid.inner.length = PyArray_SIZE(a.array(a.n_in))
    if grid.inner.length == 0:
        return False
    return call.take_loop(
        ufunc, a.info, tuple([grid.inner.strides[i] for i in range(grid.n_copied)])
    )


cdef NpyIter *iterator_of(
    Arguments a, object ufunc, uint32_t flags, npy_intp buffer_size
) except NULL:
    """NumPy's iterator for the call; allocates outputs."""
    cdef PyUFuncObject *u = <PyUFuncObject *><void *>ufunc
    cdef PyArrayObject *operands[SP__GRID_ARGS]
    cdef PyArray_Descr *dtypes[SP__GRID_ARGS]
    cdef uint32_t[SP__GRID_ARGS] op_flags
    cdef int n = a.n_in + a.n_out, i
    cdef NpyIter *iterator
    for i in range(n):
        operands[i] = a.array(i)
        dtypes[i] = <PyArray_Descr *><void *>a.dtypes[i]
        op_flags[i] = NPY_ITER_ALIGNED | NPY_ITER_OVERLAP_ASSUME_ELEMENTWISE
        if i < a.n_in:
            op_flags[i] |= NPY_ITER_READONLY | u.op_flags[i]
            continue
        op_flags[i] |= NPY_ITER_ALLOCATE | NPY_ITER_NO_BROADCAST | NPY_ITER_NO_SUBTYPE
        if u.op_flags[i]:
            op_flags[i] = u.op_flags[i]
        elif a.mask is None:
            op_flags[i] |= NPY_ITER_WRITEONLY
        else:
            op_flags[i] |= NPY_ITER_READWRITE | NPY_ITER_WRITEMASKED
    if a.mask is not None:
        operands[n] = <PyArrayObject *><void *>a.mask
        dtypes[n] = NULL
        op_flags[n] = NPY_ITER_READONLY | NPY_ITER_ARRAYMASK
        n += 1
    iterator = NpyIter_AdvancedNew(
        n, operands, u.iter_flags | NPY_ITER_REFS_OK | NPY_ITER_ZEROSIZE_OK | flags,
        a.order, NPY_UNSAFE_CASTING, op_flags, dtypes, -1, NULL, NULL, buffer_size,
    )
    for i in range(a.n_in, a.n_in + a.n_out):
        if a.operands[i] is None:
            a.operands[i] = owned(NpyIter_GetOperandArray(iterator)[i])
    return iterator


cdef bint plan_grid(Call call, Arguments a, object ufunc) except -1:
    """Without casts: what the iterator would do, done by us."""
    cdef int n = a.n_in + a.n_out + (a.mask is not None)
    cdef NpyIter *iterator = iterator_of(a, ufunc, 0, 0)
    try:
        if not call.take_grid(iterator, n):
            return False
    finally:
        NpyIter_Deallocate(iterator)
    if a.mask is not None:
        call.job.grid.mask = n - 1
    strides = [call.job.grid.inner.strides[i] for i in range(a.n_in + a.n_out)]
    return call.take_loop(ufunc, a.info, tuple(strides))


cdef bint plan_buffered(
    Call call, Arguments a, object ufunc, npy_intp buffer_size, int n_threads
) except -1:
    """With casts: copies of NumPy's iterator, each for a range of its own."""
    cdef Job *job = &call.job
    cdef uint32_t flags = (
        NPY_ITER_RANGED | NPY_ITER_BUFFERED | NPY_ITER_EXTERNAL_LOOP
        | NPY_ITER_GROWINNER | NPY_ITER_DELAY_BUFALLOC
    )
    cdef int n = a.n_in + a.n_out, i
    cdef npy_intp[SP__GRID_ARGS] strides
    job.iterators = <NpyIter **>calloc(MOST_ITERATORS, sizeof(NpyIter *))
    if job.iterators == NULL:
        raise MemoryError("stealpool: no memory for a ufunc")
    job.iterators[0] = iterator_of(a, ufunc, flags, buffer_size)
    job.n_iterators = 1
    job.n_points = NpyIter_GetIterSize(job.iterators[0])
    job.n_indices = (job.n_points + SP__GRID_BLOCK - 1) // SP__GRID_BLOCK
    n_threads = min(n_threads, MOST_ITERATORS)
    if job.n_points <= 0 or NpyIter_IterationNeedsAPI(job.iterators[0]):
        return False
    while job.n_iterators < min(n_threads, job.n_indices):
        if a.mask is None:
            job.iterators[job.n_iterators] = NpyIter_Copy(job.iterators[0])
        else:  # of which NumPy 2.4 makes copies that crash
            job.iterators[job.n_iterators] = iterator_of(a, ufunc, flags, buffer_size)
        job.n_iterators += 1
    job.next = NpyIter_GetIterNext(job.iterators[0], NULL)
    if job.next == NULL:
        raise_what_is_set()
    NpyIter_GetInnerFixedStrideArray(job.iterators[0], strides)
    if a.mask is not None:
        job.grid.mask = n
    return call.take_loop(ufunc, a.info, tuple([strides[i] for i in range(n)]))
