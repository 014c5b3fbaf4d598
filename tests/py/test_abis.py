"""Kernels that know the shapes of their arrays: batches, loops, ufuncs, tiles."""

import ctypes
import gc
import sys
import threading
import weakref

import numpy as np
import pytest
import stealpool
from stealpool import kernel

SOURCE = """
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct { char *data; ptrdiff_t stride, height, width, channels; } view;
typedef struct { ptrdiff_t y, x, height, width; } rect;

int squares(const double *x, intptr_t n, double *out, void *user)
{
    double offset = user ? *(double *)user : 0;
    for (intptr_t i = 0; i < n; i++) {
        if (x[i] < 0)
            return 4;
        out[i] = x[i] * x[i] + offset;
    }
    return 0;
}
int is_odd(const int32_t *x, intptr_t n, uint8_t *out, void *user)
{
    (void)user;
    for (intptr_t i = 0; i < n; i++)
        out[i] = x[i] & 1;
    return 0;
}
void axpy(char **args, const intptr_t *dims, const intptr_t *steps, void *data)
{
    double a = data ? *(double *)data : 1;
    for (intptr_t i = 0; i < dims[0]; i++)
        *(double *)(args[2] + i * steps[2]) =
            a * *(double *)(args[0] + i * steps[0]) +
            *(float *)(args[1] + i * steps[1]);
}
void dot(char **args, const intptr_t *dims, const intptr_t *steps, void *data)
{
    (void)data;
    for (intptr_t i = 0; i < dims[0]; i++) {
        double sum = 0;
        for (intptr_t k = 0; k < dims[1]; k++)
            sum += *(double *)(args[0] + i * steps[0] + k * steps[3]) *
                   *(double *)(args[1] + i * steps[1] + k * steps[4]);
        *(double *)(args[2] + i * steps[2]) = sum;
    }
}
void minmax(char **args, const intptr_t *dims, const intptr_t *steps, void *data)
{
    (void)data;
    for (intptr_t i = 0; i < dims[0]; i++) {
        double least = INFINITY, most = -INFINITY;
        for (intptr_t k = 0; k < dims[1]; k++) {
            double x = *(double *)(args[0] + i * steps[0] + k * steps[3]);
            least = x < least ? x : least;
            most = x > most ? x : most;
        }
        *(double *)(args[1] + i * steps[1]) = least;
        *(double *)(args[2] + i * steps[2]) = most;
    }
}
/* The largest of 3 x 5 neighbours, plus the row and column of the pixel. */
int largest(const view *src, view *dst, const rect *tile, void *user)
{
    double scale = user ? *(double *)user : 1;
    if (tile->height != dst->height || src->width != dst->width + 4)
        return 9;
    for (ptrdiff_t y = 0; y < dst->height; y++)
        for (ptrdiff_t x = 0; x < dst->width; x++)
            for (ptrdiff_t c = 0; c < dst->channels; c++) {
                float most = -1;
                for (int j = 0; j < 3; j++)
                    for (int i = 0; i < 5; i++) {
                        float *row = (float *)(src->data + (y + j) * src->stride);
                        most = fmaxf(most, row[(x + i) * src->channels + c]);
                    }
                double *to = (double *)(dst->data + y * dst->stride);
                double place = (double)(tile->y + y) + 1000. * (double)(tile->x + x);
                to[x * dst->channels + c] = scale * most + place;
            }
    return 0;
}
int refusing(const double *x, intptr_t n, double *out, void *user)
{
    return -1; /* which is SP_ENOMEM, but not here */
}
int failing_tile(const view *src, view *dst, const rect *tile, void *user)
{
    (void)src, (void)dst, (void)user;
    return tile->y == 0 && tile->x == 0 ? 7 : 0;
}
"""


@pytest.fixture(scope="module")
def library(compile_c):
    return compile_c(SOURCE)


@pytest.fixture
def executor(make_executor):
    return make_executor(2)


@pytest.fixture(params=["call", "executor", "submit", "submit_many"])
def run(request, executor):
    """Runs a kernel in one of the four ways."""

    def submit_many(kernel, *args):
        return executor.submit_many(kernel, [args, args])[1].result(60)

    return {
        "call": lambda kernel, *args, **out: kernel(*args, **out),
        "executor": lambda kernel, *args, **out: kernel(
            *args, **out, executor=executor
        ),
        "submit": lambda kernel, *args, **out: executor.submit(
            kernel, *args, **out
        ).result(60),
        "submit_many": lambda kernel, *args, **out: (
            executor.submit(kernel, *args, **out).result(60)
            if out
            else submit_many(kernel, *args)
        ),
    }[request.param]


