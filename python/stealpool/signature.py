"""Signatures of kernels: parsed and put into canonical form, never compared as text.

The same function is `double (double const *, Py_ssize_t)` in a Cython capsule,
`double(double*, long)` out of ctypes and `float64(const float64*, intp)` in a user's
hand. All become `float64 (const float64 *, int64)`.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

__all__ = [
    "ABIS",
    "Operand",
    "Parameter",
    "Signature",
    "abi_of",
    "parse",
    "parse_types",
]

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
    "signed": "int32",
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

# What only a pointer can point to. The last two are of stealpool_kernels.h.
_POINTEES = {
    **{
        text: width
        for real, width in (("float", "complex64"), ("double", "complex128"))
        for word in ("complex", "_Complex")
        for text in (f"{real} {word}", f"{word} {real}")
    },
    "complex64": "complex64",
    "complex128": "complex128",
    "cfloat": "complex64",
    "cdouble": "complex128",
    "__pyx_t_float_complex": "complex64",
    "__pyx_t_double_complex": "complex128",
    "sp_view": "sp_view",
    "struct sp_view": "sp_view",
    "sp_rect": "sp_rect",
    "struct sp_rect": "sp_rect",
    "struct __pyx_t_9stealpool_5_core_View": "sp_view",
    "struct __pyx_t_9stealpool_5_core_Rect": "sp_rect",
}

# Words that no parameter can be called.
_WORDS = {word for name in [*_NAMES, *_POINTEES] for word in name.split()}
_WORDS |= {"const", "restrict", "volatile", "struct", "union", "enum", "void"}

_INTEGER_ORDER = ["unsigned", "signed", "short", "long", "char", "int"]
_INTEGER_WORDS = frozenset(_INTEGER_ORDER)

# The result, for a pointer to a function "(*)", perhaps with a name; the parameters.
_SHAPE = re.compile(
    r"\s*(?P<returns>[^()]+?)\s*(?:\(\s*\*\s*\w*\s*\)\s*)?"
    r"\((?P<parameters>[^()]*)\)\s*"
)

# Cython's name of numpy.float64_t is __pyx_t_5numpy_float64_t.
_CYTHON = re.compile(r"__pyx_t_\d+numpy_(\w+)")

# The ABIs of kernels that the library calls piece by piece: short names for signatures.
ABIS = {
    "batch": "int (const double *, intptr_t, double *, void *)",
    "range": "int (intptr_t, intptr_t, void *)",
    "reduce": "int (intptr_t, intptr_t, void *, void *)",
    "loop": "void (char **, const intptr_t *, const intptr_t *, void *)",
    "tile": "int (const sp_view *, sp_view *, const sp_rect *, void *)",
}

_EXAMPLES = (
    "'double (double)', 'double (double, void *)', "
    "'int (const double *, intptr_t, double *)'"
)

_ACCEPTED = (
    "numbers and one-level pointers to them, by their names in C and NumPy: "
    f"{', '.join(sorted({*_NAMES.values(), 'complex64', 'complex128'} - {'void'}))} "
    "and void *; complex numbers only behind a pointer. Or the name of an ABI: "
    f"{', '.join(ABIS)}"
)


@dataclass(frozen=True)
class Parameter:
    """One parameter: a scalar, or a pointer to scalars.

    Attributes
    ----------
    type : str
        ``"pointer"``, or the type of the scalar by NumPy's name.
    pointee : str or None
        Of a pointer: what it points to; ``"void"`` for anything, ``"pointer"`` for the
        operands of a loop.
    is_const : bool
        Of a pointer: the kernel only reads through it.
    """

    type: str
    pointee: str | None = None
    is_const: bool = False

    def __str__(self) -> str:
        if self.pointee is None:
            return self.type
        stars = {"pointer": "int8 **"}.get(self.pointee, f"{self.pointee} *")
        return f"{'const ' if self.is_const else ''}{stars}"


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
    text = ABIS.get(text.strip(), text)
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ValueError(
            f"unknown kernel signature {text!r}: expected 'type (type, ...)', "
            f"for example one of {_EXAMPLES}, or one of {', '.join(ABIS)}"
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
    # An array of a parameter is a pointer.
    words = re.sub(r"\[\s*\]\s*$", " *", part).replace("*", " * ").split()
    stars = words.count("*")
    # `const` on either side of the pointee's type; behind the star it says nothing
    # about what the kernel does to the array.
    before_star = words[: words.index("*")] if stars else words
    is_const = "const" in before_star
    words = [w for w in words if w not in ("*", "const", "restrict", "__restrict")]
    type_ = _type(words, stars)
    if type_ is None and len(words) > 1 and _is_name(words[-1]):
        type_ = _type(words[:-1], stars)  # less the name of the parameter
    if type_ is None:
        raise ValueError(
            f"unknown kernel signature {whole!r}: {part.strip()!r} is not among the "
            f"types that kernels can have ({_ACCEPTED}); for example: {_EXAMPLES}"
        )
    return Parameter("pointer", type_, is_const) if stars else Parameter(type_)


def _type(words: list[str], stars: int) -> str | None:
    name = " ".join(words)
    if stars == 0:
        return _scalar(name)
    if stars == 1:
        return _scalar(name) or _pointee(name)
    if stars == 2 and name in ("char", "int8"):  # the operands of a loop
        return "pointer"
    return None


def _is_name(word: str) -> bool:
    return word.isidentifier() and word not in _WORDS and _scalar(word) is None


def _plain(name: str) -> str:
    """Less what Cython and NumPy put around their own names."""
    cython = _CYTHON.fullmatch(name)
    if cython:
        name = cython[1]
    for prefix in ("npy_", "numpy."):
        name = name.removeprefix(prefix)
    # Not NumPy's int_t and float_t, which are a C long and a double.
    numpys = (
        r"(u?int|float|complex)\d+_t|(double|long|intp|uintp|bool|cdouble|cfloat)_t"
    )
    return name.removesuffix("_t") if re.fullmatch(numpys, name) else name


def _pointee(name: str) -> str | None:
    return _POINTEES.get(_plain(name))


def _scalar(name: str) -> str | None:
    name = _plain(name)
    words = name.split()
    if len(words) > 1 and _INTEGER_WORDS.issuperset(words):
        # C has them in any order, and `int` is often left out: "long unsigned int".
        words.sort(key=_INTEGER_ORDER.index)
        if words[-1] == "int":
            words.pop()
        if words[0] == "signed" and words[1:] != ["char"]:
            words[0:1] = [] if words[1:] else ["int"]
        name = " ".join(words)
    return _NAMES.get(name)


def abi_of(signature: Signature) -> str:
    """Which of the ABIs a signature is; ``"value"`` for any other.

    Constness does not matter: ctypes and numba cannot say it. A batch may be of any
    two types.
    """
    types = [(p.type, p.pointee) for p in signature.parameters]
    void = ("pointer", "void")
    size = ("pointer", _SIZE)
    if signature.returns == "void":
        if types == [("pointer", "pointer"), size, size, void]:
            return "loop"
    elif signature.returns == "int32":
        if types == [(_SIZE, None), (_SIZE, None), void]:
            return "range"
        if types == [(_SIZE, None), (_SIZE, None), void, void]:
            return "reduce"
        view, rect = ("pointer", "sp_view"), ("pointer", "sp_rect")
        if types == [view, view, rect, void]:
            return "tile"
        if len(types) == 4 and types[1:] == [(_SIZE, None), types[2], void]:
            kinds = (types[0][0], types[2][0])
            if kinds == ("pointer", "pointer") and "void" not in (
                types[0][1],
                types[2][1],
            ):
                return "batch"
    return "value"


# --------------------------------------------------------------------- arrays


@dataclass(frozen=True)
class Operand:
    """An array of a loop or a tile kernel.

    Attributes
    ----------
    dtype : str
        By NumPy's name.
    core : tuple of str
        The names of the dimensions that one call of the kernel sees.
    """

    dtype: str
    core: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.dtype}({','.join(self.core)})" if self.core else self.dtype


_OPERAND = re.compile(r"\s*(?P<type>[\w ?]+?)\s*(?:\((?P<core>[\w\s,]*)\)\s*)?")


def parse_types(text: str) -> tuple[tuple[Operand, ...], tuple[Operand, ...]]:
    """Parse what arrays a kernel takes and makes: ``"double(n), double(n) -> double"``.

    NumPy's letters will do for arrays without core dimensions: ``"dd->d"``.

    Returns
    -------
    inputs, outputs : tuple of Operand

    Raises
    ------
    ValueError
        If it is no such list; the message names the part that was not understood.
    """
    left, arrow, right = text.partition("->")
    if not arrow or not right.strip():
        raise ValueError(
            f"unknown types {text!r}: expected 'type, ... -> type, ...', for example "
            "'float64, float64 -> float64', 'double(n), double(n) -> double' or 'dd->d'"
        )
    return _operands(left, text), _operands(right, text)


def _operands(side: str, whole: str) -> tuple[Operand, ...]:
    side = side.strip()
    if not side:
        return ()
    if "," not in side and "(" not in side and _dtype(side) is None:
        letters = [_letter(letter) for letter in side]
        if None not in letters:
            return tuple(Operand(str(letter)) for letter in letters)
    found = []
    # Commas between operands, not between the dimensions of one.
    for part in re.split(r",(?![^()]*\))", side):
        match = _OPERAND.fullmatch(part)
        dtype = _dtype(match["type"]) if match else None
        if match is None or dtype is None:
            raise ValueError(
                f"unknown types {whole!r}: {part.strip()!r} is not a type of NumPy's "
                "or C's, perhaps with names of dimensions in brackets: 'float64', "
                "'double(n)', 'int32(m,n)'"
            )
        core = tuple(name.strip() for name in (match["core"] or "").split(","))
        core = tuple(name for name in core if name)
        found.append(Operand(dtype, core))
    return tuple(found)


def _dtype(name: str) -> str | None:
    found = _scalar(name) or _pointee(name)
    return None if found in ("void", "sp_view", "sp_rect") else found


def _letter(letter: str) -> str | None:
    """The type that NumPy has a letter for, as in ``np.cos.types``."""
    if letter in "?bBhHiIlLqQfd":
        size = struct.calcsize("@" + letter)
        kind = "float" if letter in "fd" else "uint" if letter.isupper() else "int"
        return "bool" if letter == "?" else f"{kind}{8 * size}"
    return {"F": "complex64", "D": "complex128"}.get(letter)
