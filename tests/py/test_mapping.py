"""Executor.map()."""

import ctypes
import math
import threading
import weakref
from itertools import count

import pytest
import stealpool


@pytest.fixture(scope="module")
def cos():
    return stealpool.kernel(ctypes.CDLL("libm.so.6").cos)


@pytest.fixture
def one(make_executor):
    return make_executor(1)


@pytest.fixture(params=["kernel", "callable", "chunks"])
def mapping(request, cos, make_executor):
    """map() of the cosine in three ways."""
    executor = make_executor(2)
    if request.param == "kernel":
        return lambda *args, **kw: executor.map(cos, *args, **kw)
    if request.param == "callable":
        return lambda *args, **kw: executor.map(math.cos, *args, **kw)
    return lambda *args, **kw: executor.map(math.cos, *args, chunksize=7, **kw)


@pytest.mark.parametrize("buffersize", [None, 1, 5, 1000])
def test_map_gives_results_in_order(mapping, buffersize):
    results = mapping(range(100), buffersize=buffersize)
    assert list(results) == [math.cos(i) for i in range(100)]


@pytest.mark.parametrize("buffersize", [None, 1, 5])
def test_unordered_map_gives_all_results(mapping, buffersize):
    results = mapping(range(100), buffersize=buffersize, ordered=False)
    assert sorted(results) == sorted(math.cos(i) for i in range(100))


def test_unordered_map_gives_what_is_ready(make_executor):
    executor, event = make_executor(2), threading.Event()
    calls = [event.wait, lambda: 5]
    results = executor.map(lambda f: f(), calls, ordered=False)
    assert next(results) == 5
    event.set()
    assert next(results) is True


def test_map_submits_all_without_being_iterated(one):
    calls = []
    one.map(calls.append, range(10))
    one.shutdown()
    assert calls == list(range(10))


def test_map_ends_with_the_shortest_iterable(one):
    assert list(one.map(max, [1, 5, 9], [4, 4])) == [4, 5]


@pytest.mark.parametrize("ordered", [True, False])
def test_map_with_a_buffersize_takes_infinite_iterables(one, ordered):
    results = one.map(abs, count(), buffersize=3, ordered=ordered)
    taken = [next(results) for _ in range(20)]
    assert len(set(taken)) == 20
    assert not ordered or taken == list(range(20))
    results.close()


def test_map_with_a_buffersize_submits_no_more_than_that(one):
    taken = []

    def numbers():
        for i in range(100):
            taken.append(i)
            yield i

    results = one.map(abs, numbers(), buffersize=4)
    assert len(taken) == 4
    next(results)
    assert len(taken) == 5
    results.close()


@pytest.mark.parametrize("ordered", [True, False])
def test_map_raises_and_cancels_the_rest(one, ordered):
    event, calls = threading.Event(), []

    def f(i):
        if i == 0:
            raise KeyError("first")
        event.wait(60)
        calls.append(i)

    results = one.map(f, range(10), ordered=ordered)
    with pytest.raises(KeyError, match="first"):
        next(results)
    event.set()
    one.shutdown()
    assert len(calls) <= 1


@pytest.mark.parametrize("ordered", [True, False])
def test_map_times_out_and_cancels_the_rest(one, ordered):
    event, calls = threading.Event(), []

    def f(i):
        event.wait(60)
        calls.append(i)

    results = one.map(f, range(5), timeout=0.01, ordered=ordered)
    with pytest.raises(stealpool.TimeoutError):
        next(results)
    event.set()
    one.shutdown()
    assert len(calls) <= 1


def test_map_keeps_no_result_that_was_taken(one):
    class Thing:
        pass

    for thing in one.map(lambda _: Thing(), range(5)):
        alive = weakref.ref(thing)
        del thing
        assert alive() is None


def test_map_does_not_keep_its_executor():
    executor = stealpool.Executor(1)
    results = executor.map(abs, range(3), buffersize=1)
    alive = weakref.ref(executor)
    del executor
    assert alive() is None
    assert list(results) == [0]  # nothing more is submitted


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"chunksize": 0}, ValueError, "chunksize must be at least 1, got 0"),
        ({"buffersize": 0}, ValueError, "buffersize must be None or > 0"),
        ({"buffersize": 1.5}, TypeError, "buffersize must be an integer or None"),
        ({"timeout": math.nan}, ValueError, "timeout must be.*got nan"),
    ],
)
def test_map_refuses_bad_options(one, options, error, message):
    with pytest.raises(error, match=message):
        one.map(abs, [1], **options)
