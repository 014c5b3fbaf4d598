"""Calls that misbehave."""

import contextlib
import ctypes
import random
import sys
import threading

from program import until

raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
raise_in_thread.argtypes = [ctypes.c_ulong, ctypes.py_object]


def a_call_raises_what_is_not_an_exception(lib):
    """A call raises SystemExit, KeyboardInterrupt, GeneratorExit: result() raises it"""
    with lib.Executor(1) as executor:
        for error in (SystemExit, KeyboardInterrupt, GeneratorExit, BaseException):

            def fail(error=error):
                raise error

            assert type(executor.submit(fail).exception(10)) is error
        assert executor.submit(sys.exit, 3).exception(10).code == 3
        assert executor.submit(abs, -1).result(10) == 1


def a_falsy_exception(lib):
    """A call raises an exception whose truth value is false: result() raises it"""

    class FalsyError(Exception):
        def __len__(self):
            return 0

    def fail():
        raise FalsyError

    with lib.Executor(1) as executor:
        future = executor.submit(fail)
        assert isinstance(future.exception(10), FalsyError)
        try:
            future.result(10)
        except FalsyError:
            return
        raise AssertionError("the exception is swallowed")


def a_callable_that_hates_questions(lib):
    """A callable and arguments whose __eq__, __bool__ and __hash__ raise"""

    class Hostile:
        def __call__(self, other, *, key):
            return type(other), type(key)

        def refuse(self, *_):
            raise RuntimeError("do not ask")

        __eq__ = __ne__ = __bool__ = __hash__ = __len__ = __repr__ = refuse

    with lib.Executor(1) as executor:
        future = executor.submit(Hostile(), Hostile(), key=Hostile())
        assert future.result(10) == (Hostile, Hostile)


def a_nested_wait_with_one_worker(lib):
    """A call submits to its own executor of one worker and waits, 100 deep"""
    executor = lib.Executor(1)

    def nest(depth):
        return depth and 1 + executor.submit(nest, depth - 1).result(10)

    assert executor.submit(nest, 100).result(10) == 100


def a_nested_wait_without_end(lib):
    """Nested waits, 100 000 deep: they end, and the executor is as before"""
    executor = lib.Executor(1)

    def nest(depth):
        return depth and 1 + executor.submit(nest, depth - 1).result(20)

    future = executor.submit(nest, 100_000)
    with contextlib.suppress(RecursionError):
        assert future.result(20) == 100_000
    assert executor.submit(abs, -1).result(10) == 1
    assert executor.submit(nest, 50).result(10) == 50
    executor.shutdown()


def an_asynchronous_exception_in_an_idle_thread(lib):
    """An asynchronous exception hits an idle thread: the next calls run"""
    with lib.Executor(1) as executor:
        for _ in range(20):
            ident = executor.submit(threading.get_ident).result(10)
            raise_in_thread(ident, KeyError)
            futures = [executor.submit(abs, -1) for _ in range(3)]
            outcomes = [future.exception(10) for future in futures]
            assert sum(outcome is not None for outcome in outcomes) <= 1


def asynchronous_exceptions_at_any_time(lib):
    """Asynchronous exceptions at random moments: every future ends"""
    executor, rng = lib.Executor(2), random.Random(1)
    idents = set()

    def call(x):
        idents.add(threading.get_ident())
        return x

    futures = []
    for i in range(3000):
        futures.append(executor.submit(call, i))
        if i % 10 == 0:
            for ident in rng.sample(sorted(idents), min(1, len(idents))):
                raise_in_thread(ident, KeyError)
    for i, future in enumerate(futures):
        assert future.exception(10) is not None or future.result(10) == i
    executor.shutdown()


def a_cancel_races_with_the_run(lib):
    """cancel() says True: the call never runs. False: it ran"""
    ran = []
    with lib.Executor(2) as executor:
        futures, cancelled = [], set()
        for i in range(5000):
            futures.append(executor.submit(ran.append, i))
            if futures[i // 2].cancel():
                cancelled.add(i // 2)
    assert sorted([*ran, *cancelled]) == list(range(5000))


def a_submit_races_with_shutdown(lib):
    """submit() in the race with shutdown(): accepted calls run, others raise"""
    for _ in range(30):
        executor, ran, accepted = lib.Executor(2), [], []

        def submit(executor=executor, ran=ran, accepted=accepted):
            try:
                while True:
                    accepted.append(executor.submit(ran.append, None))
            except RuntimeError:
                pass

        threads = [threading.Thread(target=submit) for _ in range(2)]
        for thread in threads:
            thread.start()
        until(lambda accepted=accepted: len(accepted) > 20)
        executor.shutdown()
        for thread in threads:
            thread.join()
        assert all(future.done() for future in accepted)
        assert len(ran) == len(accepted)


def a_call_is_never_over(lib):
    """A call never ends: others run"""
    executor, gate = lib.Executor(2), threading.Event()
    executor.submit(gate.wait)
    try:
        futures = [executor.submit(abs, -i) for i in range(100)]
        assert [future.result(10) for future in futures] == list(range(100))
    finally:
        gate.set()
    executor.shutdown()
