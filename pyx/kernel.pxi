# Kernels: a C function, how to fill its arguments in, how to read its result.


cdef enum Type:
    T_VOID
    T_BOOL
    T_INT8
    T_UINT8
    T_INT16
    T_UINT16
    T_INT32
    T_UINT32
    T_INT64
    T_UINT64
    T_FLOAT32
    T_FLOAT64
    T_COMPLEX64   # behind a pointer only, like the next
    T_COMPLEX128
    T_POINTER
    T_BOUND  # a void pointer that the kernel was made with


# Indexed by Type. python/stealpool/signature.py speaks in these names.
cdef tuple TYPE_NAMES = (
    "void", "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32",
    "int64", "uint64", "float32", "float64", "complex64", "complex128",
)

# The integers that each type up to T_UINT64 holds.
cdef tuple LEAST = (0, 0, -(2**7), 0, -(2**15), 0, -(2**31), 0, -(2**63), 0)
cdef tuple MOST = (
    0, 1, 2**7 - 1, 2**8 - 1, 2**15 - 1, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**63 - 1,
    2**64 - 1,
)

cdef struct Parameter:
    Type type
    Type pointee    # of a pointer; T_VOID = any
    bint is_const   # of a pointer: it is only read
    int word        # where it goes in the cell

cdef enum:
    MAX_PARAMETERS = 32  # SP__CALL_MAX, on any machine


cdef class Job:
    """What a Future is the result of: a Kernel or a Plan."""

    cdef readonly str name

    cdef object result_of(self, sp_cell *cell):
        """The Python object for a cell that has ended well."""
        raise NotImplementedError

    cdef sp_cell *cell_from(self, tuple args) except NULL:
        """A cell to submit, for one call."""
        raise NotImplementedError

    cdef bint returns_status(self) noexcept:
        """Errors are of sp_status. What others mean by -1 is their affair."""
        return False


