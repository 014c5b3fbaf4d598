"""Views: options, handles to lend, groups."""

import concurrent.futures as cf
import ctypes
import gc
import math
import pickle
import threading
import time
import weakref

import pytest
import stealpool
from stealpool import CancellationToken
from stealpool.view import ExecutorView

# --------------------------------------------------------------------------- views


def test_a_view_is_an_executor_in_every_respect(one, cos):
    view = one.view()
    assert isinstance(view, (stealpool.Executor, ExecutorView))
    assert isinstance(view, cf.Executor)
    assert view.submit(cos, 0.0).result() == 1.0
    assert view.submit(pow, 2, 3).result() == 8
    assert list(view.map(cos, [0.0, 0.0])) == [1.0, 1.0]
    assert list(view.map(abs, [-1, -2])) == [1, 2]


def test_shutdown_of_a_view_waits_for_its_own_calls_only(one, gate, cos):
    view, other = one.view(), one.view()
    event = threading.Event()
    blocked = other.submit(event.wait, 60), one.submit(gate.kernel, gate.key)
    mine = view.submit(cos, 0.0)
    gate.open()
    view.shutdown()
    assert mine.done()
    assert not blocked[0].done()
    with pytest.raises(RuntimeError, match="after shutdown"):
        view.submit(cos, 0.0)
    assert other.submit(cos, 0.0).result() == 1.0
    event.set()


def test_a_view_in_a_with_statement_is_closed_at_its_end(one, cos):
    with one.view() as view:
        future = view.submit(cos, 0.0)
    assert future.done()
    with pytest.raises(RuntimeError, match="after shutdown"):
        view.submit(cos, 0.0)
    assert one.submit(cos, 0.0).result() == 1.0


def test_cancel_futures_of_a_view_leaves_the_others(one, gate, cos):
    view = one.view()
    one.submit(gate.kernel, gate.key)
    mine, theirs = view.submit(cos, 0.0), one.submit(cos, 0.0)
    view.shutdown(wait=False, cancel_futures=True)
    assert mine.cancelled()
    gate.open()
    assert theirs.result() == 1.0


def test_shutdown_of_the_executor_waits_for_and_closes_its_views(make_executor, gate):
    executor = make_executor(1)
    view = executor.view().options(priority="low")
    future = view.submit(gate.kernel, gate.key)
    threading.Timer(0.01, gate.open).start()
    executor.shutdown()
    assert future.done()
    with pytest.raises(RuntimeError, match="after shutdown"):
        view.submit(abs, 1)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.view()


def test_shutdown_waits_for_calls_of_views_that_are_gone(make_executor, gate):
    executor = make_executor(1)
    for _ in range(20):
        executor.view().submit(gate.kernel, gate.key)
    gc.collect()
    with pytest.raises(TimeoutError, match="20 calls are unfinished"):
        executor.shutdown(timeout=0.01)
    gate.open(20)
    executor.shutdown()
    assert executor.stats()["completed"] == 20


def test_a_view_keeps_its_executor(cos):
    view = stealpool.Executor(1).view()
    gc.collect()
    assert view.submit(cos, 0.0).result() == 1.0
    assert view.submit(abs, -1).result() == 1


def test_views_are_forgotten_when_they_are_gone(one, cos):
    for _ in range(1000):
        assert one.options(priority="high").submit(cos, 0.0).result() == 1.0
    view = one.view()
    gone = weakref.ref(view)
    del view
    gc.collect()
    assert gone() is None
    assert one.stats()["submitted"] == one.stats()["completed"] == 1000


def test_a_view_made_directly_is_refused():
    with pytest.raises(TypeError, match="made by the methods options"):
        ExecutorView()


def test_a_view_works_in_the_child_of_a_fork(run_python):
    run_python("""
        import os
        from stealpool import Executor

        executor = Executor(1)
        view = executor.options(priority="high")
        view.submit(abs, 1).result()
        child = os.fork()
        if child == 0:
            assert view.submit(abs, -2).result() == 2
            assert executor.submit(abs, -2).result() == 2
            view.shutdown()
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert view.submit(abs, -3).result() == 3
    """)


# ------------------------------------------------------------------------- options


