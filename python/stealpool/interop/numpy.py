"""NumPy's ufuncs and gufuncs, and those of SciPy and numba: their loops in C.

The struct of a ufunc is public (``numpy/ufuncobject.h``); its beginning, which is all
that is read here, has not changed since NumPy 1.0.
"""

from __future__ import annotations

import ctypes
import re
from typing import Any

import numpy as np

from ..abis import Loop, Loops

__all__ = ["combining", "loops_of", "ufunc_of"]


class _Ufunc(ctypes.Structure):
    """What stands behind PyObject_HEAD."""

    _fields_ = [
        ("nin", ctypes.c_int),
        ("nout", ctypes.c_int),
        ("nargs", ctypes.c_int),
        ("identity", ctypes.c_int),
        ("functions", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.POINTER(ctypes.c_void_p)),
        ("ntypes", ctypes.c_int),
        ("reserved", ctypes.c_int),
    ]


# Kinds of dtypes whose loops touch Python objects, or need to be told the unit.
_NOT_NATIVE = frozenset("OMmSUV")


def ufunc_of(obj: Any) -> np.ufunc | None:
    """The ufunc that `obj` is, or is made around, as numba's are."""
    if isinstance(obj, np.ufunc):
        return obj
    inner = getattr(obj, "ufunc", None)
    return inner if isinstance(inner, np.ufunc) else None


def loops_of(ufunc: np.ufunc) -> Loops:
    """Its loops that need no GIL.

    Raises
    ------
    TypeError
        If it has none.
    """
    core = _core_of(ufunc)
    name = ufunc.__name__
    where = _Ufunc.from_address(id(ufunc) + object.__basicsize__)
    sizes = (where.nin, where.nout, where.ntypes)
    if sizes != (ufunc.nin, ufunc.nout, len(ufunc.types)):
        raise TypeError(f"the ufunc {name} of this NumPy has an unknown layout")
    loops = []
    for i, types in enumerate(ufunc.types):
        letters = types.replace("->", "")
        function = where.functions[i]
        if not function or not _NOT_NATIVE.isdisjoint(letters):
            continue
        dtypes = [np.dtype(letter) for letter in letters]
        if ufunc is np.power and dtypes[0].kind in "iu":
            continue  # raises for negative exponents
        data = where.data[i] if where.data else None
        loops.append(
            Loop(
                tuple(dtypes[: ufunc.nin]),
                tuple(dtypes[ufunc.nin :]),
                function,
                data or 0,
            )
        )
    if not loops:
        raise TypeError(
            f"the ufunc {name} has no loop that runs without the GIL "
            f"(types: {', '.join(ufunc.types) or 'none yet; give numba the types'})"
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
    for loop in loops_of(ufunc).loops:
        if {*loop.inputs, *loop.outputs} == {dtype}:
            return loop
    raise TypeError(f"combine={ufunc.__name__} has no loop for {dtype}")
