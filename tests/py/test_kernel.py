"""Kernels: where they come from, how arguments go in and results come out."""

import ctypes
import math
import random
from fractions import Fraction

import numpy as np
import pytest
import stealpool
from stealpool import Kernel, _core, kernel

SOURCE = """
#include <stdbool.h>
#include <stdint.h>

double half(double x) { return x / 2; }
float half32(float x) { return x / 2; }
void nothing(void) {}
int status(int code) { return code; }
double with_user(double x, void *user) { return x + *(double *)user; }
double sum(const double *x, intptr_t n)
{
    double s = 0;
    for (intptr_t i = 0; i < n; i++)
        s += x[i];
    return s;
}
void fill(double *x, intptr_t n, double value)
{
    for (intptr_t i = 0; i < n; i++)
        x[i] = value;
}
intptr_t address(const void *p) { return (intptr_t)p; }

#define SAME(name, type) type same_##name(type x) { return x; }
SAME(bool, bool)
SAME(int8, int8_t) SAME(uint8, uint8_t) SAME(int16, int16_t) SAME(uint16, uint16_t)
SAME(int32, int32_t) SAME(uint32, uint32_t) SAME(int64, int64_t) SAME(uint64, uint64_t)
SAME(float, float) SAME(double, double)

#define WIDEN(name, type) int64_t widen_##name(type x) { return (int64_t)x; }
WIDEN(bool, bool)
WIDEN(int8, int8_t) WIDEN(uint8, uint8_t) WIDEN(int16, int16_t) WIDEN(uint16, uint16_t)
WIDEN(int32, int32_t) WIDEN(uint32, uint32_t)
"""


@pytest.fixture(scope="module")
def library(compile_c):
    return compile_c(SOURCE)


@pytest.fixture(params=["call", "submit", "submit_many"])
def run(request, make_executor):
    """Runs a kernel once, in one of three ways."""
    executor = make_executor(1)
    return {
        "call": lambda kernel, *args: kernel(*args),
        "submit": lambda kernel, *args: executor.submit(kernel, *args).result(60),
        "submit_many": lambda kernel, *args: executor.submit_many(kernel, [args])[
            0
        ].result(60),
    }[request.param]


# ----------------------------------------------------------------- where they come from


def test_ctypes_function_says_its_signature(library, run):
    library.half.restype, library.half.argtypes = ctypes.c_double, [ctypes.c_double]
    half = kernel(library.half)
    assert isinstance(half, Kernel)
    assert (half.name, half.signature) == ("half", "float64 (float64)")
    assert repr(half) == "<stealpool.Kernel half: float64 (float64)>"
    assert run(half, 3.0) == 1.5


def test_function_of_libm_is_known(run):
    assert run(kernel(ctypes.CDLL("libm.so.6").pow), 2.0, 10.0) == 1024.0


def test_function_of_libm_is_known_where_the_program_has_its_own_address_for_it(
    compile_c, monkeypatch, run
):
    # As in a python3 that is not position-independent.
    program = compile_c("double pow(double x, double y) { return x - y; }")
    real = ctypes.CDLL
    monkeypatch.setattr(
        ctypes, "CDLL", lambda name: program if name is None else real(name)
    )
    assert run(kernel(real("libm.so.6").pow), 2.0, 10.0) == 1024.0
    assert run(kernel(program.pow), 2.0, 10.0) == -8.0


def test_function_of_the_same_name_as_one_of_libm_is_not_taken_for_it(compile_c):
    library = compile_c("int tgamma(int x) { return x; }")
    with pytest.raises(
        TypeError, match="'tgamma' does not say what it takes: set tgam"
    ):
        kernel(library.tgamma)


def test_ctypes_function_without_types_is_refused(library):
    with pytest.raises(TypeError, match=r"set sum.argtypes and sum.restype, or pass"):
        kernel(library.sum)


