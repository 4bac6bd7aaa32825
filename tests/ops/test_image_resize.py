"""Images made larger and smaller, against TensorFlow and against the pixel-by-pixel formulas."""

import itertools

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, assert_same, case_name, check_row, floats, ints, row_cases

ANY = ("uint8", "int8", "uint16", "int16", "int32", "int64", "float16", "bfloat16", "float64")
NAMES = {
    "ResizeBilinear": "resize_bilinear",
    "ResizeNearestNeighbor": "resize_nearest_neighbor",
    "ResizeBicubic": "resize_bicubic",
    "ResizeArea": "resize_area",
}
HOW = [{}, {"align_corners": True}, {"half_pixel_centers": True}]
SIZES = [((2, 4, 5, 3), (7, 3)), ((1, 5, 7, 1), (2, 13)), ((1, 1, 3, 2), (1, 1)),
         ((1, 6, 4, 2), (3, 2))]  # fmt: skip


def _rows_of(op):
    for how, (shape, size) in itertools.product(HOW, SIZES):
        if op == "ResizeArea" and "half_pixel_centers" in how:
            continue
        exact = op == "ResizeNearestNeighbor"
        yield Row(op, f"image.{NAMES[op]}", [floats(*shape)], {"size": size, **how},
                  grad=op == "ResizeNearestNeighbor", label=f"{shape}{size}{how}",
                  tolerance=0 if exact else 1)  # fmt: skip
    yield Row(op, f"image.{NAMES[op]}", [ints(2, 3, 4, 2, high=100, dtype=None)],
              {"size": (5, 3)}, dtypes=ANY, label="any dtype")  # fmt: skip
    yield Row(op, f"image.{NAMES[op]}", [floats(0, 4, 4, 1)], {"size": (2, 3)}, label="none")


def _gradient_row(op, how, shape, size, dtypes=("float32",)):
    """Weights are float32 in TensorFlow, whatever the images are."""

    def build(module, x, weights):
        y = getattr(module.image, NAMES[op])(x, size, **how)
        return module.gradients(y, x, weights)[0]

    slopes = floats(shape[0], *size, shape[3],
                    dtype=None if op == "ResizeNearestNeighbor" else "float32")  # fmt: skip
    return Row(f"{op}Grad", build, [floats(*shape), slopes], {}, dtypes,
               same_graph="rules name their nodes otherwise",
               tolerance=1e5 if "float64" in dtypes and op != "ResizeNearestNeighbor" else 2,
               label=f"{shape}{size}{how}")  # fmt: skip


def _images(op, shape, **kwargs):
    def build(module, x, **kwargs):
        x.set_shape([None] * len(shape))
        return module.image.resize_images(x, **kwargs)

    return Row(op, build, [floats(*shape)], kwargs, label=f"{shape}{kwargs}")


