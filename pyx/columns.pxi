# The arguments of many calls, in arrays: read where they lie, without a Python object
# for each. What cannot be read so is converted like any other sequence.


@cython.final
@cython.no_gc
cdef class Columns:
    """Where the arguments of each parameter lie; see column.h."""

    cdef Kernel kernel
    cdef Pins pins
    cdef Py_ssize_t n  # calls
    cdef sp_column[MAX_PARAMETERS] columns  # by parameter; of a bound one, nothing

    cdef int convert(self, sp_block *block, size_t begin) except -1:
        """Fill in the arguments of the calls from `begin` on."""
        cdef Kernel kernel = self.kernel
        cdef sp_cell *first = sp_block_cell(block, 0)
        cdef Parameter *parameter
        cdef size_t i, done, n = block.n_cells
        cdef int k, given = 0
        for k in range(kernel.n_parameters):
            parameter = &kernel.parameters[k]
            if parameter.type == T_BOUND:
                continue
            # Types of numbers are numbered alike here and there.
            done = sp_column_convert(
                &self.columns[k], begin, n, <sp_number><int>parameter.type,
                &first.words[parameter.word], sp_block_cell_bytes(block),
            )
            if done < n:
                self.complain(k, begin + done, given)
            given += 1
        for i in range(n if kernel.bound != NULL else 0):
            kernel.bind(sp_block_cell(block, i).words)
        return 0

    cdef int complain(self, int k, size_t i, int index) except -1:
        """Raise what is wrong with a number: what is wrong with it as an object."""
        cdef sp_column *column = &self.columns[k]
        cdef sp_word word
        if sp_number_is_real(column.number):
            value = sp_column_real(column, i)
        else:
            value = integer_of(<Type><int>column.number, sp_column_integer(column, i))
        self.kernel.convert(&word, &self.kernel.parameters[k], value, index, None)
        raise AssertionError(f"argument {index + 1} of call {i} was refused")


cdef Columns columns_in(Kernel kernel, object array):
    """The columns of an array of scalars; None: convert it as a sequence."""
    if kernel.n_arguments == 0:
        return None
    names = getattr(getattr(array, "dtype", None), "names", None)
    cdef int ndim = array.ndim
    if names is not None:
        if ndim != 1 or len(names) != kernel.n_arguments:
            return None
        parts = [array[name] for name in names]
    elif ndim == 1 and kernel.n_arguments == 1:
        parts = [array]
    elif ndim == 2 and array.shape[1] == kernel.n_arguments:
        parts = [array]
    else:
        return None
    cdef Columns columns = Columns.__new__(Columns)
    columns.kernel = kernel
    columns.pins = Pins(kernel, len(parts))
    columns.n = len(array)
    cdef Py_buffer *view = NULL
    cdef sp_column *column
    cdef int k, given = 0
    for k in range(kernel.n_parameters):
        if kernel.parameters[k].type == T_BOUND:
            continue
        if given < len(parts):
            try:
                view = columns.pins.add(parts[given])
            except (TypeError, BufferError, ValueError):
                return None
        if view.ndim != ndim:  # a field that is an array
            return None
        column = &columns.columns[k]
        column.number = sp_number_of(view.format, view.itemsize)
        column.data = <const char *>view.buf
        column.stride = view.strides[0]
        if ndim == 2:
            column.data += given * view.strides[1]
        if column.number == SP_NOT_A_NUMBER:
            return None
        given += 1
    return columns
