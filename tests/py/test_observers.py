"""Who observes a Future: callbacks, and the standard library's waiters."""

import asyncio
import concurrent.futures as cf
import logging
import math
import sys
import threading

import pytest
import stealpool

# ------------------------------------------------------------------------- callbacks


@pytest.mark.parametrize("native", [True, False])
def test_callbacks_run_once_and_in_order(one, gate, native):
    event, calls, over = threading.Event(), [], threading.Event()
    fn, argument = (gate.kernel, gate.key) if native else (event.wait, 60)
    future = one.submit(fn, argument)
    for i in range(5):
        future.add_done_callback(lambda _, i=i: calls.append(i))
    future.add_done_callback(lambda _: over.set())
    gate.open()
    event.set()
    assert over.wait(60)
    assert calls == [0, 1, 2, 3, 4]


def test_callback_of_a_done_future_runs_at_once_and_here(one, cos):
    future = one.submit(cos, 0.0)
    future.result()
    threads = []
    future.add_done_callback(lambda _: threads.append(threading.current_thread()))
    assert threads == [threading.current_thread()]


def test_kernels_callbacks_do_not_run_in_the_thread_that_waits(one, gate, cos):
    threads, over = set(), threading.Event()
    first = one.submit(gate.kernel, gate.key)
    futures = [one.submit(cos, 0.0) for _ in range(100)]
    for future in [first, *futures]:
        future.add_done_callback(lambda _: threads.add(threading.current_thread()))
    futures[-1].add_done_callback(lambda _: over.set())
    gate.open()
    first.result()
    stealpool.wait(futures)
    one.submit_many(cos, [0.0] * 1000)
    assert over.wait(60)
    assert {thread.name for thread in threads} == {"stealpool-drainer"}


def test_callback_of_a_cancelled_future_runs_in_the_cancelling_thread(one, gate, cos):
    one.submit(gate.kernel, gate.key)
    queued, threads = one.submit(cos, 0.0), []
    queued.add_done_callback(lambda _: threads.append(threading.current_thread()))
    assert queued.cancel()
    assert threads == [threading.current_thread()]


class InterruptsOnce:
    """A lock whose first user gets a Ctrl-C."""

    def __init__(self, lock):
        self._lock, self._errors = lock, [KeyboardInterrupt()]

    def __getattr__(self, name):
        return getattr(self._lock, name)

    def __enter__(self):
        if self._errors:
            raise self._errors.pop()
        return self._lock.__enter__()

    def __exit__(self, *exc_info):
        return self._lock.__exit__(*exc_info)


@pytest.mark.parametrize("native", [True, False])
def test_end_that_an_interrupted_cancel_did_not_announce_is_announced(
    one, gate, cos, native
):
    over, blocker = threading.Event(), threading.Event()
    one.submit(gate.kernel, gate.key)
    one.submit(blocker.wait, 60)
    queued = one.submit(cos, 0.0) if native else one.submit(abs, -1)
    queued.add_done_callback(lambda _: over.set())
    condition = queued._condition
    condition._lock = InterruptsOnce(condition._lock)
    with pytest.raises(KeyboardInterrupt):
        queued.cancel()
    assert over.wait(60)
    assert queued.cancelled()
    cf.wait([queued], 60)
    blocker.set()


@pytest.mark.parametrize("native", [True, False])
def test_exception_in_a_callback_is_logged_and_the_next_one_runs(
    one, gate, native, caplog
):
    event, over = threading.Event(), threading.Event()
    fn, argument = (gate.kernel, gate.key) if native else (event.wait, 60)
    future = one.submit(fn, argument)
    future.add_done_callback(lambda _: 1 / 0)
    future.add_done_callback(lambda _: over.set())
    with caplog.at_level(logging.ERROR, "concurrent.futures"):
        gate.open()
        event.set()
        assert over.wait(60)
    assert "exception calling callback for <Future" in caplog.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_callback_that_raises_no_exception_stops_nobody(
    one, gate, native, error, monkeypatch
):
    reports = []
    monkeypatch.setattr(sys, "unraisablehook", lambda u: reports.append(u.exc_type))

    def fail(future):
        raise error

    event, over = threading.Event(), threading.Event()
    fn, argument = (gate.kernel, gate.key) if native else (event.wait, 60)
    futures = [one.submit(fn, argument) for _ in range(3)]
    for future in futures:
        future.add_done_callback(fail)
        future.add_done_callback(fail)
    futures[-1].add_done_callback(lambda _: over.set())
    gate.open(3)
    event.set()
    assert over.wait(60)
    assert one.submit(abs, -3).result(60) == 3
    gate.open()
    again, heard = one.submit(gate.kernel, gate.key), threading.Event()
    again.add_done_callback(lambda _: heard.set())
    assert heard.wait(60)
    assert set(reports) == {error}


def test_callback_may_add_a_callback_submit_and_wait(one, gate, cos):
    calls, over = [], threading.Event()
    future = one.submit(gate.kernel, gate.key)

    def first(future):
        calls.append(one.submit(cos, 0.0).result())
        future.add_done_callback(lambda _: over.set())

    future.add_done_callback(first)
    gate.open()
    assert over.wait(60)
    assert calls == [1.0]


@pytest.mark.parametrize("ended", [True, False])
def test_chain_of_callbacks_does_not_grow_the_stack(one, cos, ended):
    over, left = threading.Event(), [10_000]

    def again(_):
        left[0] -= 1
        if left[0]:
            future = one.submit(cos, 0.0)
            if ended:  # then it calls back at once, within this callback
                future.result()
            future.add_done_callback(again)
        else:
            over.set()

    one.submit(cos, 0.0).add_done_callback(again)
    assert over.wait(60)