# --------------------------------------------------------------------------- batches


@pytest.fixture(scope="module")
def squares(library):
    return kernel(library.squares, "batch")


@pytest.mark.parametrize("shape", [(0,), (1,), (1000,), (100_000,), (3, 4, 5), ()])
def test_batch_computes_an_array(squares, run, shape):
    x = np.arange(float(np.prod(shape, dtype=int))).reshape(shape)
    out = run(squares, x)
    assert (out.shape, out.dtype) == (shape, np.float64)
    np.testing.assert_array_equal(out, x**2)


def test_batch_writes_to_out(squares, run):
    x, out = np.arange(5.0), np.empty(5)
    assert run(squares, x, out=out) is out
    np.testing.assert_array_equal(out, x**2)
    assert run(squares, x, out=x) is x
    np.testing.assert_array_equal(x, out)


def test_batch_has_types_of_its_own(library, run):
    is_odd = kernel(library.is_odd, "int (const int32_t *, intptr_t, bool *, void *)")
    x = np.arange(7, dtype=np.int32)
    np.testing.assert_array_equal(run(is_odd, x), x % 2 == 1)


def test_batch_takes_lists_and_buffers(squares, run):
    np.testing.assert_array_equal(run(squares, [1, 2.0, 3]), [1, 4, 9])
    doubles = (ctypes.c_double * 2)(3.0, 4.0)
    np.testing.assert_array_equal(run(squares, doubles), [9, 16])


def test_batch_fails_with_its_code(squares, run):
    with pytest.raises(stealpool.KernelError, match="squares returned 4"):
        run(squares, np.array([1.0, -1.0]))


def test_batch_fails_with_a_code_that_means_something_else_in_the_pool(library, run):
    refusing = kernel(library.refusing, "batch")
    with pytest.raises(stealpool.KernelError, match="refusing returned -1"):
        run(refusing, np.ones(3))


def test_user_data_of_a_batch_are_bound_or_passed(library, squares, run):
    offset, x = np.array([0.5]), np.arange(3.0)
    bound = kernel(library.squares, "batch", user=offset)
    np.testing.assert_array_equal(run(bound, x), x**2 + 0.5)
    np.testing.assert_array_equal(run(squares, x, offset), x**2 + 0.5)
    with pytest.raises(TypeError, match="takes 1 array .*got 2 arguments"):
        run(bound, x, offset)


def test_numba_batch(run):
    numba = pytest.importorskip("numba")

    @kernel("batch")
    def halves(x, n, out, user):
        for i in range(n):
            out[i] = x[i] / 2
        return 0

    types = numba.types
    doubles = types.CPointer(types.float64)

    @numba.cfunc(types.int32(doubles, types.intp, doubles, types.voidptr))
    def thirds(x, n, out, user):
        for i in range(n):
            out[i] = x[i] / 3
        return 0

    x = np.arange(1000.0)
    np.testing.assert_array_equal(run(halves, x), x / 2)
    np.testing.assert_array_equal(run(kernel(thirds), x), x / 3)


@pytest.mark.parametrize(
    ("args", "out", "error", "words"),
    [
        ((np.arange(3),), None, TypeError, "must be an array of float64, got int64"),
        ((np.arange(6.0)[::2],), None, ValueError, "argument 1 must be C-contiguous"),
        ((np.arange(3.0),), np.empty(4), ValueError, r"shape \(3,\), got float64 with"),
        ((np.arange(3.0),), np.empty(3, "f4"), ValueError, "out must be an array of f"),
        ((np.arange(3.0),), [1, 2, 3], TypeError, "out must be an array, got list"),
        ((np.arange(3.0),), (None, None), ValueError, "has 1 result, got 2 in out="),
        ((np.array([None]),), None, TypeError, "must be an array of float64, got obj"),
        ((), None, TypeError, "takes 1 array and user data .*got 0"),
    ],
)
def test_arguments_that_do_not_fit_a_batch_are_refused(
    squares, executor, args, out, error, words
):
    for call in (squares, lambda *a, **k: executor.submit(squares, *a, **k)):
        with pytest.raises(error, match=words):
            call(*args, out=out)
    assert executor.stats()["submitted"] == 0


def test_out_that_overlaps_or_is_read_only_is_refused(squares):
    x = np.arange(10.0)
    with pytest.raises(ValueError, match="out overlaps an argument"):
        squares(x[1:], out=x[:-1])
    out = np.empty(10)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        squares(x, out=out)


