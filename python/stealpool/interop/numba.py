"""numba: compiles Python functions to kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..signature import Parameter, Signature
from ..sources import Found

__all__ = ["compiled"]


def compiled(function: Callable[..., Any], signature: Signature) -> Found:
    """Compile a Python function, as ``numba.cfunc`` does."""
    name = getattr(function, "__name__", "function")
    try:
        import numba
    except ImportError:
        raise ImportError(
            f"@kernel compiles {name}() with numba, which is not installed: "
            "pip install numba. Native functions of other origins need none"
        ) from None
    returns = _scalar(signature.returns)
    parameters = [_parameter(parameter) for parameter in signature.parameters]
    made: Any = numba.cfunc(returns(*parameters))(function)
    return Found(made.address, signature, name, made)


def _parameter(parameter: Parameter) -> Any:
    types = _types()

    if parameter.pointee is None:
        return _scalar(parameter.type)
    if parameter.pointee == "void":
        return types.voidptr
    if parameter.pointee == "pointer":
        return types.CPointer(types.voidptr)
    return types.CPointer(_scalar(parameter.pointee))


def _scalar(name: str) -> Any:
    types = _types()
    return types.boolean if name == "bool" else getattr(types, name)


def _types() -> Any:
    from numba import types

    return types
