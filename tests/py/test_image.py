"""stealpool.image: against scipy, for every border, shape and dtype."""

import itertools

import numpy as np
import pytest
import stealpool
from hypothesis import given
from hypothesis import strategies as st
from stealpool import image as sp_image
from stealpool.image import gaussian_filter, rgb_to_gray

MODES = ["reflect", "mirror", "nearest", "constant", "wrap"]
SHAPES = [(1, 1), (1, 7), (7, 1), (2, 2), (33, 65), (64, 48, 3), (5, 9, 4), (8, 8, 1)]
DTYPES = [np.float32, np.uint8]


def sample(shape, dtype, seed=0):
    values = np.random.default_rng(seed).random(shape) * 255
    return values.astype(dtype)


def expected_blur(image, sigma, **options):
    """What scipy gives in double precision, rounded once."""
    ndimage = pytest.importorskip("scipy.ndimage")
    sigmas = sigma if isinstance(sigma, tuple) else (sigma, sigma)
    radius = options.pop("radius", None)
    if radius is not None:
        radius = radius if isinstance(radius, tuple) else (radius, radius)
        options["radius"] = radius + (0,) * (image.ndim - 2)
    sigmas += (0,) * (image.ndim - 2)
    blurred = ndimage.gaussian_filter(image.astype(float), sigmas, **options)
    return np.rint(blurred) if image.dtype == np.uint8 else blurred


PADDING = {  # what numpy.pad() calls scipy's borders
    "reflect": {"mode": "symmetric"},
    "mirror": {"mode": "reflect"},
    "nearest": {"mode": "edge"},
    "constant": {"mode": "constant", "constant_values": 30.0},
    "wrap": {"mode": "wrap"},
}


def plain_blur(image, sigma, mode):
    """The same in NumPy, from the definition, in double precision; not rounded."""
    blurred = image.astype(float)
    for axis in (0, 1):
        radius = int(4.0 * sigma + 0.5)
        weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
        widths = [(radius, radius) if a == axis else (0, 0) for a in range(image.ndim)]
        padded = np.pad(blurred, widths, **PADDING[mode])
        blurred = np.apply_along_axis(
            np.convolve, axis, padded, weights / weights.sum(), mode="valid"
        )
    return blurred


def check(image, result, expected):
    assert result.dtype == image.dtype
    assert result.shape == image.shape
    if image.dtype == np.uint8:
        assert np.abs(result.astype(int) - expected).max() <= 1
    else:
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-4)


# -------------------------------------------------------------------------------- blur


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_blur_agrees_with_scipy(mode, shape, dtype):
    image = sample(shape, dtype)
    result = gaussian_filter(image, 1.5, mode=mode, cval=30.0)
    check(image, result, expected_blur(image, 1.5, mode=mode, cval=30.0))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(30, 20), (21, 17, 3)], ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_blur_is_the_weighted_mean_of_the_definition(mode, shape, dtype):
    image = sample(shape, dtype)
    result = gaussian_filter(image, 1.5, mode=mode, cval=30.0)
    check(image, result, plain_blur(image, 1.5, mode))


def test_bytes_are_rounded_to_the_nearest_once():
    image = sample((64, 48), np.uint8)
    exact = plain_blur(image, 1.5, "reflect")
    assert np.abs(gaussian_filter(image, 1.5) - exact).max() < 0.5 + 1e-3


@pytest.mark.parametrize("dtype", DTYPES)
def test_sigma_zero_changes_nothing(dtype):
    image = sample((20, 30, 3), dtype)
    np.testing.assert_array_equal(gaussian_filter(image, 0), image)


def test_pair_may_be_any_one_dimensional_array():
    image = sample((20, 30), np.float32)
    np.testing.assert_array_equal(
        gaussian_filter(image, np.array([1.0, 2.0]), radius=[2, 3]),
        gaussian_filter(image, (1.0, 2.0), radius=(2, 3)),
    )


