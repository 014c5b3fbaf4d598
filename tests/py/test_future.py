"""Futures: the standard library's contract, and what ours add to it."""

import concurrent.futures as cf
import contextlib
import copy
import gc
import math
import pickle
import sys
import threading
import weakref

import pytest
import stealpool
from stealpool import _core


class Thing:
    """Can be referred to weakly."""


# ------------------------------------------------------------------ what a Future is


def test_future_is_a_real_subclass(one, cos):
    future = one.submit(cos, 0.0)
    assert isinstance(future, cf.Future)
    assert type(future) is stealpool.Future
    assert issubclass(stealpool.Future, cf.Future)


@pytest.mark.parametrize(("fn", "argument"), [("cos", 0.0), (abs, -1.0)])
def test_nobody_makes_a_condition_unasked(one, cos, fn, argument, monkeypatch):
    def refuse():
        raise AssertionError("made a Condition")

    monkeypatch.setattr(_core, "_Condition", refuse)
    futures = [one.submit(cos if fn == "cos" else fn, argument) for _ in range(10)]
    assert futures[0].result() == 1.0
    stealpool.wait(futures)
    assert {future.result() for future in stealpool.as_completed(futures)} == {1.0}
    assert all(future.done() and not future.running() for future in futures)
    assert futures[0].exception() is None
    assert "finished" in repr(futures[0])
    cf.wait(futures)
    assert len(list(cf.as_completed(futures))) == 10
    with pytest.raises(AssertionError, match="made a Condition"):
        stealpool.Future()._condition  # noqa: B018


def test_condition_of_an_ended_call_locks_nothing(one, cos):
    first, second = one.submit_many(cos, [0.0] * 2)
    stealpool.wait([first, second])
    condition = first._condition
    assert condition is second._condition
    with condition, condition:
        assert condition.acquire(timeout=0)
    assert condition.wait(60)
    assert condition.wait_for(lambda: 5) == 5
    condition.notify()
    condition.notify_all()
    condition.release()


@pytest.mark.parametrize("n_threads", [1, 3])
def test_standard_wait_releases_what_it_has_acquired(make_executor, cos, n_threads):
    """Futures end while their conditions are being acquired and released."""
    executor = make_executor(2)

    def work():
        for _ in range(60):
            futures = executor.submit_many(cos, [0.0] * 50)
            futures += [executor.submit(abs, -1) for _ in range(5)]
            futures[7].add_done_callback(id)
            shared.extend(futures[:3])
            for condition in (cf.FIRST_COMPLETED, cf.FIRST_EXCEPTION, cf.ALL_COMPLETED):
                done, _ = cf.wait([*futures, *shared[-9:]], 60, condition)
                assert done
            assert len(done.intersection(futures)) == len(futures)
            assert len(list(cf.as_completed(futures, 60))) == len(futures)

    shared = []
    threads = [threading.Thread(target=work) for _ in range(n_threads)]
    errors = []
    threading_excepthook, threading.excepthook = threading.excepthook, errors.append
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive()
    finally:
        threading.excepthook = threading_excepthook
    assert errors == []


def test_condition_waiters_and_callbacks_are_made_once(one, gate):
    future = one.submit(gate.kernel, gate.key)
    assert future._condition is future._condition
    assert future._waiters is future._waiters
    assert future._done_callbacks is future._done_callbacks


def test_new_future_of_the_users_works_like_the_standard_librarys():
    future = stealpool.Future()
    assert not future.done()
    assert not future.running()
    assert future.set_running_or_notify_cancel()
    assert future.running()
    future.set_result(5)
    assert future.result() == 5
    with pytest.raises(stealpool.InvalidStateError):
        future.set_result(6)


@pytest.mark.parametrize("native", [True, False], ids=["kernel", "callable"])
def test_only_the_executor_sets_the_outcome_of_a_call(one, gate, native):
    event = threading.Event()
    call = (gate.kernel, gate.key) if native else (event.wait,)
    running, pending = one.submit(*call), one.submit(*call)
    while not running.running():
        pass
    for future in (running, pending):
        for refused in (
            lambda: future.set_result(5),  # noqa: B023
            lambda: future.set_exception(KeyError("x")),  # noqa: B023
            future.set_running_or_notify_cancel,
        ):
            with pytest.raises(
                stealpool.InvalidStateError, match="its outcome from its executor"
            ):
                refused()
    event.set()
    gate.open(2)
    assert running.result(60) == pending.result(60) != 5
    with pytest.raises(stealpool.InvalidStateError, match="FINISHED"):
        running.set_result(5)


def test_cancelled_call_has_its_outcome(one, gate):
    one.submit(gate.kernel, gate.key)
    future = one.submit(gate.kernel, gate.key)
    assert future.cancel()
    assert future.set_running_or_notify_cancel() is False
    with pytest.raises(stealpool.InvalidStateError, match="CANCELLED"):
        future.set_result(5)
    gate.open()


