"""Where kernels come from: the function :func:`kernel`."""

from __future__ import annotations

import ctypes
from _ctypes import CFuncPtr
from collections.abc import Callable
from types import ModuleType
from typing import Any, overload

from . import _core
from ._core import Kernel
from .signature import Signature, parse

__all__ = ["kernel"]

_ACCEPTED = (
    "a ctypes function, a cffi function, a numba @cfunc, a scipy.LowLevelCallable, a "
    "PyCapsule, a Cython module and the name of its `cdef api` function, or an address "
    "with signature="
)


@overload
def kernel(
    obj: str, *, returns: str | None = None, user: object = None
) -> Callable[[Callable[..., Any]], Kernel]: ...
@overload
def kernel(
    obj: Any,
    signature: str | None = None,
    *,
    returns: str | None = None,
    user: object = None,
) -> Kernel: ...
def kernel(
    obj: Any,
    signature: str | None = None,
    *,
    returns: str | None = None,
    user: object = None,
) -> Any:
    """Make a Kernel of a native function: one that runs without the GIL.

    Parameters
    ----------
    obj : object
        A ctypes function (set its ``argtypes`` and ``restype``), a cffi function, a
        numba ``@cfunc``, a ``scipy.LowLevelCallable``, a PyCapsule named after its C
        signature, a Cython module (then `signature` is the name of its function,
        declared ``cdef api ... noexcept nogil``), or an address (then `signature` is
        needed). A signature alone makes a decorator, which compiles a Python function
        with numba: ``@kernel("double (double)")``.
    signature : str, optional
        The C signature, such as ``"double (const double *, intptr_t)"``. By default
        what `obj` says; here one can say that a pointer is ``const``.
    returns : {"value", "status"}, optional
        What the function's return value means; by default a value. With ``"status"``,
        0 is success, any other value becomes a :class:`KernelError`, and the result is
        None.
    user : object, optional
        User data: what the last parameter, a ``void *``, is from now on. A buffer, such
        as a structured array, is pinned as long as the kernel lives; a ctypes or cffi
        pointer, a PyCapsule or an address is taken as it is.

    Returns
    -------
    Kernel

    Raises
    ------
    TypeError
        If `obj` is none of these, or calls back into Python.
    ValueError
        For an unknown signature.
    ImportError
        For a Python function, if numba is not installed.

    Notes
    -----
    Scalars are passed by value. A pointer takes an array of exactly its dtype,
    C-contiguous and, unless ``const``, writable; nothing is copied. Lengths are
    parameters like any other. The function must not touch Python objects.

    Signatures are understood, not compared: ``double (*)(const double *x, size_t n)``,
    ``float64 (float64 *, uintp)`` and a Cython capsule's ``double (double const *,
    size_t)`` are one.

    Examples
    --------
    >>> import ctypes, stealpool
    >>> libm = ctypes.CDLL("libm.so.6")
    >>> libm.cos.restype, libm.cos.argtypes = ctypes.c_double, [ctypes.c_double]
    >>> cos = stealpool.kernel(libm.cos)
    >>> cos(0.0)
    1.0
    """
    if returns not in (None, "value", "status"):
        raise ValueError(f"returns must be 'value' or 'status', got {returns!r}")
    if isinstance(obj, str):
        if signature is not None:
            raise TypeError(
                "kernel(signature) makes a decorator; a function's address is an int, "
                f"got the str {obj!r:.60}"
            )
        return _decorator(obj, returns, user)
    if isinstance(obj, Kernel):
        if signature is not None or user is not None:
            raise TypeError("a Kernel has its signature already, and its user data")
        return obj
    found = _found(obj, signature)
    return found.kernel(returns, user)


class Found:
    """A native function, before it is a Kernel.

    Attributes
    ----------
    address : int
    signature : Signature
    name : str
        For messages.
    source : object
        Keeps the code alive.
    context : int or None
        User data that came with it.
    """

    def __init__(
        self,
        address: int,
        signature: Signature,
        name: str,
        source: object,
        context: int | None = None,
    ) -> None:
        self.address = address
        self.signature = signature
        self.name = name
        self.source = source
        self.context = context

    def kernel(self, returns: str | None, user: object) -> Kernel:
        """Make the Kernel, once it is known what the result means."""
        signature, name = self.signature, self.name
        source, bound = self.source, self.context
        last = signature.parameters[-1] if signature.parameters else None
        has_user = last is not None and last.pointee == "void"
        if user is not None:
            if not has_user:
                raise ValueError(
                    f"kernel {name} takes no user data: its signature {signature} does "
                    "not end with 'void *'"
                )
            keeper, bound = _user_data(user, last is not None and last.is_const)
            source = (source, keeper)
        elif not has_user:
            bound = None  # of a capsule's own, and not for this signature
        parameters = [(p.type, p.pointee, p.is_const) for p in signature.parameters]
        if bound is not None:
            parameters[-1] = ("bound", None, False)
        if returns == "status" and signature.returns != "int32":
            raise ValueError(
                f"kernel {name} returns {signature.returns}; a status is an int (int32)"
            )
        for parameter in signature.parameters:
            if parameter.pointee in ("pointer", "sp_view", "sp_rect"):
                raise ValueError(
                    f"unknown kernel signature '{signature}' of {name}: no argument of "
                    f"Python's is a '{parameter}'"
                )
        return _core.make_kernel(
            self.address,
            signature.returns,
            parameters,
            name=name,
            signature=str(signature),
            source=source,
            bound=bound,
            returns_status=returns == "status",
        )