@pytest.mark.parametrize(
    ("sigma", "options"),
    [
        (0, {}),
        ((0, 2.0), {}),
        ((2.0, 0), {}),
        ((0.3, 4.0), {}),
        (2.0, {"truncate": 1.0}),
        (2.0, {"truncate": 0.0}),
        (2.0, {"radius": 1}),
        (2.0, {"radius": (3, 0)}),
        (20.0, {}),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_widths_are_scipys(sigma, options, dtype):
    image = sample((40, 30), dtype)
    check(
        image,
        gaussian_filter(image, sigma, **options),
        expected_blur(image, sigma, **options),
    )


def views():
    base = sample((40, 60, 3), np.float32)
    yield "rows", base[::2]
    yield "columns", base[:, ::2]
    yield "upside down", base[::-1]
    yield "mirrored", base[:, ::-1]
    yield "transposed", base.transpose(1, 0, 2)
    yield "channel", base[:, :, 1]
    yield "cut", base[3:20, 5:30]
    yield "fortran", np.asfortranarray(base)
    yield "broadcast", np.broadcast_to(base[:1], base.shape)


@pytest.mark.parametrize("image", [pytest.param(v, id=name) for name, v in views()])
def test_strided_views_are_as_good_as_copies(image):
    copy = np.ascontiguousarray(image)
    np.testing.assert_array_equal(gaussian_filter(image, 2), gaussian_filter(copy, 2))


def test_read_only_image_is_read():
    image = sample((20, 30, 3), np.uint8)
    expected = gaussian_filter(image, 1)
    image.flags.writeable = False
    np.testing.assert_array_equal(gaussian_filter(image, 1), expected)


def test_image_is_not_changed():
    image = sample((20, 30, 3), np.uint8)
    before = image.copy()
    gaussian_filter(image, 1)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_result_does_not_depend_on_the_number_of_workers(dtype, make_executor):
    image = sample((257, 129, 3), dtype)
    results = [
        gaussian_filter(image, 3, executor=make_executor(n)).tobytes()
        for n in (1, 2, 5)
    ]
    results.append(
        make_executor(2).submit(gaussian_filter, image, 3).result().tobytes()
    )
    results.append(gaussian_filter(image, 3).tobytes())
    assert len(set(results)) == 1


def test_out_is_written_and_returned():
    image, out = sample((20, 30), np.float32), np.empty((20, 30), np.float32)
    assert gaussian_filter(image, 1, out=out) is out
    np.testing.assert_array_equal(out, gaussian_filter(image, 1))


def test_submitted_blur_returns_out(make_executor):
    image, out = sample((20, 30), np.float32), np.empty((20, 30), np.float32)
    assert make_executor(1).submit(gaussian_filter, image, 1, out=out).result() is out
    np.testing.assert_array_equal(out, gaussian_filter(image, 1))


@pytest.mark.parametrize("step", [-1, 2])
def test_rows_of_out_may_be_in_any_order(step):
    image = sample((20, 30), np.float32)
    out = np.empty((20 * abs(step), 30), np.float32)[::step]
    assert gaussian_filter(image, 1, out=out) is out
    np.testing.assert_array_equal(out, gaussian_filter(image, 1))


def test_out_may_be_a_view_with_contiguous_rows():
    image, frame = sample((20, 30), np.float32), np.zeros((40, 50), np.float32)
    out = frame[5:25, 7:37]
    assert gaussian_filter(image, 1, out=out) is out
    np.testing.assert_array_equal(out, gaussian_filter(image, 1))
    frame[5:25, 7:37] = 0
    assert not frame.any()


def test_what_asarray_takes_is_an_image():
    pillow = pytest.importorskip("PIL.Image")
    image = sample((9, 8, 3), np.uint8)
    np.testing.assert_array_equal(
        gaussian_filter(pillow.fromarray(image), 1), gaussian_filter(image, 1)
    )


def test_submitted_blur_keeps_its_image(make_executor, gate):
    executor, image = make_executor(1), sample((20, 30), np.float32)
    expected = gaussian_filter(image, 1)
    executor.submit(gate.kernel, gate.key)
    future = executor.submit(gaussian_filter, image, 1)
    with pytest.raises(ValueError, match="cannot resize"):
        image.resize((1, 1))
    del image
    gate.open()
    np.testing.assert_array_equal(future.result(), expected)


def test_map_over_images(make_executor):
    images = [sample((20, 30), np.uint8, seed) for seed in range(10)]
    results = make_executor(2).map(gaussian_filter, images, itertools.repeat(1.0))
    for image, result in zip(images, results, strict=True):
        np.testing.assert_array_equal(result, gaussian_filter(image, 1.0))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0, 3), (4, 4, 0)], ids=str)
