"""Code, user data and arrays live as long as any task that uses them.

Each program drops all it has while kernels run. `spin asan-py` runs this file with an
extension that AddressSanitizer watches.
"""

import pytest

HEADER = """
import ctypes, gc, os, sys, threading
import numpy as np
import stealpool

libc = ctypes.CDLL(None)
key = (ctypes.c_char * 128)()
libc.sem_init(ctypes.byref(key), 0, 0)
wait = stealpool.kernel(libc.sem_wait, "int (uintptr_t)")
executor = stealpool.Executor(1)


def block():
    executor.submit(wait, ctypes.addressof(key))


def unblock(times=1):
    for _ in range(times):
        libc.sem_post(ctypes.byref(key))


def settle():
    done = executor.submit(stealpool.kernel(libc.abs, "int (int)"), -1)
    assert done.result(60) == 1
"""

# A kernel of C in a library that the test compiles.
SOURCE = """
#include <stdint.h>
double plus(double x, void *user) { return x + *(double *)user; }
int squares(const double *x, intptr_t n, double *out, void *user)
{
    (void)user;
    for (intptr_t i = 0; i < n; i++)
        out[i] = x[i] * x[i];
    return 0;
}
int count(intptr_t begin, intptr_t end, void *user)
{
    for (intptr_t i = begin; i < end; i++)
        ((int32_t *)user)[i]++;
    return 0;
}
"""


@pytest.fixture(scope="module")
def library(compile_c):
    return compile_c(SOURCE)._name


@pytest.fixture
def run(run_python, library):
    """Runs a program behind HEADER; says what it has printed."""

    def run_program(program):
        start = HEADER + f"library = ctypes.CDLL({library!r})\n"
        return run_python(start + program, timeout=120).stdout

    return run_program


def test_everything_may_be_dropped_while_kernels_wait(run):
    assert (
        run("""
block()
plus = stealpool.kernel(library.plus, "double (double, void *)", user=np.ones(1))
squares = stealpool.kernel(library.squares, "batch")
for _ in range(100):
    executor.submit(plus, 1.0)
    executor.submit(squares, np.arange(1000.0))
del plus, squares, library
gc.collect()
unblock()
settle()
print("end")
""")
        == "end\n"
    )


def test_results_come_after_all_else_is_gone(run):
    assert (
        run("""
block()
futures = [
    executor.submit(stealpool.kernel(library.squares, "batch"), np.arange(100.0))
    for _ in range(50)
]
futures += executor.submit_many(
    stealpool.kernel(library.plus, "double (double, void *)", user=np.ones(1)),
    [1.0] * 50,
)
del executor, library
gc.collect()
unblock()
assert all((f.result(60) == np.arange(100.0) ** 2).all() for f in futures[:50])
print(sum(f.result(60) for f in futures[50:]))
""")
        == "100.0\n"
    )


def test_pinned_bytearray_cannot_be_resized(run):
    assert (
        run("""
block()
data = bytearray(8 * 1000)
squares = stealpool.kernel(library.squares, "int (void *, intptr_t, void *, void *)")
out = bytearray(8 * 1000)
future = executor.submit(squares, data, 1000, out, bytearray(1))
for array in (data, out):
    try:
        array.append(1)
    except BufferError:
        print("pinned")
unblock()
future.result(60)
data.append(1)
out.append(1)
print("free")
""")
        == "pinned\npinned\nfree\n"
    )


def test_cancelled_tasks_drop_what_they_had(run):
    assert (
        run("""
block()
x = np.arange(1000.0)
squares = stealpool.kernel(library.squares, "batch")
futures = [executor.submit(squares, x) for _ in range(100)]
assert all(future.cancel() for future in futures)
del futures
gc.collect()
unblock()
settle()
print(sys.getrefcount(x))
""")
        == "2\n"
    )


def test_process_ends_with_kernels_queued_and_running(run):
    assert (
        run("""
squares = stealpool.kernel(library.squares, "batch")
for _ in range(200):
    executor.submit(squares, np.arange(10_000.0))
other = stealpool.default_executor()
for _ in range(200):
    other.submit(squares, np.arange(10_000.0))
del squares
print("end")
""")
        == "end\n"
    )


