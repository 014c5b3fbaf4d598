"""Ufuncs on the pool give what NumPy gives, bit for bit: all of them, in all dtypes.

Everything here is eager: it goes to the pool however small it is, unless NumPy must
run it, so that a few thousand elements are cut into several pieces.
"""

import sysconfig
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stealpool import kernels

# Real arrays of 64 KB and more would take minutes here; pieces are 1024 elements.
SIZE = 2500


def eager(u):
    made = kernels.ufunc(u)
    made._set_eager(True)
    return made


def outcome(function, *args, **kwargs):
    """(results or the error, warnings) of a call."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            result = error
    return result, sorted({(str(w.message), w.category) for w in seen}, key=str)


def assert_same(ours, theirs):
    if isinstance(theirs, tuple):
        assert type(ours) is tuple
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    elif isinstance(theirs, Exception):
        assert type(ours) is type(theirs), ours
        assert str(ours) == str(theirs)
    elif isinstance(theirs, np.ndarray):
        assert type(ours) is type(theirs), ours
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        if theirs.dtype.char in "gGO":  # with bytes that mean nothing
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert ours.tobytes() == theirs.tobytes()
    else:
        np.testing.assert_equal(ours, theirs)


def assert_layout(ours, theirs):
    ours = ours if isinstance(ours, tuple) else (ours,)
    theirs = theirs if isinstance(theirs, tuple) else (theirs,)
    for one, other in zip(ours, theirs, strict=True):
        assert one.strides == other.strides


def assert_agrees(ours, theirs, *args, **kwargs):
    expected, expected_warnings = outcome(theirs, *args, **kwargs)
    found, found_warnings = outcome(ours, *args, **kwargs)
    assert_same(found, expected)
    assert found_warnings == expected_warnings


def numbers(code, size=SIZE, seed=0):
    """Numbers of all sizes and signs, and those that are special."""
    random = np.random.default_rng(seed)
    dtype = np.dtype(code)
    if dtype.kind == "b":
        return random.random(size) < 0.5
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        some = random.integers(max(info.min, -50), 50, size).astype(dtype)
        some[::7] = random.integers(info.min, info.max, len(some[::7]), dtype)
        return some
    if dtype.kind in "mM":
        some = random.integers(-(10**6), 10**6, size).astype(f"{dtype.char}8[s]")
        some[::11] = "NaT"
        return some
    if dtype.kind == "c":
        some = np.empty(size, dtype)
        some.real = numbers(some.real.dtype, size, seed)
        some.imag = numbers(some.real.dtype, size, seed + 1)
        return some
    with np.errstate(over="ignore"):
        some = (random.standard_normal(size) * 3).astype(dtype)
        some[::5] = np.exp(random.standard_normal(len(some[::5])) * 8).astype(dtype)
        some[3::97] = np.nan
        some[5::89] = np.inf
        some[7::83] = -np.inf
        some[9::61] = -0.0
        some[11::53] = 0.0
    return some


def ufuncs_of(module):
    found = {}
    for name in dir(module):
        each = getattr(module, name)
        if isinstance(each, np.ufunc):
            found[each.__name__] = each
    return sorted(found.values(), key=lambda u: u.__name__)


def inputs_of(ufunc, types):
    """Arrays for a loop, such as 'dd->d'."""
    return [numbers(c, seed=i) for i, c in enumerate(types.split("->")[0])]


ELEMENTWISE = [u for u in ufuncs_of(np._core.umath) if u.signature is None]


@pytest.mark.parametrize("ufunc", ELEMENTWISE, ids=lambda u: u.__name__)
def test_every_ufunc_of_numpy_agrees_in_every_dtype(ufunc):
    ours = eager(ufunc)
    n_numeric = 0
    for types in ufunc.types:
        if set(types) & set("OSUVT"):
            continue
        n_numeric += 1
        assert_agrees(ours, ufunc, *inputs_of(ufunc, types))
    # It did run on the pool, if only because it has loops of unsigned integers.
    assert ours.pool_calls > 0 or n_numeric == 0


@pytest.mark.parametrize("ufunc", ELEMENTWISE, ids=lambda u: u.__name__)
def test_every_ufunc_of_numpy_agrees_on_objects(ufunc):
    ours = eager(ufunc)
    arrays = [np.array([1, 2, 3] * 4, object)] * ufunc.nin
    assert_agrees(ours, ufunc, *arrays)
    assert ours.pool_calls == 0


@pytest.mark.parametrize("part", range(8))
def test_every_ufunc_of_scipy_agrees(part):
    special = pytest.importorskip("scipy.special")
    random = np.random.default_rng(part)
    for ufunc in ufuncs_of(special)[part::8]:
        ours = eager(ufunc)
        for types in ufunc.types:
            inputs = types.split("->")[0]  # mild ones: some functions are very slow
            arrays = [(random.random(1100) * 4 + 0.1).astype(c) for c in inputs]
            assert_agrees(ours, ufunc, *arrays)


CORE = [
    *(u for u in ufuncs_of(np._core.umath) if u.signature is not None),
    *ufuncs_of(np.linalg._umath_linalg),
]


def core_inputs(ufunc, types, outer):
    sizes = {"m": 4, "n": 4, "k": 4, "p": 3, "nrhs": 2, "1": 1}
    arrays = []
    inputs = ufunc.signature.replace(" ", "").split("->")[0][1:-1].split("),(")
    for i, names in enumerate(inputs):
        core = [sizes[name.rstrip("?")] for name in names.split(",") if name]
        shape = (*outer, *core)
        random = np.random.default_rng(i)
        arrays.append((random.random(shape) * 5).astype(types[i]))
    return arrays


# Without a GIL, NumPy 2.5 with LAPACK of its own waits for ever for its own lock in the
# loops of svd() for complex64, which np.linalg never calls.
LAPACK = np.show_config(mode="dicts")["Build Dependencies"]["lapack"]["name"]
SVD_HANGS = sysconfig.get_config_var("Py_GIL_DISABLED") and "openblas" not in LAPACK


@pytest.mark.parametrize("ufunc", CORE, ids=lambda u: u.__name__)
def test_every_gufunc_of_numpy_agrees(ufunc):
    ours = eager(ufunc)
    for types in ufunc.types:
        if set(types) & set("OmMg?G"):
            continue
        if SVD_HANGS and ufunc.__name__.startswith("svd") and types[0] == "F":
            continue
        arrays = core_inputs(ufunc, types, (7, 5))
        if ufunc.__name__ == "qr_r_raw":  # writes to its inputs
            assert_same(ours(arrays[0].copy()), ufunc(arrays[0].copy()))
            continue
        assert_agrees(ours, ufunc, *arrays)
        arrays[0] = arrays[0][:, :1]  # broadcast
        assert_agrees(ours, ufunc, *arrays)
        arrays[0] = arrays[0].swapaxes(-1, 0) if arrays[0].ndim == 2 else arrays[0].T
        assert_agrees(ours, ufunc, *arrays)
    # Of these only NumPy knows what shape their outputs have.
    unknown = {"lstsq", "svd", "svd_f", "svd_s", "qr_r_raw"}
    assert (ours.pool_calls > 0) == (ufunc.__name__ not in unknown)


def test_gufuncs_take_out():
    ours = eager(np.matmul)
    a, b = np.random.rand(50, 3, 4), np.random.rand(4, 2)
    out = np.empty((50, 3, 2))
    assert ours(a, b, out=out) is out
    assert ours.pool_calls == 1
    assert_same(out, a @ b)
    assert_agrees(ours, np.matmul, a, b, out=np.empty((50, 3, 2), "f4"))
    assert_agrees(ours, np.matmul, a, a)


def accepted(function, *arrays, **options):
    try:
        return function(*arrays, **options)
    except (TypeError, ValueError):
        return None


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
@pytest.mark.parametrize("keepdims", [False, True])
def test_gufuncs_take_axis_and_keepdims(axis, keepdims):
    random = np.random.default_rng(1)
    a, b = random.random((9, 8, 7)), random.random((9, 8, 7)).astype("f4")
    ours = eager(np.vecdot)
    options = {"axis": axis, "keepdims": keepdims}
    assert_agrees(ours, np.vecdot, a, b, **options)
    assert_agrees(ours, np.vecdot, a.T, a.T[::-1], **options)
    if axis == -1:
        assert_agrees(ours, np.vecdot, a, b[0, 0], **options)  # of each its own axis
        assert ours.pool_calls == 3
    expected = np.vecdot(a, a, **options)
    out = np.empty_like(expected)
    n_calls = ours.pool_calls
    assert ours(a, a, out=out, **options) is out
    assert ours.pool_calls == n_calls + 1
    assert_same(out, expected)
    assert_layout(ours(a, a, axis=axis), np.vecdot(a, a, axis=axis))


@given(st.data())
def test_gufuncs_take_any_axes(data):
    ufunc = data.draw(st.sampled_from([np.matmul, np.matvec, np.vecdot, np.vecmat]))
    named = {"matmul": 222, "matvec": 211, "vecdot": 110, "vecmat": 121}
    n_named = [int(n) for n in str(named[ufunc.__name__])]
    axes = []
    for n in n_named:
        chosen = data.draw(st.permutations([-3, -2, -1, 0, 1, 2]))[:n]
        is_bare = n == 1 and data.draw(st.booleans())
        axes.append(chosen[0] if is_bare else tuple(chosen))
    if data.draw(st.booleans()):
        axes = axes[:2]
    arrays = []
    for i in range(2):
        array = np.random.default_rng(i).random((6, 6, 6))
        arrays.append(array.transpose(data.draw(st.permutations(range(3)))))
    options = {"axes": axes}
    if data.draw(st.integers(0, 2)) == 0:
        options["keepdims"] = data.draw(st.booleans())
    made = eager(ufunc)
    assert_agrees(made, ufunc, *arrays, **options)
    expected = accepted(ufunc, *arrays, **options)
    if expected is not None:
        knows_where = len(axes) == 3 or not options.get("keepdims")
        assert made.pool_calls == knows_where
        out = np.full_like(expected, 7)
        assert made(*arrays, out=out, **options) is out
        assert_same(out, expected)
        if not options.get("keepdims"):
            assert_layout(made(*arrays, **options), expected)


def test_gufuncs_refuse_axes_in_the_words_of_numpy():
    a = np.ones((5, 6, 7))
    for options in (
        {"axis": 3},
        {"axis": 0, "axes": [0, 0, ()]},
        {"axes": [0, 0]},
        {"axes": [(0, 1), 0, ()]},
        {"axes": (0, 0, ())},
        {"axis": 0.0},
        {"keepdims": 2},
        {"axes": [0, 1, ()]},
    ):
        assert_agrees(eager(np.vecdot), np.vecdot, a, a, **options)
    for options in (
        {"axis": 0},
        {"keepdims": True},
        {"axes": [(0, 0), (1, 2), (1, 2)]},
    ):
        assert_agrees(eager(np.matmul), np.matmul, a, a, **options)
        assert_agrees(eager(np.add), np.add, a, a, **options)
    out = np.empty((2, 5, 6))
    assert_agrees(eager(np.vecdot), np.vecdot, a, a, axis=-1, out=out)
    assert_agrees(eager(np.vecdot), np.vecdot, a, a, axis=0, keepdims=True, out=out)


# ------------------------------------------------------------------ any arguments

DTYPES = ["?", "i1", "u2", "i4", "i8", "f2", "f4", "f8", "c8", "c16", ">f8", ">i4"]
SOME = [
    np.add,
    np.multiply,
    np.hypot,
    np.cos,
    np.exp,
    np.sqrt,
    np.maximum,
    np.logical_and,
    np.isfinite,
    np.divmod,
    np.frexp,
    np.arctan2,
    np.left_shift,
    np.less,
    np.square,
    np.float_power,
]


@st.composite
def views(draw, shape):
    """An array that broadcasts to this shape, laid out in some way."""
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from([2, 0.5, True, np.float32(3), -1, 1000, 1j]))
    shape = [1 if draw(st.integers(0, 5)) == 0 else n for n in shape]
    shape = shape[draw(st.integers(0, 1)) if draw(st.booleans()) else 0 :]
    return draw(layouts(tuple(shape), dtype))


@st.composite
def layouts(draw, shape, dtype):
    order = draw(st.permutations(range(len(shape))))
    steps = [draw(st.sampled_from([1, 1, 1, 2, -1])) for _ in shape]
    full = [shape[i] * abs(steps[i]) for i in order]
    size = int(np.prod(full))
    flat = numbers(dtype.newbyteorder("="), size, draw(st.integers(0, 3)))
    flat = flat.astype(dtype)
    if draw(st.integers(0, 5)) == 0:  # unaligned
        raw = np.empty(size * dtype.itemsize + 1, "u1")[1:].view(dtype)
        raw[...] = flat
        flat = raw
    array = flat.reshape(full).transpose(np.argsort(order))
    return array[tuple(slice(None, None, step) for step in steps)]


def twin(array):
    """A copy with the same strides and alignment: NumPy's loops round as these say."""
    base = array
    while isinstance(base.base, np.ndarray):
        base = base.base
    offset = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return np.ndarray(array.shape, array.dtype, base.copy(), offset, array.strides)


