"""for_range(): every index once; reductions; progress; Ctrl-C."""

import ctypes
import sys
import threading
import time

import numpy as np
import pytest
import stealpool
from stealpool import kernel

SOURCE = """
#include <math.h>
#include <stdint.h>
#include <time.h>

int count(intptr_t begin, intptr_t end, void *user)
{
    for (intptr_t i = begin; i < end; i++)
        ((int32_t *)user)[i]++;
    return 0;
}
void scale(intptr_t begin, intptr_t end, double *x, double by, int32_t add)
{
    for (intptr_t i = begin; i < end; i++)
        x[i] = x[i] * by + add;
}
int fail_from(intptr_t begin, intptr_t end, intptr_t first)
{
    return end > first ? (int)(begin > first ? begin : first) : 0;
}
int sum(intptr_t begin, intptr_t end, void *acc, void *user)
{
    for (intptr_t i = begin; i < end; i++)
        *(double *)acc += ((double *)user)[i];
    return 0;
}
void add(void *into, const void *from, void *user)
{
    (void)user;
    *(double *)into += *(const double *)from;
}
/* Matrices are multiplied, which does not commute. */
int product(intptr_t begin, intptr_t end, double *acc, const double *angles)
{
    for (intptr_t i = begin; i < end; i++) {
        double c = cos(angles[i]), s = sin(angles[i]), a = acc[0], b = acc[1];
        acc[0] = a * c - b * s, acc[1] = a * s + b * c;
        acc[2] = acc[2] * 0.5 + angles[i];
    }
    return 0;
}
void multiply(double *into, const double *from)
{
    double a = into[0], b = into[1];
    into[0] = a * from[0] - b * from[1], into[1] = a * from[1] + b * from[0];
    into[2] += from[2];
}
int histogram(intptr_t begin, intptr_t end, int64_t *bins, const uint8_t *x)
{
    for (intptr_t i = begin; i < end; i++)
        bins[x[i]]++;
    return 0;
}
/* Each index takes 5 ms of this thread's own time; stops when asked to. */
int busy(intptr_t begin, intptr_t end, int (*is_cancelled)(void), int32_t *stopped)
{
    struct timespec start, now;
    for (intptr_t i = begin; i < end; i++) {
        clock_gettime(CLOCK_MONOTONIC, &start);
        do {
            if (is_cancelled()) {
                *stopped = 1;
                return -7;
            }
            clock_gettime(CLOCK_MONOTONIC, &now);
        } while ((now.tv_sec - start.tv_sec) * 1000000000LL + now.tv_nsec -
                     start.tv_nsec < 5000000);
    }
    return 0;
}
int busy_reduction(intptr_t begin, intptr_t end, double *acc, int (*is_cancelled)(void))
{
    int32_t stopped;
    *acc += (double)(end - begin);
    return busy(begin, end, is_cancelled, &stopped);
}
typedef int (*loop_fn)(void *, intptr_t, intptr_t, intptr_t,
                       int (*)(intptr_t, intptr_t, void *), void *);
struct nest { void *pool; loop_fn loop; int32_t depth; int32_t count; };
int nested(intptr_t begin, intptr_t end, void *user)
{
    struct nest *outer = user;
    for (intptr_t i = begin; i < end; i++) {
        struct nest inner = *outer;
        inner.depth--;
        inner.count = 0;
        if (inner.depth == 0)
            inner.count = 1;
        else if (outer->loop(outer->pool, 0, 4, 1, nested, &inner) != 0)
            return 1;
        __atomic_fetch_add(&outer->count, inner.count, __ATOMIC_RELAXED);
    }
    return 0;
}
"""
FAIL = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)(
    stealpool.get_address("sp_fail")
)
WORDS = ctypes.create_string_buffer(b"the index is 700")
WHERE = ctypes.addressof(WORDS)


@pytest.fixture(scope="module")
def library(compile_c):
    return compile_c(SOURCE)


@pytest.fixture(params=[1, 2, 5])
def executor(request, make_executor):
    return make_executor(request.param)


@pytest.fixture
def two(make_executor):
    return make_executor(2)


@pytest.fixture(scope="module")
def busy(library):
    """A kernel whose indices take 5 ms each, and its last argument."""
    made = kernel(library.busy, "int (intptr_t, intptr_t, uintptr_t, int32_t *)")
    return made, stealpool.get_address("sp_cancelled"), np.zeros(1, np.int32)


# ---------------------------------------------------------------------- kernels of C


