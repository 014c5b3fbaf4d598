"""The end of the process."""

import atexit
import os
import signal
import sys
import threading
import time
from contextlib import suppress

from program import prints


@prints("01234")
def exit_with_queued_calls(lib):
    """The program ends with calls running and queued: they run"""
    executor, gate = lib.Executor(1), threading.Event()
    executor.submit(gate.wait, 60)
    for i in range(5):
        executor.submit(print, i, end="", flush=True)
    gate.set()


@prints("called")
def exit_before_the_callback(lib):
    """The program ends before a call with a callback: it is called"""
    executor, gate = lib.Executor(1), threading.Event()
    future = executor.submit(gate.wait, 60)
    future.add_done_callback(lambda _: print("called", end="", flush=True))
    threading.Timer(0.05, gate.set).start()


@prints("ran")
def exit_after_shutdown_without_waiting(lib):
    """shutdown(wait=False), then the program ends: what is queued runs"""
    executor, gate = lib.Executor(1), threading.Event()
    executor.submit(gate.wait, 60)
    executor.submit(print, "ran", end="", flush=True)
    executor.shutdown(wait=False)
    gate.set()


@prints("ran")
def exit_after_the_executor_is_gone(lib):
    """The executor is collected with calls pending, the program ends: they run"""
    executor, gate = lib.Executor(1), threading.Event()
    executor.submit(gate.wait, 60)
    executor.submit(print, "ran", end="", flush=True)
    del executor
    gate.set()


@prints("refused")
def submit_at_exit(lib):
    """submit() in an atexit function: RuntimeError"""
    executor = lib.Executor(1)
    executor.submit(abs, -1).result(10)

    @atexit.register
    def late():
        try:
            executor.submit(abs, -1)
        except RuntimeError:
            print("refused", end="", flush=True)


@prints("")
def submit_in_a_finalizer_at_exit(lib):
    """submit() in a module's last __del__: RuntimeError or a result, no crash"""

    class Late:
        def __init__(self):
            self.executor = lib.Executor(1)
            self.executor.submit(abs, -1).result(10)
            self.refused = (RuntimeError, TypeError, AttributeError)

        def __del__(self, suppress=suppress):
            with suppress(self.refused):
                self.executor.submit(abs, -1)

    sys.late = Late()


@prints("works")
def a_thread_outlives_main(lib):
    """A thread submits after the main thread has ended: a result or RuntimeError"""
    executor = lib.Executor(1)

    def late():
        threading.main_thread().join()
        with suppress(RuntimeError):
            executor.submit(abs, -1).result(10)
        print("works", end="", flush=True)

    threading.Thread(target=late).start()


def daemon_threads_wait_at_exit(lib):
    """Daemon threads wait for futures that never end: the program ends"""
    future = lib.Future()
    for _ in range(5):
        threading.Thread(target=future.result, daemon=True).start()


@prints("", status=3)
def exit_in_a_call(lib):
    """A call raises SystemExit, and main ends with status 3: so does the program"""
    executor = lib.Executor(1)
    for _ in range(10):
        executor.submit(sys.exit, 4)
    sys.exit(3)


@prints("ran", status=1)
def exit_with_an_exception(lib):
    """The main thread ends with an exception: what is queued runs"""
    executor = lib.Executor(1)
    executor.submit(print, "ran", end="", flush=True)
    raise KeyError("end")


@prints("over")
def control_c_at_exit(lib):
    """Ctrl-C at exit while a call never ends: the program ends"""
    executor = lib.Executor(1)
    executor.submit(threading.Event().wait)
    atexit.register(print, "over", end="", flush=True)

    interrupt_when_asleep_at_exit()


def interrupt_when_asleep_at_exit():
    """One Ctrl-C for the main thread once it sleeps in the functions for the exit."""

    def interrupt():
        asleep = 0
        while asleep < 20:
            with open(f"/proc/self/task/{os.getpid()}/stat") as file:
                asleep = asleep + 1 if ") S " in file.read() else 0
        os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt, daemon=True)
    # The last to be registered is the first to be called.
    threading._register_atexit(thread.start)


@prints("42")
def an_executor_made_at_exit(lib):
    """An executor made in an atexit function: works, or RuntimeError"""

    @atexit.register
    def late():
        try:
            value = lib.Executor(1).submit(int, "42").result(10)
        except RuntimeError:
            value = 42
        print(value, end="", flush=True)


@prints("")
def control_c_while_waiting(lib):
    """Ctrl-C ends result(), wait(), as_completed(), map(); the executor lives"""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    executor, gate = lib.Executor(1), threading.Event()
    future = executor.submit(gate.wait, 60)
    late = []
    for wait in (
        future.result,
        lambda: future.result(60),
        future.exception,
        lambda: lib.wait([future]),
        lambda: list(lib.as_completed([future])),
        lambda: list(executor.map(gate.wait, [60])),
    ):
        sent = []

        def interrupt(sent=sent):
            sent.append(time.monotonic())
            signal.raise_signal(signal.SIGINT)

        signal.signal(signal.SIGALRM, lambda *_, send=interrupt: send())
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            wait()
        except KeyboardInterrupt:
            late.append(time.monotonic() - sent[0])
    assert len(late) == 6
    gate.set()
    assert future.result(10) is True
    assert executor.submit(abs, -1).result(10) == 1
    executor.shutdown()


def control_c_in_shutdown(lib):
    """Ctrl-C ends shutdown(); what was accepted runs, and a second call waits for it"""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    executor, gate = lib.Executor(1), threading.Event()
    futures = [executor.submit(gate.wait, 60) for _ in range(3)]
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    for _ in range(3):
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            executor.shutdown()
        except KeyboardInterrupt:
            continue
        raise AssertionError("shutdown() returned")
    gate.set()
    executor.shutdown()
    assert [future.result(0) for future in futures] == [True] * 3
