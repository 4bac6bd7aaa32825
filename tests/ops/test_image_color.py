"""Colors of images, against TensorFlow and against the standard library's formulas."""

import colorsys

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, floats, ints, row_cases, value

PIXELS = floats(2, 3, 4, 3, low=0, high=1)
GRAY = [[[0.5, 0.5, 0.5], [0, 0, 0], [1, 1, 1]], [[1, 0, 0], [0.2, 0.7, 0.7], [0.3, 0, 0.3]]]


def each(function):
    def of_all(x, **_):
        flat = x.reshape(-1, 3)
        return np.array([function(*pixel) for pixel in flat.astype(float)]).reshape(x.shape)

    return of_all


def _row(op, name, inputs, kwargs=None, dtypes=("float32",), rank=None, **more):
    def build(module, *tensors, **kwargs):
        if rank is not None:
            tensors[0].set_shape([None] * (rank - 1) + [3])
        return getattr(module.image, name)(*tensors, **kwargs)

    label = more.pop("label", f"{name}{kwargs or ''}")
    return Row(op, build, inputs, kwargs or {}, dtypes, label=label, **more)


def _adjusted():
    for op, name, key, factor in (
        ("AdjustHue", "adjust_hue", "delta", 0.3),
        ("AdjustHue", "adjust_hue", "delta", -0.9),
        ("AdjustSaturation", "adjust_saturation", "saturation_factor", 0.4),
        ("AdjustSaturation", "adjust_saturation", "saturation_factor", 3.0),
        ("AdjustContrastv2", "adjust_contrast", "contrast_factor", 1.7),
    ):
        yield _row(op, name, [PIXELS], {key: factor})
        yield _row(op, name, [value(GRAY)], {key: factor}, label=f"{name}{factor} gray")
        yield _row(op, name, [ints(2, 3, 3, high=255, dtype="uint8")], {key: factor},
                   label=f"{name}{factor} bytes")  # fmt: skip
        yield _row(op, name, [PIXELS], {key: factor}, ("float16",), label=f"{name}{factor} half",
                   oracle="its CPU has no such kernel")  # fmt: skip
    yield _row("AddV2", "adjust_brightness", [PIXELS], {"delta": 0.2}, ("float32", "float16"))
    yield _row("Cast", "adjust_brightness", [ints(3, 3, 3, high=255, dtype="uint8")],
               {"delta": -0.3}, label="bytes")  # fmt: skip
    yield _row("Pow", "adjust_gamma", [PIXELS], {"gamma": 1.5, "gain": 0.9})


def _at_random(name, **kwargs):
    def build(module, x):
        return getattr(module.image, name)(x, seed=5, **kwargs)

    return Row("RandomUniform", build, [PIXELS], label=name)


ROWS = [
    _row("RGBToHSV", "rgb_to_hsv", [PIXELS], reference=each(colorsys.rgb_to_hsv), grad=True),
    _row("RGBToHSV", "rgb_to_hsv", [value(GRAY)], label="gray", grad=False),
    _row("RGBToHSV", "rgb_to_hsv", [PIXELS], dtypes=("float16", "bfloat16", "float64"),
         label="dtypes", tolerance=2),
    _row("HSVToRGB", "hsv_to_rgb", [PIXELS], reference=each(colorsys.hsv_to_rgb)),
    _row("HSVToRGB", "hsv_to_rgb", [PIXELS], dtypes=("float16", "bfloat16", "float64"),
         label="dtypes", tolerance=2),
    *_adjusted(),
    *(Row("Cast", "image.convert_image_dtype", [ints(3, 4, high=120, dtype=None)], {"dtype": to},
          (of,), label=f"{of} to {to}")
      for of, to in (("uint8", "float32"), ("uint8", "uint16"), ("uint16", "uint8"),
                     ("int32", "uint8"), ("uint8", "int32"), ("int16", "float16"))),
    *(Row("Cast", "image.convert_image_dtype", [floats(3, 4, low=low, high=1)],
          {"dtype": to, "saturate": low < 0}, (of,), label=f"{of} to {to}, {low}")
      for low in (0, -1) for of, to in (("float32", "uint8"), ("float32", "uint16"),
                                        ("float16", "float32"), ("float64", "uint8"))),
    Row("Identity", "image.convert_image_dtype", [PIXELS], {"dtype": "float32", "name": "same"}),
    *(_row("MatMul", name, [PIXELS], rank=4)
      for name in ("rgb_to_yiq", "yiq_to_rgb", "rgb_to_yuv", "yuv_to_rgb", "rgb_to_grayscale")),
    _row("MatMul", "rgb_to_grayscale", [ints(2, 5, 3, high=255, dtype="uint8")], rank=3,
         label="bytes"),
    Row("Tile", "image.grayscale_to_rgb", [floats(2, 3, 1)]),
    *(Row("RealDiv", "image.per_image_standardization", [x], label=label)
      for x, label in ((floats(2, 4, 5, 3), "batch"), (value(np.ones((3, 3, 1))), "flat"),
                       (ints(3, 3, 2, high=255, dtype="uint8"), "bytes"))),
    _at_random("random_brightness", max_delta=0.3),
    _at_random("random_hue", max_delta=0.3),
    _at_random("random_contrast", lower=0.2, upper=1.8),
    _at_random("random_saturation", lower=0.5, upper=1.5),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize(
    ("build", "phrase"),
    [
        (lambda x: tf.image.random_brightness(x, -0.1), "max_delta must be non-negative"),
        (lambda x: tf.image.random_hue(x, 0.6), "max_delta must be <= 0.5"),
        (lambda x: tf.image.random_hue(x, -0.6), "max_delta must be non-negative"),
        (lambda x: tf.image.random_contrast(x, 1.0, 0.5), "upper must be > lower"),
        (lambda x: tf.image.random_saturation(x, -1.0, 0.5), "lower must be non-negative"),
        (lambda x: tf.image.adjust_gamma(x, -1), "Gamma should be a non-negative"),
        (lambda x: tf.image.rgb_to_hsv(tf.zeros([2, 4])), "must be equal|incompatible"),
        (lambda x: tf.image.grayscale_to_rgb(tf.zeros([2, 2])), "should be size 1"),
    ],
)
def test_refused_when_built(build, phrase, fresh_graph):
    with pytest.raises(ValueError, match=phrase):
        build(tf.placeholder("float32", [2, 2, 3]))


@pytest.mark.parametrize(
    ("build", "shape", "phrase"),
    [
        (tf.image.rgb_to_hsv, (2, 2), "must have 3 channels but instead has 2"),
        (lambda x: tf.image.adjust_hue(x, 0.1), (2, 3), "at least 3-D"),
        (lambda x: tf.image.adjust_saturation(x, 0.1), (2, 3, 4), "instead has 4 channels"),
        (lambda x: tf.image.adjust_contrast(x, tf.ones([2])), (2, 3, 4), "must be scalar"),
        (tf.image.grayscale_to_rgb, (2, 3, 4), "should be size 1"),
        (tf.image.per_image_standardization, (2, 0, 4), "must be > 0"),
    ],
)
def test_refused_when_run(build, shape, phrase, fresh_graph):
    x = tf.placeholder("float32")
    y = build(x)
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=phrase):
        session.run(y, {x: np.zeros(shape)})