def test_unknown_keywords_are_refused(squares, executor):
    with pytest.raises(TypeError, match="no keyword arguments but out= .*got where"):
        executor.submit(squares, np.arange(3.0), where=True)


# ----------------------------------------------------------------------- loops in C


def test_loop_runs_over_arrays_of_any_shape(library, run):
    axpy = kernel(library.axpy, "loop", types="double, float -> double")
    assert axpy.name == "axpy"
    x, y = np.arange(24.0).reshape(4, 6), np.arange(6, dtype=np.float32)
    for a, b in [(x, y), (x[::-1, ::2], y[::2]), (x.T, np.float32(3)), (2.0, y)]:
        np.testing.assert_array_equal(run(axpy, a, b), a + b)
    assert run(axpy, np.float64(2), np.float32(3)) == 5


def test_numba_loop(run):
    pytest.importorskip("numba")
    from stealpool.interop.numba import operand

    @kernel("loop", types="double, float -> double")
    def axpy(args, dims, steps, data):
        a = operand(args, dims, steps, 0, np.float64)
        b = operand(args, dims, steps, 1, np.float32)
        out = operand(args, dims, steps, 2, np.float64)
        for i in range(out.size):
            out[i] = 2 * a[i] + b[i]

    x, y = np.arange(24.0).reshape(4, 6), np.arange(6, dtype=np.float32)
    for a, b in [(x, y), (x[::-1, ::-2], y[::2]), (x.T, np.float32(3)), (2.0, y)]:
        np.testing.assert_array_equal(run(axpy, a, b), 2 * np.asarray(a) + b)


def test_user_data_of_a_loop_are_its_data(library, run):
    three = np.array([3.0])
    axpy = kernel(library.axpy, "loop", types="df->d", user=three)
    x, y = np.arange(4.0), np.ones(4, np.float32)
    np.testing.assert_array_equal(run(axpy, x, y), 3 * x + y)


def test_core_dimensions_are_the_functions_own(library, run):
    dot = kernel(library.dot, "loop", types="double(n), double(n) -> double")
    x = np.random.default_rng(1).random((5, 4, 6))
    np.testing.assert_allclose(run(dot, x, x[0]), (x * x[0]).sum(-1))
    np.testing.assert_allclose(
        run(dot, x[:, ::2, ::-1], x[1, 0]), (x[:, ::2, ::-1] * x[1, 0]).sum(-1)
    )
    assert run(dot, x[0, 0], x[0, 0]).shape == ()


def test_loop_may_have_several_results(library, run):
    minmax = kernel(library.minmax, "loop", types="double(n) -> double, double")
    x = np.random.default_rng(2).random((50, 7))
    least, most = run(minmax, x)
    np.testing.assert_array_equal(least, x.min(-1))
    np.testing.assert_array_equal(most, x.max(-1))
    outs = (np.empty(50), np.empty(50))
    assert run(minmax, x, out=outs) == outs
    np.testing.assert_array_equal(outs[1], most)


def test_loop_of_a_capsule_needs_types(library):
    address = ctypes.cast(library.axpy, ctypes.c_void_p).value
    text = "void (char **, npy_intp const *, npy_intp const *, void *)"
    with pytest.raises(
        TypeError, match="does not say what its arrays are: pass types="
    ):
        kernel(address, text)
    axpy = kernel(address, text, types="df->d")
    assert axpy(1.0, 2.0) == 3.0


def test_core_dimensions_must_agree(library):
    dot = kernel(library.dot, "loop", types="double(n), double(n) -> double")
    with pytest.raises(ValueError, match="size 3 in the dimension n, expected 4"):
        dot(np.zeros((2, 4)), np.zeros(3))
    with pytest.raises(ValueError, match=r"needs 1 dimensions \(n\), got the shape"):
        dot(np.zeros(3), np.float64(1))
    unknown = kernel(library.dot, "loop", types="double(n), double(n) -> double(m)")
    with pytest.raises(ValueError, match="only out= can tell the size of"):
        unknown(np.zeros(3), np.zeros(3))


# ------------------------------------------------------------------------------ ufuncs

X = np.random.default_rng(3).uniform(0.1, 1.0, (30, 40))


