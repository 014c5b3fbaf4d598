"""Signatures of kernels: parsed and put into canonical form, never compared as text.

The same function is `double (double const *, Py_ssize_t)` in a Cython capsule,
`double(double*, long)` out of ctypes and `float64(const float64*, intp)` in a user's
hand. All become `float64 (const float64 *, int64)`.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

__all__ = ["Parameter", "Signature", "parse"]

# The sizes that differ between platforms.
_LONG = f"int{8 * struct.calcsize('l')}"
_SIZE = f"int{8 * struct.calcsize('P')}"

# What C, Cython and NumPy call the types, without spaces at the ends.
_NAMES = {
    "void": "void",
    "bool": "bool",
    "_Bool": "bool",
    "char": "int8",
    "signed char": "int8",
    "unsigned char": "uint8",
    "short": "int16",
    "unsigned short": "uint16",
    "int": "int32",
    "unsigned int": "uint32",
    "unsigned": "uint32",
    "long": _LONG,
    "unsigned long": f"u{_LONG}",
    "long long": "int64",
    "unsigned long long": "uint64",
    "ssize_t": _SIZE,
    "Py_ssize_t": _SIZE,
    "ptrdiff_t": _SIZE,
    "intptr_t": _SIZE,
    "intp": _SIZE,
    "size_t": f"u{_SIZE}",
    "uintptr_t": f"u{_SIZE}",
    "uintp": f"u{_SIZE}",
    "float": "float32",
    "double": "float64",
    **{
        f"{sign}int{bits}": f"{sign}int{bits}"
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
    "float32": "float32",
    "float64": "float64",
}

_SHAPE = re.compile(r"\s*(?P<returns>[^()]+?)\s*\((?P<parameters>[^()]*)\)\s*")

# Cython's name of numpy.float64_t is __pyx_t_5numpy_float64_t.
_CYTHON = re.compile(r"__pyx_t_\d+numpy_(\w+)")

_EXAMPLES = (
    "'double (double)', 'double (double, void *)', "
    "'int (const double *, intptr_t, double *)'"
)


@dataclass(frozen=True)
class Parameter:
    """One parameter: a scalar, or a pointer to scalars.

    Attributes
    ----------
    type : str
        ``"pointer"``, or the type of the scalar by NumPy's name.
    pointee : str or None
        Of a pointer: what it points to; ``"void"`` for anything.
    is_const : bool
        Of a pointer: the kernel only reads through it.
    """

    type: str
    pointee: str | None = None
    is_const: bool = False

    def __str__(self) -> str:
        if self.pointee is None:
            return self.type
        return f"{'const ' if self.is_const else ''}{self.pointee} *"


@dataclass(frozen=True)
class Signature:
    """A signature in canonical form; ``str()`` gives its text."""

    returns: str
    parameters: tuple[Parameter, ...]

    def __str__(self) -> str:
        return f"{self.returns} ({', '.join(map(str, self.parameters)) or 'void'})"


def parse(text: str) -> Signature:
    """Parse a C signature such as ``"double (const double *, intptr_t)"``.

    Raises
    ------
    ValueError
        If it is not a signature, or has a type that kernels cannot have. The message
        names the part that was not understood.
    """
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ValueError(
            f"unknown kernel signature {text!r}: expected 'type (type, ...)', "
            f"for example one of {_EXAMPLES}"
        )
    returns = _parameter(match["returns"], text)
    if returns.pointee is not None:
        raise ValueError(
            f"unknown kernel signature {text!r}: a kernel cannot return a pointer"
        )
    inside = match["parameters"].strip()
    parts = inside.split(",") if inside and inside != "void" else []
    parameters = tuple(_parameter(part, text) for part in parts)
    if any(parameter.type == "void" for parameter in parameters):
        raise ValueError(f"unknown kernel signature {text!r}: 'void' as a parameter")
    return Signature(returns.type, parameters)


def _parameter(part: str, whole: str) -> Parameter:
    words = part.replace("*", " * ").split()
    stars = words.count("*")
    # `const` on either side of the pointee's type; behind the star it says nothing
    # about what the kernel does to the array.
    before_star = words[: words.index("*")] if stars else words
    is_const = "const" in before_star
    name = " ".join(w for w in words if w not in ("*", "const", "restrict"))
    scalar = _scalar(name)
    if scalar is None or stars > 1:
        raise ValueError(
            f"unknown kernel signature {whole!r}: {part.strip()!r} is not among the "
            f"types that kernels can have ({', '.join(sorted(set(_NAMES.values())))}, "
            f"their names in C and NumPy, and one-level pointers to them); "
            f"for example: {_EXAMPLES}"
        )
    if stars:
        return Parameter("pointer", scalar, is_const)
    return Parameter(scalar)


def _scalar(name: str) -> str | None:
    cython = _CYTHON.fullmatch(name)
    if cython:
        name = cython[1]
    for prefix in ("npy_", "numpy."):
        name = name.removeprefix(prefix)
    # Not NumPy's int_t and float_t, which are a C long and a double.
    if re.fullmatch(r"(u?int|float)\d+_t|(double|long|intp|uintp|bool)_t", name):
        name = name.removesuffix("_t")
    if name.endswith(" int") and name not in _NAMES:  # "long int", "short int"
        name = name.removesuffix(" int")
    return _NAMES.get(name)
