"""stealpool.kernels.integrate: which functions, which limits, which sum."""

import ctypes
import math
import pickle
import threading

import numpy as np
import pytest
import stealpool
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial import Polynomial
from stealpool.kernels import integrate


def reference(f, a, b, n):
    step = (b - a) / n
    return math.fsum(f(a + i * step) for i in range(n)) * step


@pytest.fixture(scope="module")
def two():
    with stealpool.Executor(2) as executor:
        yield executor


@pytest.fixture(scope="module")
def cos():
    return stealpool.kernel(ctypes.CDLL("libm.so.6").cos)


@pytest.fixture(scope="module")
def with_user(compile_c):
    function = compile_c(
        "double f(double x, void *user) { return x * *(double *)user; }"
    ).f
    function.restype = ctypes.c_double
    function.argtypes = [ctypes.c_double, ctypes.c_void_p]
    return function


NAMES = ["cos", "sin", "exp", "log", "sqrt"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("module", [math, np], ids=lambda module: module.__name__)
@pytest.mark.parametrize("n", [1, 2, 7, 1000, 4096, 100_003])
def test_functions_of_math_and_numpy(name, module, n):
    result = integrate(getattr(module, name), 0.5, 2.5, n_iter=n)
    assert type(result) is float
    expected = reference(getattr(math, name), 0.5, 2.5, n)
    assert result == pytest.approx(expected, rel=1e-14, abs=0)


@pytest.mark.parametrize("degree", [0, 1, 2, 5, 20, 63, 64, 100])
@pytest.mark.parametrize("make", [Polynomial, np.poly1d])
def test_polynomials(make, degree):
    coefficients = [(-1) ** i / (i + 1) for i in range(degree + 1)]
    f = make(coefficients)
    expected = reference(lambda x: float(f(x)), -0.9, 0.8, 1000)
    result = integrate(f, -0.9, 0.8, n_iter=1000)
    assert result == pytest.approx(expected, rel=1e-12, abs=1e-13)


@pytest.mark.parametrize(
    "window", [[-1, 1], [0, 2], [-5, 5], [3, -3], [0, 10]], ids=str
)
def test_domain_of_a_polynomial_is_mapped_to_its_window(window):
    f = Polynomial([1, 2, 3], domain=[0, 10], window=window)
    expected = reference(lambda x: float(f(x)), 0.0, 10.0, 1000)
    assert integrate(f, 0, 10, n_iter=1000) == pytest.approx(expected, rel=1e-13)


def test_polynomial_that_was_fitted_far_from_zero_keeps_its_digits():
    x = np.linspace(1000.0, 1001.0, 101)
    f = Polynomial.fit(x, np.cos(6 * x), 15)
    expected = reference(lambda x: float(f(x)), 1000.0, 1001.0, 1000)
    assert integrate(f, 1000, 1001) == pytest.approx(expected, rel=1e-9)


def test_polynomial_without_a_domain_gives_what_python_gives():
    with np.errstate(all="ignore"):
        f = Polynomial([1.0, 2.0], window=[0, 0])
        assert integrate(f, 0, 1, n_iter=10) == reference(f, 0.0, 1.0, 10)


def test_kernels(cos):
    expected = reference(math.cos, 0.0, 1.0, 10_000)
    result = integrate(cos, 0, 1, n_iter=10_000)
    assert result == pytest.approx(expected, rel=1e-15)


def test_kernels_with_user_data(with_user):
    scipy = pytest.importorskip("scipy")
    user = ctypes.c_double(3.0)
    pointer = ctypes.cast(ctypes.pointer(user), ctypes.c_void_p)
    kernel = stealpool.kernel(scipy.LowLevelCallable(with_user, pointer))
    expected = reference(lambda x: 3 * x, 0.0, 1.0, 1000)
    assert integrate(kernel, 0, 1) == pytest.approx(expected, rel=1e-15)


def test_numba_kernels():
    numba = pytest.importorskip("numba")
    kernel = stealpool.kernel(numba.cfunc("float64(float64)")(lambda x: x * x))
    expected = reference(lambda x: x * x, 0.0, 1.0, 1000)
    assert integrate(kernel, 0, 1) == pytest.approx(expected, rel=1e-15)


def test_any_python_function():
    assert integrate(lambda x: x * x, 0, 2, n_iter=100) == reference(
        lambda x: x * x, 0.0, 2.0, 100
    )


def test_unhashable_callable_is_a_python_function():
    class F:
        __hash__ = None

        def __call__(self, x):
            return x

    assert integrate(F(), 0, 1, n_iter=10) == pytest.approx(0.45)


def test_exception_of_a_python_function_is_raised(two):
    with pytest.raises(ZeroDivisionError):
        integrate(lambda x: 1 / x, 0, 1)
    with pytest.raises(ZeroDivisionError):
        two.submit(integrate, lambda x: 1 / x, 0, 1).result()


# ---------------------------------------------------------------------------- the sum


@pytest.mark.parametrize("f", [math.cos, Polynomial([1, 2, 3]), "kernel", abs])
@pytest.mark.parametrize("n", [1, 1000, 65_536, 1_000_003])
def test_same_bits_for_any_number_of_workers_and_when_submitted(f, n, cos, two):
    if f == "kernel":
        f = cos
    if f is abs:
        n = min(n, 1000)
    with stealpool.Executor(1) as one, stealpool.Executor(3) as three:
        results = {
            integrate(f, 0.1, 1.3, n_iter=n, executor=one).hex(),
            integrate(f, 0.1, 1.3, n_iter=n, executor=two).hex(),
            integrate(f, 0.1, 1.3, n_iter=n, executor=three).hex(),
            integrate(f, 0.1, 1.3, n_iter=n).hex(),
            one.submit(integrate, f, 0.1, 1.3, n_iter=n).result().hex(),
            two.submit(integrate, f, 0.1, 1.3, n_iter=n).result().hex(),
        }
    assert len(results) == 1


@given(
    st.floats(-100, 100),
    st.floats(-100, 100),
    st.integers(1, 5000),
    st.sampled_from(["cos", "sin", "exp"]),
)
def test_agrees_with_fsum(a, b, n, name):
    f = getattr(math, name)
    step = (b - a) / n
    values = [f(a + i * step) for i in range(n)]
    scale = math.fsum(map(abs, values)) * abs(step)
    result = integrate(f, a, b, n_iter=n)
    assert abs(result - math.fsum(values) * step) <= 4e-15 * scale


def test_limits_may_be_swapped_or_equal():
    assert integrate(math.cos, 1, 1) == 0.0
    forth = reference(math.cos, 1.0, 0.0, 1000)
    assert integrate(math.cos, 1, 0) == pytest.approx(forth, rel=1e-14)


def test_values_that_are_not_finite_come_out():
    assert math.isnan(integrate(math.log, -1, 1))
    assert integrate(math.log, 0, 1) == -math.inf
    assert integrate(math.exp, 0, 800) == math.inf


# -------------------------------------------------------------------------- submitting


@pytest.mark.parametrize(
    "f", [math.cos, np.exp, Polynomial([1, 2]), np.poly1d([1, 2]), "kernel"]
)
def test_submitted_integral_runs_on_a_native_worker(f, cos, make_executor, until):
    executor = make_executor(2)
    f = cos if f == "kernel" else f
    for future in [executor.submit(integrate, f, 0, 1) for _ in range(20)]:
        future.result()
    until(lambda: executor.stats()["executed"] == 20)
    assert executor.stats()["python_threads"] == 0


class Polynomial65(Polynomial):
    """More coefficients than the native code takes."""

    def __init__(self):
        super().__init__([1.0] * 65)

    def __call__(self, x):
        return note_thread(x)


threads = []


def note_thread(x):
    threads.append(threading.current_thread().name)
    return 1.0


@pytest.mark.parametrize("f", [note_thread, Polynomial65()], ids=["function", "long"])
def test_submitted_python_function_runs_on_the_python_lane(f, make_executor):
    executor = make_executor(1, thread_name_prefix="lane")
    threads.clear()
    assert executor.submit(integrate, f, 0, 1).result() == pytest.approx(1.0)
    assert set(threads) == {"lane_0"}
    assert executor.stats()["executed"] == 0


def test_map_of_integrals(two):
    results = two.map(integrate, [math.cos] * 3, [0, 0, 0], [1, 2, 3])
    assert list(results) == [integrate(math.cos, 0, b) for b in (1, 2, 3)]


def test_integrate_is_a_function_like_any_other():
    assert integrate.__name__ == "integrate"
    assert "rectangle" in integrate.__doc__
    assert pickle.loads(pickle.dumps(integrate)) is integrate
    assert repr(integrate) == "<built-in kernel stealpool.kernels.integrate>"


# ---------------------------------------------------------------------------- bad input


@pytest.fixture(params=["call", "submit"])
def run(request, two):
    if request.param == "call":
        return integrate
    return lambda *args, **kwargs: two.submit(integrate, *args, **kwargs).result()


@pytest.mark.parametrize("n", [0, -1, 2**53 + 1, 10**30])
@pytest.mark.parametrize("f", [math.cos, abs])
def test_number_of_points_must_be_in_range(run, f, n):
    with pytest.raises(ValueError, match=rf"n_iter must be from 1 to 2\*\*53.*got {n}"):
        run(f, 0, 1, n_iter=n)


@pytest.mark.parametrize("n", [10.0, "10", None])
def test_number_of_points_must_be_an_integer(run, n):
    message = f"n_iter must be an integer, got .*{n!r}; pass int"
    with pytest.raises(TypeError, match=message):
        run(math.cos, 0, 1, n_iter=n)


@pytest.mark.parametrize("limit", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("f", [math.cos, abs])
def test_limits_must_be_finite(run, f, name, limit):
    limits = (limit, 1.0) if name == "a" else (0.0, limit)
    with pytest.raises(ValueError, match=f"must be finite, got {name}={limit!r};"):
        run(f, *limits)


@pytest.mark.parametrize("f", [5, "cos", None, [1, 2]])
def test_what_cannot_be_integrated_is_refused(run, f):
    with pytest.raises(
        TypeError, match=f"cannot integrate {type(f).__name__}.*expected"
    ):
        run(f, 0, 1)


def test_kernel_of_another_signature_is_refused(run):
    power = stealpool.kernel(ctypes.CDLL("libm.so.6").pow)
    with pytest.raises(
        ValueError, match=r"needs a kernel 'double \(double\)', got pow"
    ):
        run(power, 0, 1)


def test_kernel_without_its_user_data_is_refused_and_not_a_crash(run, with_user):
    kernel = stealpool.kernel(with_user)
    with pytest.raises(
        ValueError, match=r"'float64 \(float64, void \*\)'; .* must come"
    ):
        run(kernel, 0, 1)


@pytest.mark.parametrize("make", [Polynomial, np.poly1d])
def test_complex_polynomial_is_refused(run, make):
    with pytest.raises(
        TypeError, match=r"cannot integrate .* its coefficients are complex"
    ):
        run(make([1j, 2]), 0, 1)


@pytest.mark.parametrize("limit", ["1", 1j, None])
@pytest.mark.parametrize("f", [math.cos, abs])
def test_limits_must_be_real_numbers(run, f, limit):
    with pytest.raises(TypeError, match=f"must be real numbers, got b={limit!r}"):
        run(f, 0, limit)


def test_limits_and_points_may_be_numpys():
    result = integrate(math.cos, np.float32(0), np.int64(1), n_iter=np.int32(1000))
    assert result == integrate(math.cos, 0, 1)


def test_unknown_keyword_is_refused(run):
    with pytest.raises(TypeError, match="n_itr"):
        run(math.cos, 0, 1, n_itr=5)


@pytest.mark.parametrize("f", [math.cos, abs])
def test_refused_submit_raises_at_submit_and_queues_nothing(f, make_executor):
    executor = make_executor(1)
    with pytest.raises(ValueError, match="n_iter"):
        executor.submit(integrate, f, 0, 1, n_iter=0)
    assert executor.stats()["submitted"] == 0


def test_closed_executor_is_refused(make_executor):
    executor = make_executor(1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        integrate(math.cos, 0, 1, executor=executor)
