"""Images mirrored, turned, cut and padded, against TensorFlow and NumPy."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, floats, row_cases, value

ONE, BATCH = floats(4, 5, 3), floats(2, 4, 5, 3)


def _row(op, name, x, *args, rank=None, label="", **kwargs):
    """A row of a builder, told the rank when it must be, and with more arguments."""

    def build(module, *tensors):
        if rank is not None:
            tensors[0].set_shape([None] * rank)
        return getattr(module.image, name)(*tensors, *args, **kwargs)

    more = ", ".join(map(str, [*args, *kwargs.items()]))
    return Row(op, build, x if isinstance(x, list) else [x], dtypes=("float32",),
               label=f"{name} {more} {rank} {label}")  # fmt: skip


SCALARS = [value(1, "int32"), value(1, "int32"), value(2, "int32"), value(3, "int32")]
ROWS = [
    *(_row("ReverseV2", name, x, rank=rank)
      for name in ("flip_left_right", "flip_up_down")
      for x, rank in ((ONE, 3), (BATCH, 4))),
    *(_row("RandomUniform", name, x, rank=rank, seed=seed)
      for name in ("random_flip_left_right", "random_flip_up_down")
      for x, rank in ((ONE, 3), (BATCH, 4)) for seed in (1, 2)),
    *(_row("Transpose", name, x, rank=rank)
      for name in ("transpose", "transpose_image") for x, rank in ((ONE, 3), (BATCH, 4))),
    *(_row("ReverseV2", "rot90", x, k, rank=rank)
      for k in (0, 1, 2, 3, 5) for x, rank in ((ONE, 3), (BATCH, 4))),
    *(_row("Slice", "crop_to_bounding_box", x, 1, 2, 2, 3) for x in (ONE,)),
    _row("Slice", "crop_to_bounding_box", BATCH, 1, 2, 2, 3, rank=4),
    _row("Slice", "crop_to_bounding_box", [ONE, *SCALARS]),
    _row("Pad", "pad_to_bounding_box", ONE, 1, 2, 7, 8),
    _row("Pad", "pad_to_bounding_box", BATCH, 0, 0, 4, 5, rank=4),
    *(_row("Pad", "resize_image_with_crop_or_pad", x, *size, rank=rank)
      for x, rank in ((ONE, 3), (BATCH, 4)) for size in ((2, 3), (6, 8), (3, 8), (7, 1))),
    _row("Pad", "resize_with_crop_or_pad", [ONE, value(3, "int32"), value(7, "int32")]),
    *(_row("Pad", "resize_image_with_pad", x, *size, rank=rank)
      for x, rank in ((ONE, 3), (BATCH, 4)) for size in ((2, 3), (9, 6))),
    *(_row("Slice", "central_crop", x, f, rank=rank)
      for x, rank in ((ONE, 3), (BATCH, 4)) for f in (0.5, 0.26)),
    _row("Slice", "central_crop", [ONE, value(0.5, "float32")], rank=3),
    Row("Slice", lambda module, x: module.image.random_crop(x, [2, 3, 3], seed=4), [ONE]),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def _run(build, *arrays):
    with tf.Graph().as_default(), tf.Session() as session:
        tensors = [tf.placeholder(a.dtype) for a in arrays]
        return session.run(build(*tensors), dict(zip(tensors, arrays, strict=True)))


@pytest.mark.parametrize("shape", [(3, 4, 2), (2, 3, 4, 2)], ids=str)
def test_images_and_batches_of_a_rank_that_only_steps_know(shape):
    x = np.arange(np.prod(shape)).reshape(shape)
    rows = len(shape) - 3
    assert np.array_equal(_run(tf.image.flip_left_right, x), np.flip(x, rows + 1))
    assert np.array_equal(_run(tf.image.flip_up_down, x), np.flip(x, rows))
    assert np.array_equal(_run(tf.image.transpose_image, x), np.swapaxes(x, rows, rows + 1))
    for k in range(-1, 5):
        turned = _run(lambda x, k=k: tf.image.rot90(x, k), x)
        assert np.array_equal(turned, np.rot90(x, k, (rows, rows + 1)))


def test_half_of_the_images_are_flipped():
    x = np.arange(200 * 2).reshape(200, 1, 2, 1).astype("float32")
    with tf.Graph().as_default(), tf.Session() as session:
        flipped = session.run(tf.image.random_flip_left_right(tf.constant(x), seed=1))
    is_flipped = flipped[:, 0, 0, 0] != x[:, 0, 0, 0]
    assert 60 < is_flipped.sum() < 140
    assert np.array_equal(flipped[is_flipped], x[is_flipped, :, ::-1])


IMAGE = tf.image
BAD = [
    (lambda x: IMAGE.flip_left_right(x[0, 0]), "at least three-dimensional"),
    (lambda x: IMAGE.flip_left_right(x[None, None]), "either 3 or 4 dimensions"),
    (lambda x: IMAGE.rot90(x[:0]), "must be > 0"),
    (lambda x: IMAGE.crop_to_bounding_box(x, 0, 0, 5, 1), "height must be >= target"),
    (lambda x: IMAGE.crop_to_bounding_box(x, 0, -1, 2, 1), "offset_width must be >= 0"),
    (lambda x: IMAGE.crop_to_bounding_box(x, 0, 0, 2, 0), "target_width must be > 0"),
    (lambda x: IMAGE.crop_to_bounding_box(x[0, 0], 0, 0, 2, 0), "either 3 or 4 dimensions"),
    (lambda x: IMAGE.pad_to_bounding_box(x, 1, 0, 3, 9), "height must be <= target - offset"),
    (lambda x: IMAGE.pad_to_bounding_box(x, -1, 0, 3, 9), "offset_height must be >= 0"),
    (lambda x: IMAGE.resize_image_with_crop_or_pad(x, 0, 4), "target_height must be > 0"),
    (lambda x: IMAGE.resize_image_with_pad(x, 4, 0), "target_width must be > 0"),
    (lambda x: IMAGE.central_crop(x, 0), r"within \(0, 1\]"),
    (lambda x: IMAGE.central_crop(x, 1.1), r"within \(0, 1\]"),
    (lambda x: IMAGE.central_crop(tf.zeros([1, 1, 1, 1, 1]), 0.5), "Had rank = 5"),
]


@pytest.mark.parametrize(("build", "phrase"), BAD)
def test_refused_when_built(build, phrase, fresh_graph):
    with pytest.raises(ValueError, match=phrase):
        build(tf.zeros([3, 4, 2]))


WRONG = [
    (tf.image.flip_left_right, (3, 4), "at least three-dimensional"),
    (tf.image.flip_left_right, (0, 4, 1), "must be > 0"),
    (lambda x: tf.image.crop_to_bounding_box(x, 0, 0, 9, 1), (3, 4, 1), "height must be >="),
    (lambda x: tf.image.pad_to_bounding_box(x, 0, 0, 1, 9), (3, 4, 1), "height must be <="),
]


@pytest.mark.parametrize(("build", "shape", "phrase"), WRONG)
def test_refused_when_run(build, shape, phrase):
    with pytest.raises(tf.errors.InvalidArgumentError, match=phrase):
        _run(build, np.zeros(shape, np.float32))
