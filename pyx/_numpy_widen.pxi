# Reductions of small numbers to large ones, such as a sum of int32 in int64: they are
# converted block by block. NumPy does the same with other blocks, so this serves where
# it does not matter how elements are grouped; see is_grouped_freely().

cdef extern from "widen.h":
    ctypedef void (*widen_fn)(
        const char *from_, intptr_t stride, void *to, intptr_t n
    ) noexcept nogil
    ctypedef struct widening:
        sp__grid_loop loop
        void *context
        widen_fn widen
    widen_fn widen_of(const char *from_, const char *to)
    int run_widening(
        void *context, char *const *data, const intptr_t *lengths,
        const intptr_t *strides, void *aux
    ) noexcept nogil


cdef widen_fn widening_between(object narrow, object wide) except? NULL:
    """What converts these dtypes; NULL if that may lose something, or is not here."""
    if not (narrow.isnative and wide.isnative and _np.can_cast(narrow, wide, "safe")):
        return NULL
    return widen_of(narrow.str[1:].encode(), wide.str[1:].encode())


cdef set FREELY_GROUPED = {
    _np.add, _np.multiply, _np.bitwise_and, _np.bitwise_or, _np.bitwise_xor,
}


cdef bint is_grouped_freely(object ufunc, object wide):
    """Is it the same however the elements of a row are grouped? Not for floats."""
    return wide.kind in "iu" and ufunc in FREELY_GROUPED