def test_options_merge_and_the_inner_one_wins(one):
    token = CancellationToken()
    outer = one.options(priority="high", timeout=5, cancel=token)
    inner = outer.options(timeout=7).options(priority="low")
    assert inner._settings["timeout"] == 7
    assert inner._settings["priority"] == "low"
    assert inner._settings["cancel"] is token
    assert outer._settings["timeout"] == 5
    without = inner.options(timeout=None, cancel=None)
    token.cancel()
    assert inner.submit(abs, 1).cancelled()
    assert without.submit(abs, 1).result() == 1


@pytest.fixture
def endless(compile_c, until):
    """integrate(), which takes seconds; `begun` waits until it has begun."""
    library = compile_c(
        "int begun; double slow(double x)"
        "{ begun = 1; for (volatile int i = 0; i < 50000; i++); return x; }"
    )
    f = stealpool.kernel(library.slow, "double (double)")
    begun = ctypes.c_int.in_dll(library, "begun")

    def run(view):
        return stealpool.kernels.integrate(f, 0, 1, n_iter=50_000, executor=view)

    return run, lambda: until(lambda: begun.value)


def test_options_hold_for_built_in_kernels_that_are_called(make_executor, endless):
    (run, begun), executor = endless, make_executor(2)
    token = stealpool.CancellationToken()
    canceller = threading.Thread(target=lambda: (begun(), token.cancel()))
    canceller.start()
    view = executor.options(cancel=token)
    for _ in range(2):
        with pytest.raises(stealpool.CancelledError):
            run(view)
    canceller.join()
    limited = executor.options(timeout=0.02)
    with pytest.raises(TimeoutError, match=r"integrate had not ended 0\.02 s after it"):
        run(limited)
    in_time = executor.options(timeout=60, cancel=CancellationToken())
    assert stealpool.kernels.integrate(math.cos, 0, 1, executor=in_time) > 0.8
    assert executor.stats()["unfinished"] == 0


def test_time_limits_hold_whatever_the_clock_of_the_view_says(one, gate, cos):
    """It counts ms, from the view's beginning: with late counters it wraps after 50."""
    one.submit(gate.kernel, gate.key)
    views = [one.options(timeout=seconds) for seconds in (0.02, 3600, 20 * 86400)]
    is_over, ages, left = time.monotonic() + 0.15, 0, []
    while time.monotonic() < is_over or ages < 5:
        short, *long = [view.submit(cos, 0.0) for view in views]
        with pytest.raises(TimeoutError, match=r"had not ended 0\.02 s after it"):
            short.result(60)
        left += long
        ages += 1
    assert not any(future.done() for future in left)
    gate.open()
    assert [future.result(60) for future in left] == [1.0] * len(left)


@pytest.mark.parametrize(
    ("option", "error", "words"),
    [
        ({"priority": "urgent"}, ValueError, "'high', 'normal' or 'low', got 'urgent'"),
        ({"priority": 1}, ValueError, "got 1"),
        ({"priority": None}, ValueError, "got None"),
        ({"cancel": threading.Event()}, TypeError, "CancellationToken or None, got Ev"),
        ({"timeout": 0}, ValueError, "positive number of seconds or None, got 0"),
        ({"timeout": -1.5}, ValueError, "got -1.5"),
        ({"timeout": float("nan")}, ValueError, "got nan"),
        ({"timeout": 1e9}, ValueError, r"at most 1728000 s \(20 days\)"),
        ({"timeout": "soon"}, ValueError, "soon"),
        ({"context": "new"}, ValueError, "'copy' or None, got 'new'"),
    ],
)
def test_options_out_of_range_are_refused(one, option, error, words):
    with pytest.raises(error, match=words):
        one.options(**option)


def test_a_view_with_options_is_pickled_with_them_but_not_with_a_token(one):
    view = one.options(priority="low", timeout=3)
    other = pickle.loads(pickle.dumps(view))
    assert other._settings == view._settings
    assert other.submit(abs, -1).result() == 1
    other._parent.shutdown()
    with pytest.raises(TypeError, match="CancellationToken.*cannot be pickled"):
        pickle.dumps(one.options(cancel=CancellationToken()))


# -------------------------------------------------------------------------- groups


def test_a_group_waits_for_its_calls(one, cos):
    with one.group() as group:
        futures = [group.submit(cos, 0.0), group.submit(abs, -1)]
        futures += group.submit_many(cos, [0.0] * 100)
    assert all(future.done() for future in futures)