@pytest.mark.parametrize(
    ("argtypes", "signature"),
    [
        ([ctypes.c_int, ctypes.c_double], "int32 (int32, float64)"),
        ([ctypes.c_bool, ctypes.c_byte, ctypes.c_ubyte], "int32 (bool, int8, uint8)"),
        ([ctypes.c_short, ctypes.c_ushort], "int32 (int16, uint16)"),
        ([ctypes.c_long, ctypes.c_ulong], "int32 (int64, uint64)"),
        ([ctypes.c_longlong, ctypes.c_size_t], "int32 (int64, uint64)"),
        ([ctypes.c_float, ctypes.c_void_p], "int32 (float32, void *)"),
        ([ctypes.POINTER(ctypes.c_double)], "int32 (float64 *)"),
        ([np.ctypeslib.ndpointer(np.float32)], "int32 (float32 *)"),
        (
            [np.ctypeslib.ndpointer(np.int16, flags="C_CONTIGUOUS")],
            "int32 (const int16 *)",
        ),
        (
            [np.ctypeslib.ndpointer(np.int16, flags="C_CONTIGUOUS,WRITEABLE")],
            "int32 (int16 *)",
        ),
        ([], "int32 (void)"),
    ],
)
def test_types_of_ctypes_are_understood(library, argtypes, signature):
    function = library["status"]
    function.argtypes = argtypes
    assert kernel(function).signature == signature


class Record(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int)]


@pytest.mark.parametrize(
    "argtype",
    [
        ctypes.c_char_p,
        ctypes.py_object,
        Record,
        ctypes.POINTER(Record),
        ctypes.POINTER(ctypes.POINTER(ctypes.c_int)),
        np.ctypeslib.ndpointer(np.longdouble),
    ],
)
def test_other_types_of_ctypes_are_refused(library, argtype):
    function = library["status"]
    function.argtypes = [argtype]
    with pytest.raises(ValueError, match="neither a number nor a pointer to numbers"):
        kernel(function)


def test_result_that_is_no_number_is_refused(library):
    function = library["status"]
    function.argtypes, function.restype = [], ctypes.c_char_p
    with pytest.raises(ValueError, match="restype .* is not a number or None"):
        kernel(function)


def test_ctypes_callback_is_refused():
    callback = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(math.cos)
    with pytest.raises(TypeError, match="calls a Python function.*submit the Python"):
        kernel(callback)


def test_function_of_pythons_api_is_refused():
    with pytest.raises(TypeError, match="'Py_IncRef' is of Python's C API"):
        kernel(ctypes.pythonapi.Py_IncRef, "void (void *)")


def test_null_pointer_is_refused():
    null = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)()
    with pytest.raises(ValueError, match="NULL pointer"):
        kernel(null)


def test_address_needs_a_signature(library, run):
    address = ctypes.cast(library.half, ctypes.c_void_p).value
    assert run(kernel(address, "double (double)"), 3.0) == 1.5
    with pytest.raises(TypeError, match="an address needs signature="):
        kernel(address)


@pytest.mark.parametrize("address", [0, -1, 2**64, 2**100])
def test_impossible_address_is_refused(address):
    with pytest.raises(ValueError, match=f"{address} is not the address of a function"):
        kernel(address, "double (double)")


@pytest.mark.parametrize(
    "thing", [math.cos, lambda x: x, b"cos", 1.5, None, (), (1,), []]
)
def test_other_things_are_refused_with_what_is_accepted(thing):
    with pytest.raises(TypeError, match=r"cannot make a kernel of .*LowLevelCallable"):
        kernel(thing)


def test_kernel_of_a_kernel_is_itself(library):
    half = kernel(library.half, "double (double)")
    assert kernel(half) is half
    with pytest.raises(TypeError, match="has its signature already"):
        kernel(half, "double (double)")


def test_unknown_signature_is_refused(library):
    with pytest.raises(ValueError, match=r"unknown kernel signature 'quad \(double\)'"):
        kernel(library.half, "quad (double)")


def test_unknown_meaning_of_the_result_is_refused(library):
    with pytest.raises(
        ValueError, match="returns must be 'value' or 'status', got 'x'"
    ):
        kernel(library.half, "double (double)", returns="x")


@pytest.mark.parametrize("returns", ["void", "double", "unsigned", "int8_t", "int64_t"])
def test_status_is_an_int(library, returns):
    with pytest.raises(
        ValueError, match=r"kernel status returns .*; a status is an int"
    ):
        kernel(library.status, f"{returns} (int)", returns="status")


