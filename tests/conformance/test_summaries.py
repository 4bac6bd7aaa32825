"""Summaries under real TensorFlow and here: pixels of images, tags, errors."""

import numpy as np
import pytest

import tfsession

pytestmark = [pytest.mark.oracle, pytest.mark.spec("ops")]


def _images(dtype):
    rng = np.random.default_rng(5)
    for depth in (1, 3, 4):
        for low, high in ((0, 1), (-3, 2), (-1, 30), (0, 1e-7), (5, 250)):
            images = rng.uniform(low, high, (2, 9, 7, depth))
            if dtype != "uint8":
                images[0, 1, 2, 0], images[1, 3, 4, -1] = np.nan, -np.inf
            with np.errstate(invalid="ignore"):
                yield (
                    np.clip(images, 0, 255).astype(dtype)
                    if dtype == "uint8"
                    else images.astype(dtype)
                )


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
def test_images(tf, dtype):
    def summaries(module, arrays):
        with module.Graph().as_default(), module.Session() as session:
            built = [module.summary.image("i", array) for array in arrays]
            return [module.Summary.FromString(s).value for s in session.run(built)]

    def decoded(texts):
        with tf.Graph().as_default(), tf.Session() as session:
            return session.run([tf.image.decode_png(text) for text in texts])

    arrays = list(_images(dtype))
    mine, theirs = summaries(tfsession, arrays), summaries(tf, arrays)
    for ours, wanted in zip(mine, theirs, strict=True):
        assert [v.tag for v in ours] == [v.tag for v in wanted]
        for a, b in zip(ours, wanted, strict=True):
            assert (a.image.height, a.image.width) == (b.image.height, b.image.width)
            assert a.image.colorspace == b.image.colorspace
    pixels = [
        decoded([v.image.encoded_image_string for summary in found for v in summary])
        for found in (mine, theirs)
    ]
    for ours, wanted in zip(*pixels, strict=True):
        assert np.array_equal(ours, wanted)
