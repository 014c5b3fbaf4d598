# Arrays that a native task uses: exported once, held until the task is resolved.


@cython.no_gc  # exporters cannot reach it: nothing it holds refers back
cdef class Pins:
    """The buffers of one call, and the kernel that reads them."""

    cdef object job
    cdef Py_buffer *views
    cdef int n_views

    def __cinit__(self, object job, int capacity):
        self.job = job
        self.views = <Py_buffer *>malloc(max(capacity, 1) * sizeof(Py_buffer))
        if self.views == NULL:
            raise MemoryError("stealpool: no memory to pin buffers")

    def __dealloc__(self):
        while self.n_views > 0:
            self.n_views -= 1
            PyBuffer_Release(&self.views[self.n_views])
        free(self.views)

    cdef Py_buffer *add(self, object exporter) except NULL:
        """Export a buffer, whatever its layout; the caller looks at it."""
        cdef Py_buffer *view = &self.views[self.n_views]
        PyObject_GetBuffer(exporter, view, PyBUF_FULL_RO)
        self.n_views += 1
        return view


cdef str format_of(const Py_buffer *view):
    """The format without a byte order that is this machine's own."""
    cdef str text = view.format.decode() if view.format != NULL else "B"
    if text[:1] in ("@", "=", "<") and len(text) > 1:
        return text[1:]
    return text


cdef dict DTYPE_OF_FORMAT = {
    "d": "float64", "f": "float32", "e": "float16", "g": "longdouble",
    "b": "int8", "B": "uint8", "h": "int16", "H": "uint16",
    "i": "int32", "I": "uint32", "l": "int64", "L": "uint64",
    "q": "int64", "Q": "uint64", "n": "int64", "N": "uint64",
    "?": "bool", "c": "uint8", "O": "object", "Zd": "complex128", "Zf": "complex64",
}


cdef str dtype_of(const Py_buffer *view):
    """The name of the buffer's dtype, as NumPy calls it."""
    cdef str text = format_of(view)
    return DTYPE_OF_FORMAT.get(text, f"format {text!r}")