@pytest.mark.parametrize("name", ["cos", "exp", "hypot", "add", "frexp", "greater"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_ufunc_is_a_kernel(run, name, dtype):
    ufunc = getattr(np, name)
    x = X.astype(dtype)
    for array in (x, x[::2, ::3], x.T, x[0], x[:0], x[3, 4]):
        args = (array,) * ufunc.nin
        got, expected = run(kernel(ufunc), *args), ufunc(*args)
        if ufunc.nout == 1:
            got, expected = (got,), (expected,)
        for a, b in zip(got, expected, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, np.shape(b))
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", "i8", "e", "g", "F", "D"])
def test_ufunc_has_a_loop_for_each_dtype(run, dtype):
    x = (X * 100).astype(dtype)
    np.testing.assert_array_equal(run(kernel(np.add), x, x[0]), np.add(x, x[0]))


def test_ufunc_of_scipy_is_a_kernel(run):
    special = pytest.importorskip("scipy.special")
    for name in ("gamma", "erf", "j0"):
        ufunc = getattr(special, name)
        np.testing.assert_array_equal(run(kernel(ufunc), X), ufunc(X))
    np.testing.assert_array_equal(run(kernel(special.jv), X, 2.0), special.jv(X, 2.0))


def test_ufuncs_of_numba_are_kernels(run):
    numba = pytest.importorskip("numba")

    @numba.vectorize(["float64(float64, float64)"])
    def blend(a, b):
        return 0.25 * a + 0.75 * b

    @numba.guvectorize(["void(float64[:], float64[:])"], "(n)->(n)")
    def running(x, out):
        total = 0.0
        for i in range(x.shape[0]):
            total += x[i]
            out[i] = total

    np.testing.assert_array_equal(run(kernel(blend), X, X[0]), blend(X, X[0]))
    np.testing.assert_array_equal(run(kernel(running), X), running(X))
    np.testing.assert_array_equal(
        run(kernel(running), X[:, ::2]), np.cumsum(X[:, ::2], -1)
    )


def test_ufunc_writes_to_out(run):
    out = np.zeros((40, 30)).T
    assert run(kernel(np.sqrt), X, out=out) is out
    np.testing.assert_array_equal(out, np.sqrt(X))


def test_ufunc_may_be_fixed_to_one_loop(run):
    cos = kernel(np.cos, "f->f")
    assert cos.signature == "float32 -> float32"
    np.testing.assert_array_equal(run(cos, X.astype("f4")), np.cos(X.astype("f4")))
    with pytest.raises(TypeError, match=r"no loop for \(float64\)"):
        run(cos, X)
    with pytest.raises(ValueError, match="cos has no loop int64 -> int64; there are"):
        kernel(np.cos, types="int64 -> int64")


def test_ufunc_without_a_loop_for_the_dtype_is_refused(executor):
    with pytest.raises(TypeError, match=r"cos has no loop for \(int64\): .*float64"):
        executor.submit(kernel(np.cos), np.arange(3))
    # Raises for negative exponents, which needs the GIL.
    with pytest.raises(TypeError, match=r"power has no loop for \(int64, int64\)"):
        kernel(np.power)(np.arange(3), np.arange(3))


def test_ufunc_that_is_python_is_refused():
    with pytest.raises(TypeError, match="frompyfunc|cannot run without the GIL"):
        kernel(np.frompyfunc(lambda x: x, 1, 1))


def test_ufunc_of_numba_lives_as_long_as_its_kernel(executor):
    numba = pytest.importorskip("numba")

    @numba.vectorize(["float64(float64)"])
    def triple(x):
        return 3 * x

    is_alive = weakref.ref(triple)
    made = kernel(triple)
    del triple
    gc.collect()
    assert is_alive() is not None
    assert executor.submit(made, np.ones(2)).result(60).tolist() == [3, 3]


# ------------------------------------------------------------------------------- tiles


@pytest.fixture(scope="module")
def largest(library):
    return kernel(library.largest, "tile", types="float -> double", halo=(1, 2))


def reference(image, mode="reflect", cval=0.0):
    """What `largest` computes, by means of NumPy."""
    modes = {"reflect": "symmetric", "mirror": "reflect", "nearest": "edge"}
    pads = ((1, 1), (2, 2), *[(0, 0)] * (image.ndim - 2))
    options = {"constant_values": cval} if mode == "constant" else {}
    padded = np.pad(image, pads, modes.get(mode, mode), **options)
    h, w = image.shape[:2]
    most = np.max(
        [padded[j : j + h, i : i + w] for j in range(3) for i in range(5)], axis=0
    )
    y, x = np.mgrid[:h, :w]
    place = (y + 1000.0 * x).reshape(h, w, *[1] * (image.ndim - 2))
    return most.astype(float) + place


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (300, 400), (60, 70, 3), (0, 5)])
def test_tiles_cover_the_image_with_its_surroundings(largest, run, shape):
    image = np.random.default_rng(4).random(shape, dtype=np.float32)
    out = run(largest, image)
    assert (out.shape, out.dtype) == (shape, np.float64)
    if image.size:
        np.testing.assert_array_equal(out, reference(image))


