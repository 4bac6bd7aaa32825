"""Blocks moved to the batch and back; patches cut out of images."""

import math

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import FLOATS, INTS, Row, case_name, check_row, floats, row_cases


def _to_batch(x, blocks, paddings):
    """By the numbers of the pixels, one dimension after the other."""
    for d, pair in enumerate(paddings, 1):
        widths = [(0, 0)] * x.ndim
        widths[d] = tuple(pair)
        x = np.pad(x, widths)
    parts = []
    for offset in np.ndindex(*blocks):
        at = tuple(slice(o, None, b) for o, b in zip(offset, blocks, strict=True))
        parts.append(x[(slice(None), *at)])
    return np.concatenate(parts)


def _block_row(x, blocks, pairs, label="", dtypes=("float32",)):
    kwargs = {"block_shape": blocks, "paddings": pairs}
    return Row("SpaceToBatchND", "space_to_batch_nd", [floats(*x)], kwargs, dtypes,
               lambda x, block_shape, paddings: _to_batch(x, block_shape, paddings), grad=True,
               label=label)  # fmt: skip


def _back_row(x, blocks, crops, label="", dtypes=("float32",)):
    return Row("BatchToSpaceND", "batch_to_space_nd", [floats(*x)],
               {"block_shape": blocks, "crops": crops}, dtypes, grad=True, label=label)  # fmt: skip


