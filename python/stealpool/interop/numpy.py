"""NumPy's ufuncs and gufuncs, and those of SciPy and numba, as kernels."""

from __future__ import annotations

import ctypes
import re
from typing import Any

import numpy as np

from ..abis import Loop, Loops
from ..ufunc import why_not

__all__ = ["combining", "loops_of"]

# Kinds of dtypes that a kernel's arrays can have. Not dates, which are no buffers.
_KINDS = frozenset("biufc")


class _Ufunc(ctypes.Structure):
    """The beginning of the public struct of a ufunc, behind PyObject_HEAD; the same
    since NumPy 1.0 (numpy/ufuncobject.h)."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("nin", "nout", "nargs", "identity")),
        ("functions", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.POINTER(ctypes.c_void_p)),
        ("ntypes", ctypes.c_int),
    ]


def loops_of(obj: Any, ufunc: np.ufunc) -> Loops:
    """Its loops that need no GIL; `obj` is the ufunc, or numba's object around it.

    Raises
    ------
    TypeError
        If it has none; the message says why.
    """
    core = _core_of(ufunc)
    loops = []
    why = "it has no loop for numbers"
    where = _Ufunc.from_address(id(ufunc) + object.__basicsize__)
    sizes = (where.nin, where.nout, where.ntypes)
    if sizes != (ufunc.nin, ufunc.nout, len(ufunc.types)):
        raise TypeError(f"the ufunc {ufunc.__name__} has an unknown layout")
    for i, types in enumerate(ufunc.types):
        address = where.functions[i]
        dtypes = tuple(np.dtype(letter) for letter in types.replace("->", ""))
        if not address or not all(dtype.kind in _KINDS for dtype in dtypes):
            continue
        data = (where.data[i] or 0) if where.data else 0
        refusal = why_not(obj, dtypes)
        if refusal is not None:
            why = refusal
            continue
        loops.append(Loop(dtypes[: ufunc.nin], dtypes[ufunc.nin :], address, data))
    if not loops:
        raise TypeError(
            f"the ufunc {ufunc.__name__} cannot run without the GIL: {why} "
            f"(types: {', '.join(ufunc.types) or 'none yet; give them to numba'})"
        )
    return Loops(tuple(loops), core, ufunc.nin)


def _core_of(ufunc: np.ufunc) -> tuple[tuple[str, ...], ...]:
    """The names of the core dimensions of each operand: ``"(n),(n)->()"``."""
    if ufunc.signature is None:
        return ((),) * ufunc.nargs
    groups = re.findall(r"\(([^()]*)\)", ufunc.signature)
    core = tuple(tuple(d.strip() for d in g.split(",") if d.strip()) for g in groups)
    if any("?" in name for dims in core for name in dims):
        raise TypeError(
            f"the gufunc {ufunc.__name__} has dimensions that may be missing "
            f"({ufunc.signature}), which kernels cannot have"
        )
    return core


def combining(ufunc: np.ufunc, dtype: np.dtype[Any]) -> Loop:
    """The loop of a ufunc of two numbers that combines two of that dtype."""
    if (ufunc.nin, ufunc.nout) != (2, 1) or ufunc.signature is not None:
        raise ValueError(
            f"combine must be a ufunc of two numbers, such as numpy.add, got {ufunc}"
        )
    for loop in loops_of(ufunc, ufunc).loops:
        if {*loop.inputs, *loop.outputs} == {dtype}:
            return loop
    raise TypeError(f"combine={ufunc.__name__} has no loop for {dtype}")