@pytest.mark.parametrize("n", [0, 1, 2, 1000, 300_000])
@pytest.mark.parametrize("grain", [None, 1, 7, 10**9])
def test_kernel_does_every_index_once(library, executor, n, grain):
    count, done = kernel(library.count, "range"), np.zeros(n + 10, np.int32)
    assert executor.for_range(count, 5, n + 5, done, grain=grain) is None
    assert done[5 : n + 5].tolist() == [1] * n
    assert done[:5].sum() == done[n + 5 :].sum() == 0


def test_empty_range_calls_nothing(library, executor):
    executor.for_range(kernel(library.count, "range"), 5, -5, np.zeros(1, np.int32))


def test_kernel_takes_arguments_of_any_kind(library, executor):
    scale = kernel(library.scale, "void (intptr_t, intptr_t, double *, double, int)")
    x = np.arange(100_000.0)
    executor.for_range(scale, 0, x.size, x, 2.0, -1)
    np.testing.assert_array_equal(x, np.arange(100_000.0) * 2 - 1)


def test_user_data_may_be_bound(library, executor):
    done = np.zeros(1000, np.int32)
    executor.for_range(kernel(library.count, "range", user=done), 0, 1000)
    assert set(done) == {1}


def test_range_kernel_may_be_submitted_whole(library, executor):
    count, done = kernel(library.count, "range"), np.zeros(1000, np.int32)
    assert executor.submit(count, 10, 20, done).result(60) is None
    assert done.sum() == done[10:20].sum() == 10


def test_error_is_that_of_the_lowest_index(library, executor):
    fail = kernel(library.fail_from, "int (intptr_t, intptr_t, intptr_t)")
    with pytest.raises(stealpool.KernelError) as info:
        executor.for_range(fail, 0, 100_000, 31_415, grain=1)
    assert (info.value.kernel, info.value.code) == ("fail_from", 31_415)


def test_words_of_a_failure_reach_the_caller(executor):
    pytest.importorskip("numba")

    @kernel("int (intptr_t, intptr_t)")
    def failing(begin, end):
        return FAIL(3, WHERE) if begin <= 700 < end else 0

    with pytest.raises(stealpool.KernelError, match="returned 3: the index is 700"):
        executor.for_range(failing, 0, 1000, grain=10)


def test_loops_nest_to_any_depth(library, executor):
    class Nest(ctypes.Structure):
        _fields_ = [("pool", ctypes.c_void_p), ("loop", ctypes.c_void_p)]
        _fields_ += [("depth", ctypes.c_int32), ("count", ctypes.c_int32)]

    handle = stealpool.Handle(executor)
    nest = Nest(handle.address, stealpool.get_address("sp_parallel_for"), 6, 0)
    executor.for_range(kernel(library.nested, "range"), 0, 4, nest, grain=1)
    assert nest.count == 4**6


def test_kernel_runs_on_the_shared_pool(library):
    done = np.zeros(100_000, np.int32)
    stealpool.default_executor().for_range(
        kernel(library.count, "range"), 0, done.size, done
    )
    assert set(done) == {1}


def test_kernel_of_numba_runs_from_four_threads_at_once(two):
    # numba's own prange aborts the process here, with its default threading layer.
    pytest.importorskip("numba")

    @kernel("int (intptr_t, intptr_t, double *)")
    def square(begin, end, x):
        for i in range(begin, end):
            x[i] *= x[i]
        return 0

    arrays = [np.arange(100_000.0) for _ in range(4)]
    barrier = threading.Barrier(4)

    def work(x):
        barrier.wait()
        for _ in range(10):
            x[:] = np.arange(100_000.0)
            two.for_range(square, 0, x.size, x)

    threads = [threading.Thread(target=work, args=(x,)) for x in arrays]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for x in arrays:
        np.testing.assert_array_equal(x, np.arange(100_000.0) ** 2)


# ----------------------------------------------------------------------- reductions


def test_reduction_returns_its_accumulator(library, executor):
    total = kernel(library.sum, "reduce", combine=library_add(library), initial=0.0)
    x = np.arange(200_000.0)
    for value in (
        executor.for_range(total, 0, x.size, x),
        executor.submit(total, 0, x.size, x).result(60),
        total(0, x.size, x),
    ):
        assert type(value) is float
        assert value == x.sum()
    assert executor.for_range(total, 3, 3, x) == 0.0