def is_simple(arrays, options, expected):
    """Must this run on the pool?"""
    first = expected[0] if isinstance(expected, tuple) else expected
    return (
        isinstance(first, np.ndarray)
        and first.size > 0
        and options.keys() <= {"order"}
        and all(isinstance(each, np.ndarray) for each in arrays)
    )


SHAPES = st.sampled_from(
    [(3000,), (60, 50), (3, 1100), (1100, 3), (7, 20, 21), (0, 4), (1, 2049), (5,)]
)


@given(st.data())
def test_any_arguments_give_what_numpy_gives(data):
    ufunc = data.draw(st.sampled_from(SOME))
    shape = data.draw(SHAPES)
    arrays = [data.draw(views(shape)) for _ in range(ufunc.nin)]
    options = {}
    if data.draw(st.booleans()):
        options["order"] = data.draw(st.sampled_from("KCFA"))
    if data.draw(st.integers(0, 3)) == 0:
        options["casting"] = data.draw(
            st.sampled_from(["no", "equiv", "safe", "same_kind", "unsafe"])
        )
    if data.draw(st.integers(0, 3)) == 0:
        options["dtype"] = data.draw(st.sampled_from(["f4", "f8", "i8", "c16"]))
    if data.draw(st.booleans()):
        dtypes = [np.dtype(data.draw(st.sampled_from(DTYPES))) for _ in "ab"]
        outs = [data.draw(layouts(shape, dtypes[i])) for i in range(ufunc.nout)]
        if data.draw(st.booleans()):
            options["where"] = data.draw(layouts(shape, np.dtype("?")))
        theirs = outcome(ufunc, *arrays, out=tuple(map(twin, outs)), **options)
        ours = outcome(eager(ufunc), *arrays, out=tuple(outs), **options)
        assert_same(ours[0], theirs[0])
        assert ours[1] == theirs[1]
    else:
        made = eager(ufunc)
        assert_agrees(made, ufunc, *arrays, **options)
        expected, _ = outcome(ufunc, *arrays, **options)
        if is_simple(arrays, options, expected):
            assert made.pool_calls == 1
            assert_layout(outcome(made, *arrays, **options)[0], expected)


