# What _numpy uses of NumPy's C API, in NumPy's order; see numpy/arrayobject.h,
# numpy/ufuncobject.h and numpy/dtype_api.h.
#
# The API of NumPy 2.0, whatever version is built with: _numpy cannot be imported with
# NumPy 1, and then kernels.ufunc() leaves all work to NumPy.
from libc.stdint cimport uint32_t


cdef extern from *:
    """
    #define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
    #define NPY_TARGET_VERSION NPY_2_0_API_VERSION
    """

cdef extern from "numpy/arrayobject.h" nogil:
    ctypedef Py_ssize_t npy_intp
    int _import_array() except -1 with gil


cdef extern from "numpy/ufuncobject.h" nogil:
    int _import_umath() except -1 with gil

    ctypedef void (*PyUFuncGenericFunction)(
        char **args, const npy_intp *dimensions, const npy_intp *strides, void *data
    )

    ctypedef struct PyUFuncObject:
        int nin
        int nout
        int nargs
        int identity
        PyUFuncGenericFunction *functions
        void **data
        int ntypes
        const char *types
        int core_enabled
        int core_num_dim_ix
        int *core_num_dims
        int *core_dim_ixs
        int *core_offsets
        uint32_t *op_flags
        uint32_t iter_flags
        npy_intp *core_dim_sizes
        uint32_t *core_dim_flags
