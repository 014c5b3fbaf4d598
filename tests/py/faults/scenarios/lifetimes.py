"""What is let go of, and when."""

import contextlib
import gc
import sysconfig
import threading
import weakref

from program import until


class Thing:
    """Can be referred to weakly."""


def an_executor_is_collected(lib):
    """The last reference to an executor goes with calls pending: they end"""
    executor, gate = lib.Executor(1), threading.Event()
    futures = [executor.submit(gate.wait, 60)]
    futures += [executor.submit(abs, -i) for i in range(100)]
    alive = weakref.ref(executor)
    del executor
    gc.collect()
    gate.set()
    assert [future.result(10) for future in futures[1:]] == list(range(100))
    assert alive() is None


def an_executor_in_a_cycle_is_collected(lib):
    """An executor and its futures refer to each other: the collector takes them"""
    for _ in range(50):
        executor = lib.Executor(1)
        future = executor.submit(abs, -1)
        executor.futures = [future]
        future.executor = executor
        alive = weakref.ref(executor)
        future.result(10)
        del executor, future
        gc.collect()
        assert alive() is None


def arguments_are_let_go_of(lib):
    """Arguments are freed when the call has ended, though the future lives"""
    with lib.Executor(1) as executor:
        thing = Thing()
        alive = weakref.ref(thing)
        future = executor.submit(id, thing)
        del thing
        future.result(10)
        until(lambda: alive() is None, seconds=10)


def is_gone(alive, executor):
    """Without a GIL, a thread counts the references to what it has made, and adds up
    what others have dropped when it next runs Python: not while it is idle."""
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        executor.submit(lambda: None).result(10)
    return alive() is None


def an_exception_makes_no_cycle(lib):
    """An exception that result() raised is freed without the collector"""
    gc.collect()
    gc.disable()

    def fail(thing):
        raise ValueError

    with lib.Executor(1) as executor:
        thing = Thing()
        alive = weakref.ref(thing)
        with contextlib.suppress(ValueError):
            executor.submit(fail, thing).result(10)
        del thing
        until(lambda: is_gone(alive, executor), seconds=10)


def the_last_result_is_not_kept(lib):
    """A thread that is idle keeps nothing of its last call"""
    with lib.Executor(1) as executor:
        future = executor.submit(Thing)
        alive = weakref.ref(future.result(10))
        del future
        until(lambda: is_gone(alive, executor), seconds=10)


def futures_dropped_at_once(lib):
    """Futures are dropped as soon as they are made: all calls run"""
    calls = []
    with lib.Executor(2) as executor:
        for i in range(10_000):
            executor.submit(calls.append, i)
    assert sorted(calls) == list(range(10_000))


def a_result_that_dies_hard(lib):
    """The __del__ of a result raises: the executor lives"""

    class Hard:
        def __del__(self):
            raise ValueError

    with lib.Executor(1) as executor:
        for _ in range(100):
            executor.submit(Hard)
        assert executor.submit(abs, -1).result(10) == 1
