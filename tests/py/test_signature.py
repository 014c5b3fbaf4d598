"""Signatures: whatever they are called, the same function has the same signature."""

import contextlib
import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stealpool.signature import (
    ABIS,
    Parameter,
    Signature,
    abi_of,
    parse,
    parse_types,
)

LONG = f"int{8 * struct.calcsize('l')}"
SIZE = f"int{8 * struct.calcsize('P')}"


# ---------------------------------------------------------------------------- types


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("bool", "bool"),
        ("_Bool", "bool"),
        ("char", "int8"),
        ("signed char", "int8"),
        ("unsigned char", "uint8"),
        ("short", "int16"),
        ("short int", "int16"),
        ("unsigned short", "uint16"),
        ("unsigned short int", "uint16"),
        ("int", "int32"),
        ("unsigned", "uint32"),
        ("unsigned int", "uint32"),
        ("long", LONG),
        ("long int", LONG),
        ("unsigned long", f"u{LONG}"),
        ("unsigned long int", f"u{LONG}"),
        ("long long", "int64"),
        ("long long int", "int64"),
        ("unsigned long long", "uint64"),
        ("long unsigned int", f"u{LONG}"),
        ("long long unsigned", "uint64"),
        ("int long", LONG),
        ("signed", "int32"),
        ("signed int", "int32"),
        ("signed long", LONG),
        ("float", "float32"),
        ("double", "float64"),
        ("int8_t", "int8"),
        ("uint16_t", "uint16"),
        ("int32_t", "int32"),
        ("uint64_t", "uint64"),
        ("ssize_t", SIZE),
        ("Py_ssize_t", SIZE),
        ("ptrdiff_t", SIZE),
        ("intptr_t", SIZE),
        ("size_t", f"u{SIZE}"),
        ("uintptr_t", f"u{SIZE}"),
    ],
)
def test_c_names_are_understood(name, canonical):
    assert str(parse(f"void ({name})")) == f"void ({canonical})"


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("uint8", "uint8"),
        ("int64", "int64"),
        ("float32", "float32"),
        ("float64", "float64"),
        ("intp", SIZE),
        ("uintp", f"u{SIZE}"),
        ("npy_intp", SIZE),
        ("npy_float64", "float64"),
        ("npy_uint8", "uint8"),
        ("npy_bool", "bool"),
        ("npy_double", "float64"),
        ("numpy.float32", "float32"),
        ("float64_t", "float64"),
        ("__pyx_t_5numpy_intp_t", SIZE),
        ("__pyx_t_5numpy_uintp_t", f"u{SIZE}"),
        ("__pyx_t_5numpy_float32_t", "float32"),
        ("__pyx_t_5numpy_double_t", "float64"),
        ("__pyx_t_5numpy_uint8_t", "uint8"),
    ],
)
def test_numpys_names_are_understood(name, canonical):
    assert str(parse(f"void ({name})")) == f"void ({canonical})"


@pytest.mark.parametrize("name", ["__pyx_t_5numpy_int_t", "__pyx_t_5numpy_float_t"])
def test_numpys_names_that_are_not_what_c_means_are_refused(name):
    with pytest.raises(ValueError, match=f"'{name}' is not among the types"):
        parse(f"void ({name})")