def _found(obj: Any, signature: str | None) -> Found:
    if isinstance(obj, ModuleType):
        return _from_capsule(*_capsule_of_module(obj, signature), None)
    if _core.is_capsule(obj):
        return _from_capsule(obj, None, signature)
    if isinstance(obj, tuple) and obj and _core.is_capsule(tuple.__getitem__(obj, 0)):
        # scipy.LowLevelCallable: the raw capsule, whose context is the user data.
        return _from_capsule(tuple.__getitem__(obj, 0), None, signature, source=obj)
    if isinstance(obj, CFuncPtr):
        from .interop import ctypes as of_ctypes

        return of_ctypes.found(obj, signature)
    if hasattr(obj, "ctypes") and hasattr(obj, "native_name"):  # numba @cfunc
        from .interop import ctypes as of_ctypes

        return of_ctypes.found(obj.ctypes, signature, source=obj, of=obj)
    if _is_cffi(obj):
        from .interop import cffi as of_cffi

        return of_cffi.found(obj, signature)
    if isinstance(obj, int) and not isinstance(obj, bool):
        if signature is None:
            raise TypeError("an address needs signature='double (double)' or the like")
        if not 0 < obj < 1 << 8 * ctypes.sizeof(ctypes.c_void_p):
            raise ValueError(f"{obj} is not the address of a function")
        return Found(obj, parse(signature), hex(obj), None)
    raise TypeError(
        f"cannot make a kernel of {type(obj).__name__} {obj!r:.60}: expected "
        f"{_ACCEPTED}. A Python callable needs no kernel: submit it as it is, or "
        'compile it with numba: @stealpool.kernel("double (double)")'
    )


def _is_cffi(obj: object) -> bool:
    """A function pointer, or a function of a compiled library."""
    of = type(obj)
    if of.__module__ == "_cffi_backend":
        return of.__name__.lstrip("_").startswith("CData")
    library = type(getattr(obj, "__self__", None))
    return (library.__module__, library.__name__) == ("_cffi_backend", "Lib")


def _decorator(
    text: str, returns: str | None, user: object
) -> Callable[[Callable[..., Any]], Kernel]:
    signature = parse(text)

    def decorate(function: Callable[..., Any]) -> Kernel:
        if not callable(function):
            raise TypeError(
                f"@kernel({text!r}) compiles a Python function, "
                f"got {type(function).__name__} {function!r:.60}; for other things "
                "it is kernel(obj, signature)"
            )
        from .interop import numba as of_numba

        return of_numba.compiled(function, signature).kernel(returns, user)

    return decorate


def _user_data(user: Any, is_const: bool) -> tuple[object, int]:
    """(what keeps them, their address)."""
    address: int | None
    if isinstance(user, int):
        address = user
    elif _core.is_capsule(user):
        address = _core.capsule_pointer(user)[1]
    elif isinstance(user, (ctypes._Pointer, ctypes.c_void_p)):
        address = ctypes.cast(user, ctypes.c_void_p).value
    elif type(user).__module__ == "_cffi_backend":
        from .interop import cffi as of_cffi

        address = of_cffi.address(user)
    else:
        try:
            return _core.pin_user_data(user, is_const)
        except (TypeError, BufferError) as error:
            raise TypeError(
                "user data must be a buffer, a ctypes or cffi pointer, a PyCapsule or "
                f"an address, got {type(user).__name__} {user!r:.60} ({error})"
            ) from None
    if not address:
        raise ValueError(f"user data {user!r:.60} are a NULL pointer")
    return user, address


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
    capsule: Any, name: str | None, signature: str | None, source: object = None
) -> Found:
    text, address, context = _core.capsule_pointer(capsule)
    return Found(
        address,
        parse(signature if signature is not None else text),
        name or f"at {address:#x}",
        source or capsule,
        context,
    )