def _patches(images, ksizes, strides, rates, padding):
    spans = []
    for d in (1, 2):
        reach = (ksizes[d] - 1) * rates[d] + 1
        size, stride = images.shape[d], strides[d]
        if padding == "SAME":
            count = -(-size // stride)
            start = -(max((count - 1) * stride + reach - size, 0) // 2)
        else:
            start, count = 0, (size - reach) // stride + 1
        spans.append([[start + o * stride + k * rates[d] for k in range(ksizes[d])]
                      for o in range(count)])  # fmt: skip
    out = np.zeros((images.shape[0], len(spans[0]), len(spans[1]), ksizes[1], ksizes[2],
                    images.shape[3]), images.dtype)  # fmt: skip
    for i, rows in enumerate(spans[0]):
        for j, columns in enumerate(spans[1]):
            for k, row in enumerate(rows):
                for m, column in enumerate(columns):
                    if 0 <= row < images.shape[1] and 0 <= column < images.shape[2]:
                        out[:, i, j, k, m] = images[:, row, column]
    return out.reshape(*out.shape[:3], math.prod(out.shape[3:]))


def _patch_row(x, ksizes, strides, rates, padding, label="", dtypes=("float32",), grad=True):
    kwargs = {"ksizes": ksizes, "strides": strides, "rates": rates, "padding": padding}
    return Row("ExtractImagePatches", "extract_image_patches", [floats(*x)], kwargs, dtypes,
               _patches, grad=grad, label=label or f"{kwargs}")  # fmt: skip


ONES = [1, 1, 1, 1]
ROWS = [
    _block_row((2, 4, 6, 3), [2, 3], [[0, 0], [0, 0]], dtypes=FLOATS[2:] + INTS),
    _block_row((1, 3, 4, 2), [2, 2], [[1, 0], [0, 2]], "padded"),
    _block_row((2, 5), [3], [[0, 1]], "vectors"),
    _block_row((0, 4, 2), [2], [[0, 0]], "no image"),
    Row("SpaceToBatch", lambda tf, x: tf.raw_ops.SpaceToBatch(
        input=x, paddings=[[1, 0], [0, 1]], block_size=2), [floats(2, 3, 3, 2)], grad=True),
    Row("BatchToSpace", lambda tf, x: tf.raw_ops.BatchToSpace(
        input=x, crops=[[1, 0], [0, 1]], block_size=2), [floats(8, 2, 2, 2)], grad=True),
    Row("SpaceToBatchND", "space_to_batch", [floats(1, 4, 3, 2)],
        {"paddings": [[0, 0], [1, 0]], "block_size": 2}, grad=True, label="images"),
    Row("BatchToSpaceND", "batch_to_space", [floats(4, 2, 3, 2)],
        {"crops": [[0, 0], [1, 0]], "block_size": 2}, grad=True, label="images"),
    _back_row((12, 2, 1, 3), [2, 3], [[0, 0], [0, 0]], dtypes=FLOATS[2:] + INTS),
    _back_row((4, 2, 3, 2), [2, 2], [[1, 1], [0, 3]], "cropped"),
    _back_row((3, 2), [3], [[0, 1]], "vectors"),
    _patch_row((2, 4, 5, 2), [1, 2, 3, 1], [1, 1, 2, 1], ONES, "VALID", dtypes=("int32",)),
    _patch_row((1, 4, 5, 2), [1, 3, 2, 1], [1, 2, 2, 1], ONES, "SAME"),
    _patch_row((1, 5, 6, 1), [1, 2, 2, 1], [1, 2, 1, 1], [1, 2, 3, 1], "SAME"),
    _patch_row((0, 5, 6, 1), [1, 2, 2, 1], ONES, ONES, "SAME", "no image", grad=False),
    Row("ExtractImagePatches", "image.extract_patches", [floats(1, 3, 3, 1)],
        {"sizes": [1, 2, 2, 1], "strides": ONES, "rates": ONES, "padding": "VALID"},
        label="later name"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def ph(*shape):
    return tf.placeholder("float32", shape)


PAIRS = [[0, 0], [0, 0]]
BAD = [
    (lambda: tf.space_to_batch_nd(ph(2, 3, 3, 4), [2, 2], PAIRS), "evenly divisible by 2 but is 3"),
    (lambda: tf.space_to_batch_nd(ph(2, 4, 3, 4), [0, 2], PAIRS), "block_shape must be positive"),
    (lambda: tf.space_to_batch_nd(ph(2, 4, 3, 4), [2, 2], [[0, 0], [0, -1]]), "paddings cannot"),
    (lambda: tf.space_to_batch_nd(ph(2, 4, 3, 4), [2, 2], [[0, 0]]), "must be equal, but are 1"),
    (lambda: tf.space_to_batch_nd(ph(2, 4), [2, 2], PAIRS), "at least rank 3 but is rank 2"),
    (lambda: tf.batch_to_space_nd(ph(3, 2, 2, 4), [2, 2], PAIRS), "evenly divisible by"),
    (lambda: tf.batch_to_space_nd(ph(8, 2, 2, 4), [2, 2], [[0, 0], [0, 9]]), "subtracting 9 from"),
    (lambda: tf.batch_to_space_nd(ph(8, 2, 2, 4), [2, 2], [[0, 0], [0, -1]]), "crops cannot be"),
    (lambda: tf.batch_to_space_nd(ph(8, 2, 2, 4), tf.placeholder("int32"), PAIRS), "have rank 1"),
    (lambda: tf.extract_image_patches(ph(1, 2, 2, 1), [1, 3, 3, 1], ONES, ONES, "VALID"),
     "Negative dimension size caused by subtracting 3 from 2"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "phrase"), BAD)
def test_refused_when_built(build, phrase, fresh_graph):
    with pytest.raises(ValueError, match=phrase):
        build()


RUN_TIME = [
    ("SpaceToBatchND", (2, 3, 3), [2, 2], PAIRS, r"padded_shape\[0\]=3 is not divisible by"),
    ("SpaceToBatchND", (2, 4), [2, 2], PAIRS, "input rank should be >= 3 instead of 2"),
    ("SpaceToBatchND", (2, 4, 4), [2, 0], PAIRS, "must be positive, got value 0"),
    ("SpaceToBatchND", (2, 4, 4), [2, 2], [[0, 0]], r"have shape \[2, 2\] instead of \[1,2\]"),
    ("SpaceToBatchND", (2, 4, 4), [2, 2], [[0, -4], [0, 0]], "must be non-negative"),
    ("BatchToSpaceND", (3, 4, 4), [2, 2], PAIRS, r"\(3\) is not divisible by product of block si"),
    ("BatchToSpaceND", (4, 1, 1), [2, 2], [[3, 0], [0, 0]], "must be non-negative"),
]


@pytest.mark.parametrize(("op", "shape", "blocks", "pairs", "phrase"), RUN_TIME)
def test_refused_when_run(op, shape, blocks, pairs, phrase, device, fresh_graph):
    sizes, amounts = tf.placeholder("int32", [None]), tf.placeholder("int32")
    x = tf.placeholder("float32")
    with tf.device(device):
        result = create_op(op, [x, sizes, amounts])
    feeds = {x: np.ones(shape), sizes: blocks, amounts: pairs}
    config = tf.ConfigProto(allow_soft_placement=True)
    with (
        tf.Session(config=config) as session,
        pytest.raises(tf.errors.InvalidArgumentError, match=phrase),
    ):
        session.run(result, feeds)


def test_paddings_that_make_blocks_fit(fresh_graph):
    sizes = tf.placeholder("int32", [2])
    known = tf.required_space_to_batch_paddings([5, 7], [2, 3], [[1, 0], [0, 1]])
    found = tf.required_space_to_batch_paddings(sizes, [2, 3], [[1, 0], [0, 1]])
    assert tf.get_static_value(known[0]).tolist() == [[1, 0], [0, 2]]
    with tf.Session() as session:
        for one in (session.run(known), session.run(found, {sizes: [5, 7]})):
            assert [x.tolist() for x in one] == [[[1, 0], [0, 2]], [[0, 0], [0, 1]]]
        assert session.run(tf.required_space_to_batch_paddings([4], [2]))[0].tolist() == [[0, 0]]
