"""`cimport stealpool`: tasks that another project spawns without the GIL.

The project is tests/examples/cython_project, built against the installed stealpool.
"""

import gc
import importlib.machinery
import importlib.util
import weakref
from concurrent.futures import CancelledError, ThreadPoolExecutor

import numpy as np
import pytest
import stealpool

pytestmark = pytest.mark.slow  # compiles

NOT_FINITE = 3  # of sums.pyx
SP_EINVAL = -2
SP_ECLOSED = -3


@pytest.fixture(scope="module")
def sums(cython_project):
    """The module of the project."""
    spec = importlib.machinery.PathFinder.find_spec("sums", [str(cython_project)])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def two(make_executor):
    return make_executor(2)


@pytest.fixture
def handle(sums, two):
    return sums.handle_of(two)


@pytest.fixture
def occupied(sums, make_executor, gate):
    """A handle whose only worker is busy until the gate is opened."""
    executor = make_executor(1)
    executor.submit(gate.kernel, gate.key)
    return sums.handle_of(executor)


@pytest.fixture
def numbers():
    return np.arange(100_000.0)


@pytest.fixture
def bad(numbers):
    """Numbers of which one is none, in the half that add_up() spawns."""
    numbers[0] = np.nan
    return numbers


# --------------------------------------------------------------------------- kernels


def test_api_function_is_a_kernel(sums, two, numbers):
    rms = stealpool.kernel(sums, "rms")
    assert rms.signature == "float64 (const float64 *, int64)"
    value = two.submit(rms, numbers, numbers.size).result(60)
    assert value == rms(numbers, numbers.size)
    assert value == pytest.approx(np.sqrt(np.mean(numbers**2)))


def test_api_function_fails_with_its_code_and_words(sums, two, bad):
    check = stealpool.kernel(sums, "check_finite", returns="status")
    assert two.submit(check, bad[1:], bad.size - 1).result(60) is None
    error = two.submit(check, bad, bad.size).exception(60)
    assert type(error) is stealpool.KernelError
    assert (error.kernel, error.code) == ("check_finite", NOT_FINITE)
    assert error.message == "a number is not finite"


def test_function_that_is_not_api_is_no_kernel(sums):
    with pytest.raises(ValueError, match=r"exports \['check_finite', 'rms'\]"):
        stealpool.kernel(sums, "add_up")


# --------------------------------------------------------------------------- handles


@pytest.mark.parametrize("thing", [None, 1, ThreadPoolExecutor])
def test_handle_is_of_an_executor_of_ours(sums, thing):
    with pytest.raises(TypeError):
        sums.handle_of(thing)


def test_handle_of_a_closed_executor_is_refused(sums, two):
    two.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        sums.handle_of(two)


def test_handle_keeps_its_executor(sums, numbers):
    executor = stealpool.Executor(1)
    is_alive = weakref.ref(executor)
    handle = sums.handle_of(executor)
    del executor
    gc.collect()
    assert is_alive()
    assert sums.Sum(numbers).run(handle) == 0
    del handle
    gc.collect()
    assert not is_alive()


# ------------------------------------------------------------------ spawn, future_of


def test_spawned_task_ends_with_none(sums, handle, numbers):
    task = sums.Sum(numbers)
    future = task.start(handle)
    assert isinstance(future, stealpool.Future)
    assert future.result(60) is None
    assert task.total == numbers.sum()


def test_spawned_tasks_failure_is_raised(sums, handle, bad):
    message = "kernel spawned from nogil code returned 3: a number is not finite"
    with pytest.raises(stealpool.KernelError, match=message) as info:
        sums.Sum(bad).start(handle).result(60)
    assert (info.value.code, info.value.message) == (3, "a number is not finite")


def test_spawned_tasks_are_waited_for_like_any(sums, handle):
    tasks = [sums.Sum(np.ones(10)) for _ in range(100)]
    futures = [task.start(handle) for task in tasks]
    assert stealpool.wait(futures, 60).done == set(futures)
    assert set(stealpool.as_completed(futures)) == set(futures)
    assert {task.total for task in tasks} == {10}


def test_spawned_task_that_has_not_begun_is_cancelled(sums, occupied, gate, numbers):
    task = sums.Sum(numbers)
    future = task.start(occupied)
    assert future.cancel()
    gate.open()
    with pytest.raises(CancelledError):
        future.result()
    assert task.total == 0


def test_spawned_task_that_runs_is_asked_to_stop(sums, handle, until):
    flag = np.zeros(1, np.intc)
    future = sums.until_set(flag, handle)
    until(future.running)
    assert not future.cancel()
    with pytest.raises(CancelledError):
        future.result(60)


def test_shutdown_can_cancel_spawned_tasks(sums, make_executor, gate, numbers):
    executor = make_executor(1)
    executor.submit(gate.kernel, gate.key)
    task = sums.Sum(numbers)
    future = task.start(sums.handle_of(executor))
    executor.shutdown(wait=False, cancel_futures=True)
    assert future.cancelled()


def test_shutdown_of_a_private_pool_waits_for_spawned_tasks(sums, two, numbers):
    tasks = [sums.Sum(numbers) for _ in range(20)]
    futures = [task.start(sums.handle_of(two)) for task in tasks]
    two.shutdown()
    assert all(future.done() for future in futures)
    # What they spawn meanwhile is refused, and they do it themselves.
    assert {task.total for task in tasks} == {numbers.sum()}


# --------------------------------------------------------------- futures that are gone


