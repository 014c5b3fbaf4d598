"""Ufuncs on the pool: which of their loops may run without the GIL.

NumPy runs the loops of numbers without the GIL, too. But a loop that fails takes it,
and leaves an exception for the thread that has called the ufunc; on a native worker,
which is no thread of Python's, that exception would be lost. So a loop may run on the
pool only if it cannot fail: most of NumPy's and SciPy's, and those of numba that raise
nothing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .executor import Executor, default_executor

_U = TypeVar("_U")

if TYPE_CHECKING:
    from ._numpy import Ufunc

__all__ = ["make_ufunc", "why_not"]

_NUMBERS = {np.dtype(character).num for character in "?bBhHiIlLqQefdgFDGmM"}

# Of scipy.special: what allocates, and reports a failure of that as an exception.
_ALLOCATE = re.compile(r"(pro|obl)_|mathieu_|ellip_harm")

_IS_NUMPY_1 = np.lib.NumpyVersion(np.__version__) < "2.0.0"

# Arithmetic of datetimes raises OverflowError, from this version on.
_DATETIMES_RAISE = np.lib.NumpyVersion(np.__version__) >= "2.5.0.dev0"
_NEVER_RAISE = {"isfinite", "isnan", "isinf", "isnat", "sign", "_ones_like"}


def numpy_ufunc(u: Any) -> np.ufunc:
    """The ``numpy.ufunc`` in `u`, which numba's objects hold."""
    inner = u if isinstance(u, np.ufunc) else getattr(u, "ufunc", None)
    if not isinstance(inner, np.ufunc):
        raise TypeError(
            f"expected a NumPy ufunc, got {type(u).__name__} {u!r:.60}; use "
            "numba.vectorize or numpy.frompyfunc to make a ufunc of a function"
        )
    return inner


def why_not(u: Any, dtypes: Sequence[np.dtype[Any]]) -> str | None:
    """Why the loop of `u` for these dtypes may not run without the GIL; None if it may.

    `dtypes` are those that the loop computes with, inputs and outputs.
    """
    ufunc = numpy_ufunc(u)
    for dtype in dtypes:
        if dtype.num not in _NUMBERS:
            return f"it computes with {dtype}, which is not a number"
    if u is not ufunc:
        return _why_not_numba(u)
    name = ufunc.__name__
    if _is_of(ufunc, "numpy._core.umath", "numpy.linalg._umath_linalg"):
        if name in ("power", "float_power") and dtypes[1].kind == "i":
            return "it raises ValueError for negative exponents"
        if name == "qr_r_raw":
            return "it writes to its inputs"
        if (
            _DATETIMES_RAISE
            and any(dtype.kind in "mM" for dtype in dtypes[: ufunc.nin])
            and dtypes[-1].kind != "b"
            and name not in _NEVER_RAISE
        ):
            return "it raises OverflowError for dates out of range"
        return None
    if _is_of(ufunc, "scipy.special"):
        actions = sys.modules["scipy.special"].geterr()
        if any(act != "ignore" for key, act in actions.items() if key != "memory"):
            return "scipy.special.errstate asks for warnings or exceptions"
        if _ALLOCATE.match(name):
            return "it raises MemoryError"
        return None
    return "it is of an unknown library, and may raise exceptions"


def _is_of(ufunc: np.ufunc, *modules: str) -> bool:
    """Is it a public ufunc of one of these modules, if they are imported?"""
    return any(
        getattr(sys.modules.get(module), ufunc.__name__, None) is ufunc
        for module in modules
    )


def _why_not_numba(u: Any) -> str | None:
    """numba's loops raise what the function raises; most functions raise nothing."""
    if hasattr(u, "gufunc_builder"):
        compiled = u.gufunc_builder._cres
    elif hasattr(u, "_dispatcher"):
        compiled = u._dispatcher.overloads
    else:
        return f"it is of an unknown kind, {type(u).__name__}"
    for signature, result in compiled.items():
        if result.objectmode:
            return "numba has compiled it in object mode"
        if _may_fail(result):
            return f"it may raise an exception, for {signature}"
    return None


def _may_fail(compiled: Any) -> bool:
    """Can the function return anything but numba's status for success?"""
    name = re.escape(compiled.fndesc.llvm_func_name)
    code = compiled.library.get_llvm_str()
    body = re.search(rf'^define [^\n]*@"?{name}"?\(.*?^}}', code, re.M | re.S)
    return body is None or set(re.findall(r"\bret i32 (\S+)", body[0])) != {"0"}


# ------------------------------------------------------------------- on the pool


class _Permit:
    """Remembers why_not(): of numba's functions it reads the machine code."""

    def __init__(self, u: Any) -> None:
        self.u = u
        self.known: dict[object, bool] = {}

    def __call__(self, dtypes: tuple[np.dtype[Any], ...]) -> bool:
        n_loops = numpy_ufunc(self.u).ntypes  # of numba, there may be more by now
        key = (n_loops, scipy_actions(), *dtypes)
        if key not in self.known:
            self.known[key] = why_not(self.u, dtypes) is None
        return self.known[key]


def scipy_actions() -> tuple[str, ...]:
    """What scipy.special.errstate says at the moment."""
    special = sys.modules.get("scipy.special")
    return tuple(special.geterr().values()) if special else ()


def _executor_of(executor: Executor | None) -> Executor:
    if executor is None:
        return default_executor()
    if not isinstance(executor, Executor):
        raise TypeError(
            "executor must be a stealpool.Executor or None, got "
            f"{type(executor).__name__} {executor!r:.60}"
        )
    if executor._shutdown_reason is not None:
        raise RuntimeError(executor._shutdown_reason)
    return executor


class NumpyUfunc:
    """Stands in for Ufunc with NumPy 1, whose loops cannot be asked for."""

    pool_calls = 0

    def __init__(self, function: Any) -> None:
        self.function = function
        self.ufunc = numpy_ufunc(function)

    def __repr__(self) -> str:
        return f"<stealpool ufunc {self.ufunc.__name__}>"

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.function, name)
        if name in ("reduce", "accumulate", "reduceat", "outer", "at"):
            return partial(_call_here, found)
        return found

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _call_here(self.function, *args, **kwargs)


def _call_here(
    function: Any, *args: Any, executor: Executor | None = None, **kwargs: Any
) -> Any:
    _executor_of(executor)
    return function(*args, **kwargs)


def make_ufunc(u: Any) -> Ufunc | NumpyUfunc:
    """See :func:`stealpool.kernels.ufunc`."""
    if _IS_NUMPY_1:  # with which _numpy cannot be imported
        if isinstance(u, NumpyUfunc):
            return u
        return _named(NumpyUfunc(u), u)
    from ._numpy import Ufunc

    if isinstance(u, Ufunc):
        return u
    return _named(Ufunc(u, numpy_ufunc(u), _Permit(u), _executor_of), u)


def _named(made: _U, u: Any) -> _U:
    for name in ("__name__", "__doc__", "__qualname__"):
        value = getattr(u, name, None)
        if value is not None:
            setattr(made, name, value)
    return made