@pytest.mark.parametrize("step", [-3, -1, 0, 1, 3])
def test_overlapping_inputs_and_outputs_agree(step):
    for ufunc in (np.add, np.hypot):
        ours, theirs = np.arange(6000.0), np.arange(6000.0)
        low, high = max(step, 0), 6000 + min(step, 0)
        for array, function in ((ours, eager(ufunc)), (theirs, ufunc)):
            out = array[low : high if high < 6000 else None]
            source = array[: len(out)] if step > 0 else array[-len(out) :]
            function(source, 1.5, out=out)
            function(array[::-1], array, out=array)
            function(array[::2], array[::2], out=array[1::2])
        assert ours.tobytes() == theirs.tobytes()


# -------------------------------------------------------------------- reductions

REDUCIBLE = [
    u
    for u in ELEMENTWISE
    if u.nin == 2 and u.nout == 1 and not u.__name__.startswith("_")
]


@pytest.mark.parametrize("ufunc", REDUCIBLE, ids=lambda u: u.__name__)
def test_every_reduction_agrees_on_every_axis(ufunc):
    ours = eager(ufunc)
    for code in "?bHilfdgFDmM":
        array = numbers(code, 3 * 5 * 170).reshape(3, 5, 170)
        for axis in (0, 1, 2, -1, (0, 2), (1, 2), (0, 1), None):
            assert_agrees(ours.reduce, ufunc.reduce, array, axis=axis)
        for axis in (0, 1, 2):
            assert_agrees(ours.accumulate, ufunc.accumulate, array, axis=axis)
            assert_agrees(ours.reduce, ufunc.reduce, array.T, axis, keepdims=True)