@pytest.mark.parametrize("border", ["mirror", "nearest", "wrap", "constant"])
def test_border_of_a_tile_kernel_is_as_in_scipy(library, run, border):
    made = kernel(
        *(library.largest, "tile"),
        types="float -> double",
        halo=(1, 2),
        border=border,
        cval=0.75,
    )
    image = np.random.default_rng(5).random((90, 130), dtype=np.float32)
    np.testing.assert_array_equal(run(made, image), reference(image, border, 0.75))


def test_rows_of_images_may_be_apart(largest, run):
    image = np.random.default_rng(6).random((50, 200), dtype=np.float32)[::-1, 20:120]
    out = np.zeros((50, 300))[:, 100:200]
    assert run(largest, image, out=out) is out
    np.testing.assert_array_equal(out, reference(image))


def test_tile_that_fails_ends_the_job(library, run):
    failing = kernel(library.failing_tile, "tile", types="float -> float")
    with pytest.raises(stealpool.KernelError, match="failing_tile returned 7"):
        run(failing, np.zeros((500, 500), np.float32))


def test_numba_tile(run):
    pytest.importorskip("numba")
    from stealpool.interop.numba import pixels, rect

    @kernel("tile", types="float64 -> float64", halo=1)
    def cross(src, dst, tile, user):
        a, b = pixels(src, np.float64), pixels(dst, np.float64)
        y0, x0, _, _ = rect(tile)
        for y in range(b.shape[0]):
            for x in range(b.shape[1]):
                for c in range(b.shape[2]):
                    b[y, x, c] = a[y, x + 1, c] + a[y + 2, x + 1, c] + y0 + y + x0 + x
        return 0

    image = np.random.default_rng(7).random((90, 300, 2))
    padded = np.pad(image, ((1, 1), (0, 0), (0, 0)), "symmetric")
    y, x = np.mgrid[:90, :300]
    expected = padded[:-2] + padded[2:]
    np.testing.assert_allclose(run(cross, image), expected + (y + x)[..., None])


@pytest.mark.parametrize(
    ("image", "out", "words"),
    [
        (np.zeros(5, "f4"), None, r"shape \(height, width\) or"),
        (
            np.zeros((4, 10), "f4")[:, ::2],
            None,
            "rows of argument 1 must be contiguous",
        ),
        (np.zeros((4, 5), "f4"), np.zeros((5, 4)), r"shape \(4, 5\)"),
    ],
)
def test_images_that_do_not_fit_are_refused(largest, image, out, words):
    with pytest.raises(ValueError, match=words):
        largest(image, out=out)


def test_image_that_is_its_own_result_is_refused_with_a_halo(library):
    image = np.zeros((4, 5), np.float32)
    failing = kernel(library.failing_tile, "tile", types="float -> float", halo=1)
    with pytest.raises(ValueError, match="overlaps an argument, which its neighbours"):
        failing(image, out=image)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"halo": -1}, ValueError, "halo must be from 0 to 65535, got -1"),
        ({"halo": 1.5}, TypeError, "halo must be a number of pixels, or two"),
        ({"border": "torus"}, ValueError, "border must be one of reflect, mirror"),
        ({"types": "float, float -> float"}, ValueError, "takes one image and makes"),
        ({"types": None}, TypeError, "pass types='float32 -> float32'"),
        ({"combine": np.add}, TypeError, "combine= is for reductions"),
    ],
)
def test_options_of_tiles_are_checked(library, options, error, words):
    with pytest.raises(error, match=words):
        kernel(library.largest, "tile", **{"types": "float -> double", **options})


def test_options_of_other_kernels_are_refused(library):
    with pytest.raises(TypeError, match="halo= is for tile kernels"):
        kernel(library.squares, "batch", halo=1)
    with pytest.raises(TypeError, match="types= is for loop and tile kernels"):
        kernel(library.squares, "batch", types="d->d")


# --------------------------------------------------------------------------- lifetimes