def test_the_first_error_cancels_the_siblings(make_executor, gate, abort_if_called):
    executor = make_executor(1)
    event = threading.Event()
    with (
        pytest.raises(ExceptionGroup, match="1 error in a group") as raised,
        executor.group() as group,
    ):
        group.submit(event.wait, 60)
        group.submit(int, "x")
        last = group.submit(abort_if_called)
        event.set()
    assert [type(error) for error in raised.value.exceptions] == [ValueError]
    assert last.cancelled()
    assert executor.submit(abs, -1).result() == 1


def test_a_kernel_that_fails_cancels_the_siblings(make_executor, compile_c, gate):
    fail = stealpool.kernel(
        compile_c("int fail(int code) { return code; }").fail,
        "int (int)",
        returns="status",
    )
    executor = make_executor(1)
    with pytest.raises(ExceptionGroup) as raised, executor.group() as group:
        group.submit(gate.kernel, gate.key)
        group.submit(fail, 3)
        queued = group.options(priority="low").submit_many(fail, [4] * 10)
        gate.open()
    assert [error.code for error in raised.value.exceptions] == [3]
    assert all(future.cancelled() for future in queued)


def test_errors_of_callables_and_kernels_all_come_out(make_executor):
    executor = make_executor(4)
    together = threading.Barrier(3)

    def fail(error):
        together.wait(60)
        raise error

    with (
        pytest.raises(ExceptionGroup, match="3 errors") as raised,
        executor.group() as group,
    ):
        for error in (KeyError(1), ValueError(2), OSError(3)):
            group.submit(fail, error)
    kinds = {type(error) for error in raised.value.exceptions}
    assert kinds == {KeyError, ValueError, OSError}


def test_an_exception_of_the_block_cancels_the_calls(make_executor, gate):
    executor = make_executor(1)
    with pytest.raises(ExceptionGroup) as raised, executor.group() as group:
        group.submit(gate.kernel, gate.key)
        queued = group.submit(gate.kernel, gate.key)
        queued.add_done_callback(lambda future: gate.open())
        raise LookupError("of the block")
    assert queued.cancelled()
    assert [str(error) for error in raised.value.exceptions] == ["of the block"]


def test_an_error_taken_in_the_block_is_reported_once(one):
    with pytest.raises(ExceptionGroup) as raised, one.group() as group:
        group.submit(int, "x").result()
    assert len(raised.value.exceptions) == 1


def test_keyboard_interrupt_leaves_the_block_as_it_is(one, gate):
    with pytest.raises(KeyboardInterrupt), one.group() as group:
        group.submit(gate.kernel, gate.key)
        queued = group.submit(gate.kernel, gate.key)
        queued.add_done_callback(lambda future: gate.open())
        raise KeyboardInterrupt
    assert queued.cancelled()


def test_calls_may_add_calls_to_their_group(one):
    results = []

    def spawn(group, depth):
        results.append(depth)
        if depth:
            group.submit(spawn, group, depth - 1)

    with one.group() as group:
        group.submit(spawn, group, 20)
    assert results == list(range(20, -1, -1))


def test_groups_nest_in_callables_without_deadlock(one):
    def tree(depth):
        if depth == 0:
            return 1
        with one.group() as group:
            parts = [group.submit(tree, depth - 1) for _ in range(2)]
        return sum(part.result() for part in parts)

    assert one.submit(tree, 5).result(60) == 32


def test_cancelling_the_outer_token_cancels_the_group(one, gate, cos):
    token = CancellationToken()
    with one.options(cancel=token).group() as group:
        group.submit(gate.kernel, gate.key)
        queued = group.submit(cos, 0.0)
        token.cancel()
        gate.open()
    assert queued.cancelled()


def test_a_group_keeps_no_results(one):
    class Result:
        pass

    with one.group() as group:
        first = weakref.ref(group.submit(Result).result())
        for _ in range(1000):
            group.submit(Result).result()
        gc.collect()
        assert first() is None


# -------------------------------------------------------------- ThreadPoolExecutor


def test_thread_pool_executor_is_one_of_the_standard_library(cos):
    with stealpool.ThreadPoolExecutor(2, thread_name_prefix="x") as executor:
        assert isinstance(executor, cf.ThreadPoolExecutor)
        assert isinstance(executor, stealpool.Executor)
        assert executor.submit(cos, 0.0).result() == 1.0
        name = executor.submit(lambda: threading.current_thread().name).result()
        assert name == "x_0"
        with executor.group() as group:
            group.submit(abs, 1)
        assert executor._max_workers == 2
