# cython: language_level=3, embedsignature=False
"""NumPy's ufuncs from the inside: their loops, run by the pool's workers.

A module of its own, so that stealpool can be imported without NumPy's C API. It is
imported when the first ufunc is asked for, and reaches the pool through _core.
"""
from libc.stdint cimport uintptr_t

from numpy_c cimport *

import numpy as _np

_import_array()
_import_umath()

include "_numpy_loop.pxi"
