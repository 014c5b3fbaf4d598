"""Leaks that tests/leaks.py must name, and what it must not."""

import asyncio
import contextlib
import ctypes
import itertools

import stealpool

incref = ctypes.pythonapi.Py_IncRef
incref.argtypes, incref.restype = [ctypes.py_object], None
libc = ctypes.CDLL(None)
number = itertools.count(1000)


def submit(function, *args):
    with stealpool.Executor(1) as executor:
        future = executor.submit(function, *args)
        future.result(60)
    return future


def on_a_loop(function, *args):
    async def main(executor):
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(executor, function, *args)

    with stealpool.Executor(1) as executor:
        return asyncio.run(main(executor))


def test_leak_of_a_future():
    incref(submit(abs, -1))


def test_leak_of_a_kernels_future():
    incref(submit(stealpool.kernel(libc.abs, "int (int)"), -1))


def test_leak_of_a_reference():
    submit(abs, -1)
    incref(None)


def test_leak_of_an_object_in_a_loop():
    incref(on_a_loop(float, "0.5"))


def test_leak_of_some_bytes():
    submit(abs, -1)
    libc.malloc(200)


def test_clean():
    assert submit(abs, -1).result() == 1


def test_clean_loop():
    assert on_a_loop(abs, -1) == 1


def test_clean_names_that_were_never_looked_for():
    """CPython keeps them for a while; `asyncio.run()` does such things."""
    with contextlib.suppress(AttributeError):
        getattr(submit(abs, -1), f"no_{next(number)}")