cdef class Kernel(Job):
    """A C function that runs without the GIL.

    Made by :func:`stealpool.kernel`. Calling it runs it in the calling thread,
    without the GIL; ``executor.submit(kernel, *args)`` runs it on the pool.

    Attributes
    ----------
    name : str
        For messages.
    signature : str
        In canonical form, such as ``"float64 (const float64 *, int64)"``.
    """

    cdef readonly str signature
    cdef sp_callee callee
    cdef Parameter[MAX_PARAMETERS] parameters
    cdef int n_parameters
    cdef int n_arguments  # parameters that the caller gives
    cdef int n_pointers
    cdef Type returns
    cdef void *bound
    cdef object source    # keeps the function's code, and `bound`, alive

    def __init__(self):
        raise TypeError("a Kernel is made by stealpool.kernel(function)")

    def __repr__(self):
        return f"<stealpool.Kernel {self.name}: {self.signature}>"

    def __reduce__(self):
        raise TypeError(
            f"kernel {self.name} is an address in this process and cannot be pickled; "
            "make it again with stealpool.kernel() where it is needed"
        )

    def __call__(self, *args, **kwargs):
        if kwargs:
            self.refuse_keywords(kwargs)
        cdef sp_cell *cell = self.cell_from(args)
        try:
            run_looking(&cell.task)
            if cell.error:
                raise exception_of_error(
                    self.name, cell.error, sp_cell_message(cell), False
                )
            return self.result_of(cell)
        finally:
            settle(cell)
            sp_task_unref(&cell.task)

    cdef object result_of(self, sp_cell *cell):
        return number_of(self.returns_number(), cell.words[0])

    cdef Type returns_number(self) noexcept:
        """The type of the number in the result; T_VOID: there is none."""
        return T_VOID if self.callee.returns_status else self.returns

    cdef int refuse_keywords(self, dict kwargs) except -1:
        raise TypeError(
            f"kernel {self.name} takes no keyword arguments, got {', '.join(kwargs)}"
        )

    cdef Job job_for(self, tuple args, dict kwargs):
        """What is to be submitted for a call with these arguments."""
        if kwargs:
            self.refuse_keywords(kwargs)
        return self

    cdef int check_count(self, Py_ssize_t n) except -1:
        if n != self.n_arguments:
            raise TypeError(
                f"kernel {self.name} takes {self.n_arguments} argument"
                f"{'s' if self.n_arguments != 1 else ''} ({self.signature}), got {n}"
            )
        return 0

    cdef sp_cell *cell_from(self, tuple args) except NULL:
        """A cell for one call, with its arguments converted, checked, pinned."""
        self.check_count(len(args))
        cdef sp_cell *cell = sp_cell_for_call(&self.callee)
        if cell == NULL:
            raise MemoryError("stealpool: no memory for a task")
        try:
            self.fill(cell, args)
        except BaseException:
            settle(cell)
            sp_task_unref(&cell.task)
            raise
        return cell

    cdef int fill(self, sp_cell *cell, tuple args) except -1:
        cdef Pins pins = None
        if self.n_pointers:
            pins = Pins(self, self.n_pointers)
            keep(cell, pins)
        else:
            keep(cell, self)
        self.fill_words(cell.words, 0, args, pins)
        return 0

    cdef int fill_words(
        self, sp_word *words, int first, tuple args, Pins pins
    ) except -1:
        """Convert the arguments of the parameters from `first` on."""
        cdef Parameter *parameter
        cdef int i, given = 0
        for i in range(first, self.n_parameters):
            parameter = &self.parameters[i]
            if parameter.type == T_BOUND:
                words[parameter.word].pointer = self.bound
                continue
            self.convert(
                &words[parameter.word], parameter, args[given], first + given, pins
            )
            given += 1
        return 0

    cdef void bind(self, sp_word *words) noexcept:
        """Fill in what callers do not give."""
        cdef int i
        if self.bound == NULL:
            return
        for i in range(self.n_parameters):
            if self.parameters[i].type == T_BOUND:
                words[self.parameters[i].word].pointer = self.bound

    cdef Parameter *only_argument(self) noexcept:
        """The parameter of the first argument; NULL: there is none."""
        cdef int i
        for i in range(self.n_parameters):
            if self.parameters[i].type != T_BOUND:
                return &self.parameters[i]
        return NULL

    cdef int convert(
        self, sp_word *word, Parameter *parameter, object value, int index, Pins pins
    ) except -1:
        cdef Type type = parameter.type
        if type == T_FLOAT64:
            if PyFloat_CheckExact(value):
                word.real = PyFloat_AS_DOUBLE(value)
            else:
                word.real = self.real_from(value, index)
        elif type == T_FLOAT32:
            word.integer = 0
            word.real32 = <float>self.real_from(value, index)
        elif type == T_POINTER:
            word.pointer = self.pin(parameter, value, index, pins)
        else:
            word.integer = self.integer_from(type, value, index)
        return 0

    cdef double real_from(self, object value, int index) except? -1.0:
        cdef double real
        try:
            real = value
        except OverflowError as error:
            raise OverflowError(
                f"kernel {self.name}: argument {index + 1}: {error}"
            ) from None
        except (TypeError, ValueError):
            raise TypeError(
                f"kernel {self.name}: argument {index + 1} must be a real number, "
                f"got {describe(value)}"
            ) from None
        return real

    cdef int64_t integer_from(self, Type type, object value, int index) except? -1:
        cdef object number
        try:
            number = _index(value)
        except TypeError:
            raise TypeError(
                f"kernel {self.name}: argument {index + 1} must be an integer "
                f"({TYPE_NAMES[type]}), got {describe(value)}"
            ) from None
        if not LEAST[<int>type] <= number <= MOST[<int>type]:
            raise OverflowError(
                f"kernel {self.name}: argument {index + 1} is {number}, but "
                f"{TYPE_NAMES[type]} holds {LEAST[<int>type]} to {MOST[<int>type]}"
            )
        if type == T_UINT64:
            return <int64_t><uint64_t>number
        return number

    cdef void *pin(
        self, Parameter *parameter, object value, int index, Pins pins
    ) except? NULL:
        cdef Py_buffer *view
        cdef str wanted = TYPE_NAMES[parameter.pointee]
        cdef str where, got
        try:
            view = pins.add(value)
        except (TypeError, BufferError, ValueError) as error:
            raise TypeError(
                f"kernel {self.name}: argument {index + 1} must be an array of "
                f"{wanted}, got {describe(value)} ({error})"
            ) from None
        if has_plain_format(view, parameter.pointee) and (
            parameter.is_const or not view.readonly
        ) and PyBuffer_IsContiguous(view, b"C") and (
            parameter.pointee == T_VOID or not <uintptr_t>view.buf % view.itemsize
        ):
            return view.buf  # the common case, quickly; else say what is wrong
        where = f"kernel {self.name}: argument {index + 1}"
        got = dtype_of(view)
        if has_objects(view):
            raise TypeError(
                f"{where} is an array of Python objects, which a kernel may not touch; "
                f"convert it first, for example with array.astype({wanted!r})"
            )
        if parameter.pointee != T_VOID and got != wanted:
            raise TypeError(
                f"{where} must be an array of {wanted}, got {got}; convert it first, "
                f"for example with array.astype({wanted!r})"
            )
        if not PyBuffer_IsContiguous(view, b"C"):
            raise ValueError(
                f"{where} must be C-contiguous, got strides "
                f"{tuple([view.strides[i] for i in range(view.ndim)])} for shape "
                f"{tuple([view.shape[i] for i in range(view.ndim)])}; "
                "pass numpy.ascontiguousarray(array)"
            )
        if parameter.pointee != T_VOID and <uintptr_t>view.buf % view.itemsize:
            raise ValueError(
                f"{where} is not aligned to {view.itemsize} bytes; pass a copy of it"
            )
        if view.readonly and not parameter.is_const:
            raise ValueError(
                f"{where} is read-only, but the kernel may write to it; pass a "
                "writable array, or declare the parameter const in the signature"
            )
        return view.buf