METHOD = tf.image.ResizeMethod
ROWS = [
    *itertools.chain.from_iterable(map(_rows_of, NAMES)),
    *(_gradient_row(op, how, *sizes)
      for op in ("ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic")
      for how, sizes in itertools.product(HOW, SIZES)),
    _gradient_row("ResizeBilinear", {}, (1, 3, 4, 2), (5, 2), ("float64",)),
    _gradient_row("ResizeNearestNeighbor", {}, (1, 3, 4, 2), (5, 2), ("float16",)),
    _gradient_row("ResizeNearestNeighbor", {}, (1, 3, 4, 2), (5, 2), ("float64",)),
    _gradient_row("ResizeBicubic", {}, (1, 3, 4, 2), (5, 2), ("float64",)),
    _images("ResizeBilinear", (3, 4, 2), size=[5, 5]),
    _images("ResizeBilinear", (2, 3, 4, 2), size=[5, 5], align_corners=True, name="larger"),
    _images("ResizeNearestNeighbor", (3, 4, 2), size=[2, 5], method=METHOD.NEAREST_NEIGHBOR),
    _images("ResizeBicubic", (3, 4, 2), size=[2, 5], method="bicubic"),
    _images("ResizeArea", (3, 4, 2), size=[2, 5], method=METHOD.AREA),
    _images("ResizeBilinear", (3, 4, 2), size=[9, 9], preserve_aspect_ratio=True),
    _images("Squeeze", (3, 4, 2), size=[3, 4]),
    Row("ResizeBilinear", "image.resize_bilinear",
        [floats(1, 3, 4, 2), ints(2, low=2, high=5)], label="size unknown"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize("how", HOW, ids=str)
@pytest.mark.parametrize("op", ["ResizeBilinear", "ResizeBicubic", "ResizeNearestNeighbor"])
def test_the_gradient_is_the_transposed_map(op, how):
    """Images are resized linearly, so <resize(x), g> = <x, gradient(g)>."""
    rng = np.random.default_rng(3)
    x, g = rng.normal(size=(2, 40, 9, 3)), rng.normal(size=(2, 11, 50, 3)).astype("float32")
    with tf.Graph().as_default(), tf.Session() as session:
        fed = tf.placeholder("float32", x.shape)
        y = getattr(tf.image, NAMES[op])(fed, [11, 50], **how)
        weights = tf.placeholder("float32", g.shape)
        slope = tf.gradients(y, fed, weights)[0]
        again = tf.gradients(slope, weights, fed)[0]
        results = session.run([y, slope, again], {fed: x, weights: g})
    assert np.vdot(results[0], g) == pytest.approx(np.vdot(x, results[1]), rel=1e-4)
    assert_same(results[2], results[0], "the gradient of the gradient")


def test_large_images_are_done_in_parts():
    x = np.random.default_rng(1).integers(0, 255, (3, 300, 210, 3)).astype("uint8")
    with tf.Graph().as_default(), tf.Session() as session:
        fed = tf.placeholder("uint8", [None, None, None, 3])
        names = list(NAMES.values())
        many = [getattr(tf.image, n)(fed, [170, 260]) for n in names]
        whole = session.run(many, {fed: x})
        for image, *alone in zip(x, *whole, strict=True):
            for one, part in zip(session.run(many, {fed: image[None, :]}), alone, strict=True):
                assert_same(one[0], part, "one image")


def _between(x, axis, new):
    """Along one axis, by the formula, with corners aligned."""
    at = np.arange(new, dtype=np.float32) * (np.float32(x.shape[axis] - 1) / np.float32(new - 1))
    lower, upper = np.floor(at).astype(int), np.minimum(np.ceil(at).astype(int), x.shape[axis] - 1)
    part = np.expand_dims(at - np.floor(at), [a for a in range(x.ndim) if a != axis])
    start, end = x.take(lower, axis), x.take(upper, axis)
    return start + (end - start) * part


@pytest.mark.parametrize("size", [(90, 41), (61, 61), (35, 70), (9, 5)])
@pytest.mark.parametrize("odd", [0, np.nan, np.inf, 3e38])
def test_bilinear_by_the_formula(size, odd, device):
    """What is not finite changes the pixels beside it, and no others; the same stays the same."""
    x = np.random.default_rng(2).normal(0, 1, (2, 45, 31, 3)).astype("float32")
    x[0, :, :, 0] = 0.1
    x[1, 20, 7, 1], x[0, 44, 30, 2] = odd, -odd
    with tf.Graph().as_default(), tf.Session() as session:
        with tf.device(device):
            y = tf.image.resize_bilinear(tf.constant(x), size, align_corners=True)
        result = session.run(y)
    with np.errstate(all="ignore"):
        expected = _between(_between(x, 2, size[1]), 1, size[0])
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)
    # To the last bit but one: two weights of a product need not add up to one.
    np.testing.assert_array_max_ulp(result[0, :, :, 0], np.full(size, 0.1, np.float32), 1)


BAD = [
    (lambda x: tf.image.resize_images(x, [2, 2]), "'images' contains no shape"),
    (lambda x: tf.image.resize_images(tf.zeros([2, 2]), [2, 2]), "either 3 or 4 dimensions"),
    (lambda x: tf.image.resize_images(tf.zeros([2, 2, 1]), [2]), "1-D Tensor of 2 elements"),
    (lambda x: tf.image.resize_images(tf.zeros([2, 2, 1]), "a"), "must be a 1-D int32 Tensor"),
    (lambda x: tf.image.resize_images(tf.zeros([2, 2, 1]), [3, 3], method=7), "not implemented"),
    (lambda x: tf.image.resize_bilinear(tf.zeros([2, 2, 1]), [3, 3]), "must be rank 4"),
]


@pytest.mark.parametrize(("build", "phrase"), BAD)
def test_refused_when_built(build, phrase, fresh_graph):
    with pytest.raises(ValueError, match=phrase):
        build(tf.placeholder("float32"))


WRONG = [
    ((1, 2, 2, 1), [0, 3], {}, "output dimensions must be positive"),
    ((1, 2, 2, 1), [-1, 3], {}, "output dimensions must be positive"),
    ((1, 0, 2, 1), [3, 3], {}, "input image must be of non-zero size"),
    ((1, 2, 2, 0), [3, 3], {}, "at least one channel"),
    ((2, 2, 1), [3, 3], {}, "must be 4-dimensional"),
    ((1, 2, 2, 1), [[3, 3]], {}, "shape_t must be 1-dimensional"),
    ((1, 2, 2, 1), [3, 3, 3], {}, "shape_t must have two elements"),
    ((1, 2, 2, 1), [3, 3], {"align_corners": True, "half_pixel_centers": True}, "must be False"),
]


@pytest.mark.parametrize(("shape", "size", "how", "phrase"), WRONG)
def test_refused_when_run(shape, size, how, phrase, fresh_graph):
    x, sizes = tf.placeholder("float32"), tf.placeholder("int32")
    y = tf.image.resize_bilinear(x, sizes, **how)
    with tf.Session() as session:
        with pytest.raises(tf.errors.InvalidArgumentError, match=phrase):
            session.run(y, {x: np.zeros(shape), sizes: size})
        assert session.run(x, {x: 1.0}) == 1.0
