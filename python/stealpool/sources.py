"""Where kernels come from: the function :func:`kernel`."""

from __future__ import annotations

import ctypes
from _ctypes import CFuncPtr
from types import ModuleType
from typing import Any

from . import _core
from ._core import Kernel
from .signature import Parameter, Signature, parse

__all__ = ["kernel"]

_ACCEPTED = (
    "a ctypes function, a numba @cfunc, a scipy.LowLevelCallable, a PyCapsule, a "
    "Cython module and the name of its `cdef api` function, or an address with "
    "signature="
)


def kernel(obj: Any, signature: str | None = None, *, returns: str = "value") -> Kernel:
    """Make a Kernel of a native function: one that runs without the GIL.

    Parameters
    ----------
    obj : object
        A ctypes function (set its ``argtypes`` and ``restype``), a numba ``@cfunc``, a
        ``scipy.LowLevelCallable``, a PyCapsule named after its C signature, a Cython
        module (then `signature` is the name of its function, declared ``cdef api ...
        noexcept nogil``), or an address (then `signature` is needed).
    signature : str, optional
        The C signature, such as ``"double (const double *, intptr_t)"``. By default
        what `obj` says; here one can say that a pointer is ``const``.
    returns : {"value", "status"}
        What the function's return value means. With ``"status"``, 0 is success, any
        other value becomes a :class:`KernelError`, and the result is None.

    Returns
    -------
    Kernel

    Raises
    ------
    TypeError
        If `obj` is none of these, or calls back into Python.
    ValueError
        For an unknown signature.

    Notes
    -----
    Scalars are passed by value. A pointer takes an array of exactly its dtype,
    C-contiguous and, unless ``const``, writable; nothing is copied. Lengths are
    parameters like any other. The function must not touch Python objects.

    Examples
    --------
    >>> import ctypes, stealpool
    >>> libm = ctypes.CDLL("libm.so.6")
    >>> libm.cos.restype, libm.cos.argtypes = ctypes.c_double, [ctypes.c_double]
    >>> cos = stealpool.kernel(libm.cos)
    >>> cos(0.0)
    1.0
    """
    if returns not in ("value", "status"):
        raise ValueError(f"returns must be 'value' or 'status', got {returns!r}")
    if isinstance(obj, Kernel):
        if signature is not None:
            raise TypeError("a Kernel has its signature already")
        return obj
    if isinstance(obj, ModuleType):
        return _from_capsule(*_capsule_of_module(obj, signature), None, returns)
    if _core.is_capsule(obj):
        return _from_capsule(obj, None, signature, returns)
    if isinstance(obj, tuple) and obj and _core.is_capsule(tuple.__getitem__(obj, 0)):
        # scipy.LowLevelCallable: the raw capsule, whose context is the user data.
        return _from_capsule(
            tuple.__getitem__(obj, 0), None, signature, returns, source=obj
        )
    if isinstance(obj, CFuncPtr):
        return _from_ctypes(obj, signature, returns)
    if hasattr(obj, "ctypes") and hasattr(obj, "native_name"):  # numba @cfunc
        return _from_ctypes(obj.ctypes, signature, returns, source=obj, of=obj)
    if isinstance(obj, int) and not isinstance(obj, bool):
        if signature is None:
            raise TypeError("an address needs signature='double (double)' or the like")
        if not 0 < obj < 1 << 8 * ctypes.sizeof(ctypes.c_void_p):
            raise ValueError(f"{obj} is not the address of a function")
        return _make(obj, parse(signature), hex(obj), None, None, returns)
    raise TypeError(
        f"cannot make a kernel of {type(obj).__name__} {obj!r:.60}: expected "
        f"{_ACCEPTED}. A Python callable needs no kernel: submit it as it is"
    )


def _make(
    address: int,
    signature: Signature,
    name: str,
    source: object,
    bound: int | None,
    returns: str,
) -> Kernel:
    parameters = [(p.type, p.pointee, p.is_const) for p in signature.parameters]
    last = signature.parameters[-1] if signature.parameters else None
    if bound is not None:
        if last is None or last.pointee != "void":
            raise ValueError(
                f"kernel {name} comes with user data, but its signature {signature} "
                "does not end with 'void *'"
            )
        parameters[-1] = ("bound", None, False)
    if returns == "status" and signature.returns != "int32":
        raise ValueError(
            f"kernel {name} returns {signature.returns}; a status is an int (int32)"
        )
    return _core.make_kernel(
        address,
        signature.returns,
        parameters,
        name=name,
        signature=str(signature),
        source=source,
        bound=bound,
        returns_status=returns == "status",
    )


# ---------------------------------------------------------------------- capsules


def _capsule_of_module(module: ModuleType, name: str | None) -> tuple[Any, str]:
    table = getattr(module, "__pyx_capi__", {})
    if name is None or name not in table:
        raise ValueError(
            f"module {module.__name__} exports no C function {name!r}; it exports "
            f"{sorted(table) or 'none'}. Declare it `cdef api ... noexcept nogil` in "
            "Cython, and pass its name as the second argument"
        )
    return table[name], name


def _from_capsule(
    capsule: Any,
    name: str | None,
    signature: str | None,
    returns: str,
    source: object = None,
) -> Kernel:
    text, address, context = _core.capsule_pointer(capsule)
    parsed = parse(signature if signature is not None else text)
    last = parsed.parameters[-1] if parsed.parameters else None
    if last is None or last.pointee != "void":
        context = None  # not the user data of this signature
    label = name or f"at {address:#x}"
    return _make(address, parsed, label, source or capsule, context, returns)


# ------------------------------------------------------------------------ ctypes

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

_POINTEES = {"void", *_CTYPES.values()}

_PYTHON_API = 4  # FUNCFLAG_PYTHONAPI of ctypes: called with the GIL

_WRITEABLE = 0x400  # NPY_ARRAY_WRITEABLE

# Functions of <math.h> whose prototype everybody knows, by number of doubles.
_LIBM = {
    "acos acosh asin asinh atan atanh cbrt ceil cos cosh erf erfc exp exp2 expm1 fabs "
    "floor lgamma log log10 log1p log2 rint round sin sinh sqrt tan tanh tgamma "
    "trunc": 1,
    "atan2 copysign fdim fmax fmin fmod hypot nextafter pow remainder": 2,
}


def _from_ctypes(
    function: Any,
    signature: str | None,
    returns: str,
    source: object = None,
    of: Any = None,
) -> Kernel:
    name = str(getattr(of or function, "__name__", "function"))
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
    return _make(address, parsed, name, source or function, None, returns)


def _signature_of_libm(name: str, address: int) -> Signature:
    for names, n_arguments in _LIBM.items():
        if name in names.split():
            known = getattr(ctypes.CDLL(None), name, None)
            if known and ctypes.cast(known, ctypes.c_void_p).value == address:
                return Signature("float64", (Parameter("float64"),) * n_arguments)
    raise TypeError(
        f"ctypes function {name!r} does not say what it takes: set {name}.argtypes and "
        f"{name}.restype, or pass signature='double (double)' or the like"
    )


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
        pointee = _CTYPES.get(getattr(type_, "_type_", ""))
        if pointee is not None:
            return Parameter("pointer", pointee)
    raise ValueError(
        f"ctypes function {name!r}: argument type {argtype!r} is neither a number nor "
        "a pointer to numbers; pass signature= if it is one in disguise"
    )
