"""submit_many(): arguments from arrays, and cells that share their memory."""

import ctypes
import gc
import math
import os
import sysconfig
import threading
import weakref

import numpy as np
import pytest
import stealpool
from stealpool import CancelledError, TimeoutError

NUMBERS = {
    "bool": "bool",
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "uint16": "uint16_t",
    "int32": "int32_t",
    "uint32": "uint32_t",
    "int64": "int64_t",
    "uint64": "uint64_t",
    "float32": "float",
    "float64": "double",
}
SOURCE = "#include <stdbool.h>\n#include <stdint.h>\n" + "".join(
    f"{c} same_{name}({c} x) {{ return x; }}\n" for name, c in NUMBERS.items()
)
SOURCE += """
double three(double a, int32_t b, float c) { return 1e6 * a + 1e3 * b + c; }
double weighed(double x, const double *by) { return x * *by; }
int64_t none(void) { return 7; }
"""

EDGES = [0, 1, -1, 2, 127, 128, -128, -129, 255, 256, 2**15, 2**16 - 1, -(2**15)]
EDGES += [2**31 - 1, 2**31, -(2**31), 2**32, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1]


@pytest.fixture(scope="module")
def library(compile_c):
    return compile_c(SOURCE)


@pytest.fixture(scope="module")
def same(library):
    """Kernels that return their argument, by its type."""
    return {
        name: stealpool.kernel(library[f"same_{name}"], f"{name} ({name})")
        for name in NUMBERS
    }


@pytest.fixture(scope="module")
def three(library):
    return stealpool.kernel(library.three, "float64 (float64, int32, float32)")


@pytest.mark.parametrize(
    "arguments",
    [
        [0.0, 1.0],
        (0.0, 1.0),
        [(0.0,), (1.0,)],
        np.array([0.0, 1.0]),
        np.array([[0.0], [1.0]]),
        np.arange(2, dtype=np.float32),
        range(2),
        iter([0.0, 1.0]),
        memoryview(np.array([0.0, 1.0])),
    ],
    ids=lambda x: type(x).__name__,
)
def test_submit_many_takes_tuples_scalars_and_arrays(one, cos, arguments):
    futures = one.submit_many(cos, arguments)
    assert [future.result() for future in futures] == [1.0, math.cos(1.0)]


def test_submit_many_keeps_the_order(one, cos):
    futures = one.submit_many(cos, [float(i) for i in range(1000)])
    assert [f.result() for f in futures] == [math.cos(i) for i in range(1000)]


def test_submit_many_of_nothing_is_nothing(one, cos):
    assert one.submit_many(cos, []) == []


@pytest.mark.parametrize("bad", ["x", (1.0, 2.0), (), None])
def test_submit_many_with_a_bad_row_queues_nothing(one, cos, bad):
    with pytest.raises(TypeError, match="kernel cos"):
        one.submit_many(cos, [1.0] * 10 + [bad])
    stats = one.stats()
    assert (stats["submitted"], stats["unfinished"], stats["injected"]) == (0, 0, 0)


def test_submit_many_refuses_what_is_not_a_kernel(one):
    with pytest.raises(TypeError, match="Kernel"):
        one.submit_many(abs, [1])


def test_submit_many_refuses_arrays_of_three_dimensions(one, cos):
    with pytest.raises(ValueError, match="one or two dimensions.*got 3 dimensions"):
        one.submit_many(cos, np.zeros((1, 1, 1)))


def test_submit_many_after_shutdown_is_refused(one, cos):
    one.shutdown()
    with pytest.raises(
        RuntimeError, match="cannot schedule new futures after shutdown"
    ):
        one.submit_many(cos, [1.0])


def outcome(executor, kernel, arguments):
    """The results, or what was raised."""
    try:
        return [f.result() for f in executor.submit_many(kernel, arguments)]
    except Exception as error:
        return type(error), str(error)


def edges(dtype):
    """The edges of all types, as far as this one holds them."""
    if np.dtype(dtype).kind == "f":
        with np.errstate(over="ignore"):
            values = [*EDGES, 0.5, -0.25, 1e300, float("inf"), -float("inf")]
            return np.array(values, dtype=np.float64).astype(dtype)
    if dtype == "bool":
        return np.array([False, True])
    info = np.iinfo(dtype)
    return np.array([x for x in EDGES if info.min <= x <= info.max], dtype=dtype)


# ---------------------------------------------------------- arguments from arrays


@pytest.mark.parametrize("dtype", [*NUMBERS, "float16", "longdouble", "complex128"])
@pytest.mark.parametrize("to", NUMBERS)
def test_an_array_does_what_its_list_does_number_by_number(one, same, to, dtype):
    numbers = (
        np.arange(4, dtype=dtype)
        if dtype in ("longdouble", "complex128")
        else (edges(dtype))
    )
    for i in range(len(numbers)):
        entry = numbers[i : i + 1]
        assert outcome(one, same[to], entry) == outcome(one, same[to], entry.tolist())


