"""Executor.map()."""

import concurrent.futures as cf
import ctypes
import math
import sys
import threading
import weakref
from itertools import count

import pytest
import stealpool
from stealpool.mapping import map_calls

has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()


def iter_of(n):
    return iter(range(n))


@pytest.fixture(scope="module")
def cos():
    return stealpool.kernel(ctypes.CDLL("libm.so.6").cos)


@pytest.fixture
def one(make_executor):
    return make_executor(1)


@pytest.fixture(params=["kernel", "callable", "chunks", "auto"])
def mapping(request, cos, make_executor):
    """map() of the cosine in three ways."""
    executor = make_executor(2)
    if request.param == "kernel":
        return lambda *args, **kw: executor.map(cos, *args, **kw)
    if request.param == "callable":
        return lambda *args, **kw: executor.map(math.cos, *args, **kw)
    chunksize = 7 if request.param == "chunks" else "auto"
    return lambda *args, **kw: executor.map(math.cos, *args, chunksize=chunksize, **kw)


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


@pytest.mark.skipif(not has_gil, reason="objects wait for the thread that made them")
@pytest.mark.parametrize("chunksize", [1, 3, "auto"])
def test_map_keeps_no_result_that_was_taken(one, chunksize):
    class Thing:
        pass

    for thing in one.map(lambda _: Thing(), range(5), chunksize=chunksize):
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
        ({"chunksize": "big"}, ValueError, "a number or 'auto', got 'big'"),
        ({"buffersize": 0}, ValueError, "buffersize must be None or > 0"),
        ({"buffersize": 1.5}, TypeError, "buffersize must be an integer or None"),
        ({"timeout": math.nan}, ValueError, "timeout must be.*got nan"),
    ],
)
def test_map_refuses_bad_options(one, options, error, message):
    with pytest.raises(error, match=message):
        one.map(abs, [1], **options)


# ---------------------------------------------------------------------------- chunks


@pytest.fixture
def chunks_of():
    """The lengths of the chunks in which a map submits its calls."""

    class Recorder:
        _max_workers = 2

        def __init__(self):
            self.lengths = []

        def submit(self, call, fn, chunk):
            self.lengths.append(len(chunk))
            future = cf.Future()
            future.set_result(call(fn, chunk))
            return future

    def lengths(*iterables, chunksize):
        recorder = Recorder()
        results = map_calls(
            recorder,
            max if len(iterables) > 1 else abs,
            iterables,
            timeout=None,
            chunksize=chunksize,
            buffersize=None,
            ordered=True,
        )
        assert len(list(results)) == sum(recorder.lengths)
        return recorder.lengths

    return lengths


@pytest.mark.parametrize("make", [range, lambda n: list(range(n)), iter_of])
def test_chunks_have_the_length_asked_for(chunks_of, make):
    assert chunks_of(make(10), chunksize=4) == [4, 4, 2]
    assert chunks_of(make(8), make(9), chunksize=4) == [4, 4]
    assert chunks_of(make(0), chunksize=4) == []


def test_automatic_chunks_grow_with_what_was_submitted(chunks_of):
    lengths = chunks_of(range(10**5), chunksize="auto")
    begin = 0
    for length in lengths[:-1]:
        assert length == min(begin // 16 + 1, 64)
        begin += length
    assert sum(lengths) == 10**5
    assert lengths[:17] == [1] * 16 + [2]


def test_chunks_take_their_arguments_when_they_are_submitted(one):
    numbers = [-1, -2, -3]
    results = one.map(abs, numbers, chunksize=2)
    numbers.clear()
    assert list(results) == [1, 2, 3]


def test_exception_in_a_chunk_ends_the_map(make_executor):
    executor = make_executor(2)
    results = executor.map(lambda x: 1 // x, [1, 1, 0, 1], chunksize=2)
    assert [next(results), next(results)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_stop_iteration_in_a_chunk_does_not_shorten_it(one):
    results = one.map(next, [iter([1]), iter([]), iter([3])], chunksize=3)
    with pytest.raises(RuntimeError, match="StopIteration"):
        list(results)


@pytest.mark.parametrize("chunksize", [1, 2])
def test_closing_a_map_cancels_what_has_not_begun(one, chunksize):
    event, calls = threading.Event(), []

    def f(i):
        calls.append(i)
        if i >= chunksize:
            event.wait(60)

    results = one.map(f, range(20), chunksize=chunksize)
    next(results)
    results.close()
    event.set()
    one.shutdown()
    assert len(calls) <= 2 * chunksize
    with pytest.raises(StopIteration):
        next(results)


def test_map_that_cannot_submit_all_cancels_what_it_has(one):
    event = threading.Event()
    one.submit(event.wait, 60)

    def numbers():
        yield from range(5)
        raise KeyError("no more")

    calls = []
    with pytest.raises(KeyError, match="no more"):
        one.map(calls.append, numbers())
    event.set()
    one.shutdown()
    assert calls == []


def test_chunks_of_c_functions_let_other_threads_have_the_gil(one):
    """No bytecode runs between the calls that would look whether somebody wants it."""
    results = one.map(abs, range(2_000_000), chunksize=500_000)
    assert next(results) == 0
    assert one.stats()["unfinished"] > 0
    results.close()


def test_items_of_a_map_go_to_one_thread_each(make_executor):
    """As of any iterator in C: with a lock, or without, none is lost or doubled."""
    results = make_executor(2).map(abs, range(20_000), chunksize=100)
    found, lock = [], threading.Lock()

    def take():
        mine = []
        while True:
            try:
                mine.append(next(results))
            except StopIteration:
                break
            except ValueError:  # the other thread is in the generator
                continue
        with lock:
            found.extend(mine)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(20_000))
