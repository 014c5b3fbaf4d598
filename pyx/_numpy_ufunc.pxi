# The class behind stealpool.kernels.ufunc(): who runs a call, NumPy or the pool.


# Less than this is not worth a second thread; see WORTH_WAKING_NS in parallel_for.c.
cdef double WORTH_SPLITTING_NS = 60_000.0

# What costs less per call than this is measured for want of something better only.
cdef double WORTH_MEASURING_NS = 30_000.0

cdef enum:
    FEWEST = 512        # elements that are worth a look at the clock
    UNKNOWN_MOST = 16384  # elements of a call that NumPy runs to see what it costs
    N_TYPES = 32        # NumPy's type numbers


@cython.final
cdef class Ufunc:
    """A ufunc whose large calls run on a pool; made by :func:`kernels.ufunc`."""

    cdef readonly object function  # what the user gave: a numpy.ufunc, or numba's
    cdef readonly object ufunc     # the numpy.ufunc in it
    cdef readonly Py_ssize_t pool_calls  # how many calls ran on a pool
    cdef object may_run            # of the loop's dtypes: without the GIL?
    cdef object executor_of        # of executor=, which may be None
    cdef bint is_numbas            # `function` adds to NumPy's call what numba needs:
    cdef bint compiles             # it compiles a loop where none is for the inputs
    cdef bint is_dynamic           # ... or calls the ufunc in a way of its own
    cdef bint is_core
    cdef bint is_eager             # for tests: always the pool, if that is possible
    cdef double[2][N_TYPES] ns     # per element, of a call and of a fold; 0 = unknown
    cdef dict __dict__

    def __init__(self, function, ufunc, may_run, executor_of):
        self.function = function
        self.ufunc = ufunc
        self.may_run = may_run
        self.executor_of = executor_of
        self.is_numbas = function is not ufunc
        self.compiles = self.is_numbas and not function._frozen
        self.is_dynamic = getattr(function, "is_dynamic", False)
        self.is_core = (<PyUFuncObject *><void *>ufunc).core_enabled

    def _set_eager(self, bint is_eager):
        self.is_eager = is_eager

    def __repr__(self):
        return f"<stealpool ufunc {self.ufunc.__name__}>"

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
        return getattr(self.function, name)

    def __call__(self, *args, **kwargs):
        cdef Py_ssize_t size = 0, each_size
        cdef int kind = 0
        cdef object executor = None
        if kwargs:
            executor = kwargs.pop("executor", None)
            if executor is not None:
                executor = self.executor_of(executor)
        for each in args:
            if PyArray_CheckExact(each):
                each_size = PyArray_SIZE(<PyArrayObject *><void *>each)
                if each_size > size:
                    size = each_size
                    kind = PyArray_TYPE(<PyArrayObject *><void *>each)
        function = self.function
        if self.is_numbas and self.adds_nothing(args, kwargs):
            function = self.ufunc
        if size < FEWEST and not self.is_eager:
            return PyObject_Call(function, args, kwargs)
        if not 0 <= kind < N_TYPES:
            kind = 0
        if self.is_left_to_numpy(&self.ns[0][kind], size):
            return self.measured(function, args, kwargs, &self.ns[0][kind], size)
        call = self.planned_call(args, kwargs, executor)
        return self.run(
            call, function, args, kwargs, executor, &self.ns[0][kind], size
        )

    def reduce(self, *args, **kwargs):
        """As :meth:`numpy.ufunc.reduce`; split over the axes that are kept."""
        return self.fold("reduce", args, kwargs)

    def accumulate(self, *args, **kwargs):
        """As :meth:`numpy.ufunc.accumulate`; split over the other axes."""
        return self.fold("accumulate", args, kwargs)

    def reduceat(self, *args, executor=None, **kwargs):
        """As :meth:`numpy.ufunc.reduceat`, which runs it."""
        self.executor_of(executor)
        return self.function.reduceat(*args, **kwargs)

    def at(self, *args, executor=None, **kwargs):
        """As :meth:`numpy.ufunc.at`, which runs it: indices may be repeated."""
        self.executor_of(executor)
        return self.function.at(*args, **kwargs)

    def outer(self, *args, **kwargs):
        """As :meth:`numpy.ufunc.outer`."""
        cdef object a, b
        if len(args) == 2 and self.ufunc.nin == 2 and not self.is_core:
            a, b = args
            if PyArray_CheckExact(a) and PyArray_CheckExact(b):
                return self(a.reshape(a.shape + (1,) * b.ndim), b, **kwargs)
        self.executor_of(kwargs.pop("executor", None))
        return self.function.outer(*args, **kwargs)

    cdef bint adds_nothing(self, tuple args, dict kwargs):
        """Would numba's object only look around, and call the ufunc with the same?

        It looks for other kinds of arrays, and for a loop.
        """
        if self.is_dynamic or (self.compiles and kwargs):
            return False
        for each in args:
            if not PyArray_CheckExact(each):
                return False
        for each in kwargs.values():
            if not PyArray_CheckExact(each):
                return False
        return not self.compiles or len(args) == self.ufunc.nin and self.has_loop(args)

    cdef bint has_loop(self, object inputs) except -1:
        """Is there a loop for exactly these inputs? If not, numba compiles one."""
        cdef PyUFuncObject *u = <PyUFuncObject *><void *>self.ufunc
        cdef int i, k
        cdef char *types
        for k in range(u.ntypes):
            types = u.types + k * u.nargs
            for i in range(u.nin):
                if not PyArray_CheckExact(inputs[i]):
                    return False
                if types[i] != PyArray_TYPE(<PyArrayObject *><void *>inputs[i]):
                    break
            else:
                return True
        return False

    cdef bint is_left_to_numpy(self, double *ns, Py_ssize_t size):
        if self.is_eager:
            return False
        if ns[0] == 0.0:
            return size <= UNKNOWN_MOST
        return size * ns[0] < WORTH_SPLITTING_NS

    cdef object measured(
        self, object function, tuple args, dict kwargs, double *ns, Py_ssize_t size
    ):
        """Have NumPy run it, and see what it costs, unless that is known well."""
        cdef int64_t start_ns
        if ns[0] != 0.0 and size * ns[0] < WORTH_MEASURING_NS:
            return PyObject_Call(function, args, kwargs)
        start_ns = sp__os_now_ns()
        result = PyObject_Call(function, args, kwargs)
        note_cost(ns, <double>(sp__os_now_ns() - start_ns) / max(size, 1))
        return result

    cdef object run(
        self, Call call, object function, tuple args, dict kwargs, object executor,
        double *ns, Py_ssize_t size,
    ):
        if call is None:
            return self.measured(function, args, kwargs, ns, size)
        result = call.run(self.executor_of(executor), size * ns[0])
        if result is NotImplemented:
            return PyObject_Call(function, args, kwargs)
        self.pool_calls += 1
        note_cost(ns, call.ns_per_point() * call.points() / max(size, 1))
        return result

    cdef Call planned_call(self, tuple args, dict kwargs, object executor):
        """None for what NumPy must run, also because it is wrong: NumPy says why."""
        cdef Arguments a
        try:
            a = arguments_of(self.ufunc, args, kwargs)
            if a is None:
                return None
            if self.compiles and not self.has_loop(a.operands):
                return None
            if not resolve(a, self.ufunc) or not self.may_run(a.dtypes):
                return None
            if not convert_numbers(a):
                return None
            if self.is_core:
                return plan_core(a, self.ufunc)
            return plan_map(a, self.ufunc, n_threads_of(self.executor_of(executor)))
        except (TypeError, ValueError, OverflowError):
            return None

    cdef object fold(self, str name, tuple args, dict kwargs):
        cdef object executor = kwargs.pop("executor", None)
        cdef object method = getattr(self.function, name)
        cdef Py_ssize_t size = 0
        cdef int kind = 0
        cdef double *ns
        if executor is not None:
            executor = self.executor_of(executor)
        if args and PyArray_CheckExact(args[0]):
            size = PyArray_SIZE(<PyArrayObject *><void *>args[0])
            kind = PyArray_TYPE(<PyArrayObject *><void *>args[0])
        if size < FEWEST and not self.is_eager:
            return PyObject_Call(method, args, kwargs)
        ns = &self.ns[1][kind if 0 <= kind < N_TYPES else 0]
        if self.is_left_to_numpy(ns, size):
            return self.measured(method, args, kwargs, ns, size)
        call = self.planned_fold(name, args, kwargs)
        return self.run(call, method, args, kwargs, executor, ns, size)

    cdef Call planned_fold(self, str name, tuple args, dict kwargs):
        cdef bint is_reduce = name == "reduce"
        cdef PyUFuncObject *u = <PyUFuncObject *><void *>self.ufunc
        cdef Fold f
        if self.is_core or u.nin != 2 or u.nout != 1:
            return None
        try:
            f = fold_of(args, kwargs, REDUCE_NAMES if is_reduce else ACCUMULATE_NAMES)
            if f is None:
                return None
            found = resolve_fold(f, self.ufunc, not is_reduce)
            if found is None or not self.may_run(found[0]):
                return None
            if is_reduce:
                return plan_reduce(f, self.ufunc, found[0], found[1])
            return plan_accumulate(f, self.ufunc, found[0], found[1])
        except (TypeError, ValueError, OverflowError):
            return None


cdef void note_cost(double *ns, double found) noexcept:
    """A running mean: the machine and the arguments have their moods."""
    ns[0] = found if ns[0] == 0.0 else 0.75 * ns[0] + 0.25 * found


cdef int n_threads_of(object executor) except -1:
    return executor._native_workers + 1
