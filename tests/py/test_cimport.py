"""What other Cython projects get: kernels of theirs, and the pool without the GIL."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import stealpool

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[1] / "examples" / "cython_tasks"


def build(folder):
    """Install the project into a folder, as pip would, against this stealpool."""
    pytest.importorskip("mesonpy")
    pytest.importorskip("Cython")
    source = folder / "source"
    shutil.copytree(PROJECT, source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    pip += ["--no-build-isolation", "--target", folder / "site", source]
    scripts = sysconfig.get_path("scripts")
    path = os.pathsep.join([scripts, os.environ.get("PATH", "")])
    done = subprocess.run(
        pip, capture_output=True, text=True, env={**os.environ, "PATH": path}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if not (shutil.which("cc") or shutil.which("gcc")):
        pytest.skip("needs a C compiler")
    return build(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def project(site):
    sys.path.insert(0, str(site))
    try:
        import tasks_of_mine
    finally:
        sys.path.remove(str(site))
    return tasks_of_mine


@pytest.fixture
def two(make_executor):
    return make_executor(2)


# --------------------------------------------------------------------------- kernels


def test_function_of_the_project_is_a_kernel(project, two):
    triple = stealpool.kernel(project, "triple")
    assert triple.signature == "float64 (float64)"
    assert [f.result() for f in two.submit_many(triple, range(10))] == [
        3.0 * i for i in range(10)
    ]


def test_const_pointers_of_the_project_take_read_only_arrays(project, two):
    array = np.arange(10.0)
    array.flags.writeable = False
    total = stealpool.kernel(project, "sum_of")
    assert total.signature == "float64 (const float64 *, int64)"
    assert two.submit(total, array, 10).result() == 45.0


def test_failure_of_a_kernel_comes_with_its_words(project, two):
    check = stealpool.kernel(project, "check", returns="status")
    assert two.submit(check, 0).result() is None
    message = "kernel check returned 7: the code was not 0"
    with pytest.raises(stealpool.KernelError, match=message) as info:
        two.submit(check, 7).result()
    assert info.value.message == "the code was not 0"
    with pytest.raises(stealpool.KernelError, match=message):
        check(7)


def test_words_of_one_kernel_are_not_given_to_the_next(project, make_executor):
    one = make_executor(1)
    first = stealpool.kernel(project, "fail_in_words_only", returns="status")
    second = stealpool.kernel(project, "only_code", returns="status")
    assert one.submit(first, 3).result() is None
    with pytest.raises(stealpool.KernelError) as info:
        one.submit(second, 3).result()
    assert info.value.message == ""


def test_cancelled_kernel_that_says_so_ends_as_cancelled(project, two, until):
    kernel = stealpool.kernel(project, "until_cancelled", returns="status")
    future = two.submit(kernel, -7)  # SP_ECANCELLED
    until(future.running)
    assert not future.cancel()
    with pytest.raises(stealpool.CancelledError):
        future.result(60)
    assert future.cancelled()


def test_cancelled_kernel_that_fails_otherwise_has_failed(project, two, until):
    kernel = stealpool.kernel(project, "until_cancelled", returns="status")
    future = two.submit(kernel, 3)
    until(future.running)
    future.cancel()
    with pytest.raises(stealpool.KernelError, match="returned 3"):
        future.result(60)
    assert not future.cancelled()


# ---------------------------------------------------------------------- without the GIL


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_tasks_spawn_and_join(project, make_executor, workers):
    assert project.fibonacci_number(16, make_executor(workers)) == 987


def test_tasks_spawn_on_the_shared_pool(project):
    assert project.fibonacci_number(12, stealpool.default_executor()) == 144


def test_spawned_task_has_a_future(project, two):
    futures = [project.future_with_code(0, two) for _ in range(100)]
    assert stealpool.wait(futures, 60).done == set(futures)
    assert {future.result() for future in futures} == {None}
    assert set(stealpool.as_completed(futures)) == set(futures)


def test_spawned_tasks_failure_is_raised(project, two):
    message = "kernel spawned from nogil code returned 9: as asked for"
    with pytest.raises(stealpool.KernelError, match=message):
        project.future_with_code(9, two).result(60)


def test_spawned_tasks_future_may_be_dropped_or_observed(project, two, until):
    heard = []
    for _ in range(100):
        project.future_with_code(0, two)
        project.future_with_code(0, two).add_done_callback(heard.append)
    until(lambda: len(heard) == 100)


def test_spawning_on_a_closed_pool_is_an_error_and_no_crash(project, make_executor):
    executor = make_executor(1)
    spawn_and_join = project.make_spawner(executor)
    assert spawn_and_join() == 0
    executor.shutdown()
    assert spawn_and_join() == -3  # SP_ECLOSED


def test_handle_of_a_closed_executor_is_refused(project, make_executor):
    executor = make_executor(1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        project.future_with_code(0, executor)


@pytest.mark.parametrize("n", [0, 1, 10, 100_000])
@pytest.mark.parametrize("grain", [0, 1, 1000])
def test_loop_does_every_index_once(project, two, n, grain):
    array = np.arange(float(n))
    assert project.square(array, two, grain) == 0
    np.testing.assert_array_equal(array, np.arange(float(n)) ** 2)


def test_loop_stops_with_the_code_of_the_piece_that_failed(project, two):
    array = np.full(100_000, -1.0)
    assert project.square(array, two) == 5
    assert (array == -1.0).sum() >= 1
