"""wait() and as_completed(): as the standard library's, and native."""

import concurrent.futures as cf
import math
import random
import sys
import threading
import weakref

import pytest
import stealpool
from stealpool import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION

# ------------------------------------------------------------------------------ wait


def test_wait_returns_done_and_not_done(one, gate, cos):
    first, second = one.submit(gate.kernel, gate.key), one.submit(cos, 0.0)
    result = stealpool.wait([first, second], 0.001)
    assert (result.done, result.not_done) == (set(), {first, second})
    gate.open()
    done, not_done = stealpool.wait([first, second])
    assert (done, not_done) == ({first, second}, set())


def test_wait_counts_duplicates_once(one, cos):
    future = one.submit(cos, 0.0)
    assert stealpool.wait([future, future]).done == {future}


@pytest.mark.parametrize("when", [ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION])
def test_wait_for_nothing_returns_at_once(when):
    assert stealpool.wait([], 60, when) == (set(), set())


def test_wait_takes_any_iterable(one, cos):
    futures = one.submit_many(cos, [0.0] * 3)
    assert stealpool.wait(iter(futures)).done == set(futures)


def test_wait_returns_at_the_first_that_ends(make_executor, gate):
    executor, event = make_executor(2), threading.Event()
    slow, quick = (
        executor.submit(event.wait, 60),
        executor.submit(gate.kernel, gate.key),
    )
    threading.Timer(0.01, gate.open).start()
    done, not_done = stealpool.wait([slow, quick], 60, FIRST_COMPLETED)
    assert (done, not_done) == ({quick}, {slow})
    event.set()


def test_wait_returns_at_the_first_exception(make_executor, gate, cos):
    executor = make_executor(2)
    slow, good = executor.submit(gate.kernel, gate.key), executor.submit(cos, 0.0)
    event = threading.Event()
    bad = executor.submit(lambda: event.wait(60) and 1 / 0)
    good.result()
    threading.Timer(0.01, event.set).start()
    done, not_done = stealpool.wait([slow, good, bad], 60, FIRST_EXCEPTION)
    assert (done, not_done) == ({good, bad}, {slow})


def test_wait_for_an_exception_that_never_comes_waits_for_all(one, cos):
    futures = one.submit_many(cos, [0.0] * 100)
    assert stealpool.wait(futures, 60, FIRST_EXCEPTION).done == set(futures)


def test_wait_does_not_take_a_cancellation_for_an_exception(one, gate, cos):
    running, queued = one.submit(gate.kernel, gate.key), one.submit(cos, 0.0)
    queued.cancel()
    done, not_done = stealpool.wait([running, queued], 0.01, FIRST_EXCEPTION)
    assert (done, not_done) == ({queued}, {running})


@pytest.mark.parametrize("when", [ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION])
@pytest.mark.parametrize("timeout", [0, -1, 0.001])
def test_wait_may_time_out(one, gate, when, timeout):
    future = one.submit(gate.kernel, gate.key)
    assert stealpool.wait([future], timeout, when) == (set(), {future})


@pytest.mark.parametrize("timeout", [math.inf, 1e300, 2**63])
def test_wait_takes_huge_timeouts(one, gate, timeout):
    future = one.submit(gate.kernel, gate.key)
    threading.Timer(0.01, gate.open).start()
    assert stealpool.wait([future], timeout).done == {future}


def test_nan_as_a_timeout_is_refused(one, gate):
    future = one.submit(gate.kernel, gate.key)
    for when in (ALL_COMPLETED, FIRST_COMPLETED):
        with pytest.raises(ValueError, match="got nan"):
            stealpool.wait([future], math.nan, when)
    with pytest.raises(ValueError, match="got nan"):
        next(stealpool.as_completed([future], math.nan))


def test_unknown_condition_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="return_when must be one of.*got 'SOME'"):
        stealpool.wait([], None, "SOME")


@pytest.mark.parametrize("when", [ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION])
def test_wait_mixes_executors(one, cos, when):
    users = stealpool.Future()
    users.set_exception(KeyError())
    with cf.ThreadPoolExecutor(1) as other:
        futures = {
            other.submit(abs, 1),
            one.submit(cos, 0.0),
            one.submit(abs, 1),
            users,
        }
        done, not_done = stealpool.wait(futures, 60, when)
        assert done
        assert done | not_done == futures
        assert when != ALL_COMPLETED or not not_done