def test_futures_may_be_dropped_or_observed_at_any_time(sums, handle, until):
    heard = []
    tasks = [sums.Sum(np.ones(10)) for _ in range(1000)]
    for task in tasks[::2]:
        task.start(handle)
    for task in tasks[1::2]:
        task.start(handle).add_done_callback(heard.append)
    until(lambda: len(heard) == 500 and all(task.total for task in tasks))


def test_spawned_task_has_the_time_limit_and_the_token_of_its_view(
    sums, make_executor, gate, numbers
):
    executor, token = make_executor(1), stealpool.CancellationToken()
    executor.submit(gate.kernel, gate.key)
    slow, quick, never = (
        sums.Sum(numbers).start(sums.handle_of(executor.options(**options)))
        for options in ({"timeout": 3600}, {"timeout": 0.01}, {"cancel": token})
    )
    assert isinstance(quick.exception(60), TimeoutError)
    token.cancel()
    assert never.cancelled()
    assert not slow.done()
    gate.open()
    assert slow.result(60) is None


def test_queued_task_whose_future_is_gone_runs(sums, occupied, gate, numbers, until):
    task = sums.Sum(numbers)
    task.start(occupied)
    gate.open()
    until(lambda: task.total == numbers.sum())


def test_running_task_outlives_its_future(sums, handle, until):
    flag = np.zeros(1, np.intc)
    future = sums.until_set(flag, handle)
    until(future.running)
    del future
    flag[0] = 1
    until(lambda: flag[0] == 2)


def test_running_task_outlives_its_future_and_its_executor(sums, until):
    flag = np.zeros(1, np.intc)
    executor = stealpool.Executor(1)
    future = sums.until_set(flag, sums.handle_of(executor))
    until(future.running)
    del future, executor
    gc.collect()  # nobody waits here for the task, which waits for the flag
    flag[0] = 1
    until(lambda: flag[0] == 2)


def test_process_ends_with_spawned_tasks_queued(cython_project, run_python):
    program = f"""
        import sys
        sys.path.insert(0, {str(cython_project)!r})
        import numpy, stealpool, sums

        handle = sums.handle_of(stealpool.Executor(1))
        tasks = [sums.Sum(numpy.ones(100_000)) for _ in range(50)]
        for task in tasks:
            task.start(handle)
        del handle
        print("end")
    """
    assert run_python(program).stdout == "end\n"


# ------------------------------------------------------------------------------- join


def test_join_waits_in_nogil_code(sums, handle, numbers):
    task = sums.Sum(numbers)
    assert task.run_there(handle) == 0
    assert task.total == numbers.sum()


def test_join_gives_the_error_code(sums, handle, bad):
    assert sums.Sum(bad).run_there(handle) == NOT_FINITE


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_tasks_spawn_and_join_tasks(sums, make_executor, workers):
    numbers = np.arange(1_000_000.0)
    task = sums.Sum(numbers)
    task.start(sums.handle_of(make_executor(workers))).result(60)
    assert task.total == numbers.sum()


def test_tasks_are_spawned_on_the_shared_pool(sums, numbers):
    task = sums.Sum(numbers)
    task.start(sums.handle_of(stealpool.default_executor())).result(60)
    assert task.total == numbers.sum()


def test_tasks_are_spawned_from_many_threads(sums, handle, numbers):
    tasks = [sums.Sum(numbers) for _ in range(100)]
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(lambda task: task.run(handle), tasks)) == {0}
    assert {task.total for task in tasks} == {numbers.sum()}


@pytest.mark.parametrize("workers", [1, 4])
def test_words_of_a_joined_task_are_those_of_its_parent(
    sums, make_executor, bad, workers
):
    handle = sums.handle_of(make_executor(workers))
    for _ in range(20):
        task = sums.Sum(bad)
        error = task.start(handle).exception(60)
        assert (error.code, error.message) == (NOT_FINITE, "a number is not finite")


def test_words_survive_a_join(sums, make_executor):
    # The one worker runs what it joins itself, on top of the task that has failed.
    task = sums.FailThenJoin()
    error = task.start(sums.handle_of(make_executor(1))).exception(60)
    assert (error.code, error.message) == (4, "first there was an error")
    assert task.was_joined


# --------------------------------------------------------------------- after shutdown


def test_spawn_on_a_closed_pool_has_no_future(sums, two, handle, numbers):
    two.shutdown()
    with pytest.raises(
        RuntimeError, match="nothing was spawned: the pool is shut down"
    ):
        sums.Sum(numbers).start(handle)


def test_join_of_what_was_not_spawned_says_closed(sums, two, handle, numbers):
    two.shutdown()
    assert sums.Sum(numbers).run_there(handle) == SP_ECLOSED


def test_code_that_looks_for_null_works_on_a_closed_pool(sums, two, handle, numbers):
    two.shutdown()
    task = sums.Sum(numbers)
    assert task.run(handle) == 0
    assert task.total == numbers.sum()


# ------------------------------------------------------------------------------ loops


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("grain", [0, 1, 10_000])
def test_loop_does_every_block_once(sums, make_executor, workers, grain):
    executor = make_executor(workers)
    for n in (1, 999, 1000, 1001, 1_234_567):
        numbers = np.arange(float(n))
        assert sums.sum_of_blocks(numbers, executor, grain) == (numbers.sum(), 0)


@pytest.mark.parametrize("place", [0, 54_321, 99_999])
def test_loop_gives_the_code_of_the_piece_that_failed(sums, two, numbers, place):
    numbers[place] = np.inf
    assert sums.sum_of_blocks(numbers, two)[1] == NOT_FINITE


def test_loop_refuses_a_negative_grain(sums, two, numbers):
    assert sums.sum_of_blocks(numbers, two, -1) == (0, SP_EINVAL)
