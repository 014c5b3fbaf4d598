"""Where kernels come from: the function :func:`kernel`."""

from __future__ import annotations

import ctypes
from _ctypes import CFuncPtr
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, overload

import numpy as np

from . import _core, abis
from ._core import Kernel
from .signature import Operand, Signature, abi_of, parse, parse_types

__all__ = ["kernel"]

_ACCEPTED = (
    "a ctypes function, a cffi function, a numba @cfunc, a scipy.LowLevelCallable, a "
    "ufunc or gufunc, a PyCapsule, a Cython module and the name of its `cdef api` "
    "function, or an address with signature="
)


@overload
def kernel(
    obj: str,
    *,
    returns: str | None = None,
    user: object = None,
    types: str | None = None,
    halo: Any = None,
    border: str = "reflect",
    cval: float = 0.0,
    combine: Any = None,
    initial: Any = None,
) -> Callable[[Callable[..., Any]], Kernel]: ...
@overload
def kernel(
    obj: Any,
    signature: str | None = None,
    *,
    returns: str | None = None,
    user: object = None,
    types: str | None = None,
    halo: Any = None,
    border: str = "reflect",
    cval: float = 0.0,
    combine: Any = None,
    initial: Any = None,
) -> Kernel: ...
def kernel(
    obj: Any,
    signature: str | None = None,
    *,
    returns: str | None = None,
    user: object = None,
    types: str | None = None,
    halo: Any = None,
    border: str = "reflect",
    cval: float = 0.0,
    combine: Any = None,
    initial: Any = None,
) -> Any:
    """Make a Kernel of a native function: one that runs without the GIL.

    Parameters
    ----------
    obj : object
        A ctypes function (set its ``argtypes`` and ``restype``), a cffi function, a
        numba ``@cfunc``, a ``scipy.LowLevelCallable``, a ufunc or gufunc of NumPy's,
        SciPy's or numba's, a PyCapsule named after its C signature, a Cython module
        (then `signature` is the name of its function, declared ``cdef api ... noexcept
        nogil``), or an address (then `signature` is needed). A signature alone makes a
        decorator, which compiles a Python function with numba: ``@kernel("double
        (double)")``.
    signature : str, optional
        The C signature, such as ``"double (const double *, intptr_t)"``, or the name
        of one of the ABIs below. By default what `obj` says; here one can say that a
        pointer is ``const``.
    returns : {"value", "status"}, optional
        What the function's return value means. With ``"status"``, 0 is success, any
        other value becomes a :class:`KernelError`, and the result is None. By default
        the ABIs below return a status, and all other functions a value.
    user : object, optional
        User data: what the last parameter, a ``void *``, is from now on. A buffer, such
        as a structured array, is pinned as long as the kernel lives; a ctypes or cffi
        pointer, a PyCapsule or an address is taken as it is.
    types : str, optional
        Of a loop or tile kernel: the arrays that it takes and makes, such as
        ``"double(n), double(n) -> double"`` or ``"dd->d"``. Of a ufunc: its only loop.
    halo : int or (int, int), optional
        Of a tile kernel: the rows and columns around a pixel that it depends on.
    border : {"reflect", "mirror", "nearest", "constant", "wrap"}, optional
        Of a tile kernel: what lies outside of the image, in the words of
        ``scipy.ndimage``; with ``"constant"``, `cval`.
    cval : float, optional
    combine : object, optional
        Makes a reduction: a function ``void (void *into, const void *from, void
        *user)`` of any of these sources, or a ufunc such as ``numpy.add``.
    initial : number or array, optional
        The neutral element of a reduction, with which every accumulator starts.

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

    A function of one of these signatures is called piece by piece, and knows what its
    arguments are; see the guide, "Five kinds of kernels". ``T`` and ``U`` are any
    numbers.

    ========= ==========================================================
    batch     ``int (const T *x, intptr_t n, U *out, void *user)``
    range     ``int (intptr_t begin, intptr_t end, void *user)``
    reduce    ``int (intptr_t begin, intptr_t end, void *acc, void *user)``,
              with `combine` and `initial`
    loop      ``void (char **args, const intptr_t *dims, const intptr_t
              *steps, void *data)``, with `types`
    tile      ``int (const sp_view *src, sp_view *dst, const sp_rect *tile,
              void *user)``, with `types` and `halo`
    ========= ==========================================================

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
    options = Options(returns, user, types, halo, border, cval, combine, initial)
    if isinstance(obj, str):
        if signature is not None:
            raise TypeError(
                "kernel(signature) makes a decorator; a function's address is an int, "
                f"got the str {obj!r:.60}"
            )
        return _decorator(obj, options)
    if isinstance(obj, Kernel):
        if signature is not None or not options.is_default():
            raise TypeError(
                "a Kernel has its signature already, its user data and its options"
            )
        return obj
    ufunc = _ufunc_of(obj)
    if ufunc is not None:
        return _from_ufunc(obj, ufunc, types if types is not None else signature)
    return _found(obj, signature).kernel(options)


@dataclass(frozen=True, eq=False)
class Options:
    """What else was passed to kernel()."""

    returns: str | None = None
    user: object = None
    types: str | None = None
    halo: Any = None
    border: str = "reflect"
    cval: float = 0.0
    combine: Any = None
    initial: Any = None

    def is_default(self, *names: str) -> bool:
        """Were these, or all, left out?"""
        for name in names or vars(self):
            value, default = getattr(self, name), getattr(Options, name)
            if value is not default and (default is None or value != default):
                return False
        return True

    def refuse(self, why: str, *names: str) -> None:
        """Options that make no sense here must not be there."""
        for name in names:
            if not self.is_default(name):
                raise TypeError(f"{name}= is for {why}")


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

    def kernel(self, options: Options) -> Kernel:
        """Make the Kernel, once it is known what it is for."""
        abi = abi_of(self.signature)
        if abi != "tile":
            options.refuse("tile kernels", "halo", "border", "cval")
        if abi not in ("tile", "loop"):
            options.refuse("loop and tile kernels", "types")
        if abi in ("tile", "loop", "batch") or options.combine is None:
            options.refuse("reductions of a range", "combine", "initial")
        source, bound = self._bind(options.user)
        parameters = [
            (p.type, _POINTEES.get(p.pointee or "", p.pointee), p.is_const)
            for p in self.signature.parameters
        ]
        if bound is not None:
            parameters[-1] = ("bound", None, False)
        made = _core.make_kernel(
            self.address,
            self.signature.returns,
            parameters,
            name=self.name,
            signature=str(self.signature),
            source=source,
            bound=bound,
            returns_status=self._returns_status(options, abi),
            planner=self._planner(options, abi, bound is not None),
        )
        if options.combine is None:
            return made
        return abis.reduction(
            made, self.signature, options.combine, options.initial, _found
        )

    def _bind(self, user: object) -> tuple[object, int | None]:
        """(what keeps code and user data, the address of the user data)."""
        last = self.signature.parameters[-1] if self.signature.parameters else None
        has_user = last is not None and last.pointee == "void"
        if user is None:  # a capsule's own may not be for this signature
            return self.source, self.context if has_user else None
        if not has_user:
            raise ValueError(
                f"kernel {self.name} takes no user data: its signature "
                f"{self.signature} does not end with 'void *'"
            )
        keeper, bound = _user_data(user, last is not None and last.is_const)
        return (self.source, keeper), bound

    def _returns_status(self, options: Options, abi: str) -> bool:
        if options.returns is None:
            return abi in ("batch", "range", "reduce", "tile")
        if options.returns == "status" and self.signature.returns != "int32":
            raise ValueError(
                f"kernel {self.name} returns {self.signature.returns}; a status is an "
                "int (int32)"
            )
        return options.returns == "status"

    def _planner(self, options: Options, abi: str, is_bound: bool) -> Any:
        """What the call of a kernel that knows shapes means; None for others."""
        parameters = self.signature.parameters
        if abi == "batch":
            return abis.Batch(
                str(parameters[0].pointee), str(parameters[2].pointee), is_bound
            )
        if abi == "loop":
            return self._loop(options)
        if abi == "tile":
            return self._tiles(options, is_bound)
        for parameter in parameters:
            if parameter.pointee in _POINTEES:
                raise ValueError(
                    f"unknown kernel signature '{self.signature}' of {self.name}: no "
                    f"argument of Python's is a '{parameter}'"
                )
        return None

    def _types(self, options: Options, example: str) -> Any:
        if options.types is None:
            raise TypeError(
                f"kernel {self.name} ({self.signature}) does not say what its arrays "
                f"are: pass types={example!r} or the like"
            )
        return parse_types(options.types)

    def _loop(self, options: Options) -> abis.Loops:
        inputs, outputs = self._types(options, "double(n), double(n) -> double")
        loop = abis.Loop(
            _dtypes(inputs),
            _dtypes(outputs),
            self.address,
            self._bind(options.user)[1] or 0,
        )
        core = tuple(operand.core for operand in (*inputs, *outputs))
        return abis.Loops((loop,), core, len(inputs))

    def _tiles(self, options: Options, is_bound: bool) -> abis.Tiles:
        inputs, outputs = self._types(options, "float32 -> float32")
        if (len(inputs), len(outputs)) != (1, 1) or inputs[0].core or outputs[0].core:
            raise ValueError(
                "a tile kernel takes one image and makes one, as in types='float32 -> "
                f"uint8', got {options.types!r}"
            )
        if options.border not in abis.BORDERS:
            raise ValueError(
                f"border must be one of {', '.join(abis.BORDERS)}, "
                f"got {options.border!r:.60}"
            )
        fill = np.array(options.cval).astype(inputs[0].dtype).tobytes()
        halo = abis.halo_of(0 if options.halo is None else options.halo)
        return abis.Tiles(inputs[0], outputs[0], halo, options.border, fill, is_bound)


# What is a `void *` to make_kernel(): no arguments of Python's go there.
_POINTEES = {"pointer": "void", "sp_view": "void", "sp_rect": "void"}


def _dtypes(operands: tuple[Operand, ...]) -> tuple[np.dtype[Any], ...]:
    return tuple(np.dtype(operand.dtype) for operand in operands)


# ------------------------------------------------------------------------ sources


def _found(obj: Any, signature: str | None) -> Found:
    if isinstance(obj, ModuleType):
        return _from_capsule(*_capsule_of_module(obj, signature), None)
    if _core.is_capsule(obj):
        return _from_capsule(obj, None, signature)
    if isinstance(obj, tuple) and obj and _core.is_capsule(tuple.__getitem__(obj, 0)):
        # scipy.LowLevelCallable: the raw capsule, whose context is the user data, and
        # what it was made of.
        _refuse_python(tuple.__getitem__(obj, 1))
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


def _refuse_python(function: Any) -> None:
    """Of what a capsule was made of: not of functions that need the GIL."""
    if isinstance(function, CFuncPtr):
        from .interop import ctypes as of_ctypes

        of_ctypes.refuse_python(
            function, str(getattr(function, "__name__", "function"))
        )
    elif _is_cffi(function):
        from .interop import cffi as of_cffi

        of_cffi.refuse_python(function)


def _is_cffi(obj: object) -> bool:
    """A function pointer, or a function of a compiled library."""
    of = type(obj)
    if of.__module__ == "_cffi_backend":
        return of.__name__.lstrip("_").startswith("CData")
    library = type(getattr(obj, "__self__", None))
    return (library.__module__, library.__name__) == ("_cffi_backend", "Lib")


def _ufunc_of(obj: Any) -> Any:
    if isinstance(obj, np.ufunc):
        return obj
    inner = getattr(obj, "ufunc", None)  # of numba's @vectorize and @guvectorize
    return inner if isinstance(inner, np.ufunc) else None


def _from_ufunc(obj: Any, ufunc: Any, types: str | None) -> Kernel:
    from .interop import numpy as of_numpy

    loops = of_numpy.loops_of(obj, ufunc)
    if types is not None:
        loops = loops.only(ufunc.__name__, *parse_types(types))
    return _core.make_kernel(
        loops.loops[0].address,
        "void",
        [("pointer", "void", False)] * 4,
        name=ufunc.__name__,
        signature=str(loops),
        source=(obj, ufunc),
        planner=loops,
    )


def _decorator(text: str, options: Options) -> Callable[[Callable[..., Any]], Kernel]:
    signature = parse(text)

    def decorate(function: Callable[..., Any]) -> Kernel:
        if not callable(function):
            raise TypeError(
                f"@kernel({text!r}) compiles a Python function, "
                f"got {type(function).__name__} {function!r:.60}; for other things "
                "it is kernel(obj, signature)"
            )
        try:
            from .interop import numba as of_numba
        except ImportError as error:
            name = getattr(function, "__name__", "a function")
            raise ImportError(
                f"@kernel compiles {name}() with numba, which is not installed: pip "
                "install numba. Native functions of other origins need none"
            ) from error
        return of_numba.compiled(function, signature).kernel(options)

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
