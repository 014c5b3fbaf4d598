"""Signals that arrive while submit() starts a thread of the Python lane.

The handler runs on top of it: the thread that its wait needs may be the very one that
cannot come before the handler returns.
"""

import asyncio
import concurrent.futures
import os
import signal
import threading

import pytest
import stealpool
from stealpool.lane import Lane


@pytest.fixture
def interrupt_start(monkeypatch):
    """Raises a signal when the next thread of a lane is started, once."""

    def arm(where, when, handler):
        original = where.start

        def interrupted(*args):
            monkeypatch.undo()
            if when == "after":
                original(*args)
            signal.raise_signal(signal.SIGALRM)
            if when == "before":
                original(*args)

        monkeypatch.setattr(where, "start", interrupted)
        old.append(signal.signal(signal.SIGALRM, handler))

    old = []
    yield arm
    signal.signal(signal.SIGALRM, old[0])


STARTS = [
    pytest.param(where, when, id=f"{when}-{where.__name__}")
    for where in (Lane, threading.Thread)
    for when in ("before", "after")
]


@pytest.mark.parametrize("of_a_view", [False, True])
@pytest.mark.parametrize(("where", "when"), STARTS)
def test_shutdown_in_a_signal_handler_during_the_start_of_a_thread(
    one, interrupt_start, where, when, of_a_view
):
    ran, target = [], one.view() if of_a_view else one
    interrupt_start(where, when, lambda *_: target.shutdown(timeout=60))
    target.submit(ran.append, 1).result(60)
    one.shutdown(timeout=60)
    assert ran == [1]
    for thread in one._threads:
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize(("where", "when"), STARTS)
def test_exception_in_a_signal_handler_during_the_start_of_a_thread(
    one, interrupt_start, where, when
):
    interrupt_start(where, when, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        one.submit(abs, -1)
    assert one.submit(abs, -1).result(60) == 1


def run_in_loop(executor):
    async def call():
        return await asyncio.get_running_loop().run_in_executor(executor, abs, -5)

    return asyncio.run(call())


def wait_by(wait):
    def waits(executor):
        future = executor.submit(abs, -5)
        wait(future)
        return future.result(0)

    return waits


WAYS_TO_WAIT = {
    "result": lambda executor: executor.submit(abs, -5).result(60),
    "wait": wait_by(lambda future: stealpool.wait([future], 60)),
    "any": wait_by(lambda future: stealpool.wait([future], 60, "FIRST_COMPLETED")),
    "as_completed": wait_by(lambda future: list(stealpool.as_completed([future], 60))),
    "their wait": wait_by(lambda future: concurrent.futures.wait([future], 60)),
    "map": lambda executor: next(executor.map(abs, [-5], timeout=60)),
    "asyncio": run_in_loop,
}


@pytest.mark.parametrize("way", WAYS_TO_WAIT)
@pytest.mark.parametrize(("where", "when"), STARTS)
def test_wait_in_a_signal_handler_during_the_start_of_a_thread(
    one, interrupt_start, where, when, way
):
    results = []
    interrupt_start(where, when, lambda *_: results.append(WAYS_TO_WAIT[way](one)))
    assert one.submit(abs, -1).result(60) == 1
    assert results == [5]


@pytest.mark.parametrize(("where", "when"), STARTS)
def test_wait_for_anothers_callable_in_a_signal_handler_during_the_start(
    one, interrupt_start, where, when
):
    """One that was submitted meanwhile by a thread that is not interrupted."""
    results = []

    def handler(*_):
        other = threading.Thread(target=lambda: futures.append(one.submit(abs, -5)))
        other.start()
        other.join()
        results.append(futures[0].result(60))

    futures = []
    interrupt_start(where, when, handler)
    assert one.submit(abs, -1).result(60) == 1
    assert results == [5]


@pytest.mark.parametrize(("where", "when"), STARTS)
def test_wait_for_room_in_a_signal_handler_during_the_start(
    make_executor, interrupt_start, where, when
):
    """The only place is taken by the callable whose thread is on its way."""
    executor = make_executor(1, queue_capacity=1, on_full="block")
    results = []
    interrupt_start(
        where, when, lambda *_: results.append(executor.submit(abs, -5).result(60))
    )
    assert executor.submit(abs, -1).result(60) == 1
    assert results == [5]


def refuse(thread):
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("where", [Lane, threading.Thread])
def test_thread_that_only_the_interrupted_can_start(
    one, interrupt_start, monkeypatch, where
):
    """The handler is told, and what it submitted is cancelled; the other call runs."""

    def handler(*_):
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start"):
                one.submit(ran.append, "handler")

    ran = []
    interrupt_start(where, "before", handler)
    one.submit(ran.append, "interrupted").result(60)
    one.shutdown()
    assert ran == ["interrupted"]


@pytest.mark.parametrize("where", [Lane, threading.Thread])
def test_thread_that_neither_the_handler_nor_the_interrupted_can_start(
    one, interrupt_start, monkeypatch, where
):
    """The one is told by the other's error, and the next submit starts a thread."""

    def handler(*_):
        monkeypatch.setattr(threading.Thread, "start", refuse)
        one.submit(ran.append, "handler")

    ran = []
    interrupt_start(where, "before", handler)
    with pytest.raises(RuntimeError, match="can't start"):
        one.submit(ran.append, "interrupted")
    monkeypatch.undo()
    one.submit(ran.append, "next").result(60)
    assert ran == ["next"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork()")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("uses_it_at_once", [False, True])
@pytest.mark.parametrize("where", ["Lane", "threading.Thread"])
def test_fork_in_a_signal_handler_during_the_start_of_a_thread(
    run_python, where, uses_it_at_once
):
    """The child goes on with the interrupted submit(): the callable is the parent's,
    the executor is usable in both, and both end."""
    done = run_python(
        f"""
        import os, signal, sys, threading
        import stealpool
        from stealpool.lane import Lane

        executor, pid, start = stealpool.Executor(1), None, {where}.start

        def interrupted(*args):
            {where}.start = start
            signal.raise_signal(signal.SIGALRM)
            start(*args)

        def handler(*_):
            global pid
            pid = os.fork()
            if pid == 0 and {uses_it_at_once}:
                assert executor.submit(abs, -4).result(60) == 4

        signal.signal(signal.SIGALRM, handler)
        {where}.start = interrupted
        future = executor.submit(abs, -1)
        if pid:
            assert future.result(60) == 1
            assert os.waitpid(pid, 0)[1] == 0
            print("parent")
        else:
            try:
                future.result(60)
            except stealpool.BrokenThreadPool as error:
                assert "before this process was forked" in str(error)
                assert executor.submit(abs, -3).result(60) == 3
                print("child", flush=True)
        """
    )
    assert done.stdout.split() == ["child", "parent"]
