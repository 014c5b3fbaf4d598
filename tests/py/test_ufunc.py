"""kernels.ufunc(): who runs what, errors, executors, threads; see test_ufunc_numpy."""

import os
import signal
import threading
import warnings

import numpy as np
import pytest
import stealpool.ufunc
from stealpool import kernels
from stealpool.ufunc import why_not

LARGE = 300_000
F8 = np.dtype("f8")


def eager(u):
    made = kernels.ufunc(u)
    made._set_eager(True)
    return made


# --------------------------------------------------------------------- who runs it


def test_a_large_call_runs_on_the_pool_and_a_small_one_does_not():
    cos = kernels.ufunc(np.cos)
    cos(np.ones(100))
    assert cos.pool_calls == 0
    cos(np.ones(LARGE))
    assert cos.pool_calls == 1


def test_it_is_called_and_looks_like_the_ufunc():
    add = kernels.ufunc(np.add)
    assert kernels.ufunc(add) is add
    assert (add.nin, add.nout, add.identity, add.types) == (2, 1, 0, np.add.types)
    assert add.__name__ == "add"
    assert add.__doc__ == np.add.__doc__
    assert repr(add) == "<stealpool ufunc add>"
    with pytest.raises(AttributeError):
        _ = add.moon


def test_what_is_no_ufunc_is_refused():
    with pytest.raises(TypeError, match="expected a NumPy ufunc, got function"):
        kernels.ufunc(lambda x: x)


def test_python_functions_stay_with_numpy():
    double = np.frompyfunc(lambda x: 2 * x, 1, 1)
    ours = eager(double)
    assert ours(np.arange(3)).tolist() == [0, 2, 4]
    assert ours.pool_calls == 0


def test_subclasses_and_overrides_stay_with_numpy():
    class Mine(np.ndarray):
        pass

    class Override:
        def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
            return ufunc, method, sorted(kwargs)

    ours = eager(np.add)
    array = np.ones(5000)
    assert type(ours(array.view(Mine), 1)) is Mine
    assert ours(array, Override()) == (np.add, "__call__", [])
    assert ours(array, 1, out=(array.view(Mine),)).shape == (5000,)
    assert ours.reduce(Override(), axis=1) == (np.add, "reduce", ["axis"])
    assert isinstance(ours(array.astype(object), 1)[0], float)
    assert ours.pool_calls == 0


def test_integer_powers_still_raise():
    ours = eager(np.power)
    with pytest.raises(ValueError, match="negative integer powers"):
        ours(np.full(5000, 2), -1)


def test_numpy_refuses_in_its_own_words():
    ours = eager(np.add)
    with pytest.raises(ValueError, match="could not be broadcast"):
        ours(np.ones(3000), np.ones(4000))
    with pytest.raises(TypeError, match="moon"):
        ours(np.ones(3000), 1, moon=1)
    with pytest.raises(TypeError, match="Cannot cast ufunc 'add' output"):
        ours(np.ones(3000), 1, out=np.ones(3000, int))
    with pytest.raises(ValueError, match="read-only"):
        out = np.ones(3000)
        out.flags.writeable = False
        ours(out, 1, out=out)


# ------------------------------------------------------------- what may leave the GIL


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


def test_with_numpy_1_all_is_left_to_numpy(monkeypatch, make_executor):
    monkeypatch.setattr(stealpool.ufunc, "_IS_NUMPY_1", True)
    add = kernels.ufunc(np.add)
    assert add(np.ones(LARGE), 1, executor=make_executor(1))[0] == 2
    assert add.reduce(np.ones((2, LARGE)), axis=0)[0] == 2
    assert (add.pool_calls, add.nin, add.__name__) == (0, 2, "add")
    assert kernels.ufunc(add) is add
    with pytest.raises(TypeError, match="executor must be"):
        add(1, 2, executor=3)


# ------------------------------------------------------------------ floating point


def all_but_the_last_is_fine():
    array = np.ones(LARGE)
    array[-1] = 0
    return array


def test_a_warning_is_raised_in_the_caller_once():
    array = all_but_the_last_is_fine()
    with pytest.warns(
        RuntimeWarning, match="divide by zero encountered in log"
    ) as seen:
        eager(np.log)(array)
    assert len(seen) == 1
    assert seen[0].filename == __file__