def test_kernel_cannot_be_made_by_hand():
    with pytest.raises(TypeError, match=r"made by stealpool.kernel\(function\)"):
        Kernel()


def capsule(address, name, context=None):
    make = ctypes.pythonapi.PyCapsule_New
    make.restype = ctypes.py_object
    make.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    made = make(address, name, None)
    if context is not None:
        set_context = ctypes.pythonapi.PyCapsule_SetContext
        set_context.argtypes = [ctypes.py_object, ctypes.c_void_p]
        set_context(made, context)
    return made


def address_of(function):
    return ctypes.cast(function, ctypes.c_void_p).value


def test_capsule_is_named_after_its_signature(library, run):
    name = b"double (double)"
    assert run(kernel(capsule(address_of(library.half), name)), 3.0) == 1.5


def test_user_data_of_a_capsule_are_bound(library, run):
    user = ctypes.c_double(10.0)
    name = b"double (double, void *)"
    made = capsule(address_of(library.with_user), name, ctypes.addressof(user))
    assert run(kernel(made), 3.0) == 13.0
    user.value = 20.0
    assert run(kernel(made), 3.0) == 23.0


def test_capsule_without_user_data_takes_them_as_an_argument(library, run):
    name = b"double (double, void *)"
    made = kernel(capsule(address_of(library.with_user), name))
    assert run(made, 3.0, np.array([5.0])) == 8.0


def test_capsule_without_a_name_is_refused(library):
    with pytest.raises(ValueError, match="the PyCapsule has no name"):
        kernel(capsule(address_of(library.half), None))


def test_capsule_of_something_else_is_refused(library):
    with pytest.raises(ValueError, match="unknown kernel signature 'datetime.api'"):
        kernel(capsule(address_of(library.half), b"datetime.api"))


def test_module_without_that_function_is_refused():
    with pytest.raises(
        ValueError, match="math exports no C function 'cos'; it exp.*none"
    ):
        kernel(math, "cos")
    with pytest.raises(ValueError, match="exports no C function 'moon'.*'spawn'"):
        kernel(_core, "moon")


def test_numba_cfunc(run):
    numba = pytest.importorskip("numba")

    @numba.cfunc("float64(float64, int32)")
    def scaled(x, n):
        return x * n

    made = kernel(scaled)
    assert (made.name, made.signature) == ("scaled", "float64 (float64, int32)")
    assert run(made, 1.5, 2) == 3.0


def test_numba_cfunc_with_arrays(run):
    numba = pytest.importorskip("numba")

    @numba.cfunc("void(CPointer(float64), intp)")
    def double(x, n):
        for i in range(n):
            x[i] *= 2

    array = np.arange(4.0)
    assert run(kernel(double), array, 4) is None
    assert array.tolist() == [0, 2, 4, 6]


def test_scipy_low_level_callable(library, run):
    scipy = pytest.importorskip("scipy")
    user = ctypes.c_double(10.0)
    function = library["with_user"]
    function.restype = ctypes.c_double
    function.argtypes = [ctypes.c_double, ctypes.c_void_p]
    pointer = ctypes.cast(ctypes.pointer(user), ctypes.c_void_p)
    assert run(kernel(scipy.LowLevelCallable(function, pointer)), 3.0) == 13.0


def test_low_level_callable_of_a_python_function_is_refused():
    scipy = pytest.importorskip("scipy")
    callback = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(lambda x: x)
    with pytest.raises(TypeError, match="calls a Python function, which needs the GIL"):
        kernel(scipy.LowLevelCallable(callback))
    cffi = pytest.importorskip("cffi")
    callback = cffi.FFI().callback("double(double)")(lambda x: x)
    with pytest.raises(TypeError, match="calls a Python function, which needs the GIL"):
        kernel(scipy.LowLevelCallable(callback))


# ------------------------------------------------------------------------- scalars in

INTEGERS = {
    **{f"int{b}": (-(2 ** (b - 1)), 2 ** (b - 1) - 1) for b in (8, 16, 32, 64)},
    **{f"uint{b}": (0, 2**b - 1) for b in (8, 16, 32, 64)},
    "bool": (0, 1),
}


