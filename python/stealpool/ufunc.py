"""Which loops of which ufuncs may run without the GIL, and how to find one.

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
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .executor import Executor, default_executor

if TYPE_CHECKING:
    from ._numpy import Ufunc

__all__ = ["Loop", "find_loop", "make_ufunc", "why_not"]

_NUMBERS = "biufcmM"

# Of scipy.special: what allocates, and reports a failure of that as an exception.
_ALLOCATE = re.compile(r"(pro|obl)_|mathieu_|ellip_harm")

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
        if dtype.kind not in _NUMBERS or dtype.num not in _DTYPES:
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


def _has_loop(ufunc: np.ufunc, inputs: list[Any]) -> bool:
    """Is there a loop for exactly these inputs? If not, numba compiles one."""
    if not all(isinstance(each, np.ndarray) for each in inputs):
        return False
    wanted = "".join(each.dtype.char for each in inputs)
    return any(types.startswith(wanted + "->") for types in ufunc.types)


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


def make_ufunc(u: Any) -> Ufunc:
    """See :func:`stealpool.kernels.ufunc`."""
    from ._numpy import Ufunc

    if isinstance(u, Ufunc):
        return u
    inner = numpy_ufunc(u)
    exact = None
    if u is not inner and not u._frozen:
        exact = partial(_has_loop, inner)
    made = Ufunc(u, inner, _Permit(u), _executor_of, exact)
    for name in ("__name__", "__doc__", "__qualname__"):
        value = getattr(u, name, None)
        if value is not None:
            setattr(made, name, value)
    return made


# ------------------------------------------------------------------------- loops


@dataclass(frozen=True)
class Loop:
    """An inner loop of a ufunc: ``void (char **, npy_intp *, npy_intp *, void *)``.

    Attributes
    ----------
    ufunc : numpy.ufunc
        Keeps the loop's code alive.
    address, data : int
        The function, and its last argument.
    dtypes : tuple of numpy.dtype
        Of the operands, the inputs first.
    core : str or None
        Signature of a gufunc, such as ``"(n),(n)->()"``.
    refusal : str or None
        Why the loop may not run without the GIL; None if it may.
    """

    ufunc: np.ufunc
    address: int
    data: int
    dtypes: tuple[np.dtype[Any], ...]
    core: str | None
    refusal: str | None

    @property
    def nin(self) -> int:
        return self.ufunc.nin

    @property
    def nout(self) -> int:
        return self.ufunc.nout


def find_loop(u: Any, dtypes: Sequence[Any] | None = None) -> Loop:
    """Find the loop of a ufunc for exactly these dtypes.

    Parameters
    ----------
    u : numpy.ufunc or a ufunc of numba's
    dtypes : sequence of dtype, optional
        Of the inputs, or of the inputs and the outputs. By default those of the only
        loop, or else float64 for all inputs.

    Returns
    -------
    Loop

    Raises
    ------
    TypeError
        If `u` is no ufunc, or has no such loop; the message lists those it has.
    """
    from . import _numpy

    ufunc = numpy_ufunc(u)
    found = [
        (tuple(_DTYPES[number] for number in types), address, data)
        for types, address, data in _numpy.loops_of(ufunc)
        if address and all(number in _DTYPES for number in types)
    ]
    wanted: tuple[np.dtype[Any], ...]
    if dtypes is not None:
        wanted = tuple(map(np.dtype, dtypes))
    elif len(found) == 1:
        wanted = found[0][0]
    else:
        wanted = (np.dtype(np.float64),) * ufunc.nin
    for each, address, data in found:
        if each[: len(wanted)] == wanted and len(wanted) in (ufunc.nin, ufunc.nargs):
            refusal = why_not(u, each)
            return Loop(ufunc, address, data, each, ufunc.signature, refusal)
    raise TypeError(
        f"ufunc {ufunc.__name__!r} has no loop for "
        f"{', '.join(map(str, wanted))}; it has {', '.join(ufunc.types) or 'none'} "
        "(see numpy.ufunc.types)"
    )


_DTYPES: dict[int, np.dtype[Any]] = {
    np.dtype(character).num: np.dtype(character)
    for character in "?bBhHiIlLqQefdgFDGmMO"
}
