"""The photograph that is blurred: the user's, or the one that the package ships."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["ImageError", "Photograph"]


class ImageError(Exception):
    """A file is no image; the message says which, why, and what to do."""


@dataclass(frozen=True)
class Photograph:
    """An image of shape (H, W, 3), uint8, and what to call it."""

    name: str
    pixels: NDArray[np.uint8]

    @classmethod
    def load(cls, path: str | None) -> Photograph:
        """Read an image file; None for the photograph that the package ships."""
        if path is None:
            resource = files("stealpool") / "data" / "photograph.npz"
            with as_file(resource) as file, np.load(file) as arrays:
                return cls("the photograph that comes with stealpool", arrays["image"])
        return cls(Path(path).name, _read(path))

    @property
    def size(self) -> str:
        height, width, _ = self.pixels.shape
        return f"{width} x {height}"

    def enlarged(self, times: int) -> Photograph:
        """Each pixel repeated along both axes."""
        pixels = self.pixels.repeat(times, axis=0).repeat(times, axis=1)
        return Photograph(f"{self.name}, {times} times enlarged", pixels)


def _read(path: str) -> NDArray[np.uint8]:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise ImageError(
            f"reading {path!r} needs Pillow, which is not installed: "
            'python -m pip install "stealpool[compare]", or leave --image out'
        ) from None
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError:
        reason = "there is no such file"
    except IsADirectoryError:
        reason = "it is a folder"
    except UnidentifiedImageError:
        reason = "it is not in a format that Pillow knows"
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        reason = str(error)
    raise ImageError(
        f"{path!r} is no image that can be read: {reason}; give --image the path of a "
        "JPEG, PNG or TIFF file, or leave it out for the photograph that comes with "
        "stealpool"
    )
