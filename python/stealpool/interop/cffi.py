"""cffi: function pointers, and functions of compiled libraries."""

from __future__ import annotations

from typing import Any

import _cffi_backend

from ..signature import parse
from ..sources import Found

__all__ = ["address", "found"]


def refuse_python(obj: Any) -> None:
    """Functions that need the GIL cannot be kernels."""
    if " calling <" in repr(obj):  # ffi.callback(): the only trace of it
        raise TypeError(
            f"the cffi callback {obj!r:.80} calls a Python function, which needs the "
            "GIL: submit the Python function itself"
        )


def found(obj: Any, signature: str | None) -> Found:
    """A function of cffi's; its own type has the signature."""
    source, name = obj, getattr(obj, "__name__", "function")
    if not isinstance(obj, _cffi_backend._CDataBase):  # compiled: lib.function
        source, obj = obj, _cffi_backend.FFI().addressof(obj.__self__, name)
    ctype = _cffi_backend.typeof(obj)
    if ctype.kind != "function":
        raise TypeError(
            f"cannot make a kernel of the cffi {ctype.kind} {obj!r:.80}: "
            "expected a pointer to a function"
        )
    refuse_python(obj)
    if ctype.ellipsis:
        raise ValueError(
            f"unknown kernel signature {ctype.cname!r}: functions with a variable "
            "number of arguments cannot be kernels"
        )
    where = address(obj)
    if not where:
        raise ValueError(f"the cffi function pointer {obj!r:.80} is NULL")
    text = signature if signature is not None else ctype.cname
    return Found(where, parse(text), name, source)


def address(obj: Any) -> int:
    """The address that a pointer or an array of cffi's holds."""
    to_integer = _cffi_backend.new_primitive_type("uintptr_t")
    return int(_cffi_backend.cast(to_integer, obj))
