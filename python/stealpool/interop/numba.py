"""numba: compiles Python functions to kernels; arrays of views and of operands."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from ..signature import Parameter, Signature
from ..sources import Found

__all__ = ["compiled", "operand", "pixels", "rect"]

# Typed by halves, so that it is better to take it as untyped.
numba: Any = import_module("numba")
_types: Any = numba.types
_intrinsic: Any = import_module("numba.extending").intrinsic
_void_pointer: Any = import_module("numba.core.cgutils").voidptr_t

# sp_view and sp_rect of stealpool_kernels.h. numba has no pointers in records.
VIEW = numba.from_dtype(
    np.dtype(
        [("data", np.uintp)]
        + [(name, np.intp) for name in ("stride", "height", "width", "channels")],
        align=True,
    )
)
RECT = numba.from_dtype(
    np.dtype([(name, np.intp) for name in ("y", "x", "height", "width")], align=True)
)


def compiled(function: Callable[..., Any], signature: Signature) -> Found:
    """Compile a Python function, as ``numba.cfunc`` does."""
    name = getattr(function, "__name__", "function")
    returns = _scalar(signature.returns)
    parameters = [_parameter(parameter) for parameter in signature.parameters]
    made: Any = numba.cfunc(returns(*parameters))(function)
    return Found(made.address, signature, name, made)


def _parameter(parameter: Parameter) -> Any:
    if parameter.pointee is None:
        return _scalar(parameter.type)
    if parameter.pointee == "void":
        return _types.voidptr
    records = {
        "sp_view": VIEW,
        "sp_rect": RECT,
        "pointer": _types.CPointer(_types.int8),
    }
    pointee = records.get(parameter.pointee) or _scalar(parameter.pointee)
    return _types.CPointer(pointee)


def _scalar(name: str) -> Any:
    return _types.boolean if name == "bool" else getattr(_types, name)


def _to_pointer(typing_context: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], _void_pointer)

    return _types.voidptr(_types.uintp), generate


def _to_void(typing_context: Any, pointer: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], _void_pointer)

    return _types.voidptr(pointer), generate


_pointer, _untyped = _intrinsic(_to_pointer), _intrinsic(_to_void)


def _pixels(view: Any, dtype: Any) -> Any:
    """In a tile kernel: the array (height, width, channels) of a view."""
    v = numba.carray(view, 1)[0]
    first = numba.carray(_pointer(v.data), 1, dtype)
    shape = (v.height, v.width, v.channels)
    strides = (v.stride, v.channels * first.itemsize, first.itemsize)
    return np.lib.stride_tricks.as_strided(first, shape, strides)


def _operand(args: Any, dims: Any, steps: Any, i: int, dtype: Any) -> Any:
    """In a loop kernel: operand `i`, inputs first, as an array of the loop's length."""
    address = numba.carray(_untyped(args), i + 1, np.uintp)[i]
    first = numba.carray(_pointer(address), 1, dtype)
    shape, strides = (numba.carray(dims, 1)[0],), (numba.carray(steps, i + 1)[i],)
    return np.lib.stride_tricks.as_strided(first, shape, strides)


def _rect(tile: Any) -> Any:
    """In a tile kernel: (y, x, height, width) of a tile in the whole image."""
    r = numba.carray(tile, 1)[0]
    return r.y, r.x, r.height, r.width


operand = numba.njit(_operand)
pixels = numba.njit(_pixels)
rect = numba.njit(_rect)