def library_add(library):
    return kernel_source(library.add, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


def kernel_source(function, *argtypes):
    function.restype, function.argtypes = None, argtypes
    return function


def test_reduction_is_the_same_for_any_number_of_workers(library, make_executor):
    total = kernel(library.sum, "reduce", combine=np.add, initial=0.0)
    x = np.random.default_rng(1).random(123_457)
    values = {make_executor(n).for_range(total, 0, x.size, x) for n in (1, 2, 5)}
    values |= {
        total(0, x.size, x),
        make_executor(1).submit(total, 0, x.size, x).result(),
    }
    assert len(values) == 1
    assert values.pop() == pytest.approx(x.sum())


def test_reduction_combines_from_left_to_right(library, executor):
    doubles = ctypes.POINTER(ctypes.c_double)
    multiply = kernel_source(library.multiply, doubles, doubles)
    product = kernel(
        library.product,
        "int (intptr_t, intptr_t, double *, const double *)",
        combine=multiply,
        initial=np.array([1.0, 0.0, 0.0]),
    )
    angles = np.linspace(-1, 1.5, 1000)
    got = executor.for_range(product, 0, angles.size, angles)
    assert got.shape == (3,)
    turned = complex(got[0], got[1])
    assert turned == pytest.approx(np.exp(1j * angles.sum()))


def test_accumulator_may_be_an_array(library, executor):
    bins = kernel(
        library.histogram,
        "int (intptr_t, intptr_t, int64_t *, const uint8_t *)",
        combine=np.add,
        initial=np.zeros(256, np.int64),
    )
    x = np.random.default_rng(2).integers(0, 256, 100_000, dtype=np.uint8)
    expected = np.bincount(x, minlength=256)
    np.testing.assert_array_equal(executor.for_range(bins, 0, x.size, x), expected)
    np.testing.assert_array_equal(executor.for_range(bins, 0, x.size, x), expected)


@pytest.mark.parametrize("combine", [np.maximum, np.fmax])
def test_reduction_of_numba_with_a_ufunc(executor, combine):
    numba = pytest.importorskip("numba")

    @kernel(
        "int (intptr_t, intptr_t, float *, const float *, intptr_t)",
        combine=combine,
        initial=np.float32(-np.inf),
    )
    def highest(begin, end, acc, x, n):
        values = numba.carray(x, n)
        for i in range(begin, end):
            acc[0] = max(acc[0], values[i])
        return 0

    x = np.random.default_rng(3).random(50_000, dtype=np.float32)
    value = executor.for_range(highest, 0, x.size, x, x.size)
    assert type(value) is np.float32
    assert value == x.max()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"combine": np.add}, TypeError, "pass initial=, its neutral element"),
        ({"initial": 0.0}, TypeError, "initial= is for reductions"),
        ({"combine": np.cos, "initial": 0.0}, ValueError, "a ufunc of two numbers"),
        ({"combine": np.add, "initial": "x"}, TypeError, "no loop for"),
        ({"combine": max, "initial": 0.0}, TypeError, "cannot make a kernel of"),
    ],
)
def test_options_of_reductions_are_checked(library, options, error, words):
    with pytest.raises(error, match=words):
        kernel(library.sum, "reduce", **options)


def test_reduction_needs_a_body_and_an_accumulator_that_fit(library):
    with pytest.raises(ValueError, match="begins with two indices and a pointer"):
        kernel(library.count, "double (double)", combine=np.add, initial=0.0)
    with pytest.raises(TypeError, match="the accumulator is int64 .* is float64"):
        text = "int (intptr_t, intptr_t, int64_t *, const uint8_t *)"
        kernel(library.histogram, text, combine=np.add, initial=0.0)
    with pytest.raises(ValueError, match="combine must be a function 'void"):
        half = kernel_source(library.fail_from, ctypes.c_int)
        kernel(library.sum, "reduce", combine=half, initial=0.0)


# ------------------------------------------------------------------------- callables


@pytest.mark.parametrize("n", [0, 1, 100])
@pytest.mark.parametrize("grain", [None, 1, 30, 1000])
def test_callable_does_every_index_once(executor, n, grain):
    done = [0] * n

    def count(begin, end, by, *, _done=done):
        assert 0 <= begin < end <= n
        for i in range(begin, end):
            _done[i] += by

    assert executor.for_range(count, 0, n, 2, grain=grain) is None
    assert done == [2] * n


def test_callable_runs_in_the_caller_too(two):
    barrier = threading.Barrier(3)  # passes when three threads are at it at once
    seen = set()

    def meet(begin, end):
        seen.add(threading.get_ident())
        barrier.wait(60)

    two.for_range(meet, 0, 3, grain=1)
    assert threading.get_ident() in seen
    assert len(seen) == 3


