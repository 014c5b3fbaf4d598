"""Odd timeouts, and those that race with the end."""

import random
import threading


def raises(errors, function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except errors:
        return True
    return False


def a_timeout_is_not_a_number(lib):
    """timeout=nan is a ValueError"""
    executor, gate = lib.Executor(1), threading.Event()
    future = executor.submit(gate.wait, 60)
    try:
        assert raises(ValueError, future.result, float("nan"))
        assert raises(ValueError, future.exception, float("nan"))
        assert raises(ValueError, lib.wait, [future], float("nan"))
        assert raises(ValueError, executor.map, abs, [-1], timeout=float("nan"))
    finally:
        gate.set()


def a_timeout_is_huge(lib):
    """timeout=inf, 1e300, 2**63 wait for ever"""
    for timeout in (float("inf"), 1e300, 2**63, 10**30):
        executor, gate = lib.Executor(2), threading.Event()
        future = executor.submit(gate.wait, 60)
        executor.submit(gate.set)
        assert future.result(timeout) is True
        assert future.exception(timeout) is None
        assert lib.wait([future], timeout).done == {future}
        assert list(lib.as_completed([future], timeout)) == [future]
        assert list(executor.map(abs, [-1], timeout=timeout)) == [1]
        executor.shutdown()


def a_timeout_is_negative(lib):
    """A negative timeout looks once"""
    executor, gate = lib.Executor(1), threading.Event()
    future = executor.submit(gate.wait, 60)
    for timeout in (-1, -0.0, -1e300, float("-inf"), -(2**63)):
        assert raises(TimeoutError, future.result, timeout)
        assert raises(TimeoutError, future.exception, timeout)
        assert lib.wait([future], timeout).not_done == {future}
        assert raises(TimeoutError, list, lib.as_completed([future], timeout))
    gate.set()
    assert future.result(10) is True
    assert future.result(-1) is True
    executor.shutdown()


def a_timeout_is_no_number_at_all(lib):
    """A timeout of a wrong type is a TypeError, and nothing is lost"""
    executor, gate = lib.Executor(1), threading.Event()
    future = executor.submit(gate.wait, 60)
    try:
        for timeout in ("1", [], object(), 1j):
            assert raises(TypeError, future.result, timeout)
            assert raises(TypeError, lib.wait, [future], timeout)
            assert raises(
                TypeError, lambda t=timeout: list(lib.as_completed([future], t))
            )
    finally:
        gate.set()
    assert future.result(10) is True
    executor.shutdown()


def a_tiny_timeout(lib):
    """timeout=5e-324 and 1e-9 wait hardly at all, and do not wait for ever"""
    executor, gate = lib.Executor(1), threading.Event()
    future = executor.submit(gate.wait, 60)
    for timeout in (5e-324, 1e-300, 1e-9, 4e-10):
        assert raises(TimeoutError, future.result, timeout)
        assert lib.wait([future], timeout).not_done == {future}
    gate.set()
    executor.shutdown()


def timeouts_race_with_the_end(lib):
    """A timeout in the race with the end: a result or TimeoutError, never both lost"""
    rng = random.Random(2)
    with lib.Executor(1) as executor:
        for i in range(2000):
            future = executor.submit(abs, i)
            try:
                assert future.result(rng.random() * 1e-4) == i
            except TimeoutError:
                assert future.result(10) == i
