"""Finding the loops of ufuncs, and which of them may run without the GIL."""

import ctypes

import numpy as np
import pytest
from stealpool.ufunc import find_loop, why_not

F8, I8 = np.dtype("f8"), np.dtype("i8")


def run(loop, *arrays):
    """Call the loop on one-dimensional arrays, from the first to the last element."""
    n_args = len(arrays)
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)
    pointers = (ctypes.c_void_p * n_args)(*[a.ctypes.data for a in arrays])
    steps = (ctypes.c_ssize_t * n_args)(*[a.strides[0] for a in arrays])
    length = (ctypes.c_ssize_t * 1)(len(arrays[0]))
    prototype(loop.address)(pointers, length, steps, loop.data)


def test_a_loop_that_is_found_computes_what_the_ufunc_computes():
    x, y = np.linspace(0, 3, 7), np.linspace(5, 6, 7)
    out = np.empty(7)
    loop = find_loop(np.hypot)
    assert loop.dtypes == (F8, F8, F8)
    assert (loop.nin, loop.nout, loop.core, loop.refusal) == (2, 1, None, None)
    run(loop, x, y, out)
    assert out.tolist() == np.hypot(x, y).tolist()


def test_dtypes_choose_the_loop():
    assert find_loop(np.add, ["i4", "i4"]).dtypes == (np.dtype("i4"),) * 3
    assert find_loop(np.isnan, ["f4", "?"]).dtypes == (np.dtype("f4"), np.dtype("?"))


def test_a_missing_loop_is_refused_with_those_that_there_are():
    with pytest.raises(TypeError, match=r"no loop for int8; it has .*dd->d"):
        find_loop(np.hypot, ["i1"])


def test_what_is_no_ufunc_is_refused():
    with pytest.raises(TypeError, match="expected a NumPy ufunc, got function"):
        find_loop(lambda x: x)


@pytest.mark.parametrize(
    ("ufunc", "dtypes"),
    [
        (np.add, "OOO"),
        (np.frompyfunc(abs, 1, 1), "OO"),
        (np.power, "lll"),
    ],
)
def test_loops_that_may_raise_are_refused(ufunc, dtypes):
    assert why_not(ufunc, [np.dtype(c) for c in dtypes])


def test_the_signature_of_a_gufunc_is_told():
    assert find_loop(np.linalg._umath_linalg.det, ["d"]).core == "(m,m)->()"


def test_errors_that_scipy_is_told_to_raise_keep_its_loops_on_the_caller():
    special = pytest.importorskip("scipy.special")
    assert why_not(special.gamma, [F8, F8]) is None
    with special.errstate(all="raise"):
        assert "errstate" in why_not(special.gamma, [F8, F8])


def test_numba_functions_that_raise_are_told_from_those_that_do_not():
    numba = pytest.importorskip("numba")

    @numba.vectorize(["float64(float64)"])
    def quiet(x):
        return x * x

    @numba.vectorize(["float64(float64)"])
    def loud(x):
        if x < 0:
            raise ValueError("negative")
        return x

    @numba.guvectorize(["void(float64[:], float64[:])"], "(n)->()")
    def first(x, result):
        result[0] = x[0]

    assert why_not(quiet, [F8, F8]) is None
    assert "may raise an exception" in why_not(loud, [F8, F8])
    assert why_not(first, [F8, F8]) is None
    x, out = np.arange(5.0), np.empty(5)
    run(find_loop(quiet), x, out)
    assert out.tolist() == (x * x).tolist()
    assert find_loop(first).core == "(n)->()"
