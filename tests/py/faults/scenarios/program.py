"""Runs one scenario against one library, and what scenarios need for it.

python program.py <part> <scenario> (stealpool | concurrent.futures)

A scenario is a function whose docstring is a claim. It holds if the program prints what
the function's attribute `prints` says, nothing by default, and ends with status 0, or
with `status`. One that is not possible here ends with NOT_PERMITTED, and says why.
"""

import contextlib
import importlib
import logging
import os
import signal
import sys
import threading
import time
from types import SimpleNamespace

NOT_PERMITTED = 77  # as catalogue.py has it


def until(condition, seconds=30):
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("waited for ever")
        time.sleep(0)


class NotPermittedError(Exception):
    """The system does not let us make what the scenario is about."""


@contextlib.contextmanager
def interrupted_often(handler):
    """A signal handler of the main thread runs again 0.2 ms after its last end."""

    def handle(*_):
        handler()
        if is_on:
            signal.setitimer(signal.ITIMER_REAL, 0.0002)

    is_on = [True]
    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0002)
    try:
        yield
    finally:
        is_on.clear()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)


@contextlib.contextmanager
def failing_allocation(n, for_good=False):
    """The n-th allocation of Python objects from now on fails, or all from then on."""
    import _testcapi

    _testcapi.set_nomemory(n, 0 if for_good else n + 1)
    try:
        yield
    finally:
        _testcapi.remove_mem_hooks()


def prints(text, status=0):
    """Decorator: what the program prints, and how it ends, if the claim holds."""

    def mark(scenario):
        scenario.prints, scenario.status = text, status
        return scenario

    return mark


def library(name):
    """What scenarios use of a library, by the names of stealpool."""
    module = importlib.import_module(name)
    executor = getattr(module, "Executor", None)
    if name == "concurrent.futures":
        executor = module.ThreadPoolExecutor
    return SimpleNamespace(
        name=name,
        Executor=executor,
        Future=module.Future,
        wait=module.wait,
        as_completed=module.as_completed,
        TimeoutError=module.TimeoutError,
        # A C function as the library runs it best.
        native=getattr(module, "kernel", lambda function, signature: function),
    )


def main():
    part, scenario, name = sys.argv[1:]
    sys.modules["program"] = sys.modules["__main__"]
    logging.disable()  # what callbacks raise is expected
    sys.unraisablehook = lambda _: None
    threading.excepthook = lambda _: None
    run = getattr(importlib.import_module(part), scenario)
    lib = library(name)
    os.chdir("/")
    try:
        run(lib)
    except NotPermittedError as error:
        print(error)
        sys.exit(NOT_PERMITTED)


if __name__ == "__main__":
    main()