def test_an_error_in_an_array_names_value_limit_and_argument(one, same, three):
    with pytest.raises(
        OverflowError, match=r"argument 1 is 300, but int8 holds -128 to 127"
    ):
        one.submit_many(same["int8"], np.array([1] * 200 + [300]))
    with pytest.raises(
        TypeError, match=r"argument 2 must be an integer.*got float 2.5"
    ):
        one.submit_many(three, np.full((3, 3), 2.5))
    assert one.stats()["submitted"] == 0


def test_bytes_that_are_neither_0_nor_1_are_true(one, same):
    odd = np.array([0, 1, 2, 255], dtype=np.uint8).view(bool)
    assert outcome(one, same["bool"], odd) == [False, True, True, True]


@pytest.mark.parametrize(
    "layout",
    [
        lambda rows: np.ascontiguousarray(rows),
        lambda rows: np.asfortranarray(rows),
        lambda rows: rows[::-1][::-1],
        lambda rows: np.repeat(rows, 2, axis=0)[::2],
        lambda rows: memoryview(rows),
        lambda rows: rows.byteswap().view(rows.dtype.newbyteorder()),
        lambda rows: rows.astype(object),
        lambda rows: [tuple(row) for row in rows.tolist()],
    ],
    ids=["C", "F", "reversed", "strided", "memoryview", "swapped", "object", "list"],
)
def test_rows_may_lie_in_any_layout(one, three, layout):
    rows = np.arange(600).reshape(200, 3) % 97
    expected = [1e6 * a + 1e3 * b + c for a, b, c in rows.tolist()]
    futures = one.submit_many(three, layout(rows))
    assert [future.result() for future in futures] == expected


def test_a_structured_array_gives_each_parameter_its_field(one, three):
    records = np.zeros(
        150, dtype=[("a", "i2"), ("b", "u1"), ("pad", "S3"), ("c", "f8")]
    )
    records["a"], records["b"], records["c"] = np.arange(150), 7, 0.5
    futures = one.submit_many(three, records[["a", "b", "c"]])
    assert [f.result() for f in futures] == [1e6 * i + 7000.5 for i in range(150)]
    with pytest.raises(TypeError, match="takes 3 arguments .*got 4"):
        one.submit_many(three, records)


def test_fields_that_are_arrays_are_refused(one, same):
    records = np.zeros(3, dtype=[("a", "f8", 2)])
    with pytest.raises(TypeError, match="must be a real number"):
        one.submit_many(same["float64"], records)


def test_a_bound_pointer_is_not_an_argument(one, library):
    by = np.array([3.0])
    weighed = stealpool.kernel(
        library.weighed, "double (double, const void *)", user=by
    )
    assert outcome(one, weighed, np.arange(100)) == [3.0 * i for i in range(100)]


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 2), (3, 4)])
def test_columns_that_do_not_fit_the_signature_are_refused(one, three, shape):
    got = shape[1] if len(shape) == 2 else 1
    with pytest.raises(TypeError, match=f"takes 3 arguments .*got {got}"):
        one.submit_many(three, np.zeros(shape))


def test_a_kernel_without_parameters_takes_empty_rows(one, library):
    none = stealpool.kernel(library.none, "int64 ()")
    assert outcome(one, none, [()] * 100) == [7] * 100
    assert outcome(one, none, np.zeros((100, 0))) == [7] * 100


def test_the_array_is_not_needed_once_the_calls_are_queued(one, same, gate):
    one.submit(gate.kernel, gate.key)
    numbers = bytearray(np.arange(100.0).tobytes())
    futures = one.submit_many(same["float64"], memoryview(numbers).cast("d"))
    numbers.clear()  # a BufferError, if it were pinned
    gate.open()
    assert [future.result() for future in futures] == list(map(float, range(100)))


def test_the_object_for_a_number_is_made_once(one, cos):
    (future,) = one.submit_many(cos, [1.0])
    assert future.result() is future.result() is future._result


# ------------------------------------------------------------- cells that share a block


def test_a_future_outlives_the_others_of_its_block(one, same, gate):
    one.submit(gate.kernel, gate.key)
    futures = one.submit_many(same["int32"], range(1000))
    kept = futures[::137]
    futures = None
    gate.open()
    assert [future.result() for future in kept] == list(range(1000))[::137]


def test_the_kernel_lives_until_the_last_of_its_calls_has_ended(one, library, gate):
    one.submit(gate.kernel, gate.key)
    by = np.array([3.0])
    kernel = stealpool.kernel(library.weighed, "double (double, const void *)", user=by)
    source = weakref.ref(by)
    futures = one.submit_many(kernel, range(100))
    del kernel, by
    gate.open()
    for future in futures[1:]:
        future.result()
    gc.collect()
    assert source() is not None
    futures[0].result()
    del futures, future
    gc.collect()
    assert source() is None