# ----------------------------------------------------------------- whole signatures


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("double (double)", "float64 (float64)"),
        ("double(double)", "float64 (float64)"),
        (" double\t( double ) ", "float64 (float64)"),
        ("double (double, void *)", "float64 (float64, void *)"),
        ("double (double const *, intptr_t)", f"float64 (const float64 *, {SIZE})"),
        ("double(const double*, Py_ssize_t)", f"float64 (const float64 *, {SIZE})"),
        ("float64(const float64*, intp)", f"float64 (const float64 *, {SIZE})"),
        (
            "__pyx_t_5numpy_float64_t (__pyx_t_5numpy_float64_t const *, "
            "__pyx_t_5numpy_intp_t)",
            f"float64 (const float64 *, {SIZE})",
        ),
        ("int (int, float, char *)", "int32 (int32, float32, int8 *)"),
        ("void (const void*)", "void (const void *)"),
        ("double (*)(double, void *)", "float64 (float64, void *)"),
        ("double(*f)(double)", "float64 (float64)"),
        ("int f(unsigned n, const double *x)", "int32 (uint32, const float64 *)"),
        ("void (double x[], size_t n_x)", f"void (float64 *, u{SIZE})"),
        ("void (const double[])", "void (const float64 *)"),
        ("void (double _Complex *)", "void (complex128 *)"),
        (
            "void (const float complex *, complex double[])",
            "void (const complex64 *, complex128 *)",
        ),
        ("void (__pyx_t_double_complex *)", "void (complex128 *)"),
        ("void (npy_complex64 *)", "void (complex64 *)"),
        ("batch", f"int32 (const float64 *, {SIZE}, float64 *, void *)"),
        ("range", f"int32 ({SIZE}, {SIZE}, void *)"),
        ("reduce", f"int32 ({SIZE}, {SIZE}, void *, void *)"),
        ("tile", "int32 (const sp_view *, sp_view *, const sp_rect *, void *)"),
        ("loop", f"void (int8 **, const {SIZE} *, const {SIZE} *, void *)"),
    ],
)
def test_signature_has_one_canonical_form(text, canonical):
    assert str(parse(text)) == canonical


@pytest.mark.parametrize(
    "parameter",
    [
        "const double *",
        "double const *",
        "double const*",
        "const double*restrict",
        "const double * const",
        "const double const *",
    ],
)
def test_const_stands_on_either_side_of_the_type(parameter):
    assert parse(f"void ({parameter})").parameters == (
        Parameter("pointer", "float64", is_const=True),
    )


@pytest.mark.parametrize("parameter", ["double *", "double * const", "double*restrict"])
def test_const_behind_the_star_says_nothing_about_the_array(parameter):
    assert parse(f"void ({parameter})").parameters == (Parameter("pointer", "float64"),)


@pytest.mark.parametrize("scalar", ["const double", "double const"])
def test_const_of_a_scalar_says_nothing(scalar):
    assert parse(f"void ({scalar})") == parse("void (double)")


@pytest.mark.parametrize("text", ["int ()", "int (void)", "int( void )", "int(  )"])
def test_no_parameters_have_two_spellings(text):
    assert parse(text) == Signature("int32", ())
    assert str(parse(text)) == "int32 (void)"


def test_pointer_to_void_is_no_parameter_list_of_nothing():
    assert parse("int (void *)").parameters == (Parameter("pointer", "void"),)


# -------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "text",
    [
        "",
        "double",
        "double (",
        "double )",
        "(double)",
        "double (double) double",
        "double (double (*)(double))",
        "double (double);",
        "()",
    ],
)
def test_what_is_no_signature_is_refused_with_examples(text):
    with pytest.raises(
        ValueError, match=r"unknown kernel signature .* expected 'type \("
    ):
        parse(text)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("double (PyObject *)", "PyObject *"),
        ("long double (double)", "long double"),
        ("double (long double)", "long double"),
        ("void (double **)", "double **"),
        ("void (double * *)", "double * *"),
        ("void (double, wchar_t)", "wchar_t"),
        ("void (double _Complex)", "double _Complex"),
        ("void (__pyx_t_double_complex)", "__pyx_t_double_complex"),
        ("void (long double x)", "long double x"),
        ("void (complex128)", "complex128"),
        ("void (int unsigned float)", "int unsigned float"),
        ("void (sp_view)", "sp_view"),
        ("void (double,)", ""),
        ("void (, double)", ""),
        ("void (double,, double)", ""),
        ("void (*)", "*"),
        ("void (const)", "const"),
        ("void (double[3])", "double[3]"),
        ("struct point (int)", "struct point"),
        ("void (...)", "..."),
        ("void (float16)", "float16"),
        ("void (object)", "object"),
        ("void (unsigned float)", "unsigned float"),
    ],
)
def test_refusal_names_the_part_that_was_not_understood(text, part):
    message = f"unknown kernel signature {text!r}: {part!r} is not among"
    with pytest.raises(ValueError, match=re.escape(message)):
        parse(text)


