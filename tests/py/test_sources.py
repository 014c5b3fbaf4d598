"""Kernels of cffi, of numba by decorator, with user data; the C API by address."""

import ctypes
import gc
import importlib.machinery
import importlib.util
import sys
import sysconfig
import weakref

import numpy as np
import pytest
import stealpool
from stealpool import kernel

SOURCE = """
#include <stdint.h>

double plus(double x, void *user) { return x + *(double *)user; }
double const_plus(double x, const void *user) { return x + *(const double *)user; }
double half(double x) { return x / 2; }

struct line { double slope; int64_t offset; };
double line(double x, const void *user)
{
    const struct line *line = user;
    return line->slope * x + (double)line->offset;
}
void twice_complex(double _Complex *z, intptr_t n)
{
    for (intptr_t i = 0; i < n; i++)
        z[i] *= 2;
}
"""


@pytest.fixture(scope="module")
def library(compile_c):
    return compile_c(SOURCE)


@pytest.fixture
def executor(make_executor):
    return make_executor(2)


# ------------------------------------------------------------------------------ cffi


@pytest.fixture(scope="module")
def ffi():
    return pytest.importorskip("cffi").FFI()


@pytest.fixture(scope="module")
def libm(ffi):
    ffi.cdef("""
        double cos(double);
        double pow(double, double);
        int printf(const char *, ...);
        double frexp(double, int *);
    """)
    return ffi.dlopen("libm.so.6")


def test_function_of_a_cffi_library_says_its_signature(libm, executor):
    made = kernel(libm.pow)
    assert made.signature == "float64 (float64, float64)"
    assert executor.submit(made, 2.0, 10.0).result(60) == 1024.0


def test_cffi_pointer_says_its_signature(ffi, library, executor):
    address = ctypes.cast(library.plus, ctypes.c_void_p).value
    pointer = ffi.cast("double (*)(double, void *)", address)
    made = kernel(pointer)
    assert made.signature == "float64 (float64, void *)"
    assert executor.submit(made, 2.0, np.full(1, 3.0)).result(60) == 5.0


def test_cffi_pointer_may_be_given_a_signature(ffi, library):
    address = ctypes.cast(library.half, ctypes.c_void_p).value
    assert kernel(ffi.cast("void (*)(void)", address), "double (double)")(3.0) == 1.5


def test_function_of_a_compiled_cffi_library_is_a_kernel(tmp_path, executor, compile_c):
    cffi = pytest.importorskip("cffi")
    builder = cffi.FFI()
    builder.cdef("double third(double x); double sum3(const double *x);")
    builder.set_source(
        "_thirds",
        "double third(double x) { return x / 3; }"
        "double sum3(const double *x) { return x[0] + x[1] + x[2]; }",
    )
    builder.emit_c_code(str(tmp_path / "thirds.c"))
    # Not by compile(): setuptools does not load where distutils has been loaded.
    path = compile_c(
        (tmp_path / "thirds.c").read_text(), "-I" + sysconfig.get_path("include")
    )._name
    loader = importlib.machinery.ExtensionFileLoader("_thirds", path)
    _thirds = importlib.util.module_from_spec(
        importlib.util.spec_from_loader("_thirds", loader)
    )
    loader.exec_module(_thirds)
    third, sum3 = kernel(_thirds.lib.third), kernel(_thirds.lib.sum3)
    assert (third.name, third.signature) == ("third", "float64 (float64)")
    assert executor.submit(third, 3.0).result(60) == 1.0
    assert executor.submit(sum3, np.arange(3.0)).result(60) == 3.0


def test_cffi_callback_is_refused(ffi):
    callback = ffi.callback("double(double)", lambda x: x)
    with pytest.raises(TypeError, match="calls a Python function, which needs the GIL"):
        kernel(callback)


def test_what_cffi_has_besides_functions_is_refused(ffi, libm):
    with pytest.raises(TypeError, match="expected a pointer to a function"):
        kernel(ffi.new("double *"))
    with pytest.raises(ValueError, match="variable number of arguments"):
        kernel(libm.printf)
    with pytest.raises(ValueError, match="NULL"):
        kernel(ffi.cast("double (*)(double)", 0))
    ffi.cdef("typedef struct { int a, b; } pair;")
    with pytest.raises(ValueError, match="'pair' is not among"):
        kernel(ffi.cast("int (*)(pair)", 1))


