"""What is measured in images, against TensorFlow."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, floats, ints, row_cases

PIXELS = floats(2, 17, 15, 3, low=0, high=1)


def _row(op, name, *inputs, rank=4, grad=False, label="", tolerance=1.0, **kwargs):
    def build(module, *tensors):
        for tensor in tensors:
            tensor.set_shape([None] * rank)
        return getattr(module.image, name)(*tensors, **kwargs)

    known = "shapes out of ShapeN are known here" if name.startswith("ssim") else True
    return Row(op, build, inputs, grad=grad, tolerance=tolerance, same_graph=known,
               label=f"{name}{kwargs}{label}")  # fmt: skip


ROWS = [
    _row("Abs", "total_variation", PIXELS),
    _row("Abs", "total_variation", floats(4, 5, 2), rank=3),
    _row("ConcatV2", "image_gradients", PIXELS),
    _row("MirrorPad", "sobel_edges", floats(2, 5, 4, 3), grad=True, tolerance=4),
    _row("SquaredDifference", "psnr", PIXELS, PIXELS, max_val=1.0),
    _row("SquaredDifference", "psnr", *[ints(2, 4, 4, 3, high=255, dtype="uint8")] * 2,
         max_val=255, label="bytes"),
    _row("DepthwiseConv2dNative", "ssim", PIXELS, PIXELS, max_val=1.0, tolerance=4),
    _row("DepthwiseConv2dNative", "ssim", *[ints(2, 12, 14, 1, high=255, dtype="uint8")] * 2,
         max_val=255, filter_size=5, k1=0.02, tolerance=4),
    _row("DepthwiseConv2dNative", "ssim", PIXELS, PIXELS, max_val=1.0, return_index_map=True,
         tolerance=4),
    _row("DepthwiseConv2dNative", "ssim_multiscale", *[floats(1, 33, 30, 2, low=0, high=1)] * 2,
         max_val=1.0, power_factors=(0.3, 0.3, 0.4), filter_size=5, tolerance=10),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize("name", ["psnr", "ssim"])
def test_images_that_do_not_fit(name, fresh_graph):
    measure = getattr(tf.image, name)
    with pytest.raises(ValueError, match=r"compatible|must be equal"):
        measure(tf.zeros([2, 20, 20, 1]), tf.zeros([3, 20, 20, 1]), 1.0)
    x = tf.placeholder("float32")
    y = measure(x, tf.zeros([20, 20, 1]), 1.0)
    with tf.Session() as session:
        with pytest.raises(tf.errors.InvalidArgumentError):
            session.run(y, {x: np.zeros((20, 19, 1), "float32")})
        assert session.run(y, {x: np.ones((20, 20, 1), "float32")}).shape == ()


def test_the_same_images_are_alike(fresh_graph):
    x = tf.random_uniform([1, 20, 20, 3], seed=1)
    with tf.Session() as session:
        assert session.run(tf.image.ssim(x, x, 1.0)) == pytest.approx([1.0])
        assert session.run(tf.image.psnr(x, x, 1.0)) == [np.inf]


def test_total_variation_of_a_vector(fresh_graph):
    with pytest.raises(ValueError, match="either 3 or 4-dimensional"):
        tf.image.total_variation(tf.zeros([3]))
    with pytest.raises(ValueError, match="expects a 4D tensor"):
        tf.image.image_gradients(tf.zeros([3]))