@pytest.mark.parametrize("type_", INTEGERS)
def test_integers_come_through_at_their_limits(library, run, type_):
    least, most = INTEGERS[type_]
    same = kernel(library[f"same_{type_}"], f"{type_} ({type_})")
    for value in {least, most, 0, 1, least // 2, most // 2}:
        result = run(same, value)
        assert result == value
        assert type(result) is (bool if type_ == "bool" else int)


@pytest.mark.parametrize("type_", [t for t in INTEGERS if "64" not in t])
def test_narrow_integers_are_extended_as_the_abi_says(library, run, type_):
    widen = kernel(library[f"widen_{type_}"], f"int64 ({type_})")
    for value in INTEGERS[type_]:
        assert run(widen, value) == value


@pytest.mark.parametrize("type_", INTEGERS)
def test_integers_beyond_the_limits_are_refused(library, run, type_):
    same = kernel(library[f"same_{type_}"], f"{type_} ({type_})")
    least, most = INTEGERS[type_]
    for value in (least - 1, most + 1, 10**30):
        message = f"argument 1 is {value}, but {type_} holds {least} to {most}"
        with pytest.raises(OverflowError, match=message):
            run(same, value)


@pytest.mark.parametrize("value", [1.0, "1", None, b"1", [1]])
def test_what_is_no_integer_is_refused(library, run, value):
    same = kernel(library.same_int32, "int (int)")
    with pytest.raises(
        TypeError, match=r"argument 1 must be an integer \(int32\), got"
    ):
        run(same, value)


def test_numpy_integers_are_integers(library, run):
    assert run(kernel(library.same_int32, "int (int)"), np.int64(5)) == 5


REALS = [0.0, -0.0, 1.5, math.inf, -math.inf, 5e-324, 1.7976931348623157e308]


@pytest.mark.parametrize("value", REALS)
def test_doubles_come_through_unchanged(library, run, value):
    same = kernel(library.same_double, "double (double)")
    assert run(same, value).hex() == value.hex()


def test_nan_comes_through(library, run):
    assert math.isnan(run(kernel(library.same_double, "double (double)"), math.nan))


@pytest.mark.parametrize("value", [0.0, -1.5, 0.1, 1e30, math.inf])
def test_floats_are_rounded_to_float32(library, run, value):
    same = kernel(library.same_float, "float (float)")
    assert run(same, value) == float(np.float32(value))
    assert run(kernel(library.half32, "float (float)"), 3.0) == 1.5


@pytest.mark.parametrize(
    "value", [3, True, np.float32(3), np.int8(3), Fraction(3), np.array(3.0)]
)
def test_what_converts_to_a_float_is_a_real_number(library, run, value):
    same = kernel(library.same_double, "double (double)")
    assert run(same, value) == float(value)


@pytest.mark.parametrize("value", ["1", b"1", bytearray(b"1"), None, 1j, [1.0]])
def test_what_is_no_real_number_is_refused_with_its_value(library, run, value):
    same = kernel(library.same_double, "double (double)")
    with pytest.raises(TypeError) as info:
        run(same, value)
    assert "kernel same_double: argument 1 must be a real number" in str(info.value)
    assert f"{type(value).__name__} {value!r}" in str(info.value)


def test_integer_too_large_for_a_double_is_refused(library, run):
    same = kernel(library.same_double, "double (double)")
    with pytest.raises(OverflowError, match="kernel same_double: argument 1: int too"):
        run(same, 10**400)


def test_long_values_are_cut_in_messages(library):
    with pytest.raises(TypeError) as info:
        kernel(library.same_double, "double (double)")("x" * 10_000)
    assert len(str(info.value)) < 200


def test_void_kernel_returns_none(library, run):
    assert run(kernel(library.nothing, "void (void)")) is None


# ----------------------------------------------------------------------- many arguments

MIXED_TYPES = {
    "int": ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"],
    "float": ["float", "double"],
}
C_TYPES = {"float": "float", "double": "double"}


def mixed_function(index, rng):
    """(name, types, C source): each argument counts by its position."""
    kinds = ["int"] * rng.randint(0, 14) + ["float"] * rng.randint(0, 16)
    if index == 0:
        kinds = ["int"] * 14 + ["float"] * 16
    elif index == 1:
        kinds = ["int"] * 22
    elif index == 2:
        kinds = ["float"] * 24
    rng.shuffle(kinds)
    types = [rng.choice(MIXED_TYPES[kind]) for kind in kinds]
    c_types = [C_TYPES.get(t, f"{t}_t") for t in types]
    parameters = ", ".join(f"{t} a{i}" for i, t in enumerate(c_types)) or "void"
    terms = "".join(f" + {i + 1} * (double)a{i}" for i in range(len(types)))
    name = f"mixed_{index}"
    return name, types, f"double {name}({parameters}) {{ return 0{terms}; }}\n"


@pytest.fixture(scope="module")
def mixed(compile_c):
    rng = random.Random(7)
    functions = [mixed_function(index, rng) for index in range(40)]
    source = "#include <stdint.h>\n" + "".join(text for _, _, text in functions)
    library = compile_c(source)
    return [(library[name], name, types) for name, types, _ in functions]


def test_integers_and_doubles_in_any_order(mixed, run):
    rng = random.Random(8)
    for function, name, types in mixed:
        made = kernel(function, f"double ({', '.join(types) or 'void'})")
        args = [
            rng.randint(0 if type_.startswith("u") else -100, 100) for type_ in types
        ]
        expected = sum((i + 1) * x for i, x in enumerate(args))
        assert run(made, *args) == expected, (name, types, args)


def test_pointers_and_numbers_in_any_order(compile_c, run):
    rng = random.Random(9)
    choice = [type_ for types in MIXED_TYPES.values() for type_ in types]
    signatures = []
    for _ in range(30):
        types = [rng.choice(choice) for _ in range(rng.randint(8, 16))]
        signatures.append([t + rng.choice([" *", ""]) for t in types])
    source = "#include <stdint.h>\n"
    for i, types in enumerate(signatures):
        names, terms = [], []
        for k, type_ in enumerate(types):
            base = type_.removesuffix(" *")
            star = "*" * type_.endswith("*")
            names.append(f"{C_TYPES.get(base, base + '_t')} {star}a{k}")
            terms.append(f" + {k + 1} * (double){star}a{k}")
        source += f"double f{i}({', '.join(names)}) {{ return 0{''.join(terms)}; }}\n"
    library = compile_c(source)
    for i, types in enumerate(signatures):
        numbers = [rng.randint(0, 100) for _ in types]
        args = [
            np.array([x], {"float": "f4", "double": "f8"}.get(t[:-2], t[:-2]))
            if t.endswith("*")
            else x
            for t, x in zip(types, numbers, strict=True)
        ]
        made = kernel(library[f"f{i}"], f"double ({', '.join(types)})")
        expected = sum((k + 1) * x for k, x in enumerate(numbers))
        assert run(made, *args) == expected, types


@pytest.mark.parametrize(
    "types", [["double"] * 25, ["int"] * 25, ["double", "int"] * 17]
)
def test_too_many_parameters_are_refused(library, types):
    with pytest.raises(ValueError, match="at most"):
        kernel(library.half, f"double ({', '.join(types)})")


# -------------------------------------------------------------------------- pointers in


@pytest.fixture(scope="module")
def total(library):
    return kernel(library.sum, "double (const double *, intptr_t)")


@pytest.fixture(scope="module")
def fill(library):
    return kernel(library.fill, "void (double *, intptr_t, double)")


def test_array_is_passed_without_a_copy(library, run):
    array = np.arange(3.0)
    address = kernel(library.address, "intptr_t (const void *)")
    assert run(address, array) == array.ctypes.data


def test_arrays_are_read_and_written(total, fill, run):
    array = np.arange(10.0)
    assert run(total, array, 10) == 45.0
    run(fill, array, 10, 2.5)
    assert array.tolist() == [2.5] * 10


def test_any_buffer_of_the_dtype_will_do(total, run):
    import array

    assert run(total, array.array("d", [1, 2, 3]), 3) == 6.0
    assert run(total, (ctypes.c_double * 3)(1, 2, 3), 3) == 6.0
    assert run(total, memoryview(np.ones(3)), 3) == 3.0
    assert run(total, np.ones((2, 3)), 6) == 6.0
    assert run(total, np.ones(()), 1) == 1.0
    assert run(total, np.ones(0), 0) == 0.0


@pytest.mark.parametrize(
    "dtype",
    [
        "bool",
        "int8",
        "uint8",
        "int16",
        "uint16",
        "int32",
        "uint32",
        "int64",
        "uint64",
        "float32",
        "float64",
        "complex64",
        "complex128",
    ],
)
def test_every_dtype_has_its_pointer(library, dtype):
    address = kernel(library.address, f"intptr_t ({dtype} *)")
    array = np.zeros(3, dtype)
    assert address(array) == array.ctypes.data


def test_ctypes_long_is_as_wide_as_it_is(library):
    address = kernel(library.address, "intptr_t (int64_t *)")
    longs = (ctypes.c_long * 2)()
    assert address(longs) == ctypes.addressof(longs)


@pytest.mark.parametrize("dtype", ["float32", "int64", "complex128", ">f8", "float16"])
def test_array_of_another_dtype_is_refused(total, run, dtype):
    with pytest.raises(TypeError) as info:
        run(total, np.zeros(3, dtype), 3)
    message = str(info.value)
    assert "kernel sum: argument 1 must be an array of float64, got" in message
    assert "array.astype('float64')" in message


@pytest.mark.parametrize("pointee", ["double", "void"])
def test_array_of_objects_is_refused(library, run, pointee):
    made = kernel(library.address, f"intptr_t (const {pointee} *)")
    with pytest.raises(TypeError, match="an array of Python objects"):
        run(made, np.array([1, None], object))
    if pointee == "void":
        with pytest.raises(TypeError, match="an array of Python objects"):
            run(made, np.zeros(2, [("x", "f8"), ("y", "O")]))


def test_struct_with_a_field_named_o_holds_no_objects(library, run):
    made = kernel(library.address, "intptr_t (void *)")
    array = np.zeros(2, [("Other", "f8"), ("O", "i4")])
    assert run(made, array) == array.ctypes.data


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(6)[::2],
        np.zeros((2, 3)).T,
        np.zeros(3)[::-1],
        np.zeros((2, 3), order="F"),
    ],
    ids=["step", "transposed", "reversed", "fortran"],
)
def test_array_that_is_not_contiguous_is_refused(total, run, array):
    with pytest.raises(
        ValueError, match=r"argument 1 must be C-contiguous.*ascontiguous"
    ):
        run(total, array, 3)