def test_users_future_can_be_waited_for():
    future = stealpool.Future()
    thread = threading.Thread(target=future.set_exception, args=[KeyError("x")])
    thread.start()
    with pytest.raises(KeyError, match="x"):
        future.result(60)
    thread.join()
    assert isinstance(future.exception(), KeyError)


def test_users_future_can_be_cancelled():
    future = stealpool.Future()
    assert future.cancel()
    assert future.cancelled()
    assert not future.set_running_or_notify_cancel()
    with pytest.raises(stealpool.CancelledError):
        future.result()


def test_subclass_with_an_init_of_its_own_works():
    class Mine(stealpool.Future):
        def __init__(self, tag):
            super().__init__()
            self.tag = tag

    future = Mine("x")
    future.set_result(1)
    assert (future.tag, future.result()) == ("x", 1)


def test_future_takes_attributes_and_weak_references(one, cos):
    future = one.submit(cos, 0.0)
    future.tag = "mine"
    assert future.tag == "mine"
    assert weakref.ref(future)() is future


def test_repr_says_the_state(one, gate, cos, until):
    running = one.submit(gate.kernel, gate.key)
    until(running.running)
    pending = one.submit(cos, 0.0)
    assert "state=running>" in repr(running)
    assert "state=pending>" in repr(pending)
    gate.open()
    stealpool.wait([running, pending])
    assert "state=finished returned int>" in repr(running)
    assert repr(pending).startswith("<Future at 0x")
    failed = one.submit(math.sqrt, -1)
    failed.exception()
    assert "state=finished raised ValueError>" in repr(failed)


@pytest.mark.parametrize("copying", [pickle.dumps, copy.copy, copy.deepcopy])
def test_future_refuses_to_be_pickled_and_says_what_to_do(one, cos, copying):
    with pytest.raises(TypeError, match=r"cannot be pickled; send its result\(\)"):
        copying(one.submit(cos, 0.0))


# --------------------------------------------------------------------------- results


def test_exception_of_a_callable_is_raised_with_its_traceback(one):
    def fail():
        raise LookupError("no such thing")

    future = one.submit(fail)
    with pytest.raises(LookupError, match="no such thing") as info:
        future.result()
    assert "fail" in [entry.name for entry in info.traceback]
    assert future.exception() is info.value


class Falsy(Exception):
    def __len__(self):
        return 0


def test_falsy_exception_is_raised(one):
    def fail():
        raise Falsy

    future = one.submit(fail)
    with pytest.raises(Falsy):
        future.result()
    assert isinstance(future.exception(), Falsy)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_callable_may_raise_what_is_not_an_exception(one, error):
    def fail():
        raise error("out")

    with pytest.raises(error):
        one.submit(fail).result(60)
    assert one.submit(abs, -2).result(60) == 2


def test_kernel_error_has_code_message_and_name(one, compile_c):
    library = compile_c("int status(int code) { return code; }")
    kernel = stealpool.kernel(library.status, "int (int)", returns="status")
    assert one.submit(kernel, 0).result() is None
    future = one.submit(kernel, 7)
    with pytest.raises(stealpool.KernelError, match="kernel status returned 7") as info:
        future.result()
    error = info.value
    assert (error.kernel, error.code, error.message) == ("status", 7, "")
    copied = pickle.loads(pickle.dumps(error))
    assert (str(copied), copied.code) == (str(error), 7)


# -------------------------------------------------------------------------- timeouts


@pytest.mark.parametrize("timeout", [0, -1, -math.inf, 0.001])
@pytest.mark.parametrize("method", ["result", "exception"])
def test_timeout_that_passes_is_a_timeout_error(one, gate, method, timeout):
    future = one.submit(gate.kernel, gate.key)
    with pytest.raises(stealpool.TimeoutError):
        getattr(future, method)(timeout)
    assert not future.done()


@pytest.mark.parametrize("timeout", [None, math.inf, 1e300, 2**63, 9.1e9, True])
@pytest.mark.parametrize("native", [True, False])
def test_huge_timeouts_wait(one, gate, timeout, native):
    event = threading.Event()
    fn, argument = (gate.kernel, gate.key) if native else (event.wait, 60)
    future = one.submit(fn, argument)
    thread = threading.Timer(0.01, lambda: (gate.open(), event.set()))
    thread.start()
    assert future.result(60 if timeout is True else timeout) in (0, True)
    thread.join()


@pytest.mark.parametrize("method", ["result", "exception"])
def test_nan_as_a_timeout_is_refused(one, gate, method):
    future = one.submit(gate.kernel, gate.key)
    with pytest.raises(ValueError, match="timeout must be a number.*got nan"):
        getattr(future, method)(math.nan)


def test_timeout_of_another_type_is_refused(one, gate):
    with pytest.raises(TypeError, match="str"):
        one.submit(gate.kernel, gate.key).result("1")


def test_timeout_of_a_done_future_does_not_matter(one, cos):
    future = one.submit(cos, 0.0)
    future.result()
    assert future.result(0) == 1.0
    assert future.result(-5) == 1.0


# ---------------------------------------------------------------------- cancellation