def test_two_threads_wait_for_the_first_of_the_same_futures(one, gate):
    future, results = one.submit(gate.kernel, gate.key), []

    def await_it():
        results.append(stealpool.wait([future], 60, FIRST_COMPLETED).done)
        results.append(set(stealpool.as_completed([future], 60)))

    threads = [threading.Thread(target=await_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    gate.open()
    for thread in threads:
        thread.join()
    assert results == [{future}] * 8


@pytest.mark.parametrize("timeout", [None, 60])
@pytest.mark.parametrize("when", [ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION])
def test_wait_within_the_only_thread_does_not_deadlock(one, when, timeout):
    def f():
        futures = [one.submit(abs, -i) for i in range(10)]
        while futures:
            done, not_done = stealpool.wait(futures, timeout, when)
            assert done
            futures = list(not_done)
        return "done"

    assert one.submit(f).result(60) == "done"


def test_wait_with_a_timeout_of_0_runs_nothing(one):
    def f():
        queued = one.submit(abs, -1)
        with pytest.raises(stealpool.TimeoutError):
            queued.result(0)
        assert not stealpool.wait([queued], 0).done
        assert not stealpool.wait([queued], 0, FIRST_COMPLETED).done
        return queued.cancel()

    assert one.submit(f).result(60) is True


# ---------------------------------------------------------------------- as_completed


def test_as_completed_yields_as_they_end(make_executor):
    executor = make_executor(3)
    events = [threading.Event() for _ in range(3)]
    futures = [executor.submit(event.wait, 60) for event in events]
    completed = stealpool.as_completed(futures)
    for i in (2, 0, 1):
        events[i].set()
        assert next(completed) is futures[i]
    assert next(completed, None) is None


def test_as_completed_yields_each_once(one, cos):
    futures = one.submit_many(cos, [0.0] * 1000)
    completed = list(stealpool.as_completed(futures + futures))
    assert len(completed) == 1000
    assert set(completed) == set(futures)


def test_as_completed_of_nothing_is_empty():
    assert list(stealpool.as_completed([])) == []


def test_as_completed_yields_cancelled_ones(one, gate, cos):
    running, queued = one.submit(gate.kernel, gate.key), one.submit(cos, 0.0)
    completed = stealpool.as_completed([running, queued])
    queued.cancel()
    assert next(completed) is queued
    gate.open()
    assert next(completed) is running


def test_as_completed_times_out_and_says_how_many_are_left(one, gate, cos):
    futures = [one.submit(cos, 0.0), one.submit(gate.kernel, gate.key)]
    futures[0].result()
    completed = stealpool.as_completed(futures, 0.01)
    assert next(completed) is futures[0]
    with pytest.raises(stealpool.TimeoutError, match=r"1 \(of 2\) futures unfinished"):
        next(completed)


def test_as_completed_mixes_executors(one, cos):
    with cf.ThreadPoolExecutor(1) as other:
        futures = [other.submit(abs, -1), one.submit(cos, 0.0), one.submit(abs, -1)]
        assert {f.result() for f in stealpool.as_completed(futures, 60)} == {1}


def test_as_completed_keeps_no_future_that_was_taken(one, cos):
    futures = one.submit_many(cos, [0.0] * 10)
    stealpool.wait(futures)
    completed = stealpool.as_completed(futures)
    del futures
    future = next(completed)
    alive = weakref.ref(future)
    del future
    assert alive() is None


def test_as_completed_may_be_left_early(one, gate, cos):
    futures = [one.submit(gate.kernel, gate.key), *one.submit_many(cos, [0.0] * 10)]
    completed = stealpool.as_completed(futures)
    threading.Timer(0.01, gate.open).start()
    next(completed)
    completed.close()
    assert stealpool.wait(futures, 60).done == set(futures)
    assert set(stealpool.as_completed(futures, 60)) == set(futures)


def test_as_completed_within_the_only_thread_does_not_deadlock(one, cos):
    def f():
        futures = [one.submit(abs, -i) for i in range(10)]
        futures += one.submit_many(cos, [0.0] * 10)
        return len(list(stealpool.as_completed(futures)))

    assert one.submit(f).result(60) == 20


def test_futures_that_end_while_they_are_added_are_yielded(make_executor, cos):
    executor, rng = make_executor(2), random.Random(1)
    for _ in range(200):
        futures = executor.submit_many(cos, [0.0] * rng.randrange(1, 50))
        assert len(list(stealpool.as_completed(futures, 60))) == len(futures)


def test_waiting_leaves_no_reference(one, gate, cos):
    future = one.submit(cos, 0.0)
    future.result()
    before = sys.getrefcount(future)
    stealpool.wait([future])
    stealpool.wait([future], 1, FIRST_COMPLETED)
    list(stealpool.as_completed([future]))
    cf.wait([future])
    assert sys.getrefcount(future) == before
