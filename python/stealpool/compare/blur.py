"""Blur a photograph: built-in kernels against the libraries that people use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stealpool.image import gaussian_filter

from .photograph import Photograph
from .row import OURS, Row, Settings
from .timing import measure

__all__ = ["rows"]

_MEGAPIXELS = 3e6


def rows(settings: Settings) -> Iterator[Row]:
    """Yield rows for gray and colour, small and large sigma, both sizes."""
    for photograph in _sizes(settings):
        colour = photograph.pixels
        gray = colour.mean(axis=2).astype(np.float32)
        for what, image, sigma in (
            ("gray float32", gray, 2.0),
            ("colour uint8", colour, 2.0),
            ("gray float32", gray, 10.0),
        ):
            yield from _blur(settings, photograph, what, image, sigma)


def _sizes(settings: Settings) -> list[Photograph]:
    photograph = settings.photograph
    times = int(np.ceil(np.sqrt(_MEGAPIXELS / photograph.pixels[..., 0].size)))
    if times < 2 or settings.quick:
        return [photograph]
    return [photograph, photograph.enlarged(times)]


def _blur(
    settings: Settings,
    photograph: Photograph,
    what: str,
    image: NDArray[Any],
    sigma: float,
) -> Iterator[Row]:
    right = _reference(image, sigma)
    # uint8: everybody rounds in his own way, OpenCV and SciPy after each axis.
    tolerance = 2.5 if image.dtype == np.uint8 else 2e-3
    out = np.empty_like(image)
    yield from measure(
        settings,
        f"Gaussian blur, sigma {sigma:g}, {what}, {photograph.size}",
        {
            "scipy.ndimage": _scipy(image, sigma),
            "OpenCV": _opencv(image, sigma),
            f"{OURS}.image": lambda: gaussian_filter(image, sigma, out=out),
        },
        lambda blurred: bool(np.abs(blurred - right).max() <= tolerance),
        settings.rounds(30),
        slow={"scipy.ndimage": settings.rounds(5)},
    )


def _reference(image: NDArray[Any], sigma: float) -> NDArray[np.float64]:
    """The plain formula in double precision, axis by axis."""
    radius = int(4.0 * sigma + 0.5)
    x = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (x / sigma) ** 2)
    weights /= weights.sum()
    blurred = image.astype(np.float64)
    for axis in (0, 1):
        margin = [(radius, radius) if a == axis else (0, 0) for a in range(image.ndim)]
        padded = np.pad(blurred, margin, mode="symmetric")
        n = image.shape[axis]
        blurred = sum(
            weight * padded.take(range(k, k + n), axis=axis)
            for k, weight in enumerate(weights)
        )
    return blurred


def _scipy(image: NDArray[Any], sigma: float) -> Callable[[], Any] | None:
    try:
        from scipy.ndimage import gaussian_filter as scipy_filter
    except ImportError:
        return None
    sigmas = (sigma, sigma, 0.0)[: image.ndim]
    out = np.empty_like(image)

    def run() -> Any:
        scipy_filter(image, sigmas, output=out)
        return out

    return run


def _opencv(image: NDArray[Any], sigma: float) -> Callable[[], Any] | None:
    try:
        import cv2
    except ImportError:
        return None
    size = 2 * int(4.0 * sigma + 0.5) + 1
    out = np.empty_like(image)
    return lambda: cv2.GaussianBlur(
        image, (size, size), sigma, dst=out, borderType=cv2.BORDER_REFLECT
    )
