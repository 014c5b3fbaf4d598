"""Built-in kernels on images.

Images are arrays of shape (height, width) or (height, width, channels), dtype uint8 or
float32, or anything that ``numpy.asarray`` makes one of. The dtype of the result is
that of the image. Called as they stand, the functions are split over ``executor``;
submitted, a call runs on one worker.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._core import Builtin
from .executor import Executor, default_executor

__all__ = ["gaussian_filter", "rgb_to_gray"]

_MODES = ("reflect", "mirror", "nearest", "constant", "wrap")
_MAX_RADIUS = 65535


def _checked_image(image: Any, name: str) -> NDArray[Any]:
    array = np.asarray(image)
    if array.dtype not in (np.uint8, np.float32):
        raise TypeError(
            f"{name}: the image must be uint8 or float32, got {array.dtype}; convert "
            "it, for example with image.astype(numpy.float32)"
        )
    if array.ndim not in (2, 3):
        raise ValueError(
            f"{name}: the image must have the shape (height, width) or (height, width, "
            f"channels), got {array.shape}"
        )
    return array if _rows_are_contiguous(array) else np.ascontiguousarray(array)


def _rows_are_contiguous(array: NDArray[Any]) -> bool:
    if array.size == 0 or not array.flags.aligned:
        return bool(array.flags.c_contiguous and array.flags.aligned)
    row = array[0]
    return bool(row.flags.c_contiguous) and abs(array.strides[0]) >= row.nbytes


def _checked_out(
    out: Any, shape: tuple[int, ...], image: NDArray[Any], name: str
) -> NDArray[Any]:
    if out is None:
        return np.empty(shape, image.dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name}: out must be an array, got {type(out).__name__}")
    if out.shape != shape or out.dtype != image.dtype:
        raise ValueError(
            f"{name}: out must have the shape {shape} and the dtype {image.dtype}, "
            f"got {out.shape} and {out.dtype}"
        )
    if not out.flags.writeable:
        raise ValueError(f"{name}: out is read-only")
    if not _rows_are_contiguous(out):
        raise ValueError(
            f"{name}: the rows of out must be contiguous, got strides {out.strides}"
        )
    if np.may_share_memory(image, out):
        raise ValueError(f"{name}: out must not overlap the image")
    return out


def _pair(value: Any, name: str, what: str) -> tuple[float, float]:
    values = tuple(value) if np.ndim(value) == 1 else (value, value)
    if len(values) != 2 or not all(hasattr(v, "__float__") for v in values):
        raise ValueError(
            f"{name}: {what} must be one number, or one for each of (y, x), "
            f"got {value!r}"
        )
    return float(values[0]), float(values[1])


def _plan_gaussian(
    image: Any,
    sigma: Any,
    *,
    mode: str = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
    radius: Any = None,
    out: Any = None,
    executor: Any = None,
) -> Any:
    name = "gaussian_filter"
    array = _checked_image(image, name)
    sigmas = _pair(sigma, name, "sigma")
    if not all(math.isfinite(s) and s >= 0 for s in sigmas):
        raise ValueError(
            f"{name}: sigma must be finite and not negative, got {sigma!r}"
        )
    if not (math.isfinite(truncate) and truncate >= 0):
        raise ValueError(
            f"{name}: truncate must be finite and not negative, got {truncate!r}"
        )
    if mode not in _MODES:
        raise ValueError(f"{name}: mode must be one of {_MODES}, got {mode!r}")
    if array.dtype == np.uint8 and not 0 <= cval <= 255:
        raise ValueError(
            f"{name}: cval must be from 0 to 255 for an image of uint8, got {cval!r}"
        )
    radii = (-1, -1) if radius is None else _radii(radius, name)
    widest = max(
        r if r >= 0 else min(truncate * s + 0.5, 2**62)
        for r, s in zip(radii, sigmas, strict=True)
    )
    if int(widest) > _MAX_RADIUS:
        raise ValueError(
            f"{name}: the filter has a radius of {int(widest)} pixels, at most "
            f"{_MAX_RADIUS} are supported; choose a smaller sigma, truncate or radius"
        )
    result = _checked_out(out, array.shape, array, name)
    return _core.plan_gaussian(
        array, result, array.dtype == np.uint8, sigmas, truncate, radii, mode, cval
    )


def _radii(radius: Any, name: str) -> tuple[int, int]:
    radii = _pair(radius, name, "radius")
    if not all(r >= 0 and r.is_integer() for r in radii):
        raise ValueError(
            f"{name}: radius must be an integer and not negative, got {radius!r}"
        )
    return int(radii[0]), int(radii[1])


def _gaussian_filter(
    image: Any,
    sigma: float | Sequence[float],
    *,
    mode: str = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
    radius: int | Sequence[int] | None = None,
    out: NDArray[Any] | None = None,
    executor: Executor | None = None,
) -> NDArray[Any]:
    """Blur an image with a Gaussian; each channel on its own.

    Parameters
    ----------
    image : array_like, shape (H, W) or (H, W, C), uint8 or float32
    sigma : float or (float, float)
        Standard deviation in pixels, for both axes or for (y, x). 0 leaves an axis
        as it is.
    mode : {"reflect", "mirror", "nearest", "constant", "wrap"}, optional
        What lies beyond the edges, in the words of ``scipy.ndimage``.
    cval : float, optional
        What lies there in the mode "constant".
    truncate : float, optional
        The filter ends at that many standard deviations.
    radius : int or (int, int), optional
        The filter ends at that many pixels instead.
    out : ndarray, optional
        Where to write the result: the shape and dtype of the image, contiguous rows,
        no overlap with the image.
    executor : Executor, optional
        Over whose native pool to split the work; by default the process's own.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    TypeError
        For another dtype.
    ValueError
        For a shape, parameter or `out` that does not fit.

    Notes
    -----
    The weights are those of ``scipy.ndimage.gaussian_filter``; sums are formed in
    float32. uint8 is rounded once, at the end, to the nearest (scipy truncates after
    each axis, which darkens the image by one gray level).
    """
    plan = _plan_gaussian(
        image,
        sigma,
        mode=mode,
        cval=cval,
        truncate=truncate,
        radius=radius,
        out=out,
    )
    result: NDArray[Any] = plan.run(
        executor if executor is not None else default_executor()
    )
    return result


def _plan_gray(image: Any, *, out: Any = None, executor: Any = None) -> Any:
    name = "rgb_to_gray"
    array = _checked_image(image, name)
    if array.ndim != 3 or array.shape[2] not in (3, 4):
        raise ValueError(
            f"{name}: the image must have the shape (height, width, 3) or (height, "
            f"width, 4), got {array.shape}"
        )
    result = _checked_out(out, array.shape[:2], array, name)
    return _core.plan_gray(array, result, array.dtype == np.uint8)


def _rgb_to_gray(
    image: Any,
    *,
    out: NDArray[Any] | None = None,
    executor: Executor | None = None,
) -> NDArray[Any]:
    """The luma of a colour image: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).

    Parameters
    ----------
    image : array_like, shape (H, W, 3) or (H, W, 4), uint8 or float32
        Red, green, blue, and possibly alpha, which is ignored.
    out : ndarray, shape (H, W), optional
        Where to write the result: the dtype of the image.
    executor : Executor, optional
        Over whose native pool to split the work; by default the process's own.

    Returns
    -------
    ndarray, shape (H, W)
        `out`, or a new array. For uint8 exactly what OpenCV gives.

    Raises
    ------
    TypeError, ValueError
        For another dtype or shape.
    """
    plan = _plan_gray(image, out=out)
    result: NDArray[Any] = plan.run(
        executor if executor is not None else default_executor()
    )
    return result


_gaussian_filter.__name__ = _gaussian_filter.__qualname__ = "gaussian_filter"
_rgb_to_gray.__name__ = _rgb_to_gray.__qualname__ = "rgb_to_gray"
gaussian_filter = Builtin(_gaussian_filter, _plan_gaussian)
rgb_to_gray = Builtin(_rgb_to_gray, _plan_gray)