def test_errstate_decides_what_becomes_of_errors():
    array = all_but_the_last_is_fine()
    divide = eager(np.divide)
    heard = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with np.errstate(divide="ignore"):
            assert divide(1.0, array)[-1] == np.inf
        with (
            np.errstate(divide="raise"),
            pytest.raises(FloatingPointError, match="divide by zero .* divide"),
        ):
            divide(1.0, array)
        with np.errstate(divide="call", call=lambda *args: heard.append(args)):
            divide(1.0, array)
    assert heard == [("divide by zero", 1)]


def test_errors_from_before_are_not_reported():
    with np.errstate(all="ignore"):
        np.log(np.zeros(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        eager(np.log)(np.ones(LARGE))


def test_reductions_report_as_numpy_does():
    array = np.full((50, 5000), 1e308)
    with pytest.warns(RuntimeWarning, match="overflow encountered in reduce"):
        eager(np.add).reduce(array, axis=1)
    with pytest.warns(RuntimeWarning, match="overflow encountered in accumulate"):
        eager(np.add).accumulate(array, axis=1)


def test_scipy_raises_when_it_is_told_to():
    special = pytest.importorskip("scipy.special")
    gamma = eager(special.gammaln)
    array = np.zeros(LARGE)
    assert gamma(array)[0] == np.inf
    assert gamma.pool_calls == 1
    with special.errstate(all="raise"), pytest.raises(special.SpecialFunctionError):
        gamma(array)


# ----------------------------------------------------------------------- executors


def test_an_executor_of_ones_own_does_the_work(make_executor):
    executor = make_executor(2)
    cos = eager(np.cos)
    array = np.linspace(0, 9, 3_000_000)
    for _ in range(20):
        assert np.array_equal(cos(array, executor=executor), np.cos(array))
        if executor.stats()["loops"]:
            break
    assert executor.stats()["loops"] > 0
    assert cos.reduce is not None


def test_what_is_no_executor_is_refused(make_executor):
    cos = kernels.ufunc(np.cos)
    for size in (3, LARGE):
        with pytest.raises(TypeError, match="executor must be a stealpool.Executor"):
            cos(np.ones(size), executor=3)
    executor = make_executor(1)
    executor.shutdown()
    for size in (3, LARGE):
        with pytest.raises(RuntimeError, match="after shutdown"):
            cos(np.ones(size), executor=executor)


def test_it_is_a_callable_to_submit(make_executor):
    cos = eager(np.cos)
    array = np.linspace(0, 9, LARGE)
    future = make_executor(2).submit(cos, array)
    assert np.array_equal(future.result(), np.cos(array))
    assert cos.pool_calls == 1


def test_many_threads_call_one_ufunc_at_once():
    add = eager(np.add)
    arrays = [np.full(200_000, float(i)) for i in range(8)]
    narrow = [np.full(200_000, i, "f4") for i in range(8)]
    start = threading.Barrier(8)
    wrong = []

    def work(i):
        start.wait()
        for _ in range(5):
            if not np.all(add(arrays[i], narrow[i]) == 2 * i):
                wrong.append(i)
            if not np.all(add.reduce(arrays[i].reshape(100, -1), axis=1) == 2000 * i):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert add.pool_calls == 80


@pytest.fixture
def slow():
    """A ufunc that takes a microsecond for each number."""
    numba = pytest.importorskip("numba")

    @numba.vectorize(["float64(float64)"])
    def slow(x):
        for _ in range(1000):
            x = x * 0.5 + 1.0
        return x

    return slow


def test_what_a_view_asks_for_ends_a_long_call(slow, make_executor):
    slowly, executor = eager(slow), make_executor(2)
    token, long = stealpool.CancellationToken(), np.ones(50_000_000)
    view = executor.options(cancel=token)
    canceller = threading.Timer(0.05, token.cancel)
    canceller.start()
    for _ in range(2):
        with pytest.raises(stealpool.CancelledError):  # it would take a minute
            slowly(long, executor=view)
    canceller.join()
    with pytest.raises(TimeoutError, match=r"had not ended 0\.02 s after it began"):
        slowly(long, executor=executor.options(timeout=0.02))
    in_time = executor.options(timeout=60, cancel=stealpool.CancellationToken())
    assert slowly(np.ones(3000), executor=in_time)[0] == pytest.approx(2.0)
    assert executor.stats()["unfinished"] == 0


def test_an_interrupt_ends_a_long_call(slow):
    class Stopped(Exception):
        pass

    def stop(*_):
        raise Stopped

    slowly = eager(slow)
    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Stopped):  # which would take a minute
            slowly(np.ones(50_000_000))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert slowly(np.ones(3000))[0] == pytest.approx(2.0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_child_of_a_fork_has_a_pool_of_its_own(run_python):
    run_python(
        """
        import os
        import numpy as np
        from stealpool import kernels

        cos = kernels.ufunc(np.cos)
        array = np.ones(300_000)
        cos(array)
        child = os.fork()
        if child == 0:
            ok = np.array_equal(cos(array), np.cos(array)) and cos.pool_calls == 2
            os._exit(0 if ok else 1)
        assert os.waitpid(child, 0)[1] == 0
        """
    )


# --------------------------------------------------------------------------- numba


def test_numba_vectorize_runs_on_the_pool():
    numba = pytest.importorskip("numba")

    @numba.vectorize(["float32(float32, float32)", "float64(float64, float64)"])
    def mean(x, y):
        return (x + y) / 2

    ours = eager(mean)
    x = np.linspace(0, 1, LARGE)
    assert np.array_equal(ours(x, 1 - x), mean(x, 1 - x))
    assert ours(x.astype("f4"), np.float32(1)).dtype == np.float32
    assert ours.pool_calls == 2


def test_numba_compiles_for_new_types_first():
    numba = pytest.importorskip("numba")

    @numba.vectorize
    def twice(x):
        return x + x

    ours = eager(twice)
    assert ours(np.arange(3000)).dtype == np.int64
    assert ours(np.arange(3000.0)).dtype == np.float64
    assert ours(np.arange(3000, dtype="i4")).dtype == twice(np.ones(3, "i4")).dtype
    assert ours.pool_calls == 0
    assert ours(np.arange(3000)).tolist() == list(range(0, 6000, 2))
    assert ours.pool_calls == 1


def test_small_calls_of_numba_functions_are_what_they_are_in_numba():
    numba = pytest.importorskip("numba")

    @numba.vectorize
    def twice(x):
        return x + x

    @numba.vectorize(["float64(float64)"])
    def half(x):
        return x / 2

    @numba.guvectorize("(n)->(n)")  # compiles when called, and needs all operands
    def negative(x, result):
        for i in range(x.shape[0]):
            result[i] = -x[i]

    class Other:
        def __array_ufunc__(self, ufunc, method, *args, **kwargs):
            return ufunc, method, len(args), list(kwargs)

    twice_, half_ = kernels.ufunc(twice), kernels.ufunc(half)
    for dtype in ("i8", "f8", "i8", "f4", "i8"):  # some are compiled by the first call
        for x in (np.arange(5, dtype=dtype), np.arange(1000, dtype=dtype)):
            ours = twice_(x)
            assert ours.dtype == twice(x).dtype
            assert np.array_equal(ours, 2 * x)
    x, out = np.arange(1000.0), np.empty(1000)
    assert half_(x, out) is out
    assert half_(x, out=out) is out
    assert np.array_equal(out, x / 2)
    assert twice_(x, out=out) is out
    assert np.array_equal(half_(np.arange(1000)), np.arange(1000) / 2)
    for ours, theirs in ((twice_, twice), (half_, half)):
        assert ours(Other()) == theirs(Other())
        with pytest.raises(ValueError, match="could not be broadcast"):
            ours(x, np.empty(3))
    with pytest.raises(TypeError, match="Cannot cast ufunc 'half' output"):
        half_(x, np.empty(1000, "i4"))
    negative_ = kernels.ufunc(negative)
    negative_(x, out)
    assert np.array_equal(out, -x)
    with pytest.raises(TypeError, match="Too few arguments"):
        negative_(x)
    assert twice_.pool_calls == half_.pool_calls == negative_.pool_calls == 0


def test_numba_guvectorize_runs_on_the_pool():
    numba = pytest.importorskip("numba")

    @numba.guvectorize(["void(float64[:], float64[:], float64[:])"], "(n),()->(n)")
    def scale(x, factor, result):
        for i in range(x.shape[0]):
            result[i] = x[i] * factor[0]

    ours = eager(scale)
    x = np.random.rand(600, 50)
    factors = np.random.rand(600)
    assert np.array_equal(ours(x, factors), scale(x, factors))
    assert np.array_equal(ours(x.T, 2.0), scale(x.T, 2.0))
    out = np.empty((600, 50))
    assert ours(x, factors, out) is out
    assert ours.pool_calls == 3


def test_numba_functions_that_raise_still_raise():
    numba = pytest.importorskip("numba")

    @numba.vectorize(["float64(float64)"])
    def root(x):
        if x < 0:
            raise ValueError("negative")
        return x**0.5

    array = np.ones(LARGE)
    array[-1] = -1
    with pytest.raises(ValueError, match="negative"):
        eager(root)(array)