def test_empty_image_gives_an_empty_image(shape, dtype):
    assert gaussian_filter(np.zeros(shape, dtype), 1).shape == shape


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(MODES),
    st.floats(0, 8),
    st.sampled_from([None, 1, 2, 3, 4]),
    st.sampled_from(DTYPES),
)
def test_blur_agrees_with_scipy_for_any_shape(
    height, width, mode, sigma, channels, dtype
):
    shape = (height, width) if channels is None else (height, width, channels)
    image = sample(shape, dtype, height * width)
    check(
        image,
        gaussian_filter(image, sigma, mode=mode),
        expected_blur(image, sigma, mode=mode),
    )


# -------------------------------------------------------------------------------- gray


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (64, 65)], ids=str)
def test_gray_is_the_luma(shape, channels, dtype):
    image = sample((*shape, channels), dtype)
    result = rgb_to_gray(image)
    expected = image[..., :3].astype(float) @ [0.299, 0.587, 0.114]
    assert result.dtype == dtype
    if dtype == np.uint8:
        assert np.abs(result - expected).max() <= 0.51
    else:
        np.testing.assert_allclose(result, expected, rtol=1e-6)


def byte_colours():
    """Each level of each channel, and many mixtures."""
    levels = np.arange(256, dtype=np.uint8)
    axes = [np.stack([levels * (c == i) for c in range(3)], -1) for i in range(3)]
    return np.concatenate([*axes, sample((4096, 3), np.uint8)])[None]


def test_gray_of_bytes_is_the_luma_in_integers():
    image = byte_colours()
    red, green, blue = np.moveaxis(image.astype(int), -1, 0)
    luma = (9798 * red + 19235 * green + 3735 * blue + 2**14) >> 15
    np.testing.assert_array_equal(rgb_to_gray(image), luma)


def test_gray_of_bytes_is_what_opencv_gives():
    cv2 = pytest.importorskip("cv2")
    image = byte_colours()
    expected = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    np.testing.assert_array_equal(rgb_to_gray(image), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_alpha_is_ignored(dtype):
    image = sample((20, 30, 4), dtype)
    colours = np.ascontiguousarray(image[..., :3])
    np.testing.assert_array_equal(rgb_to_gray(image), rgb_to_gray(colours))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0, 5), (5, 0)], ids=str)
def test_gray_of_an_empty_image_is_empty(shape, dtype):
    assert rgb_to_gray(np.zeros((*shape, 3), dtype)).shape == shape


@pytest.mark.parametrize("dtype", DTYPES)
def test_gray_does_not_depend_on_the_number_of_workers(dtype, make_executor):
    image = sample((513, 257, 3), dtype)
    one, two = make_executor(1), make_executor(2)
    results = {
        rgb_to_gray(image).tobytes(),
        rgb_to_gray(image, executor=one).tobytes(),
        rgb_to_gray(image, executor=two).tobytes(),
        two.submit(rgb_to_gray, image).result().tobytes(),
    }
    assert len(results) == 1


def test_gray_of_gray_is_itself():
    values = np.arange(256, dtype=np.uint8)
    image = np.repeat(values[None, :, None], 3, axis=2)
    np.testing.assert_array_equal(rgb_to_gray(image)[0], values)


def test_gray_takes_views_and_out(make_executor):
    image = sample((20, 30, 3), np.uint8)
    out = np.empty((20, 30), np.uint8)
    assert rgb_to_gray(image, out=out) is out
    np.testing.assert_array_equal(rgb_to_gray(image[::2, ::3]), out[::2, ::3])
    np.testing.assert_array_equal(
        make_executor(1).submit(rgb_to_gray, image).result(), out
    )


# --------------------------------------------------------------------------- bad input


@pytest.fixture(params=["call", "submit"])
def run(request, make_executor):
    executor = make_executor(1)

    def run(function, *args, **kwargs):
        if request.param == "call":
            return function(*args, **kwargs)
        return executor.submit(function, *args, **kwargs).result()

    return run


@pytest.mark.parametrize("dtype", [np.float64, np.int16, bool, ">f4", object])
@pytest.mark.parametrize("function", [gaussian_filter, rgb_to_gray])
def test_other_dtypes_are_refused(run, function, dtype):
    arguments = (1,) if function is gaussian_filter else ()
    with pytest.raises(
        TypeError, match=r"must be uint8 or float32, got.*image\.astype"
    ):
        run(function, np.zeros((4, 4, 3), dtype), *arguments)


