"""What other Cython projects get: kernels of each kind, and the pool without the GIL.

The module is tests/examples/cython_project/kinds.pyx, built against the installed
stealpool.
"""

import importlib.machinery
import importlib.util
import threading

import numpy as np
import pytest
import stealpool
from stealpool import kernel

pytestmark = pytest.mark.slow  # compiles

NEGATIVE = 5  # of kinds.pyx
CANCELLED = -7


@pytest.fixture(scope="module")
def kinds(cython_project):
    spec = importlib.machinery.PathFinder.find_spec("kinds", [str(cython_project)])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def two(make_executor):
    return make_executor(2)


# --------------------------------------------------------------- kernels of each kind


def test_scalar_kernel(kinds, two):
    triple = kernel(kinds, "triple")
    assert triple.signature == "float64 (float64)"
    assert [f.result(60) for f in two.submit_many(triple, range(10))] == [
        3.0 * i for i in range(10)
    ]
    distance = kernel(kinds, "distance", user=np.array([1.0, 3.0]))
    assert two.submit(distance, 5.0).result(60) == 5.0


def test_batch_kernel(kinds, two):
    roots, x = kernel(kinds, "roots"), np.arange(1000.0)
    x.flags.writeable = False
    np.testing.assert_array_equal(two.submit(roots, x).result(60), np.sqrt(x))
    np.testing.assert_array_equal(roots(x, executor=two), np.sqrt(x))
    with pytest.raises(stealpool.KernelError, match="roots returned 5: a negative num"):
        two.submit(roots, x - 1).result(60)


def test_range_kernel(kinds, two):
    square, x = kernel(kinds, "square"), np.arange(100_000.0)
    assert two.for_range(square, 0, x.size, x) is None
    np.testing.assert_array_equal(x, np.arange(100_000.0) ** 2)
    with pytest.raises(
        stealpool.KernelError, match="square returned 5: a negative num"
    ):
        two.for_range(square, 0, x.size, -x - 1)


def test_reduce_kernel(kinds, two):
    capsule = kinds.__pyx_capi__["add"]
    total = kernel(kinds, "add_up", combine=capsule, initial=0.0)
    x = np.arange(100_000.0)
    assert two.for_range(total, 0, x.size, x) == x.sum()


def test_loop_kernel(kinds, two):
    sum_rows = kernel(kinds, "sum_rows", types="double(n) -> double")
    x = np.arange(60.0).reshape(3, 4, 5)
    np.testing.assert_array_equal(two.submit(sum_rows, x).result(60), x.sum(-1))
    np.testing.assert_array_equal(sum_rows(x.T), x.T.sum(-1))


def test_tile_kernel(kinds, two):
    blur = kernel(kinds, "blur", types="float -> float", halo=(1, 0))
    image = np.random.default_rng(1).random((300, 200), dtype=np.float32)
    padded = np.pad(image, ((1, 1), (0, 0)), "symmetric")
    expected = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    for got in (blur(image, executor=two), two.submit(blur, image).result(60)):
        np.testing.assert_allclose(got, expected, rtol=1e-6)


# ---------------------------------------------------------- errors and cancellation


def test_words_of_one_kernel_are_not_given_to_the_next(kinds, make_executor):
    one = make_executor(1)
    first = kernel(kinds, "fail_in_words_only", returns="status")
    second = kernel(kinds, "only_code", returns="status")
    assert one.submit(first, 3).result(60) is None
    with pytest.raises(stealpool.KernelError) as info:
        one.submit(second, 3).result(60)
    assert info.value.message == ""


def test_cancelled_kernel_that_says_so_ends_as_cancelled(kinds, two, until):
    future = two.submit(kernel(kinds, "until_cancelled", returns="status"), CANCELLED)
    until(future.running)
    assert not future.cancel()
    with pytest.raises(stealpool.CancelledError):
        future.result(60)
    assert future.cancelled()


