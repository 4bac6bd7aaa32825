"""Windows of images, against TensorFlow where there is no noise in them."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import Row, case_name, check_row, floats, row_cases, value


def _row(size, offsets, centered=True, normalized=True):
    attrs = {"centered": centered, "normalized": normalized, "uniform_noise": False,
             "noise": "zero"}  # fmt: skip

    def build(module, image, offsets):
        if module is tf:
            sizes = module.constant(np.array(size, "int32"), name="op/size")
            return create_op("ExtractGlimpse", [image, sizes, offsets], attrs, "op")
        sizes = np.array(size, "int32")
        return module.raw_ops.ExtractGlimpse(
            input=image, size=sizes, offsets=offsets, name="op", **attrs
        )

    inputs = [floats(2, 5, 6, 3), value(offsets, "float32")]
    return Row("ExtractGlimpse", build, inputs, tolerance=0, same_graph="one names its constant",
               label=f"{size}{offsets}{centered}{normalized}")  # fmt: skip


OFFSETS = [[[0, 0], [0.3, -0.4]], [[-0.9, 1.1], [5.0, -7.0]], [[-0.2, 0.7], [1e30, float("nan")]]]
ROWS = [
    *(_row(size, offsets, centered, normalized)
      for size, offsets in zip(([2, 3], [4, 1], [9, 9]), OFFSETS, strict=True)
      for centered in (True, False) for normalized in (True, False)),
    Row("ExtractGlimpse", "image.extract_glimpse",
        [floats(1, 5, 6, 1)],
        {"size": [3, 3], "offsets": [[0.1, 0.1]]}),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize("noise", ["uniform", "gaussian"])
def test_noise_is_like_the_image(noise, fresh_graph):
    x = np.random.default_rng(1).uniform(5, 6, (1, 8, 8, 2)).astype("float32")
    attrs = {"uniform_noise": False, "noise": noise}
    inputs = [tf.constant(x), tf.constant([30, 30]), tf.zeros([1, 2])]
    with tf.Session() as session:
        glimpse = create_op("ExtractGlimpse", inputs, attrs)
        first, second = session.run(glimpse), session.run(glimpse)
    assert np.array_equal(first[:, 11:19, 11:19], x)
    assert not np.array_equal(first, second)
    assert abs(first.mean() - x.mean()) < 0.1
    assert x.min() <= first.min() < 5.1
    assert 5.9 < first.max() <= x.max()


WRONG = [
    ((3, 4), [2, 2], [[0.0, 0.0]], "must be 4-dimensional"),
    ((1, 3, 4, 1), [2, 2, 2], [[0.0, 0.0]], "vector of size 2"),
    ((1, 3, 4, 1), [2, 0], [[0.0, 0.0]], "must be positive"),
    ((2, 3, 4, 1), [2, 2], [[0.0, 0.0]], r"matrix of \[2, 2\]"),
]


@pytest.mark.parametrize(("shape", "size", "offsets", "phrase"), WRONG)
def test_refused_when_run(shape, size, offsets, phrase, fresh_graph):
    fed = [tf.placeholder("float32"), tf.placeholder("int32"), tf.placeholder("float32")]
    glimpse = tf.image.extract_glimpse(*fed)
    values = dict(zip(fed, (np.zeros(shape), size, offsets), strict=True))
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=phrase):
        session.run(glimpse, values)
