"""Buffers stay where they are while a task may use them, and no longer."""

import ctypes
import gc
import sys
import weakref

import numpy as np
import pytest
import stealpool


@pytest.fixture
def one(make_executor):
    return make_executor(1)


@pytest.fixture(scope="module")
def first_byte(compile_c):
    library = compile_c("unsigned char first(const unsigned char *x) { return *x; }")
    return stealpool.kernel(library.first, "uint8_t (const uint8_t *)")


@pytest.fixture
def blocked(one, gate, first_byte):
    """Submits a call that uses an array behind one that waits for the gate."""

    def submit(array):
        one.submit(gate.kernel, gate.key)
        return one.submit(first_byte, array)

    return submit


def test_bytearray_cannot_be_resized_while_a_task_has_it(blocked, gate):
    array = bytearray(b"abc")
    future = blocked(array)
    with pytest.raises(BufferError):
        array.append(1)
    gate.open()
    assert future.result() == ord("a")
    array.append(1)


def test_ndarray_cannot_be_resized_while_a_task_has_it(blocked, gate):
    array = np.zeros(3, np.uint8)
    future = blocked(array)
    with pytest.raises(ValueError, match="cannot resize"):
        array.resize(10)
    gate.open()
    future.result()
    array.resize(10)


def test_array_lives_as_long_as_the_task(one, gate, first_byte, until):
    array = np.full(3, 7, np.uint8)
    alive = weakref.ref(array)
    one.submit(gate.kernel, gate.key)
    future = one.submit(first_byte, array)
    del array
    gc.collect()
    assert alive() is not None
    gate.open()
    assert future.result() == 7
    assert alive() is None


@pytest.mark.parametrize("look", ["result", "exception", "done", "repr", "_state"])
def test_buffers_are_released_when_the_future_is_seen_done(blocked, gate, look, until):
    array = bytearray(b"abc")
    future = blocked(array)
    gate.open()
    if look in ("result", "exception"):
        getattr(future, look)()
    elif look == "done":
        until(future.done)
    else:
        until(lambda: "fin" in str(getattr(future, "_state", "")).lower())
    array.append(1)


def test_buffers_are_released_by_wait_and_as_completed(blocked, gate):
    for waiting in (stealpool.wait, lambda fs: list(stealpool.as_completed(fs))):
        array = bytearray(b"abc")
        future = blocked(array)
        gate.open()
        waiting([future])
        array.append(1)


def test_buffers_of_a_cancelled_task_are_released(blocked, gate):
    array = bytearray(b"abc")
    assert blocked(array).cancel()
    array.append(1)
    gate.open()


def can_append(array):
    try:
        array.append(1)
    except BufferError:
        return False
    return True


def test_drainer_releases_what_nobody_collects(blocked, gate, until):
    array = bytearray(b"abc")
    future = blocked(array)
    gate.open()
    until(lambda: can_append(array))
    assert future.result() == ord("a")


def test_buffers_of_a_dropped_future_are_released(blocked, gate, until):
    array = bytearray(b"abc")
    blocked(array)
    assert not can_append(array)
    gate.open()
    until(lambda: can_append(array))


def test_buffers_of_an_observed_future_are_released(blocked, gate, until):
    array, heard = bytearray(b"abc"), []
    blocked(array).add_done_callback(heard.append)
    gate.open()
    until(lambda: heard)
    array.append(1)


def test_submitters_release_in_passing(one, gate, first_byte, until):
    arrays = [bytearray(b"abc") for _ in range(2000)]
    before = sys.getrefcount(first_byte)
    for array in arrays:
        one.submit(first_byte, array)
    until(lambda: all(map(can_append, arrays)))
    until(lambda: sys.getrefcount(first_byte) == before)


def test_refused_call_pins_nothing(one, first_byte):
    array = bytearray(b"abc")
    for bad in ((array, 1), (np.zeros(3),)):
        with pytest.raises(TypeError):
            one.submit(first_byte, *bad)
    with pytest.raises(TypeError):
        one.submit_many(first_byte, [(array,), (array,), (None,)])
    array.append(1)


def test_call_after_shutdown_pins_nothing(one, first_byte):
    one.shutdown()
    array = bytearray(b"abc")
    with pytest.raises(RuntimeError, match="after shutdown"):
        one.submit(first_byte, array)
    array.append(1)


def test_direct_call_pins_only_while_it_runs(first_byte):
    array = bytearray(b"abc")
    assert first_byte(array) == ord("a")
    array.append(1)


def test_no_reference_to_an_array_is_left(one, first_byte):
    array = np.zeros(3, np.uint8)
    before = sys.getrefcount(array)
    futures = [one.submit(first_byte, array) for _ in range(100)]
    futures += one.submit_many(first_byte, [(array,)] * 100)
    stealpool.wait(futures)
    assert sys.getrefcount(array) == before


def test_buffers_outlive_their_executor(gate):
    executor, array = stealpool.Executor(1), gate.array
    before = sys.getrefcount(array)
    executor.submit(gate.pinning, array)
    del executor
    gc.collect()
    assert sys.getrefcount(array) > before
    gate.open()


def test_address_of_a_pinned_array_does_not_change(one, compile_c):
    library = compile_c(
        "#include <stdint.h>\nintptr_t at(void *p) { return (intptr_t)p; }"
    )
    at = stealpool.kernel(library.at, "intptr_t (void *)")
    arrays = [np.zeros(n, np.uint8) for n in range(100)]
    futures = one.submit_many(at, [(array,) for array in arrays])
    assert [f.result() for f in futures] == [array.ctypes.data for array in arrays]


def test_readers_may_share_an_array(make_executor, first_byte):
    executor, array = make_executor(2), np.full(1, 3, np.uint8)
    futures = executor.submit_many(first_byte, [(array,)] * 1000)
    assert {future.result() for future in futures} == {3}


def test_ctypes_memory_is_kept(one, first_byte):
    futures = [
        one.submit(first_byte, (ctypes.c_uint8 * 100)(i % 256)) for i in range(999)
    ]
    gc.collect()
    assert [future.result() for future in futures] == [i % 256 for i in range(999)]


@pytest.mark.parametrize("collect", [True, False], ids=["taken", "dropped"])
def test_arrays_may_use_the_executor_when_they_die(
    make_executor, first_byte, cos, collect, until
):
    """Whoever releases the buffers of a batch comes back in while he does it."""
    executor, died = make_executor(2), []

    class Last(bytearray):
        def __del__(self):
            died.append(executor.submit(cos, 0.0).result(60))
            executor.submit(abs, -1).add_done_callback(died.append)
            stealpool.wait(executor.submit_many(cos, [0.0] * 3))

    futures = [executor.submit(first_byte, Last(b"x")) for _ in range(300)]
    if collect:
        assert {future.result() for future in futures} == {ord("x")}
    del futures
    until(lambda: len(died) == 600)
    assert died.count(1.0) == 300