@pytest.mark.parametrize("native", [True, False])
def test_queued_call_can_be_cancelled(one, gate, cos, native):
    event = threading.Event()
    first = one.submit(gate.kernel, gate.key) if native else one.submit(event.wait)
    queued = one.submit(cos if native else abs, 0.0)
    assert queued.cancel()
    assert queued.cancel()
    assert queued.cancelled()
    assert queued.done()
    assert not queued.running()
    assert queued._state == "CANCELLED_AND_NOTIFIED"
    for method in (queued.result, queued.exception):
        with pytest.raises(stealpool.CancelledError):
            method()
    gate.open()
    event.set()
    first.result()


@pytest.mark.parametrize("native", [True, False])
def test_running_call_cannot_be_cancelled(one, gate, until, native):
    event = threading.Event()
    fn, argument = (gate.kernel, gate.key) if native else (event.wait, 60)
    future = one.submit(fn, argument)
    until(future.running)
    assert not future.cancel()
    assert not future.cancelled()
    gate.open()
    event.set()
    assert future.result() == (0 if native else True)
    assert not future.cancel()


def test_cancelled_call_never_runs(one):
    event, calls = threading.Event(), []
    one.submit(event.wait)
    queued = [one.submit(calls.append, i) for i in range(10)]
    assert all(future.cancel() for future in queued[::2])
    event.set()
    one.shutdown()
    assert calls == [1, 3, 5, 7, 9]


def test_waiting_thread_hears_of_a_cancellation(one, gate, cos, until):
    one.submit(gate.kernel, gate.key)
    queued = one.submit(cos, 0.0)
    errors = []

    def await_it():
        try:
            queued.result()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=await_it)
    thread.start()
    queued.cancel()
    thread.join()
    assert isinstance(errors[0], stealpool.CancelledError)


# -------------------------------------------------------------------------- lifetimes


def test_arguments_and_result_are_let_go_of(one):
    thing = Thing()
    future = one.submit(lambda x: x, thing)
    assert future.result() is thing
    alive = weakref.ref(thing)
    del thing
    assert alive() is not None  # the result is the future's
    del future
    assert alive() is None


def test_arguments_are_let_go_of_before_the_future(one):
    thing = Thing()
    alive = weakref.ref(thing)
    future = one.submit(id, thing)
    del thing
    future.result()
    assert alive() is None


def test_exception_leaves_no_cycle(one, until):
    def fail(thing):
        raise ValueError

    def use(thing):
        with contextlib.suppress(ValueError):
            one.submit(fail, thing).result()

    gc.collect()
    gc.disable()
    try:
        thing = Thing()
        alive = weakref.ref(thing)
        use(thing)
        del thing

        def is_gone():
            one.submit(int).result()  # the thread has dropped the last one now
            # Without a GIL it counts for itself, and adds that up when it runs Python.
            one.submit(lambda: None).result()
            return alive() is None

        until(is_gone)
    finally:
        gc.enable()


def test_kernel_error_leaves_no_cycle(one, compile_c):
    library = compile_c("int status(int code) { return code; }")
    kernel = stealpool.kernel(library.status, "int (int)", returns="status")
    gc.collect()
    gc.disable()
    try:
        future = one.submit(kernel, 1)
        alive = weakref.ref(future)
        with pytest.raises(stealpool.KernelError):
            future.result()
        assert future.exception() is not None
        future.exception().__traceback__ = None
        del future
        assert alive() is None
    finally:
        gc.enable()


def test_collector_finds_a_future_that_refers_to_itself(one, cos):
    future = one.submit(cos, 0.0)
    future.me = future
    alive = weakref.ref(future)
    del future
    gc.collect()
    assert alive() is None


def test_collector_may_take_future_and_executor_at_once(cos):
    for _ in range(50):
        executor = stealpool.Executor(1)
        futures = [executor.submit(cos, 0.0) for _ in range(3)]
        futures[0].friends = futures
        executor.futures = futures
        del executor, futures
        gc.collect()


def test_dropped_futures_still_run(one):
    calls = []
    for i in range(100):
        one.submit(calls.append, i)
    one.shutdown()
    assert calls == list(range(100))


def test_future_with_a_callback_lives_until_it_was_called(one, gate):
    over = threading.Event()
    one.submit(gate.kernel, gate.key).add_done_callback(lambda _: over.set())
    gc.collect()
    gate.open()
    assert over.wait(60)


def test_kernels_and_executors_are_not_leaked(cos):
    def references():
        gc.collect()
        return sys.getrefcount(cos)

    before = references()
    with stealpool.Executor(1) as executor:
        futures = executor.submit_many(cos, [0.0] * 100)
        futures += [executor.submit(cos, 0.0) for _ in range(100)]
        stealpool.wait(futures)
        with pytest.raises(TypeError):
            executor.submit(cos, "x")
        with pytest.raises(TypeError):
            executor.submit_many(cos, [1.0, "x"])
    del futures
    alive = weakref.ref(executor)
    del executor
    assert references() == before
    assert alive() is None