# ------------------------------------------------------------------------- decorator


def test_decorator_compiles_a_python_function(executor):
    pytest.importorskip("numba")

    @kernel("double(double, long)")
    def power(x, n):
        return x**n

    assert isinstance(power, stealpool.Kernel)
    assert (power.name, power.signature) == ("power", "float64 (float64, int64)")
    assert executor.submit(power, 3.0, 2).result(60) == 9.0


def test_decorator_knows_pointers_and_status(executor):
    numba = pytest.importorskip("numba")

    @kernel("int (const double *, intptr_t, double *)", returns="status")
    def running_sum(x, n, out):
        a, b = numba.carray(x, n), numba.carray(out, n)
        total = 0.0
        for i in range(n):
            if a[i] < 0:
                return 3
            total += a[i]
            b[i] = total
        return 0

    x, out = np.arange(5.0), np.empty(5)
    x.flags.writeable = False
    assert executor.submit(running_sum, x, 5, out).result(60) is None
    np.testing.assert_array_equal(out, np.cumsum(x))
    with pytest.raises(stealpool.KernelError, match="running_sum returned 3"):
        executor.submit(running_sum, -x, 5, out).result(60)


@pytest.mark.parametrize("type_", ["bool", "int8_t", "uint16_t", "float", "size_t"])
def test_decorator_knows_every_scalar(type_):
    pytest.importorskip("numba")

    @kernel(f"{type_} ({type_})")
    def same(x):
        return x

    assert same(1) == 1


def test_decorator_without_numba_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "stealpool.interop.numba", raising=False)
    monkeypatch.delattr("stealpool.interop.numba", raising=False)
    with pytest.raises(ImportError, match=r"compiles half\(\) with numba.*pip install"):

        @kernel("double (double)")
        def half(x):
            return x / 2


def test_decorator_with_an_unknown_signature_is_refused_at_once():
    with pytest.raises(ValueError, match="unknown kernel signature 'double'"):
        kernel("double")


def test_decorator_decorates_functions_only():
    with pytest.raises(TypeError, match="compiles a Python function, got int 3"):
        kernel("double (double)")(3)
    with pytest.raises(TypeError, match="a function's address is an int"):
        kernel("cos", "double (double)")


# ------------------------------------------------------------------------- user data


@pytest.mark.parametrize(
    "user",
    [
        np.full(1, 10.0),
        bytearray(np.float64(10.0)),
        ctypes.c_double(10.0),
        memoryview(bytearray(np.float64(10.0))),
    ],
    ids=lambda user: type(user).__name__,
)
def test_user_data_come_from_any_buffer(library, executor, user):
    made = kernel(library.plus, "double (double, void *)", user=user)
    assert made(1.0) == 11.0
    assert executor.submit(made, 2.0).result(60) == 12.0
    assert [f.result(60) for f in executor.submit_many(made, [1.0, 2.0])] == [11, 12]


def test_user_data_may_be_a_structure(library):
    user = np.array([(2.0, 7)], [("slope", "f8"), ("offset", "i8")])
    assert kernel(library.line, "double (double, const void *)", user=user)(4.0) == 15.0


def test_user_data_come_from_pointers_too(library, ffi):
    text = "double (double, void *)"
    value = ctypes.c_double(10.0)
    owned = ffi.new("double *", 10.0)
    for user in (
        ctypes.pointer(value),
        ctypes.c_void_p(ctypes.addressof(value)),
        ctypes.addressof(value),
        owned,
        ffi.cast("void *", owned),
    ):
        assert kernel(library.plus, text, user=user)(1.0) == 11.0


def test_user_data_live_as_long_as_the_kernel(library):
    class Doubles(np.ndarray):
        pass

    user = np.full(1, 10.0).view(Doubles)
    is_alive = weakref.ref(user)
    made = kernel(library.plus, "double (double, void *)", user=user)
    del user
    gc.collect()
    assert made(1.0) == 11.0
    assert is_alive()
    del made
    gc.collect()
    assert not is_alive()


def test_user_data_cannot_be_resized(library):
    user = bytearray(8)
    made = kernel(library.plus, "double (double, void *)", user=user)
    with pytest.raises(BufferError):
        user.clear()
    del made
    gc.collect()
    user.clear()