cdef bint has_plain_format(const Py_buffer *view, Type pointee) noexcept:
    """Does a format of one letter say that it is what the pointer points to?"""
    cdef char code = b"B"
    cdef Py_ssize_t size = view.itemsize
    if view.format != NULL:
        code = view.format[0]
        if code == 0 or view.format[1] != 0:
            return False
    if pointee == T_VOID:
        return code in b"?bBhHiIlLqQfd"
    if pointee == T_FLOAT64 or pointee == T_FLOAT32:
        return code in b"fd" and size == (8 if pointee == T_FLOAT64 else 4)
    if pointee == T_BOOL:
        return code == b"?"
    if pointee in (T_INT8, T_INT16, T_INT32, T_INT64):
        return code in b"bhilq" and size == 1 << ((<int>pointee - T_INT8) // 2)
    if pointee in (T_UINT8, T_UINT16, T_UINT32, T_UINT64):
        return code in b"BHILQ" and size == 1 << ((<int>pointee - T_UINT8) // 2)
    return False


cdef object describe(object value):
    """Type and value for a message, of bounded length."""
    cdef str text = repr(value)
    if len(text) > 60:
        text = text[:57] + "..."
    return f"{type(value).__name__} {text}"


cdef object number_of(Type type, sp_word word):
    """What a kernel has returned, as an object."""
    if type == T_FLOAT64:
        return word.real
    if type == T_FLOAT32:
        return <double>word.real32
    if type == T_VOID:
        return None
    return integer_of(type, word.integer)


cdef object integer_of(Type type, int64_t word):
    """The low bits of a result register, which is all that the ABI promises."""
    if type == T_BOOL:
        return (word & 0xFF) != 0
    if type == T_INT8:
        return <int8_t>word
    if type == T_UINT8:
        return <uint8_t>word
    if type == T_INT16:
        return <int16_t>word
    if type == T_UINT16:
        return <uint16_t>word
    if type == T_INT32:
        return <int32_t>word
    if type == T_UINT32:
        return <uint32_t>word
    if type == T_UINT64:
        return <uint64_t>word
    return word


cdef int keep(sp_cell *cell, object kept) except -1:
    """Let the cell's block own `kept`; settle() drops it."""
    Py_INCREF(kept)
    sp_cell_block(cell).keep = <void *>kept
    return 0


cdef void settle(sp_cell *cell):
    """The task has ended, or never began: drop what its block keeps, with the last."""
    cdef void *kept = sp_cell_settle(cell)
    if kept != NULL:
        Py_DECREF(<object>kept)  # taken in keep()


def make_kernel(
    object address, str returns, parameters, *, str name, str signature,
    object source, object bound=None, bint returns_status=False, planner=None,
):
    """Make a Kernel of a checked signature; see python/stealpool/signature.py.

    `parameters` are tuples (type name, pointee name or None, is_const); the type
    name "bound" stands for the pointer `bound`. With a `planner` it is an ArrayKernel.
    """
    cdef Kernel kernel
    if planner is None:
        kernel = Kernel.__new__(Kernel)
    else:
        kernel = ArrayKernel.__new__(ArrayKernel)
        (<ArrayKernel>kernel).planner = planner
    cdef Parameter *parameter
    cdef uint8_t[MAX_PARAMETERS] classes
    cdef uint8_t[MAX_PARAMETERS] words
    cdef int n = min(len(parameters), MAX_PARAMETERS), i
    kernel.name = name
    kernel.signature = signature
    kernel.source = source
    kernel.bound = <void *><uintptr_t>(bound or 0)
    kernel.returns = <Type>TYPE_NAMES.index(returns)
    for i, (type, pointee, is_const) in enumerate(parameters[:MAX_PARAMETERS]):
        parameter = &kernel.parameters[i]
        parameter.is_const = is_const
        if type == "bound":
            parameter.type = T_BOUND
        elif type == "pointer":
            parameter.type = T_POINTER
            parameter.pointee = <Type>TYPE_NAMES.index(pointee)
            kernel.n_pointers += 1
        else:
            parameter.type = <Type>TYPE_NAMES.index(type)
        classes[i] = class_of(parameter.type)
        kernel.n_arguments += type != "bound"
    kernel.n_parameters = n
    kernel.callee.function = <sp__callee_fn><uintptr_t>address
    kernel.callee.returns_status = returns_status
    if len(parameters) > n or not sp__call_lay_out(
        classes, n, class_of(kernel.returns), &kernel.callee.shape, words
    ):
        raise ValueError(
            f"kernel {name}: at most {SP__CALL_INTEGERS} integers and pointers and "
            f"{SP__CALL_FLOATS} floating-point numbers can be parameters, and "
            f"{SP__CALL_STACK} more of either kind; got {len(parameters)}: "
            f"{signature}. Pass a pointer to a struct"
        )
    for i in range(n):
        kernel.parameters[i].word = words[i]
    return kernel


cdef uint8_t class_of(Type type):
    if type == T_FLOAT64 or type == T_FLOAT32:
        return SP__CALL_REAL
    return SP__CALL_INTEGER


def pin_user_data(exporter, bint is_const):
    """(what keeps a buffer in its place, its address), for a kernel's user data."""
    cdef Pins pins = Pins(None, 1)
    cdef Py_buffer *view = pins.add(exporter)
    if has_objects(view):
        raise TypeError(
            "user data must not hold Python objects, which a kernel may not touch, "
            f"got {describe(exporter)}"
        )
    if not PyBuffer_IsContiguous(view, b"C"):
        raise ValueError(
            f"user data must be C-contiguous, got {describe(exporter)}; "
            "pass numpy.ascontiguousarray(array)"
        )
    if view.readonly and not is_const:
        raise ValueError(
            f"user data {describe(exporter)} are read-only, but the kernel may write "
            "to them; pass a writable buffer, or declare 'const void *' in the "
            "signature"
        )
    return pins, <uintptr_t>view.buf


def kernel_address(Kernel kernel):
    """(address, bound pointer or None) of the C function, for built-in loops."""
    bound = None
    if kernel.bound != NULL:
        bound = <uintptr_t>kernel.bound
    return <uintptr_t>kernel.callee.function, bound
