"""A Gaussian blur of a 1080p image, beside scipy.ndimage and OpenCV.

Supports in docs/benchmarks.md: the rows of "gaussian_filter at 1080p". All use the same
radius, int(4 sigma + 0.5), and the same border. OpenCV runs its own threads, as many as
stealpool has workers; scipy has one thread, and blurs the two axes of the image only.
"""

import cv2
import numpy as np
import stealpool
from measure import arguments, best, compare, headline, save
from scipy import ndimage
from stealpool import image

SHAPE = (1080, 1920)


def alternatives(array, sigma):
    size = 2 * int(4 * sigma + 0.5) + 1
    sigmas = (sigma, sigma, 0)[: array.ndim]
    border = cv2.BORDER_REFLECT  # scipy's "reflect"
    return {
        "stealpool": lambda: image.gaussian_filter(array, sigma),
        "scipy.ndimage": lambda: ndimage.gaussian_filter(array, sigmas),
        "cv2.GaussianBlur": lambda: cv2.GaussianBlur(
            array, (size, size), sigma, borderType=border
        ),
    }


def check(found, array):
    """Equal to rounding: scipy truncates to uint8 after each axis, where we round."""
    ours = found["stealpool"].result.astype(np.float64)
    is_float = array.dtype == np.float32
    differences = {}
    for name, entry in found.items():
        differences[name] = float(np.abs(entry.result - ours).max())
        assert differences[name] <= (1e-4 if is_float else 2), differences
    return differences


def main():
    parser = arguments(__doc__, rounds=5)
    args = parser.parse_args()
    headline()
    cv2.setNumThreads(stealpool._core.build_config()["usable_cpus"])
    rng = np.random.default_rng(1)
    images = {
        "float32 gray": rng.random(SHAPE, dtype=np.float32),
        "uint8 colour": rng.integers(0, 256, (*SHAPE, 3), dtype=np.uint8),
    }
    records = []
    for kind, array in images.items():
        for sigma in (2, 10):
            found = best(args.rounds, alternatives(array, sigma))
            differences = check(found, array)
            title = f"{kind} 1920 x 1080, sigma {sigma}"
            records.append(compare(title, found, differences=differences))
    save(args.json, __file__, records)


if __name__ == "__main__":
    main()
