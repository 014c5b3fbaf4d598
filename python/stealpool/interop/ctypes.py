"""ctypes: functions, and what their ``argtypes`` say."""

from __future__ import annotations

import ctypes
from typing import Any

from ..signature import Parameter, Signature, parse
from ..sources import Found

__all__ = ["found"]

_CTYPES = {
    "?": "bool",
    "b": "int8",
    "B": "uint8",
    "h": "int16",
    "H": "uint16",
    "f": "float32",
    "d": "float64",
    **{
        code: f"{sign}int{8 * ctypes.sizeof(ctype)}"
        for code, sign, ctype in [
            ("i", "", ctypes.c_int),
            ("I", "u", ctypes.c_uint),
            ("l", "", ctypes.c_long),
            ("L", "u", ctypes.c_ulong),
            ("q", "", ctypes.c_longlong),
            ("Q", "u", ctypes.c_ulonglong),
        ]
    },
}

_POINTEES = {"void", "complex64", "complex128", *_CTYPES.values()}

_PYTHON_API = 4  # FUNCFLAG_PYTHONAPI of ctypes: called with the GIL

_WRITEABLE = 0x400  # NPY_ARRAY_WRITEABLE

# Functions of <math.h> whose prototype everybody knows, by number of doubles.
_LIBM = {
    "acos acosh asin asinh atan atanh cbrt ceil cos cosh erf erfc exp exp2 expm1 fabs "
    "floor lgamma log log10 log1p log2 rint round sin sinh sqrt tan tanh tgamma "
    "trunc": 1,
    "atan2 copysign fdim fmax fmin fmod hypot nextafter pow remainder": 2,
}


def refuse_python(function: Any, name: str) -> None:
    """Functions that need the GIL cannot be kernels."""
    if any(
        type(kept).__name__ == "CThunkObject"
        for kept in (function._objects or {}).values()
    ):
        raise TypeError(
            f"ctypes function {name!r} calls a Python function, which needs the GIL: "
            "submit the Python function itself"
        )
    if type(function)._flags_ & _PYTHON_API:
        raise TypeError(
            f"ctypes function {name!r} is of Python's C API, which needs the GIL"
        )


def found(
    function: Any, signature: str | None, source: object = None, of: Any = None
) -> Found:
    """A ctypes function; `of` is what has one, such as a numba ``@cfunc``."""
    name = str(getattr(of or function, "__name__", "function"))
    refuse_python(function, name)
    address = ctypes.cast(function, ctypes.c_void_p).value
    if not address:
        raise ValueError(f"ctypes function {name!r} is a NULL pointer")
    if signature is not None:
        parsed = parse(signature)
    elif function.argtypes is None:
        parsed = _signature_of_libm(name, address)
    else:
        parsed = Signature(
            _ctypes_result(function.restype, name),
            tuple(_ctypes_parameter(a, name) for a in function.argtypes),
        )
    return Found(address, parsed, name, source or function)


def _signature_of_libm(name: str, address: int) -> Signature:
    for names, n_arguments in _LIBM.items():
        if name in names.split() and address in _addresses_in_libm(name):
            return Signature("float64", (Parameter("float64"),) * n_arguments)
    raise TypeError(
        f"ctypes function {name!r} does not say what it takes: set {name}.argtypes and "
        f"{name}.restype, or pass signature='double (double)' or the like"
    )


def _addresses_in_libm(name: str) -> set[int | None]:
    """Where the C library's function of that name is.

    The process may know it by another address than its library does: a program that
    is not position-independent, such as Debian's python3, has entries of its own for
    the functions that it uses.
    """
    addresses = set()
    for library in (None, "libm.so.6"):
        try:
            function = getattr(ctypes.CDLL(library), name)
        except (OSError, AttributeError):  # another C library
            continue
        addresses.add(ctypes.cast(function, ctypes.c_void_p).value)
    return addresses


def _ctypes_result(restype: Any, name: str) -> str:
    if restype is None:
        return "void"
    scalar = _CTYPES.get(getattr(restype, "_type_", ""))
    if scalar is None:
        raise ValueError(
            f"ctypes function {name!r}: restype {restype!r} is not a number or None"
        )
    return scalar


def _ctypes_parameter(argtype: Any, name: str) -> Parameter:
    if hasattr(argtype, "_dtype_") and hasattr(argtype, "_flags_"):  # ndpointer
        flags = argtype._flags_ or 0
        is_const = bool(flags) and not flags & _WRITEABLE
        pointee = argtype._dtype_.name if argtype._dtype_ else "void"
        if pointee in _POINTEES:
            return Parameter("pointer", pointee, is_const)
    elif isinstance(type_ := getattr(argtype, "_type_", None), str):
        if type_ == "P":
            return Parameter("pointer", "void")
        if type_ in _CTYPES:
            return Parameter(_CTYPES[type_])
    elif isinstance(argtype, type) and issubclass(argtype, ctypes._Pointer):
        pointee = _pointee(type_)
        if pointee is not None:
            return Parameter("pointer", pointee)
    raise ValueError(
        f"ctypes function {name!r}: argument type {argtype!r} is neither a number nor "
        "a pointer to numbers; pass signature= if it is one in disguise"
    )


def _pointee(ctype: Any) -> str | None:
    """What a pointer to `ctype` points to; structures go by their names."""
    if isinstance(ctype, type) and issubclass(ctype, ctypes.Structure):
        return ctype.__name__ if ctype.__name__ in ("sp_view", "sp_rect") else None
    inner = getattr(ctype, "_type_", "")
    if inner == "z" or inner is ctypes.c_char:  # char **
        return "pointer"
    return _CTYPES.get(inner) if isinstance(inner, str) else None