@pytest.mark.parametrize("shape", [(), (4,), (2, 2, 2, 2)])
def test_other_shapes_are_refused(run, shape):
    with pytest.raises(ValueError, match=r"the image must have the shape .*got"):
        run(gaussian_filter, np.zeros(shape, np.float32), 1)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 2), (4, 4, 5)])
def test_gray_needs_three_or_four_channels(run, shape):
    with pytest.raises(ValueError, match="rgb_to_gray: the image must have the shape"):
        run(rgb_to_gray, np.zeros(shape, np.float32))


def read_only(image):
    out = np.empty_like(image)
    out.flags.writeable = False
    return out


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (
            lambda im: np.empty((3, 3), np.float32),
            ValueError,
            "out must have the shape",
        ),
        (
            lambda im: np.empty(im.shape, np.uint8),
            ValueError,
            "out must have the shape",
        ),
        (read_only, ValueError, "out is read-only"),
        (lambda im: im, ValueError, "out must not overlap the image"),
        (lambda im: np.empty((8, 16), np.float32)[:, ::2], ValueError, "rows of out"),
        (lambda im: im.tolist(), TypeError, "out must be an array, got list"),
    ],
)
def test_out_that_does_not_fit_is_refused(run, out, error, message):
    image = sample((8, 8), np.float32)
    with pytest.raises(error, match=message):
        run(gaussian_filter, image, 1, out=out(image))


@pytest.mark.parametrize(
    ("sigma", "options", "message"),
    [
        (-1, {}, "sigma must be finite and not negative, got -1"),
        (float("nan"), {}, "sigma must be finite and not negative, got nan"),
        (float("inf"), {}, "sigma must be finite and not negative, got inf"),
        ((1, 2, 3), {}, "sigma must be one number, or one for each of"),
        ("12", {}, "sigma must be one number, or one for each of .*got '12'"),
        ([[1, 2]], {}, "sigma must be one number, or one for each of"),
        (1, {"mode": "grid"}, "mode must be one of .*got 'grid'"),
        (1, {"truncate": -1}, "truncate must be finite and not negative, got -1"),
        (1, {"truncate": float("nan")}, "truncate must be finite .*got nan"),
        (1, {"radius": float("inf")}, "radius must be an integer .*got inf"),
        (1, {"radius": float("nan")}, "radius must be an integer .*got nan"),
        (1, {"radius": 65536}, "a radius of 65536 pixels, at most 65535"),
        (1e300, {"truncate": 1e300}, "pixels, at most 65535 are supported; choose a"),
        (1, {"radius": -1}, "radius must be an integer and not negative, got -1"),
        (1, {"radius": 1.5}, "radius must be an integer and not negative, got 1.5"),
        (1e6, {}, "the filter has a radius of 4000000 pixels, at most 65535"),
    ],
)
def test_bad_parameters_are_refused(run, sigma, options, message):
    with pytest.raises(ValueError, match=message):
        run(gaussian_filter, sample((8, 8), np.float32), sigma, **options)


@pytest.mark.parametrize("cval", [-1, 255.5, 256, float("nan")])
@pytest.mark.parametrize("mode", MODES)
def test_cval_of_a_byte_image_must_be_a_byte(run, cval, mode):
    message = f"cval must be from 0 to 255 for an image of uint8, got {cval}"
    with pytest.raises(ValueError, match=message):
        run(gaussian_filter, sample((8, 8), np.uint8), 1, mode=mode, cval=cval)


@pytest.mark.parametrize("cval", [-1000.0, 1e6])
def test_cval_of_a_float_image_is_any_number(cval):
    image = np.full((1, 1), cval, np.float32)
    blurred = gaussian_filter(image, 1, mode="constant", cval=cval)
    np.testing.assert_allclose(blurred, cval, rtol=1e-6)


def test_refused_image_raises_at_submit_and_queues_nothing(make_executor):
    executor = make_executor(1)
    with pytest.raises(ValueError, match="sigma"):
        executor.submit(gaussian_filter, sample((8, 8), np.uint8), -1)
    assert executor.stats()["submitted"] == 0


def test_names_of_the_module():
    assert sp_image.__all__ == ["gaussian_filter", "rgb_to_gray"]
    assert stealpool.image is sp_image
