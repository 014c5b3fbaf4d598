# The inner loops of a ufunc, as its public struct lists them.


def loops_of(ufunc):
    """All listed loops of a ufunc.

    Returns
    -------
    list of (types, address, data)
        The type numbers of the operands, the address of the
        ``PyUFuncGenericFunction`` (0 if there is none), its last argument.
    """
    if not isinstance(ufunc, _np.ufunc):
        raise TypeError(f"expected a numpy.ufunc, got {type(ufunc).__name__}")
    cdef PyUFuncObject *u = <PyUFuncObject *><void *>ufunc
    cdef int i, j
    cdef const unsigned char *types = <const unsigned char *>u.types
    if u.functions == NULL or types == NULL:
        return []
    return [
        (
            tuple([types[i * u.nargs + j] for j in range(u.nargs)]),
            <uintptr_t>u.functions[i],
            <uintptr_t>u.data[i] if u.data != NULL else 0,
        )
        for i in range(u.ntypes)
    ]
