"""No memory, no threads."""

import os
import resource
import sys
import threading

from program import failing_allocation, until


def no_thread_can_be_started(lib):
    """No thread can be started: submit() raises, and the call does not run later"""
    executor, ran = lib.Executor(2), []
    start = threading.Thread.start
    threading.Thread.start = refuse
    try:
        executor.submit(ran.append, "ghost")
    except RuntimeError:
        pass
    else:
        raise AssertionError("submit() did not say so")
    finally:
        threading.Thread.start = start
    executor.submit(ran.append, "real").result(10)
    executor.shutdown()
    assert ran == ["real"], "the refused call runs as well"


def refuse(self):
    raise RuntimeError("can't start new thread")


def the_second_thread_cannot_be_started(lib):
    """The second thread cannot be started: the call runs on the first"""
    executor, gate = lib.Executor(2), threading.Event()
    first = executor.submit(gate.wait, 60)
    start = threading.Thread.start
    threading.Thread.start = refuse
    try:
        second = executor.submit(abs, -1)
    finally:
        threading.Thread.start = start
        gate.set()
    assert (first.result(10), second.result(10)) == (True, 1)
    executor.shutdown()


def the_system_refuses_threads(lib):
    """The system refuses threads for a while: later calls run"""
    executor, gate = lib.Executor(4), threading.Event()
    first = executor.submit(gate.wait, 60)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    threading.stack_size(512 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), limits[1]))
    try:
        futures = [executor.submit(abs, -i) for i in range(5)]
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        threading.stack_size(0)
        gate.set()
    assert first.result(10) is True
    assert [future.result(10) for future in futures] == list(range(5))
    executor.shutdown()


def an_allocation_fails_in_submit(lib):
    """Each allocation of submit() fails, one after another: the next submit() works"""
    executor = lib.Executor(1)
    executor.submit(abs, -1).result(10)
    for n in range(60):
        try:
            with failing_allocation(n):
                executor.submit(abs, -1)
        except MemoryError:
            pass
        assert executor.submit(abs, -1).result(10) == 1
    executor.shutdown()


def allocations_fail_for_good(lib):
    """All allocations fail from the n-th on, in submit() and result()"""
    executor = lib.Executor(1)
    executor.submit(abs, -1).result(10)
    for n in range(60):
        try:
            with failing_allocation(n, for_good=True):
                executor.submit(abs, -1).result(5)
        except (MemoryError, TimeoutError):
            pass
        assert executor.submit(abs, -1).result(10) == 1
    executor.shutdown()


def an_allocation_fails_in_shutdown(lib):
    """Each allocation of shutdown() fails: calling it again ends the executor"""
    for n in range(40):
        executor = lib.Executor(1)
        future = executor.submit(abs, -1)
        future.result(10)
        try:
            with failing_allocation(n):
                executor.shutdown()
        except MemoryError:
            pass
        executor.shutdown()
        thread = next(iter(executor._threads))
        thread.join(10)
        assert not thread.is_alive(), n


def many_calls_pending(lib):
    """100 000 calls are pending: shutdown(cancel_futures=True) cancels them all"""
    executor, gate, heard = lib.Executor(1), threading.Event(), []
    first = executor.submit(gate.wait, 60)
    until(first.running)
    futures = [executor.submit(os.abort) for _ in range(100_000)]
    for future in futures[::1000]:
        future.add_done_callback(heard.append)
    executor.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in futures)
    until(lambda: len(heard) == 100)
    gate.set()
    executor.shutdown()
    assert first.result(0) is True


def executors_come_and_go(lib):
    """1000 executors are made and closed: no thread and no file is left"""
    before = len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))
    for i in range(1000):
        executor = lib.Executor(2)
        executor.submit(abs, -1)
        if i % 2:
            executor.shutdown()
        del executor
    until(lambda: len(os.listdir("/proc/self/task")) <= before[0] + 2, seconds=10)
    assert len(os.listdir("/proc/self/fd")) <= before[1] + 1
    sys.stdout.flush()
