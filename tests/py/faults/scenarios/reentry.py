"""The executor is used where a call of its own is on the stack already."""

import contextlib
import gc
import signal
import sys
import threading
import weakref

from program import interrupted_often, until


def shutdown_in_a_signal_handler(lib):
    """A signal handler calls shutdown() while submit() is on the stack"""
    for _ in range(20):
        executor = lib.Executor(2)
        with (
            interrupted_often(lambda ex=executor: ex.shutdown(wait=False)),
            contextlib.suppress(RuntimeError),
        ):
            for i in range(100_000):
                executor.submit(abs, i)
        executor.shutdown()


def submit_in_a_signal_handler(lib):
    """A signal handler calls submit() while submit() is on the stack"""
    executor, futures = lib.Executor(2), []
    with interrupted_often(lambda: futures.append(executor.submit(abs, -1))):
        for i in range(5000):
            executor.submit(abs, i)
        until(lambda: len(futures) > 20)
    assert [future.result(10) for future in futures] == [1] * len(futures)
    executor.shutdown()


def waiting_in_a_signal_handler(lib):
    """A signal handler waits for a result while result() is on the stack"""
    executor, heard = lib.Executor(2), []
    with interrupted_often(lambda: heard.append(executor.submit(abs, -1).result(10))):
        for i in range(2000):
            assert executor.submit(abs, -i).result(10) == i
        until(lambda: heard)
    executor.shutdown()


def everything_in_a_signal_handler(lib):
    """A signal handler cancels and adds callbacks while the same is on the stack"""
    executor, heard, n = lib.Executor(1), [], [0]

    def handler():
        future.cancel()
        future.add_done_callback(heard.append)
        n[0] += 1

    future = executor.submit(abs, 1)
    with interrupted_often(handler):
        for i in range(3000):
            future = executor.submit(abs, -i)
            future.add_done_callback(heard.append)
            n[0] += 1
            future.cancel()
        until(lambda: n[0] > 3000)
    executor.shutdown()
    until(lambda: len(heard) == n[0], seconds=10)


def submit_in_a_finalizer(lib):
    """An object's __del__ calls submit() while submit() is on the stack"""

    class Node:
        def __init__(self):
            self.me = self

        def __del__(self):
            futures.append(executor.submit(abs, -1))

    executor, futures = lib.Executor(2), []
    gc.set_threshold(5)
    for i in range(3000):
        executor.submit(abs, i)
        Node()
    gc.set_threshold(700)
    gc.collect()
    assert [future.result(10) for future in futures] == [1] * 3000
    executor.shutdown()


def submit_in_a_weak_reference_callback(lib):
    """A weak reference's callback calls submit() while a call is let go"""

    class Argument:
        pass

    executor, references, futures = lib.Executor(2), [], []

    def gone(_):
        futures.append(executor.submit(abs, -1))

    for _ in range(1000):
        argument = Argument()
        references.append(weakref.ref(argument, gone))
        executor.submit(id, argument)
        del argument
    until(lambda: len(futures) == 1000, seconds=10)
    assert [future.result(10) for future in futures] == [1] * 1000
    executor.shutdown()


def shutdown_in_a_call(lib):
    """A call shuts its own executor down and waits: refused, and nothing happens"""
    executor = lib.Executor(1)
    error = executor.submit(executor.shutdown).exception(10)
    assert isinstance(error, RuntimeError), error
    try:
        assert executor.submit(abs, -1).result(10) == 1
    except RuntimeError:
        raise AssertionError("it is half closed") from None
    executor.shutdown()


def shutdown_without_waiting_in_a_call(lib):
    """A call shuts its own executor down without waiting: what is queued runs"""
    executor, ran = lib.Executor(1), []
    executor.submit(executor.shutdown, wait=False)
    with contextlib.suppress(RuntimeError):
        for i in range(100):
            executor.submit(ran.append, i)
    executor.shutdown()
    assert ran == list(range(len(ran)))


def shutdown_in_a_callback(lib):
    """A callback shuts its executor down without waiting: what is queued runs"""
    executor, gate, ran = lib.Executor(1), threading.Event(), []
    future = executor.submit(gate.wait, 60)
    future.add_done_callback(lambda _: executor.shutdown(wait=False))
    futures = [executor.submit(ran.append, i) for i in range(100)]
    gate.set()
    for future in futures:
        future.result(10)
    executor.shutdown()
    assert ran == list(range(100))


def shutdown_in_two_threads_at_once(lib):
    """Four threads shut one executor down and wait: all return"""
    for _ in range(50):
        executor = lib.Executor(2)
        futures = [executor.submit(abs, -1) for _ in range(10)]
        threads = [threading.Thread(target=executor.shutdown) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        assert all(future.done() for future in futures)


def submit_while_tracing(lib):
    """A trace function of all threads submits: it is no deadlock"""
    executor, futures, inside = lib.Executor(2), [], threading.local()

    def trace(_frame, _event, _arg):
        if not getattr(inside, "is_tracing", False) and len(futures) < 200:
            inside.is_tracing = True
            futures.append(executor.submit(abs, -1))
            inside.is_tracing = False

    threading.settrace(trace)
    sys.settrace(trace)
    for i in range(300):
        executor.submit(lambda x: x, i)
    sys.settrace(None)
    threading.settrace(None)
    assert [future.result(10) for future in futures] == [1] * len(futures)
    executor.shutdown()


def a_signal_while_nothing_is_done(lib):
    """A signal handler that raises ends wait(), the executor lives"""

    class StopError(Exception):
        pass

    def handler(*_):
        raise StopError

    executor, gate = lib.Executor(1), threading.Event()
    future = executor.submit(gate.wait, 60)
    signal.signal(signal.SIGALRM, handler)
    for wait in (
        future.result,
        lambda: lib.wait([future]),
        lambda: list(lib.as_completed([future])),
        lambda: list(executor.map(gate.wait, [60])),
        executor.shutdown,
    ):
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            wait()
        except StopError:
            continue
        raise AssertionError("the wait went on")
    gate.set()
    assert future.result(10) is True