def test_callback_of_an_ended_future_is_called_at_once(one, cos):
    future, calls = one.submit(cos, 0.0), []
    future.result()

    def outer(_):
        future.add_done_callback(lambda _: calls.append("inner"))
        calls.append("outer")

    future.add_done_callback(outer)
    assert calls == ["inner", "outer"]


def test_first_callbacks_of_two_threads_are_both_called(one, gate, cos):
    """Observing a future for the first time starts a thread: others may come in."""
    for _ in range(200):
        future, barrier = one.submit(gate.kernel, gate.key), threading.Barrier(3)
        calls, over = [], threading.Semaphore(0)

        def add(future=future, barrier=barrier, calls=calls, over=over):
            barrier.wait()
            future.add_done_callback(lambda _: (calls.append(1), over.release()))

        threads = [threading.Thread(target=add) for _ in range(2)]
        for thread in threads:
            thread.start()
        barrier.wait()
        gate.open()
        for thread in threads:
            thread.join()
        assert over.acquire(timeout=60)
        assert over.acquire(timeout=60)
        assert len(calls) == 2


def test_cancel_and_drainer_announce_once(one, gate, cos):
    one.submit(gate.kernel, gate.key)

    class Waiter:
        def __init__(self):
            self.heard = []

        def add_cancelled(self, future):
            self.heard.append(future)

    for _ in range(100):
        queued, waiter = one.submit(cos, 0.0), Waiter()
        with queued._condition:
            queued._waiters.append(waiter)
        thread = threading.Thread(target=queued.cancel)
        with queued._condition:
            thread.start()
            queued.cancel()
        thread.join()
        with queued._condition:
            pass
        assert waiter.heard == [queued]


# --------------------------------------------------------------- the standard library


@pytest.mark.parametrize("native", [True, False])
def test_standard_wait_and_as_completed_accept_our_futures(one, gate, native):
    event = threading.Event()
    fn, argument = (gate.kernel, gate.key) if native else (event.wait, 60)
    futures = [one.submit(fn, argument) for _ in range(3)]
    done, not_done = cf.wait(futures, 0.001)
    assert (len(done), len(not_done)) == (0, 3)
    threading.Timer(0.01, lambda: (gate.open(3), event.set())).start()
    done, not_done = cf.wait(futures, 60)
    assert (len(done), len(not_done)) == (3, 0)
    assert set(cf.as_completed(futures, 60)) == set(futures)


@pytest.mark.parametrize("native", [True, False])
def test_what_is_done_is_done_for_the_standard_wait(one, cos, until, native):
    fn, argument = (cos, 0.0) if native else (float, 1)
    heard = set()
    for i in range(200):
        future = one.submit(fn, argument)
        future.add_done_callback(lambda _, i=i: heard.add((i, "before")))
        cf.wait([future], 0)  # makes the condition
        while not future.done():
            pass
        assert cf.wait([future], 0).done == {future}
        future.add_done_callback(lambda _, i=i: heard.add((i, "after")))
    until(lambda: len(heard) == 400)


def test_standard_wait_returns_at_the_first_exception(one, gate):
    futures = [one.submit(gate.kernel, gate.key), one.submit(math.sqrt, -1)]
    done, not_done = cf.wait(futures, 60, cf.FIRST_EXCEPTION)
    assert (done, not_done) == ({futures[1]}, {futures[0]})


def test_standard_wait_mixes_executors(one, gate, cos):
    with cf.ThreadPoolExecutor(1) as other:
        futures = [other.submit(abs, -1), one.submit(cos, 0.0), one.submit(abs, -1)]
        assert cf.wait(futures, 60).done == set(futures)
        assert {f.result() for f in cf.as_completed(futures, 60)} == {1}


def test_wrap_future_delivers_results_errors_and_cancellations(one, gate, cos):
    async def main():
        gate.open()
        assert await asyncio.wrap_future(one.submit(gate.kernel, gate.key)) == 0
        assert await asyncio.wrap_future(one.submit(cos, 0.0)) == 1.0
        with pytest.raises(ValueError, match="domain|nonnegative"):
            await asyncio.wrap_future(one.submit(math.sqrt, -1))
        one.submit(gate.kernel, gate.key)
        queued = one.submit(cos, 0.0)
        wrapped = asyncio.wrap_future(queued)
        wrapped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wrapped
        await asyncio.sleep(0)  # the callback that cancels ours is the loop's next
        assert queued.cancelled()

    asyncio.run(main())


def test_run_in_executor_runs_kernels_and_callables(one, cos):
    async def main():
        loop = asyncio.get_running_loop()
        jobs = [loop.run_in_executor(one, cos, 0.0) for _ in range(50)]
        jobs += [loop.run_in_executor(one, abs, -1) for _ in range(50)]
        return await asyncio.gather(*jobs)

    assert asyncio.run(main()) == [1] * 100


def test_snapshot_says_what_asyncio_asks_for(one, gate, cos):
    one.submit(gate.kernel, gate.key)
    queued, bad = one.submit(cos, 0.0), one.submit(math.sqrt, -1)
    assert queued._get_snapshot() == (False, False, None, None)
    queued.cancel()
    assert queued._get_snapshot() == (True, True, None, None)
    bad.exception()
    assert bad._get_snapshot() == (True, False, None, bad.exception())