def test_cancelled_kernel_that_fails_otherwise_has_failed(kinds, two, until):
    future = two.submit(kernel(kinds, "until_cancelled", returns="status"), 3)
    until(future.running)
    future.cancel()
    with pytest.raises(stealpool.KernelError, match="returned 3"):
        future.result(60)
    assert not future.cancelled()


# --------------------------------------------------------------------- without the GIL


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_tasks_spawn_and_join(kinds, make_executor, workers):
    assert kinds.fibonacci_number(16, make_executor(workers)) == 987


def run_group(kinds, codes, executor, **options):
    return kinds.run_group(np.array(codes, np.intc), executor, **options)


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("n", [0, 1, 64])
def test_group_waits_for_all_its_tasks(kinds, make_executor, workers, n):
    assert run_group(kinds, [0] * n, make_executor(workers)) == (0, n)


@pytest.mark.parametrize("workers", [1, 5])
def test_group_gives_the_error_of_its_tasks(kinds, make_executor, workers):
    executor = make_executor(workers)
    for _ in range(20):
        error, _ = run_group(kinds, [0, 0, 3, 0], executor)
        assert error == 3


def test_tasks_that_wait_for_cancellation_end_with_the_groups_token(kinds, two):
    error, began = run_group(kinds, [CANCELLED] * 10, two, cancel=True)
    assert error == CANCELLED
    assert began <= 10


def test_error_of_a_group_is_worth_more_than_its_cancellation(kinds, make_executor):
    # On one worker, which is kept busy by nobody: those that begin fail with 4.
    executor = make_executor(1)
    for _ in range(20):
        error, began = run_group(kinds, [4] * 10, executor)
        assert error == 4
        assert 1 <= began <= 10


def test_groups_are_used_from_many_threads(kinds, two):
    results = []

    def work():
        results.extend(run_group(kinds, [0] * 32, two) for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(results) == {(0, 32)}


def test_loops_and_reductions_in_nogil_code(kinds, two):
    x = np.arange(10_000.0)
    assert kinds.sum_of_squares(x, two) == (0, (np.arange(10_000.0) ** 2).sum())
    assert kinds.sum_of_squares(np.full(10_000, -1.0), two)[0] == NEGATIVE


def test_built_in_kernels_in_nogil_code(kinds, two):
    x = np.linspace(0, 1, 1000)
    expected = np.cos(x)
    kinds.cosines(x)
    np.testing.assert_allclose(x, expected, rtol=1e-15)
    steps = np.arange(1000) / 1000 * 2
    value = kinds.integral_of_distance(0.0, 2.0, two)
    assert value == pytest.approx(np.hypot(steps, 1).mean() * 2)


@pytest.mark.parametrize("sigma", [0.0, 2.0])
def test_image_kernels_in_nogil_code(kinds, two, sigma):
    image = np.random.default_rng(2).random((90, 110), dtype=np.float32)
    out = np.empty_like(image)
    assert kinds.blurred(image, out, two, sigma) == 0
    if sigma:
        expected = stealpool.image.gaussian_filter(image, sigma)
    else:
        blur = kernel(kinds, "blur", types="float -> float", halo=(1, 0))
        expected = blur(image)
    np.testing.assert_array_equal(out, expected)


def test_kernels_are_called_from_four_threads_at_once(kinds, two):
    begin = threading.Barrier(4)
    triple, roots = kernel(kinds, "triple"), kernel(kinds, "roots")
    square = kernel(kinds, "square")
    total = kernel(kinds, "add_up", combine=kinds.__pyx_capi__["add"], initial=0.0)
    x = np.arange(20_000.0)
    ended = []

    def work():
        begin.wait()
        for _ in range(20):
            squares = x.copy()
            two.for_range(square, 0, x.size, squares)
            np.testing.assert_array_equal(squares, x * x)
            assert two.for_range(total, 0, x.size, x) == x.sum()
            np.testing.assert_array_equal(roots(x, executor=two), np.sqrt(x))
            futures = two.submit_many(triple, x[:100])
            assert [f.result(60) for f in futures] == (3 * x[:100]).tolist()
        ended.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == 4