@pytest.mark.parametrize("text", ["double * (int)", "const char *(void)", "void*(int)"])
def test_kernel_cannot_return_a_pointer(text):
    with pytest.raises(ValueError, match="a kernel cannot return a pointer"):
        parse(text)


@pytest.mark.parametrize(
    "text", ["int (void, int)", "int (int, void)", "int (const void)"]
)
def test_void_is_no_parameter(text):
    with pytest.raises(ValueError, match="'void' as a parameter"):
        parse(text)


# ------------------------------------------------------------------------------- ABIs


@pytest.mark.parametrize(
    ("text", "abi"),
    [
        *((name, name) for name in ABIS),
        ("int (float *, long, uint8_t *, void *)", "batch"),
        ("int (const double *, intptr_t, double *)", "value"),
        ("int (void *, intptr_t, double *, void *)", "value"),
        ("double (const double *, intptr_t, double *, void *)", "value"),
        ("int (long, long, void *)", "range"),
        ("int (int, int, void *)", "value"),
        ("void (char **, npy_intp const *, npy_intp const *, void *)", "loop"),
        ("void (char **, long *, long *, void *)", "loop"),
        ("int (struct sp_view const *, sp_view *, sp_rect *, void *)", "tile"),
        ("double (double)", "value"),
    ],
)
def test_abi_follows_from_the_signature(text, abi):
    assert abi_of(parse(text)) == abi


@pytest.mark.parametrize(
    ("text", "inputs", "outputs"),
    [
        ("dd->d", "float64, float64", "float64"),
        (
            "?bBhHifFdD->q",
            "bool, int8, uint8, int16, uint16, int32, float32, complex64, "
            "float64, complex128",
            "int64",
        ),
        ("double, int64_t -> bool", "float64, int64", "bool"),
        ("double(n),double(n)->double()", "float64(n), float64(n)", "float64"),
        (
            "float32 (m, n), float32(n,p) -> float32(m,p)",
            "float32(m,n), float32(n,p)",
            "float32(m,p)",
        ),
        ("->double", "", "float64"),
        ("double->double(2)", "float64", "float64(2)"),
    ],
)
def test_types_of_arrays_are_understood(text, inputs, outputs):
    found = parse_types(text)
    assert tuple(", ".join(map(str, side)) for side in found) == (inputs, outputs)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("double", "expected"),
        ("double->", "expected"),
        ("O->O", "'O'"),
        ("double(n->double", "'double(n'"),
        ("void->double", "'void'"),
        ("double,,double->double", "''"),
        ("g->g", "'g'"),
    ],
)
def test_types_that_are_not_understood_are_refused(text, part):
    with pytest.raises(ValueError, match=f"unknown types .*{re.escape(part)}"):
        parse_types(text)


# ------------------------------------------------------------------------ properties

SCALARS = ["bool", "float32", "float64"] + [
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
]
PARAMETERS = st.one_of(
    st.builds(Parameter, st.sampled_from(SCALARS)),
    st.builds(
        Parameter,
        st.just("pointer"),
        st.sampled_from([*SCALARS, "void", "complex128", "pointer"]),
        st.booleans(),
    ),
)
SIGNATURES = st.builds(
    Signature,
    st.sampled_from([*SCALARS, "void"]),
    st.lists(PARAMETERS, max_size=8).map(tuple),
)
SPELLINGS = [
    "double",
    "const float *",
    "npy_intp",
    "long int",
    "void*",
    "int8_t const*",
]


@given(SIGNATURES)
def test_text_of_a_signature_means_that_signature(signature):
    assert parse(str(signature)) == signature


@given(
    st.sampled_from(["void", "double", "size_t"]), st.lists(st.sampled_from(SPELLINGS))
)
def test_canonical_form_is_stable(returns, parameters):
    once = str(parse(f"{returns} ({', '.join(parameters)})"))
    assert str(parse(once)) == once


@given(st.text(st.sampled_from("intdoublefvcs_8*(),x \t\n"), max_size=40))
def test_any_text_is_parsed_or_refused(text):
    with contextlib.suppress(ValueError):
        parsed = parse(text)
        assert parse(str(parsed)) == parsed