def test_one_call_of_many_is_cancelled_alone(one, same, gate):
    one.submit(gate.kernel, gate.key)
    futures = one.submit_many(same["int32"], range(200))
    assert all(future.cancel() for future in futures[50:150])
    gate.open()
    stealpool.wait(futures)
    assert [f.cancelled() for f in futures] == [False] * 50 + [True] * 100 + [
        False
    ] * 50
    assert [f.result() for f in futures[:50]] == list(range(50))
    assert one.stats()["unfinished"] == 0


def test_shutdown_cancels_what_is_left_of_each_block(make_executor, same, gate, until):
    executor = make_executor(1)
    blocking = executor.submit(gate.kernel, gate.key)
    until(blocking.running)
    futures = executor.submit_many(same["int32"], range(200))
    futures[3].cancel()
    del futures[5:9]
    executor.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in futures)
    gate.open()
    assert blocking.result() == 0


def test_a_token_reaches_all_calls_and_only_those(one, same, gate):
    token = stealpool.CancellationToken()
    one.submit(gate.kernel, gate.key)
    futures = one.options(cancel=token).submit_many(same["int32"], range(150))
    others = one.submit_many(same["int32"], range(150))
    token.cancel()
    assert all(future.cancelled() for future in futures)
    later = one.options(cancel=token).submit_many(same["int32"], range(3))
    stealpool.wait(later)
    assert all(future.cancelled() for future in later)
    gate.open()
    assert [future.result() for future in others] == list(range(150))


def test_a_time_limit_ends_the_calls_that_have_not_begun(one, same, gate):
    one.submit(gate.kernel, gate.key)
    futures = one.options(timeout=0.05).submit_many(same["int32"], range(150))
    cancelled = futures[7].cancel()
    stealpool.wait(futures)
    assert cancelled
    assert [type(f.exception()) for f in futures[:7]] == [TimeoutError] * 7
    with pytest.raises(CancelledError):
        futures[7].result()
    gate.open()


def test_a_group_waits_for_all_calls_and_hears_of_the_error(one, same, library):
    fail = stealpool.kernel(library.same_int32, "int32 (int32)", returns="status")
    with one.group() as group:
        good = group.submit_many(same["int32"], range(150))
    assert all(future.done() for future in good)
    with pytest.raises(ExceptionGroup) as found, one.group() as group:
        group.submit_many(fail, [0] * 80 + [5] + [0] * 80)
    assert [error.code for error in found.value.exceptions] == [5]


def test_priorities_and_callbacks_hold_for_each_call(one, same, gate):
    order, done = [], threading.Barrier(2)
    one.submit(gate.kernel, gate.key)
    low = one.options(priority="low").submit_many(same["int32"], range(3))
    high = one.options(priority="high").submit_many(same["int32"], range(3))
    for name, futures in (("low", low), ("high", high)):
        for future in futures:
            future.add_done_callback(lambda _, name=name: order.append(name))
    low[-1].add_done_callback(
        lambda _: threading.Thread(target=done.wait, args=(60,)).start()
    )
    gate.open()
    done.wait(60)
    assert order == ["high"] * 3 + ["low"] * 3


def test_dropped_futures_leave_nothing_behind(one, same, gate, until):
    one.submit(gate.kernel, gate.key)
    one.submit_many(same["int32"], range(1000))
    gate.open()
    until(lambda: one.stats()["unfinished"] == 0)
    assert one.stats()["completed"] == 1001


@pytest.mark.skipif(
    "libasan" in os.environ.get("LD_PRELOAD", "")
    or "thread-sanitizer" in (sysconfig.get_config_var("CONFIG_ARGS") or ""),
    reason="AddressSanitizer and ThreadSanitizer map terabytes, whatever the limit",
)
def test_without_memory_for_all_blocks_nothing_is_queued(run_python):
    run_python(
        """
        import ctypes, resource
        import numpy as np
        import stealpool

        cos = stealpool.kernel(ctypes.CDLL("libm.so.6").cos)
        with stealpool.Executor(1) as executor:
            executor.submit(cos, 0.0).result()
            pages = int(open("/proc/self/statm").read().split()[0])
            size = pages * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + (64 << 20), -1))
            many = np.broadcast_to(0.5, (2_000_000,))
            try:
                executor.submit_many(cos, many)
            except MemoryError as error:
                assert "no memory for 2000000 tasks" in str(error), error
            else:
                raise AssertionError("memory for 2 000 000 calls in 64 MiB")
            assert executor.stats()["submitted"] == 1
            assert len(executor.submit_many(cos, many[:1000])) == 1000
        """
    )


def test_ctypes_arrays_are_sequences_like_any_other(one, same):
    numbers = (ctypes.c_double * 3)(1.0, 2.0, 3.0)
    assert outcome(one, same["float64"], numbers) == [1.0, 2.0, 3.0]