@given(st.data())
def test_any_reduction_gives_what_numpy_gives(data):
    ufunc = data.draw(
        st.sampled_from(
            [np.add, np.multiply, np.maximum, np.subtract, np.logaddexp, np.bitwise_and]
        )
    )
    shape = data.draw(
        st.sampled_from([(9, 300), (300, 9), (2, 6000), (4, 5, 60), (1, 7, 3, 11)])
    )
    dtype = np.dtype(data.draw(st.sampled_from(["i8", "f4", "f8", "c16", "u1", "i4"])))
    array = data.draw(layouts(shape, dtype))
    axes = data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))
    axis = tuple(axes) if len(axes) > 1 else axes.pop()
    options = {"axis": axis}
    if data.draw(st.booleans()):
        options["keepdims"] = data.draw(st.booleans())
    if data.draw(st.booleans()):
        options["initial"] = data.draw(st.sampled_from([0, 1.5, -3, None]))
    if data.draw(st.booleans()):
        options["where"] = data.draw(layouts(shape, np.dtype("?")))
    if data.draw(st.booleans()):
        options["dtype"] = data.draw(st.sampled_from(["i8", "f8", "c16"]))
    assert_agrees(eager(ufunc).reduce, ufunc.reduce, array, **options)
    if isinstance(axis, int):
        assert_agrees(eager(ufunc).accumulate, ufunc.accumulate, array, axis=axis)