def test_read_only_user_data_need_a_const_pointer(library):
    user = bytes(np.float64(10.0))
    made = kernel(library.const_plus, "double (double, const void *)", user=user)
    assert made(1.0) == 11.0
    with pytest.raises(ValueError, match=r"read-only.*declare 'const void \*'"):
        kernel(library.plus, "double (double, void *)", user=user)


@pytest.mark.parametrize(
    ("user", "error", "words"),
    [
        (1.5, TypeError, "user data must be a buffer"),
        (np.array([None]), TypeError, "must not hold Python objects"),
        (np.zeros((4, 4))[:, ::2], ValueError, "must be C-contiguous"),
        (0, ValueError, "NULL"),
        (ctypes.c_void_p(), ValueError, "NULL"),
    ],
)
def test_other_user_data_are_refused(library, user, error, words):
    with pytest.raises(error, match=words):
        kernel(library.plus, "double (double, void *)", user=user)


def test_user_data_need_a_parameter_for_them(library):
    with pytest.raises(ValueError, match="takes no user data"):
        kernel(library.half, "double (double)", user=np.zeros(1))
    made = kernel(library.half, "double (double)")
    with pytest.raises(TypeError, match="has its signature already"):
        kernel(made, user=np.zeros(1))


# ---------------------------------------------------------------------- complex arrays


def test_complex_arrays_are_passed_by_pointer(library, executor):
    z = np.array([1 + 2j, 3 - 4j])
    twice = kernel(library.twice_complex, "void (double complex *, intptr_t)")
    executor.submit(twice, z, z.size).result(60)
    assert z.tolist() == [2 + 4j, 6 - 8j]
    with pytest.raises(
        TypeError, match="must be an array of complex128, got complex64"
    ):
        twice(z.astype(np.complex64), 2)


# ------------------------------------------------------------- the C API, by address


def test_numba_kernel_polls_cancellation_and_fails_with_words(executor, until):
    pytest.importorskip("numba")
    is_cancelled = ctypes.CFUNCTYPE(ctypes.c_int)(stealpool.get_address("sp_cancelled"))
    fail = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)(
        stealpool.get_address("sp_fail")
    )
    words = ctypes.create_string_buffer(b"no data after the header")
    where = ctypes.addressof(words)

    @kernel("int (int)", returns="status")
    def until_cancelled(code):
        while is_cancelled() == 0:
            pass
        return code

    @kernel("int (int)", returns="status")
    def failing(code):
        return fail(code, where)

    future = executor.submit(until_cancelled, -7)  # SP_ECANCELLED
    until(future.running)
    assert not future.cancel()
    with pytest.raises(stealpool.CancelledError):
        future.result(60)
    error = executor.submit(failing, 4).exception(60)
    assert (error.code, error.message) == (4, "no data after the header")


RANGE = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_ssize_t, ctypes.c_ssize_t, ctypes.c_void_p
)


def test_numba_kernel_loops_on_the_pool(executor):
    numba = pytest.importorskip("numba")
    types = numba.types

    @numba.cfunc(types.int32(types.intp, types.intp, types.CPointer(types.float64)))
    def square(begin, end, x):
        for i in range(begin, end):
            x[i] *= x[i]
        return 0

    loop = ctypes.CFUNCTYPE(
        ctypes.c_int,
        *(ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_ssize_t, ctypes.c_ssize_t),
        *(ctypes.c_void_p, ctypes.c_void_p),
    )(stealpool.get_address("sp_parallel_for"))
    handle = stealpool.Handle(executor)
    pool, body = handle.address, square.address

    @kernel("int (void *, intptr_t)", returns="status")
    def square_all(x, n):
        return loop(pool, 0, n, 0, body, x)

    x = np.arange(200_000.0)
    executor.submit(square_all, x, x.size).result(60)
    np.testing.assert_array_equal(x, np.arange(200_000.0) ** 2)


