# What _numpy uses of NumPy's C API, in NumPy's order; see numpy/arrayobject.h,
# numpy/ufuncobject.h and numpy/dtype_api.h.
#
# The API of NumPy 2.0, whatever version is built with: _numpy cannot be imported with
# NumPy 1, and then kernels.ufunc() leaves all work to NumPy.
from cpython.object cimport PyObject
from libc.stdint cimport intptr_t, uint32_t


cdef extern from *:
    """
    #define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
    #define NPY_TARGET_VERSION NPY_2_0_API_VERSION
    """

cdef extern from "numpy/arrayobject.h" nogil:
    ctypedef intptr_t npy_intp
    int _import_array() except -1 with gil

    ctypedef struct PyArrayObject:
        pass
    ctypedef struct PyArray_Descr:
        pass
    ctypedef enum NPY_ORDER:
        NPY_ANYORDER
        NPY_CORDER
        NPY_FORTRANORDER
        NPY_KEEPORDER
    ctypedef enum NPY_CASTING:
        NPY_UNSAFE_CASTING

    int NPY_ARRAY_C_CONTIGUOUS
    int NPY_ARRAY_F_CONTIGUOUS

    bint PyArray_CheckExact(object op)
    int PyArray_NDIM(const PyArrayObject *arr)
    npy_intp *PyArray_DIMS(const PyArrayObject *arr)
    npy_intp *PyArray_STRIDES(const PyArrayObject *arr)
    npy_intp PyArray_ITEMSIZE(const PyArrayObject *arr)
    npy_intp PyArray_SIZE(PyArrayObject *arr)
    char *PyArray_BYTES(const PyArrayObject *arr)
    int PyArray_FLAGS(const PyArrayObject *arr)
    int PyArray_TYPE(const PyArrayObject *arr)
    PyArray_Descr *PyArray_DESCR(const PyArrayObject *arr)
    bint PyArray_ISALIGNED(const PyArrayObject *arr)
    bint PyArray_ISWRITEABLE(const PyArrayObject *arr)
    bint PyArray_EquivTypes(PyArray_Descr *one, PyArray_Descr *other) with gil
    object PyArray_Empty(int nd, npy_intp *dims, PyArray_Descr *dtype, int fortran)

    # Iterators.
    ctypedef struct NpyIter:
        pass
    ctypedef int NpyIter_IterNextFunc(NpyIter *iter) noexcept nogil

    uint32_t NPY_ITER_MULTI_INDEX
    uint32_t NPY_ITER_EXTERNAL_LOOP
    uint32_t NPY_ITER_REFS_OK
    uint32_t NPY_ITER_ZEROSIZE_OK
    uint32_t NPY_ITER_REDUCE_OK
    uint32_t NPY_ITER_RANGED
    uint32_t NPY_ITER_BUFFERED
    uint32_t NPY_ITER_GROWINNER
    uint32_t NPY_ITER_DELAY_BUFALLOC
    uint32_t NPY_ITER_DONT_NEGATE_STRIDES
    uint32_t NPY_ITER_READWRITE
    uint32_t NPY_ITER_READONLY
    uint32_t NPY_ITER_WRITEONLY
    uint32_t NPY_ITER_ALIGNED
    uint32_t NPY_ITER_COPY
    uint32_t NPY_ITER_ALLOCATE
    uint32_t NPY_ITER_NO_SUBTYPE
    uint32_t NPY_ITER_NO_BROADCAST
    uint32_t NPY_ITER_WRITEMASKED
    uint32_t NPY_ITER_ARRAYMASK
    uint32_t NPY_ITER_OVERLAP_ASSUME_ELEMENTWISE

    NpyIter *NpyIter_AdvancedNew(
        int nop, PyArrayObject **op, uint32_t flags, NPY_ORDER order,
        NPY_CASTING casting, uint32_t *op_flags, PyArray_Descr **op_dtypes, int oa_ndim,
        int **op_axes, npy_intp *itershape, npy_intp buffersize,
    ) except NULL with gil
    NpyIter *NpyIter_Copy(NpyIter *iter) except NULL with gil
    bint NpyIter_Deallocate(NpyIter *iter) with gil
    bint NpyIter_RemoveAxis(NpyIter *iter, int axis) except 0 with gil
    bint NpyIter_RemoveMultiIndex(NpyIter *iter) except 0 with gil
    bint NpyIter_ResetToIterIndexRange(
        NpyIter *iter, npy_intp istart, npy_intp iend, char **errmsg
    )
    NpyIter_IterNextFunc *NpyIter_GetIterNext(NpyIter *iter, char **errmsg)
    bint NpyIter_IterationNeedsAPI(NpyIter *iter)
    int NpyIter_GetNDim(NpyIter *iter)
    npy_intp NpyIter_GetIterSize(NpyIter *iter)
    bint NpyIter_GetShape(NpyIter *iter, npy_intp *outshape)
    char **NpyIter_GetDataPtrArray(NpyIter *iter)
    PyArrayObject **NpyIter_GetOperandArray(NpyIter *iter)
    npy_intp *NpyIter_GetInnerStrideArray(NpyIter *iter)
    npy_intp *NpyIter_GetAxisStrideArray(NpyIter *iter, int axis) except NULL with gil
    void NpyIter_GetInnerFixedStrideArray(NpyIter *iter, npy_intp *strides) with gil
    npy_intp *NpyIter_GetInnerLoopSizePtr(NpyIter *iter)


cdef extern from "numpy/ufuncobject.h" nogil:
    int _import_umath() except -1 with gil

    ctypedef struct PyUFuncObject:
        int nin
        int nout
        int nargs
        int identity
        int ntypes
        char *types
        int core_enabled
        int core_num_dim_ix
        int *core_num_dims
        int *core_dim_ixs
        int *core_offsets
        uint32_t *op_flags
        uint32_t iter_flags
        npy_intp *core_dim_sizes
        uint32_t *core_dim_flags

    int PyUFunc_None

    int UFUNC_FPE_DIVIDEBYZERO
    int UFUNC_FPE_OVERFLOW
    int UFUNC_FPE_UNDERFLOW
    int UFUNC_FPE_INVALID
    int PyUFunc_GiveFloatingpointErrors(const char *name, int errors) except -1 with gil


# What numpy.ufunc._get_strided_loop() fills in; its docstring has the layout.
cdef struct ufunc_call_info:
    void *strided_loop
    void *context
    void *auxdata
    unsigned char requires_pyapi
    unsigned char no_floatingpoint_errors