@pytest.mark.parametrize("narrow", "?bBhHiIf")
def test_reductions_in_a_larger_type(narrow):
    with np.errstate(over="ignore", invalid="ignore"):
        array = numbers(narrow, 30 * 6000).reshape(30, 6000)
        mask = numbers("?", array.size, 1).reshape(array.shape)
        for ufunc in (np.add, np.multiply, np.bitwise_or, np.maximum, np.logical_or):
            for dtype in ("i8", "u8", "f8"):
                ours = eager(ufunc)
                for axis in (0, 1):
                    for view in (array, array[::-1, ::3], array.T):
                        options = {"axis": axis, "dtype": dtype}
                        assert_agrees(ours.reduce, ufunc.reduce, view, **options)
                    options = {"axis": axis, "dtype": dtype, "keepdims": True}
                    options |= {"initial": 1, "where": mask}
                    assert_agrees(ours.reduce, ufunc.reduce, array, **options)
                is_safe = np.can_cast(narrow, dtype, "safe")
                # Of floats, only what is added up for itself, one after the other.
                if ufunc in (np.add, np.multiply):
                    assert (ours.pool_calls > 0) == is_safe
                    n_calls = ours.pool_calls
                    ours.reduce(array, axis=1, dtype=dtype)
                    groups_freely = is_safe and dtype != "f8"
                    assert ours.pool_calls == n_calls + groups_freely


@pytest.mark.parametrize("dtype", [">i4", ">f8", "f2"])
def test_reductions_with_other_casts_are_left_to_numpy(dtype):
    array = np.ones((30, 6000)).astype(dtype)
    ours = eager(np.add)
    for axis in (0, 1):
        for wide in ("i8", "f8", "f4", "c16"):
            options = {"axis": axis, "dtype": wide}
            assert_agrees(ours.reduce, np.add.reduce, array, **options)
    assert ours.pool_calls == 0


def test_reductions_take_out():
    ours = eager(np.add)
    array = np.random.rand(40, 3000)
    for axis, keepdims in ((0, False), (1, False), (1, True), (0, True)):
        expected = np.add.reduce(array, axis=axis, keepdims=keepdims)
        out = np.empty_like(expected)
        n_calls = ours.pool_calls
        assert ours.reduce(array, axis=axis, out=out, keepdims=keepdims) is out
        assert_same(out, expected)
        assert ours.pool_calls == n_calls + (axis == 1)


def test_a_reduction_along_rows_of_zeros_keeps_their_sign():
    array = np.full((3, 5000), -0.0)
    for axis in (0, 1):
        assert_agrees(eager(np.add).reduce, np.add.reduce, array, axis=axis)


def test_outer_at_and_reduceat_agree():
    a, b = np.random.rand(70), np.random.rand(50)
    ours = eager(np.multiply)
    assert_agrees(ours.outer, np.multiply.outer, a, b)
    assert ours.pool_calls == 1
    assert_agrees(ours.reduceat, np.multiply.reduceat, a, [0, 10, 5])
    counts, expected = np.zeros(5), np.zeros(5)
    eager(np.add).at(counts, [0, 3, 3], 1)
    np.add.at(expected, [0, 3, 3], 1)
    assert counts.tolist() == expected.tolist()