def test_arrays_live_as_long_as_the_task(squares, gate, make_executor, until):
    class Array(np.ndarray):
        pass

    one = make_executor(1)
    one.submit(gate.kernel, gate.key)
    x = np.arange(4.0).view(Array)
    is_alive = weakref.ref(x)
    future = one.submit(squares, x)
    del x
    gc.collect()
    assert is_alive() is not None
    gate.open()
    assert future.result(60).tolist() == [0, 1, 4, 9]
    until(lambda: is_alive() is None)


def test_no_reference_is_left_behind(squares, executor):
    x = np.arange(4.0)
    before = sys.getrefcount(x)
    squares(x)
    executor.submit(squares, x).result(60)
    squares(x, executor=executor)
    gc.collect()
    assert sys.getrefcount(x) == before


def test_array_kernels_run_from_many_threads_at_once(squares, executor):
    x = np.arange(200_000.0)
    failed = []

    def work():
        for _ in range(20):
            if not np.array_equal(squares(x, executor=executor), x**2):
                failed.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


# ------------------------------------------------------------------------- map(arrays)

MIXED = """
#include <stdint.h>
double mixed(double a, int32_t b, uint8_t c, float d, int64_t e, uint16_t f, int8_t g)
{
    return a + 2. * b + 3. * c + 4. * d + 5. * (double)e + 6. * f + 7. * g;
}
#define SAME(type) type same_##type(type x) { return x; }
SAME(int8_t) SAME(uint8_t) SAME(int16_t) SAME(uint16_t) SAME(int32_t) SAME(uint32_t)
SAME(int64_t) SAME(uint64_t) SAME(float) SAME(double)
"""


@pytest.fixture(scope="module")
def mixed(compile_c):
    return compile_c(MIXED)


@pytest.mark.parametrize("n", [0, 1, 511, 512, 513, 10_000])
def test_map_over_arrays_is_map_over_their_elements(mixed, executor, n):
    text = "double (double, int, uint8_t, float, int64_t, uint16_t, int8_t)"
    made = kernel(mixed.mixed, text)
    rng = np.random.default_rng(8)
    dtypes = ["f8", "i4", "u1", "f4", "i8", "u2", "i1"]
    columns = [rng.integers(-100, 100, n).astype(dtype) for dtype in dtypes]
    columns[3] = np.repeat(columns[3], 2)[::2]  # strided
    columns[1] = np.append(columns[1], 5)  # longer than the rest
    values = list(executor.map(made, *columns))
    assert values == list(executor.map(made, *(c.tolist() for c in columns)))
    assert all(type(value) is float for value in values)


@pytest.mark.parametrize(
    "type_",
    ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"],
)
def test_map_over_arrays_keeps_integers_at_their_limits(mixed, executor, type_):
    info = np.iinfo(type_)
    x = np.array([info.min, 0, 1, info.max], type_)
    made = kernel(mixed[f"same_{type_}_t"], f"{type_} ({type_})")
    values = list(executor.map(made, x))
    assert values == x.tolist()
    assert {type(value) for value in values} == {int}


def test_map_over_arrays_of_other_types_converts_each(mixed, executor):
    same = kernel(mixed.same_double, "double (double)")
    assert list(executor.map(same, np.arange(5))) == [0.0, 1.0, 2.0, 3.0, 4.0]
    with pytest.raises(TypeError, match="argument 1 must be an integer"):
        list(executor.map(kernel(mixed.same_int8_t, "int8 (int8)"), np.ones(3)))


def test_map_over_arrays_with_user_data(library, executor, compile_c):
    plus = compile_c("double plus(double x, double *u) { return x + *u; }").plus
    made = kernel(plus, "double (double, void *)", user=np.array([0.5]))
    assert list(executor.map(made, np.arange(3.0))) == [0.5, 1.5, 2.5]


def test_map_over_arrays_may_be_given_up(mixed, executor):
    same = kernel(mixed.same_double, "double (double)")
    results = executor.map(same, np.arange(100_000.0))
    assert next(results) == 0.0
    results.close()
    x = np.arange(10.0)
    before = sys.getrefcount(x)
    assert list(executor.map(same, x)) == x.tolist()
    gc.collect()
    assert sys.getrefcount(x) == before


def test_map_over_arrays_has_a_timeout(mixed, gate, make_executor):
    one = make_executor(1)
    one.submit(gate.kernel, gate.key)
    same = kernel(mixed.same_double, "double (double)")
    with pytest.raises(TimeoutError):
        next(one.map(same, np.arange(3.0), timeout=0.01))
