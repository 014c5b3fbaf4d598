"""The Python lane: threads, initializers, names."""

import ctypes
import logging
import threading

import pytest
import stealpool


@pytest.fixture
def one(make_executor):
    return make_executor(1)


def test_callables_run_on_threads_of_pythons(one):
    thread = one.submit(threading.current_thread).result()
    assert type(thread) is threading.Thread
    assert not thread.daemon
    assert thread in one._threads


def test_threads_are_named_after_the_prefix(make_executor):
    executor = make_executor(2, thread_name_prefix="mine")
    barrier = threading.Barrier(2)
    futures = [executor.submit(barrier.wait) for _ in range(2)]
    stealpool.wait(futures)
    assert sorted(thread.name for thread in executor._threads) == ["mine_0", "mine_1"]


def test_threads_start_as_they_are_needed(make_executor):
    executor, event = make_executor(4), threading.Event()
    assert len(executor._threads) == 0
    for n in range(1, 8):
        executor.submit(event.wait, 60)
        assert len(executor._threads) == min(n, 4)
    event.set()


def test_idle_thread_is_used_again(make_executor, until):
    executor = make_executor(4)
    for _ in range(10):
        assert executor.submit(abs, -1).result() == 1
        until(lambda: executor._lane._idle.qsize())
    assert len(executor._threads) == 1


def test_no_more_threads_run_at_once_than_max_workers(make_executor):
    executor, lock, inside, most = make_executor(3), threading.Lock(), [0], [0]

    def f():
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        with lock:
            inside[0] -= 1

    threads = [
        threading.Thread(target=lambda: [executor.submit(f) for _ in range(200)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    executor.shutdown()
    assert most[0] <= 3
    assert len(executor._threads) <= 3


def test_waiting_thread_runs_no_callable_of_another_executor(make_executor):
    """One thread may be there to keep calls apart: nobody else may make them."""
    outer, inner = make_executor(1), make_executor(1)
    event, names = threading.Event(), []

    def f():
        inner.submit(event.wait, 60)
        future = inner.submit(lambda: names.append(threading.current_thread()))
        threading.Timer(0.01, event.set).start()
        future.result(60)

    outer.submit(f).result(60)
    assert set(names) == inner._threads


def test_waiting_thread_runs_the_awaited_callable_only(one):
    order = []

    def f():
        first = one.submit(order.append, 1)
        one.submit(order.append, 2).result()
        assert order == [2]
        first.result()

    one.submit(f).result(60)
    assert order == [2, 1]


def test_initializer_runs_once_a_thread_with_its_arguments(make_executor):
    calls, local = [], threading.local()

    def initialize(*args):
        calls.append(args)
        local.value = args[0]

    executor = make_executor(1, initializer=initialize, initargs=(7, 8))
    assert [executor.submit(lambda: local.value).result() for _ in range(5)] == [7] * 5
    assert calls == [(7, 8)]


def test_kernels_need_no_initializer(make_executor):
    executor = make_executor(1, initializer=lambda: 1 / 0)
    cos = stealpool.kernel(ctypes.CDLL("libm.so.6").cos)
    assert executor.submit(cos, 0.0).result() == 1.0


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_failing_initializer_breaks_the_lane(make_executor, error, caplog):
    event = threading.Event()

    def initialize():
        event.wait(60)
        raise error("no")

    executor = make_executor(2, initializer=initialize)
    futures = [executor.submit(abs, -1) for _ in range(10)]
    heard = threading.Event()
    futures[-1].add_done_callback(lambda _: heard.set())
    with caplog.at_level(logging.CRITICAL, "concurrent.futures"):
        event.set()
        for future in futures:
            with pytest.raises(stealpool.BrokenThreadPool, match="initializer failed"):
                future.result(60)
    assert heard.wait(60)
    assert "Exception in initializer:" in caplog.text
    with pytest.raises(stealpool.BrokenThreadPool, match="initializer failed"):
        executor.submit(abs, -1)
    assert executor._broken
    executor.shutdown()
    assert executor.stats()["unfinished"] == 0


def test_submits_racing_with_a_failing_initializer_end(make_executor, caplog):
    for _ in range(50):
        executor = make_executor(1, initializer=lambda: 1 / 0)
        futures = []
        try:
            while True:
                futures.append(executor.submit(abs, -1))
        except stealpool.BrokenThreadPool:
            pass
        for future in futures:
            assert isinstance(future.exception(60), stealpool.BrokenThreadPool)


def test_thread_that_cannot_start_leaves_nothing_queued(one, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    calls = []
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            one.submit(calls.append, "ghost")
    assert one.stats()["unfinished"] == 0
    one.submit(calls.append, "real").result(60)
    assert calls == ["real"]


def test_fewer_threads_than_asked_for_will_do(make_executor, monkeypatch):
    executor, event = make_executor(2), threading.Event()
    first = executor.submit(event.wait, 60)

    def refuse(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        second = executor.submit(abs, -1)
    event.set()
    assert (first.result(60), second.result(60)) == (True, 1)


def test_idle_thread_survives_an_asynchronous_exception(one):
    (ident,) = {one.submit(threading.get_ident).result()}
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    raise_in.argtypes = [ctypes.c_ulong, ctypes.py_object]
    raise_in(ident, KeyError)
    futures = [one.submit(lambda: 5) for _ in range(3)]
    outcomes = [future.exception(60) for future in futures]
    assert [type(outcome) for outcome in outcomes[1:]] == [type(None)] * 2


def test_exception_of_a_callable_does_not_end_its_thread(one):
    thread = one.submit(threading.current_thread).result()
    for error in (ValueError, SystemExit, KeyboardInterrupt):

        def fail(error=error):
            raise error

        assert isinstance(one.submit(fail).exception(60), error)
    assert one.submit(threading.current_thread).result(60) is thread