def test_modules_are_reloaded_while_kernels_run(run):
    assert (
        run("""
import importlib
import stealpool.sources, stealpool.abis
block()
squares = stealpool.kernel(library.squares, "batch")
future = executor.submit(squares, np.arange(4.0))
importlib.reload(stealpool.abis)
importlib.reload(stealpool.sources)
again = stealpool.sources.kernel(library.squares, "batch")
unblock()
print(future.result(60).tolist(), again(np.arange(3.0)).tolist())
""")
        == "[0.0, 1.0, 4.0, 9.0] [0.0, 1.0, 4.0]\n"
    )


PLAIN = """
import ctypes
import numpy as np
import stealpool
library = ctypes.CDLL({library!r})
user = np.full(1000, {offset})
plus = stealpool.kernel(library.plus, "double (double, void *)", user=user)
squares = stealpool.kernel(library.squares, "batch")
"""


def test_plain_module_is_reloaded_with_other_data_while_its_kernels_wait(
    run, library, tmp_path
):
    versions = [PLAIN.format(library=library, offset=n) for n in (1.0, 2.0)]
    assert (
        run(f"""
import importlib, pathlib
sys.dont_write_bytecode = True  # which would tell versions apart by the second
sys.path.insert(0, {str(tmp_path)!r})
path = pathlib.Path({str(tmp_path)!r}, "plain.py")
path.write_text({versions[0]!r})
import plain
block()
futures = [executor.submit(plain.plus, 1.0) for _ in range(20)]
futures += [executor.submit(plain.squares, np.arange(100.0)) for _ in range(20)]
path.write_text({versions[1]!r})
importlib.reload(plain)
gc.collect()
futures.append(executor.submit(plain.plus, 1.0))
del plain, sys.modules["plain"], library
gc.collect()
unblock()
assert all((f.result(60) == np.arange(100.0) ** 2).all() for f in futures[20:40])
print({{f.result(60) for f in futures[:20]}}, futures[-1].result(60))
""")
        == "{2.0} 3.0\n"
    )


@pytest.mark.slow  # compiles
def test_cython_module_is_reloaded_and_dropped_while_its_kernels_wait(
    run, cython_project
):
    assert (
        run(f"""
import importlib
sys.path.insert(0, {str(cython_project)!r})
import kinds
block()
futures = []
def submit():
    roots = stealpool.kernel(kinds, "roots")
    distance = stealpool.kernel(kinds, "distance", user=np.array([1.0, 3.0]))
    futures.extend(executor.submit(distance, 5.0) for _ in range(20))
    futures.extend(executor.submit(roots, np.arange(100.0)) for _ in range(20))
submit()
kinds = importlib.reload(kinds)
submit()
del kinds, sys.modules["kinds"]
gc.collect()
import kinds
submit()
del kinds, sys.modules["kinds"]
gc.collect()
unblock()
for start in range(0, len(futures), 40):
    assert {{f.result(60) for f in futures[start : start + 20]}} == {{5.0}}
    for future in futures[start + 20 : start + 40]:
        assert (future.result(60) == np.sqrt(np.arange(100.0))).all()
print(len(futures))
""")
        == "120\n"
    )


def test_numba_function_is_compiled_again_while_the_old_one_waits(run):
    pytest.importorskip("numba")
    assert (
        run("""
def make(by):
    @stealpool.kernel("batch")
    def times(x, n, out, user):
        for i in range(n):
            out[i] = by * x[i]
        return 0
    return times
block()
futures = [executor.submit(make(by), np.ones(3)) for by in (2.0, 3.0)]
gc.collect()
unblock()
print([f.result(60).tolist() for f in futures])
""")
        == "[[2.0, 2.0, 2.0], [3.0, 3.0, 3.0]]\n"
    )


def test_loops_and_their_arrays_are_used_by_many_threads(run):
    assert (
        run("""
count = stealpool.kernel(library.count, "range")
four = stealpool.Executor(4)
def work():
    for _ in range(50):
        done = np.zeros(5000, np.int32)
        four.for_range(count, 0, done.size, done, grain=10)
        assert (done == 1).all()
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
del count
for thread in threads:
    thread.join()
print("end")
""")
        == "end\n"
    )


def test_fork_with_kernels_in_flight(run):
    assert (
        run("""
block()
squares = stealpool.kernel(library.squares, "batch")
future = executor.submit(squares, np.arange(10.0))
pid = os.fork()
if pid == 0:
    ours = stealpool.Executor(1)
    assert ours.submit(squares, np.arange(3.0)).result(60).tolist() == [0, 1, 4]
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
unblock()
future.result(60)
""")
        == "7\n"
    )
