# cython: language_level=3
"""Plain loops to compare with: nogil Cython as anybody writes it, no pool code.

`integrate` and `spin` release the GIL around a loop, which is what one gives to a
ThreadPoolExecutor. `spin_us` is the same loop as a C function, which is what one makes
a kernel of: ``stealpool.kernel(stealpool._peers, "spin_us")``.
"""
from libc.math cimport cos
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

import math

cdef double sum_cos(double a, double step, long n_iter) noexcept nogil:
    cdef double total = 0.0
    cdef long i
    for i in range(n_iter):
        total += cos(a + i * step)
    return total


def integrate(f, double a, double b, *, long n_iter):
    """The left rectangle rule for ``math.cos``, without the GIL."""
    if f is not math.cos:
        raise ValueError(f"this loop is compiled for math.cos, got {f!r}")
    cdef double step = (b - a) / n_iter
    cdef double total
    with nogil:
        total = sum_cos(a, step, n_iter)
    return total * step


cdef double now_us() noexcept nogil:
    cdef timespec ts
    clock_gettime(CLOCK_MONOTONIC, &ts)
    return ts.tv_sec * 1e6 + ts.tv_nsec * 1e-3


cdef api double spin_us(double us) noexcept nogil:
    """Be busy for `us` microseconds; returns for how long it was."""
    cdef double start = now_us()
    cdef double spent = 0.0
    while spent < us:
        spent = now_us() - start
    return spent


def spin(double us):
    """`spin_us` for a Python thread: releases the GIL meanwhile."""
    cdef double spent
    with nogil:
        spent = spin_us(us)
    return spent
