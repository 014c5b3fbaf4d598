"""Callbacks that misbehave."""

import gc
import threading

from program import until


def a_callback_raises_system_exit(lib):
    """A callback raises SystemExit: the next calls still run"""
    with lib.Executor(1) as executor:
        gate = threading.Event()
        future = executor.submit(gate.wait, 60)
        future.add_done_callback(lambda _: exit_with(SystemExit))
        gate.set()
        assert executor.submit(abs, -1).result(10) == 1


def a_callback_raises_keyboard_interrupt(lib):
    """A callback raises KeyboardInterrupt: the next calls still run"""
    with lib.Executor(1) as executor:
        gate = threading.Event()
        future = executor.submit(gate.wait, 60)
        future.add_done_callback(lambda _: exit_with(KeyboardInterrupt))
        gate.set()
        assert executor.submit(abs, -1).result(10) == 1


def exit_with(error):
    raise error


def callbacks_after_a_bad_one_are_called(lib):
    """A callback raises SystemExit: the future's other callbacks are called"""
    executor, gate, heard = lib.Executor(1), threading.Event(), []
    future = executor.submit(gate.wait, 60)
    for i in range(10):
        future.add_done_callback(
            lambda _, i=i: heard.append(i) if i % 2 else exit_with(SystemExit)
        )
    gate.set()
    future.result(10)
    until(lambda: len(heard) == 5, seconds=5)
    assert heard == [1, 3, 5, 7, 9], heard


def one_bad_callback_in_a_thousand(lib):
    """Callbacks of a thousand futures, every third raises: all are called"""
    executor, gate, lock, heard = lib.Executor(2), threading.Event(), [], []

    def callback(i):
        heard.append(i)
        if i % 3 == 0:
            raise (ValueError, SystemExit)[i % 2]

    for _ in range(2):  # or a callback would be called, and raise, here
        executor.submit(gate.wait, 60)
    for i in range(1000):
        future = executor.submit(lock.append, i)
        future.add_done_callback(lambda _, i=i: callback(i))
    gate.set()
    until(lambda: len(heard) == 1000, seconds=5)
    assert sorted(heard) == list(range(1000))
    assert len(lock) == 1000
    executor.shutdown()


def a_chain_of_100_000_callbacks(lib):
    """100 000 futures, each resolved by the callback of the one before"""
    n = 100_000
    futures = [lib.Future() for _ in range(n)]
    for i in range(n - 1):
        futures[i].add_done_callback(lambda _, i=i: futures[i + 1].set_result(i))
    futures[0].set_result(None)
    done = sum(future.done() for future in futures)
    assert done == n, f"{done} of {n} are done"


def callbacks_that_add_callbacks(lib):
    """A callback that adds a callback to a future that has ended, 100 000 deep"""
    future, calls = lib.Future(), []

    def callback(future):
        calls.append(None)
        if len(calls) < 100_000:
            future.add_done_callback(callback)

    future.set_result(None)
    future.add_done_callback(callback)
    assert len(calls) == 100_000, f"{len(calls)} of 100000 were called"


def a_callback_submits_and_waits(lib):
    """A callback submits to its own executor and waits for the result"""
    with lib.Executor(1) as executor:
        gate, results = threading.Event(), []
        future = executor.submit(gate.wait, 60)
        future.add_done_callback(
            lambda _: results.append(executor.submit(abs, -1).result(10))
        )
        gate.set()
        until(lambda: results, seconds=10)
        assert results == [1]


def a_callback_added_in_the_race_with_the_end(lib):
    """A callback added while the call ends is called once, after the end"""
    calls = []
    with lib.Executor(2) as executor:
        for i in range(2000):
            future = executor.submit(abs, -i)
            future.add_done_callback(lambda f, i=i: calls.append((i, f.result(0))))
    assert sorted(calls) == [(i, i) for i in range(2000)]


def a_finalizer_runs_while_a_call_is_let_go(lib):
    """An argument's __del__ uses the executor while its future is resolved"""

    class Argument:
        def __del__(self):
            results.append(executor.submit(abs, -1))
            gc.collect()

    results = []
    with lib.Executor(1) as executor:
        for _ in range(100):
            executor.submit(len, [Argument()]).result(10)
        until(lambda: len(results) == 100, seconds=10)
        assert [future.result(10) for future in results] == [1] * 100
