"""Built-in kernels on numbers.

Called as they stand, they are split over ``executor`` (by default the process's native
pool) and the calling thread takes part; submitted to an executor, a call runs on one
worker. Both run without the GIL.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.polynomial import Polynomial

from . import _core
from ._core import Builtin, Kernel
from .executor import Executor, default_executor

if TYPE_CHECKING:
    from ._numpy import Ufunc
    from .ufunc import NumpyUfunc

__all__ = ["integrate", "ufunc"]

Integrand: TypeAlias = (
    Callable[[float], float] | Kernel | Polynomial | np.poly1d | np.ufunc
)

# Functions that have vectorised native code, by the objects that users know them by.
_MATH: dict[Any, str] = {
    function: name
    for name in ("cos", "sin", "exp", "log", "sqrt")
    for function in (getattr(math, name), getattr(np, name))
}

_MAX_COEFFICIENTS = 64
_MAX_POINTS = 2**53


def _native_integrand(f: Any) -> Any:
    """What _core.plan_integrate() takes, or None for a Python callable."""
    if isinstance(f, Kernel):
        _, user_data = _core.kernel_address(f)
        more = "" if user_data is None else ", void *"
        if f.signature != f"float64 (float64{more})":
            raise ValueError(
                f"integrate needs a kernel 'double (double)', got {f.name} with the "
                f"signature {f.signature!r}; 'double (double, void *)' must come with "
                "its user data, as a scipy.LowLevelCallable does"
            )
        return f
    if isinstance(f, np.poly1d):
        return _coefficients(f, f.coeffs[::-1])
    if isinstance(f, Polynomial):
        _, scale = f.mapparms()
        if scale == 0 or not math.isfinite(scale):
            return None
        return _coefficients(f, f.coef / scale)
    try:
        name = _MATH.get(f)
    except TypeError:  # not hashable, so not one of them
        name = None
    if name is None and not callable(f):
        raise TypeError(
            f"cannot integrate {type(f).__name__} {f!r:.60}: expected a function of "
            "one float, a Kernel 'double (double)', or a NumPy polynomial"
        )
    return name


def _coefficients(f: Any, coefficients: Any) -> Any:
    if np.iscomplexobj(coefficients):
        raise TypeError(f"cannot integrate {f!r:.60}: its coefficients are complex")
    if np.iscomplexobj(coefficients):
        raise TypeError(f"cannot integrate {f!r:.60}: its coefficients are complex")
    values = [float(c) for c in np.asarray(coefficients, dtype=float)]
    if len(values) > _MAX_COEFFICIENTS:
        return None  # beyond the native code; f is callable
    return values


def _checked(a: Any, b: Any, n_iter: Any) -> tuple[float, float, int]:
    limits = []
    for name, value in (("a", a), ("b", b)):
        if not (hasattr(value, "__float__") or hasattr(value, "__index__")):
            raise TypeError(
                "the limits of integration must be real numbers, "
                f"got {name}={value!r:.60}"
            )
        limit = float(value)
        if not math.isfinite(limit):
            raise ValueError(
                f"the limits of integration must be finite, got {name}={value!r}; "
                "substitute the variable to map an infinite range to a finite one"
            )
        limits.append(limit)
    try:
        n = n_iter.__index__()
    except AttributeError:
        raise TypeError(
            f"n_iter must be an integer, got {type(n_iter).__name__} {n_iter!r:.60}; "
            "pass int(n_iter)"
        ) from None
    if not 1 <= n <= _MAX_POINTS:
        raise ValueError(f"n_iter must be from 1 to 2**53 points, got {n}")
    return limits[0], limits[1], n


def _integrate_python(
    f: Callable[[float], float], a: float, b: float, n_iter: int
) -> float:
    step = (b - a) / n_iter
    return math.fsum(f(a + i * step) for i in range(n_iter)) * step


def _integrate(
    f: Integrand,
    a: float,
    b: float,
    *,
    n_iter: int = 1000,
    executor: Executor | None = None,
) -> float:
    """Integrate a function by the left rectangle rule.

    ``sum(f(a + i * h) for i in range(n_iter)) * h`` with ``h = (b - a) / n_iter``.

    Parameters
    ----------
    f : callable
        ``cos``, ``sin``, ``exp``, ``log`` or ``sqrt`` of :mod:`math` or :mod:`numpy`,
        a ``numpy.polynomial.Polynomial`` or ``numpy.poly1d`` of a degree below 64:
        vectorised native code. A Kernel ``double (double)``: native code, called point
        by point. Any other function of one float: Python code, under the GIL.
    a, b : float
        Limits, finite; ``a > b`` gives the negative of the integral from `b` to `a`.
    n_iter : int, optional
        Number of points.
    executor : Executor, optional
        Over whose native pool to split the work; by default the process's own.

    Returns
    -------
    float
        The sum. It does not depend on the number of workers, to the last bit.

    Raises
    ------
    ValueError
        For infinite or NaN limits, ``n_iter < 1``, or a kernel of another signature.
    TypeError
        If `f` cannot be integrated.

    Notes
    -----
    The sum is compensated (A. Neumaier, "Rundungsfehleranalyse einiger Verfahren zur
    Summation endlicher Summen", ZAMM 54, 1974).

    Examples
    --------
    >>> import math
    >>> from stealpool.kernels import integrate
    >>> round(integrate(math.cos, 0.0, math.pi / 2, n_iter=10**6), 5)
    1.0
    """
    plan = _plan_integrate(f, a, b, n_iter=n_iter)
    if plan is None:
        return _integrate_python(f, *_checked(a, b, n_iter))
    result: float = plan.run(executor if executor is not None else default_executor())
    return result


def _plan_integrate(
    f: Any, a: Any, b: Any, *, n_iter: Any = 1000, executor: Any = None
) -> Any:
    native = _native_integrand(f)
    a, b, n = _checked(a, b, n_iter)
    if native is None:
        return None
    if isinstance(f, Polynomial):
        # From domain to window, where the coefficients are those of `f`: expanded in
        # powers of x itself, they would lose digits to cancellation.
        offset, scale = f.mapparms()
        a, b = offset + scale * a, offset + scale * b
    return _core.plan_integrate(native, a, b, n)


_integrate.__name__ = _integrate.__qualname__ = "integrate"
integrate = Builtin(_integrate, _plan_integrate)


def ufunc(u: Any) -> Ufunc | NumpyUfunc:
    """Make a ufunc that runs large calls on the pool.

    Parameters
    ----------
    u : numpy.ufunc
        Of NumPy or :mod:`scipy.special`, or what ``numba.vectorize`` and
        ``numba.guvectorize`` make; generalised ufuncs, too.

    Returns
    -------
    callable
        Takes what `u` takes, and ``executor=``, over whose native pool to split the
        work; by default the process's own. It has the methods of a ufunc; ``reduce``
        and ``accumulate`` are split over the axes that are kept.

    Raises
    ------
    TypeError
        If `u` is no ufunc.

    Notes
    -----
    The results are NumPy's, to the last bit, and so are dtypes, warnings and errors;
    `numpy.errstate` decides as usual. NumPy itself runs what is small, what needs the
    GIL (objects, strings, functions of Python), what may raise exceptions (integer
    powers, ufuncs of unknown libraries), subclasses, and arrays that override ufuncs.

    Examples
    --------
    >>> import numpy as np
    >>> from stealpool import kernels
    >>> cos = kernels.ufunc(np.cos)
    >>> x = np.linspace(0.0, 1.0, 1_000_000)
    >>> np.array_equal(cos(x), np.cos(x))
    True
    """
    from .ufunc import make_ufunc

    return make_ufunc(u)
