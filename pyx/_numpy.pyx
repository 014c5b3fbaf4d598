# cython: language_level=3, embedsignature=False
"""NumPy's ufuncs from the inside: their loops, run by the pool's workers.

A module of its own, so that stealpool can be imported without NumPy's C API. It is
imported when the first ufunc is asked for, and reaches the pool through _core.

widen   loops that convert numbers
call    one call, planned, and its run on a pool
map     planning: u(a, b)
core    planning: generalised ufuncs
fold    planning: reduce, accumulate
ufunc   the class Ufunc: NumPy or the pool, by what it costs
"""
cimport cython
from cpython.exc cimport PyErr_CheckSignals, PyErr_Occurred
from cpython.object cimport PyObject, PyObject_Call
from cpython.pycapsule cimport PyCapsule_GetPointer
from cpython.ref cimport Py_INCREF
from libc.math cimport fabs, isfinite
from libc.stdint cimport int64_t, intptr_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from grid_c cimport *
from numpy_c cimport *

from stealpool._core cimport Handle, handle, loop_over

from concurrent.futures import CancelledError as _CancelledError

import numpy as _np

cdef extern from "base/os.h" nogil:
    int64_t sp__os_now_ns()

cdef extern from "pythread.h" nogil:
    unsigned long PyThread_get_thread_ident()

_import_array()
_import_umath()

include "_numpy_widen.pxi"
include "_numpy_call.pxi"
include "_numpy_map.pxi"
include "_numpy_core.pxi"
include "_numpy_fold.pxi"
include "_numpy_ufunc.pxi"