def test_error_of_a_callable_is_raised_and_ends_the_loop(two):
    calls = []

    def fail(begin, end):
        calls.append(begin)
        raise LookupError(f"at {begin}")

    with pytest.raises(LookupError, match="at 0"):
        two.for_range(fail, 0, 10_000, grain=1)
    assert len(calls) <= 3


def test_loops_of_callables_nest(two):
    done = []

    def inner(begin, end):
        done.extend(range(begin, end))

    two.for_range(lambda b, e: two.for_range(inner, b, e), 0, 50)
    assert sorted(done) == list(range(50))


# ------------------------------------------------------------------ ends from outside


@pytest.fixture(params=["loop", "reduction"])
def endless(request, library, busy):
    """A loop of a kernel that ends only when it is asked to, or after seconds."""
    made, is_cancelled, stopped = busy
    adds = kernel(
        library.busy_reduction,
        "int (intptr_t, intptr_t, double *, uintptr_t)",
        combine=np.add,
        initial=0.0,
    )

    def run(view, **options):
        if request.param == "loop":
            view.for_range(made, 0, 10**6, is_cancelled, stopped, **options)
        else:
            view.for_range(adds, 0, 1000, is_cancelled, **options)

    return run


def test_a_token_ends_the_loops_of_its_view(endless, executor):
    token = stealpool.CancellationToken()
    view = executor.options(cancel=token)
    with pytest.raises(stealpool.CancelledError):
        endless(view, progress=lambda done, total: token.cancel() if done else None)
    with pytest.raises(stealpool.CancelledError):
        endless(view)
    assert executor.stats()["unfinished"] == 0


def test_a_time_limit_ends_the_loops_of_its_view(endless, executor):
    view = executor.options(timeout=0.02)
    for _ in range(2):
        with pytest.raises(TimeoutError, match=r"had not ended 0\.02 s after it began"):
            endless(view)


def test_the_first_error_of_a_group_ends_its_loops(endless, two):
    begun = threading.Event()

    def fail():
        begun.wait(60)
        raise LookupError

    with pytest.raises(ExceptionGroup) as info, two.group() as group:
        group.submit(fail)
        endless(group, progress=lambda done, total: begun.set() if done else None)
    assert [type(error) for error in info.value.exceptions] == [LookupError]


def test_a_token_ends_the_loops_of_callables(executor):
    token, calls = stealpool.CancellationToken(), []

    def body(begin, end):
        calls.append(begin)
        if len(calls) >= 3:
            token.cancel()

    view = executor.options(cancel=token)
    for _ in range(2):
        with pytest.raises(stealpool.CancelledError):
            view.for_range(body, 0, 10_000, grain=1)
    assert 3 <= len(calls) <= 3 + executor._max_workers
    assert executor.stats()["unfinished"] == 0


def test_a_time_limit_ends_the_loops_of_callables(executor, until):
    calls, first = [], []

    def body(begin, end):
        calls.append(begin)
        first.append(time.monotonic())  # which is after the loop has begun
        until(lambda: time.monotonic() > first[0] + 0.02)

    with pytest.raises(TimeoutError, match=r"had not ended 0\.02 s after it began"):
        executor.options(timeout=0.02).for_range(body, 0, 10_000, grain=1)
    assert len(calls) <= 1 + executor._max_workers


def test_an_error_of_a_piece_counts_more_than_the_end_that_it_causes(two):
    """The body's own error is what a group hears of."""

    def fail(begin, end):
        raise LookupError

    with pytest.raises(ExceptionGroup) as info, two.group() as group:
        group.for_range(fail, 0, 100, grain=1)
    assert [type(error) for error in info.value.exceptions] == [LookupError]


def test_loops_that_end_in_time_are_not_affected(library, executor):
    token = stealpool.CancellationToken()
    count = kernel(library.count, "int (intptr_t, intptr_t, int32_t *)")
    for view in (executor.options(cancel=token, timeout=60), executor.group()):
        for n in (0, 1, 1000):
            done = np.zeros(1000, np.int32)
            view.for_range(count, 0, n, done)
            assert done.sum() == n
            seen = []
            view.for_range(lambda b, e, seen=seen: seen.extend(range(b, e)), 0, n)
            assert sorted(seen) == list(range(n))
        view.shutdown()
    assert executor.stats()["unfinished"] == 0


# -------------------------------------------------------------------------- progress