def test_read_only_array_is_refused_where_it_may_be_written(fill, total, run):
    array = np.zeros(3)
    array.flags.writeable = False
    with pytest.raises(ValueError, match="argument 1 is read-only.*declare .* const"):
        run(fill, array, 3, 1.0)
    assert run(total, array, 3) == 0.0


def test_array_that_is_not_aligned_is_refused(total, run):
    array = np.frombuffer(bytearray(33), np.uint8)[1:].view(np.float64)
    with pytest.raises(ValueError, match="argument 1 is not aligned to 8 bytes"):
        run(total, array, 4)


@pytest.mark.parametrize("value", [None, 0, 1.5, "text", [1.0, 2.0]])
def test_what_is_no_array_is_refused(total, run, value):
    message = f"argument 1 must be an array of float64, got {type(value).__name__}"
    with pytest.raises(TypeError, match=message):
        run(total, value, 3)


def test_failing_conversion_releases_the_buffers(total, fill):
    array = bytearray(8)
    view = np.frombuffer(array)
    with pytest.raises(TypeError):
        total(view, "x")
    del view
    array.append(1)  # a BufferError, if it were still exported


# ------------------------------------------------------------------------------ results


def test_status_0_is_none_and_others_are_errors(library, run):
    status = kernel(library.status, "int (int)", returns="status")
    assert run(status, 0) is None
    for code in (1, -1, -2, -7, 2**31 - 1, -(2**31)):
        with pytest.raises(stealpool.KernelError) as info:
            run(status, code)
        assert info.value.code == code


def test_value_of_an_int_kernel_is_not_a_status(library, run):
    assert run(kernel(library.status, "int (int)"), 7) == 7