def test_ctypes_code_spawns_and_joins(executor, compile_c):
    library = compile_c("""
        #include <stddef.h>
        typedef void *(*spawn_fn)(void *, int (*)(void *), void *);
        typedef int (*join_fn)(void *);
        struct job { void *pool; spawn_fn spawn; join_fn join; long n; };

        int fibonacci(void *user)
        {
            struct job *job = user, left = *job, right = *job;
            if (job->n < 2)
                return 0;
            left.n = job->n - 1;
            right.n = job->n - 2;
            void *task = job->spawn(job->pool, fibonacci, &left);
            int code = fibonacci(&right);
            if (task == NULL || job->join(task) != 0)
                return 1;
            job->n = left.n + right.n;
            return code;
        }
    """)

    class Job(ctypes.Structure):
        _fields_ = [(name, ctypes.c_void_p) for name in ("pool", "spawn", "join")]
        _fields_ += [("n", ctypes.c_long)]

    handle = stealpool.Handle(executor)
    addresses = [stealpool.get_address(f"sp_{name}") for name in ("spawn", "join")]
    job = Job(handle.address, *addresses, 16)
    fibonacci = kernel(library.fibonacci, "int (void *)", returns="status")
    executor.submit(fibonacci, job).result(60)
    assert job.n == 987


def test_kernels_spawn_loop_and_reduce_inside_each_other(make_executor, compile_c):
    library = compile_c("""
        #include <stddef.h>
        #include <stdint.h>
        typedef int (*task_fn)(void *);
        typedef int (*range_fn)(intptr_t, intptr_t, void *);
        typedef int (*reduce_fn)(intptr_t, intptr_t, void *, void *);
        typedef void (*combine_fn)(void *, const void *, void *);
        struct pool {
            void *pool;
            void *(*spawn)(void *, task_fn, void *);
            int (*join)(void *);
            int (*loop)(void *, intptr_t, intptr_t, intptr_t, range_fn, void *);
            int (*reduce)(void *, intptr_t, intptr_t, intptr_t, reduce_fn, combine_fn,
                          void *, size_t, void *);
        };
        struct job { const struct pool *p; int64_t depth, sum; };

        int nest(void *user);

        static int piece(intptr_t begin, intptr_t end, void *user)
        {
            struct job *jobs = user;
            for (intptr_t i = begin; i < end; i++)
                if (nest(&jobs[i]))
                    return 1;
            return 0;
        }
        static int add(intptr_t begin, intptr_t end, void *sum, void *user)
        {
            for (intptr_t i = begin; i < end; i++) {
                struct job job = *(struct job *)user;
                if (nest(&job))
                    return 1;
                *(int64_t *)sum += job.sum;
            }
            return 0;
        }
        static void combine(void *into, const void *other, void *user)
        {
            (void)user;
            *(int64_t *)into += *(const int64_t *)other;
        }
        /* Sets sum to the number of leaves: by turns a task, a loop, a reduction. */
        int nest(void *user)
        {
            struct job *job = user, below[3];
            const struct pool *p = job->p;
            int code;
            if (job->depth == 0) {
                job->sum = 1;
                return 0;
            }
            for (int i = 0; i < 3; i++)
                below[i] = (struct job){p, job->depth - 1, 0};
            job->sum = 0;
            if (job->depth % 3 == 0)
                return p->reduce(p->pool, 0, 3, 1, add, combine, &job->sum,
                                 sizeof job->sum, &below[0]);
            if (job->depth % 3 == 1) {
                code = p->loop(p->pool, 0, 3, 1, piece, below);
            } else {
                void *tasks[2] = {p->spawn(p->pool, nest, &below[0]),
                                  p->spawn(p->pool, nest, &below[1])};
                code = nest(&below[2]);
                for (int i = 0; i < 2; i++)
                    code |= tasks[i] == NULL || p->join(tasks[i]) != 0;
            }
            for (int i = 0; i < 3; i++)
                job->sum += below[i].sum;
            return code;
        }
    """)

    class Pool(ctypes.Structure):
        names = ("pool", "sp_spawn", "sp_join", "sp_parallel_for", "sp_parallel_reduce")
        _fields_ = [(name, ctypes.c_void_p) for name in names]

    nest = kernel(library.nest, "int (void *)", returns="status")
    for workers in (1, 3):
        executor = make_executor(workers)
        handle = stealpool.Handle(executor)
        addresses = [stealpool.get_address(name) for name in Pool.names[1:]]
        pool = Pool(handle.address, *addresses)
        jobs = [np.array([ctypes.addressof(pool), 9, 0]) for _ in range(4)]
        for future in [executor.submit(nest, job) for job in jobs]:
            future.result(60)
        assert [job[2] for job in jobs] == [3**9] * 4


def test_unknown_name_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match="no address of 'sp_moon'.*sp_cancelled"):
        stealpool.get_address("sp_moon")


def test_handle_of_a_closed_executor_is_refused(make_executor):
    executor = make_executor(1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        stealpool.Handle(executor)