def test_progress_is_reported_in_the_caller(busy, two):
    made, is_cancelled, stopped = busy
    reports, threads = [], set()

    def report(done, total):
        reports.append(done)
        threads.add(threading.get_ident())
        assert total == 60

    two.for_range(made, 0, 60, is_cancelled, stopped, progress=report)
    assert reports == sorted(reports)
    assert (reports[0], reports[-1]) == (0, 60)
    assert len(reports) >= 3  # 60 indices of 5 ms on 3 threads at most
    assert threads == {threading.get_ident()}


def test_error_in_progress_ends_the_loop(busy, two):
    made, is_cancelled, stopped = busy

    def report(done, total):
        if 0 < done < total:
            raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        two.for_range(made, 0, 10**6, is_cancelled, stopped, progress=report)


def test_progress_of_callables_is_reported(two):
    reports = []
    two.for_range(lambda b, e: None, 0, 100, progress=lambda *r: reports.append(r))
    assert (reports[0], reports[-1]) == ((0, 100), (100, 100))


def test_bar_of_tqdm_moves(library, two, capsys):
    tqdm = pytest.importorskip("tqdm")
    count, done = kernel(library.count, "range"), np.zeros(1000, np.int32)
    with tqdm.tqdm(total=1000, file=sys.stderr) as bar:
        two.for_range(count, 0, 1000, done, progress=bar)
        assert bar.n == 1000
    two.for_range(count, 0, 1000, done, progress=True)
    assert "1000/1000" in capsys.readouterr().err
    two.for_range(count, 0, 1000, done, progress=False)
    assert capsys.readouterr().err == ""


def test_bar_without_tqdm_says_what_to_do(library, two, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match="tqdm, which is not installed: pip install"):
        two.for_range(lambda b, e: None, 0, 9, progress=True)
    with pytest.raises(TypeError, match="progress must be True, a bar"):
        two.for_range(lambda b, e: None, 0, 9, progress=3)


# ----------------------------------------------------------------------------- Ctrl-C


def test_ctrl_c_ends_a_loop_and_all_its_pieces(run_python, library, compile_c):
    program = f"""
        import ctypes, signal, stealpool
        import numpy as np

        library = ctypes.CDLL({library._name!r})
        busy = stealpool.kernel(
            library.busy, "int (intptr_t, intptr_t, uintptr_t, int32_t *)"
        )
        stopped = np.zeros(1, np.int32)
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        executor = stealpool.Executor(2)
        try:
            executor.for_range(
                busy, 0, 10**9, stealpool.get_address("sp_cancelled"), stopped
            )
        except KeyboardInterrupt:
            print("interrupted")
        executor.shutdown()
    """
    assert run_python(program).stdout == "interrupted\n"


# --------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "signature", ["double (double)", "double (intptr_t, intptr_t)", "int (intptr_t)"]
)
def test_kernel_that_takes_no_range_is_refused(library, two, signature):
    made = kernel(library.count, signature)
    with pytest.raises(
        ValueError, match=r"for_range needs a kernel that begins with t"
    ):
        two.for_range(made, 0, 10)


def test_arguments_are_checked_before_anything_runs(library, two):
    count = kernel(library.count, "range")
    with pytest.raises(TypeError, match="takes 1 argument besides the range .*, got 0"):
        two.for_range(count, 0, 10)
    with pytest.raises(TypeError, match="argument 3 must be an array of void, got int"):
        two.for_range(count, 0, 10, 5)
    with pytest.raises(TypeError, match="for_range needs a Kernel or a callable"):
        two.for_range(None, 0, 10)
    for grain in (0, -1, 1.5, "x"):
        with pytest.raises(ValueError, match="grain must be at least 1, or None, got"):
            two.for_range(count, 0, 10, np.zeros(10, np.int32), grain=grain)


def test_loop_on_a_closed_executor_is_refused(library, two):
    two.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        two.for_range(kernel(library.count, "range"), 0, 9, np.zeros(9, np.int32))
    with pytest.raises(RuntimeError, match="after shutdown"):
        two.for_range(lambda b, e: None, 0, 9)


def test_no_reference_is_left_behind(library, two):
    done = np.zeros(1000, np.int32)
    before = sys.getrefcount(done)
    total = kernel(library.sum, "reduce", combine=np.add, initial=0.0)
    two.for_range(kernel(library.count, "range"), 0, 1000, done)
    two.for_range(total, 0, 100, done)
    two.submit(total, 0, 100, done).result(60)
    assert sys.getrefcount(done) == before
