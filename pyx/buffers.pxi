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


cdef str NATIVE_ORDERS = "@=" + ("<" if _sys.byteorder == "little" else ">")

cdef dict KIND_OF_FORMAT = {
    **dict.fromkeys("efdg", "float"),
    **dict.fromkeys("bhilqn", "int"),
    **dict.fromkeys("cBHILQN", "uint"),
}


cdef str dtype_of(const Py_buffer *view):
    """The name of the buffer's dtype, as NumPy calls it.

    A size is the buffer's own: exporters do not agree on what "<l" is.
    """
    cdef str text = view.format.decode() if view.format != NULL else "B"
    cdef str code = text[1:] if text[0] in NATIVE_ORDERS and len(text) > 1 else text
    if code == "?":
        return "bool"
    if code in ("Zf", "Zd"):
        return f"complex{8 * view.itemsize}"
    if code in KIND_OF_FORMAT:
        return f"{KIND_OF_FORMAT[code]}{8 * view.itemsize}"
    return f"format {text!r}"


cdef bint has_objects(const Py_buffer *view):
    """Does it hold references to Python objects, possibly within structs?"""
    if view.format == NULL:
        return False
    return "O" in _sub(":[^:]*:", "", view.format.decode())  # less the names of fields
