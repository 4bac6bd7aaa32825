"""Boxes in images: sampled, drawn, chosen and cut out, against TensorFlow."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import Row, case_name, check_row, floats, row_cases, value

RNG = np.random.default_rng(11)


def boxes_of(*shape):
    low, size = RNG.uniform(0, 0.6, (*shape, 2)), RNG.uniform(0, 0.4, (*shape, 2))
    return np.concatenate([low, low + size], axis=-1).astype("float32")


OBJECTS = boxes_of(1, 3)
WAYS = [
    {},
    {"min_object_covered": 0.9},
    {"min_object_covered": 0.0, "area_range": [0.08, 1.0]},
    {"aspect_ratio_range": [0.3, 3.0], "area_range": [0.01, 0.2], "max_attempts": 7},
    {"aspect_ratio_range": [1.0, 1.0], "area_range": [1.0, 1.0]},
    {"aspect_ratio_range": [5.0, 9.0], "area_range": [0.5, 1.0], "max_attempts": 3},
]


def _sampled(way, size, seed, objects=OBJECTS, dtype="int32"):
    def build(module, size):
        return [
            module.image.sample_distorted_bounding_box(size, objects, seed=seed + i, seed2=2, **way)
            for i in range(4)
        ]

    return Row("SampleDistortedBoundingBoxV2", build, [value(size, dtype)], tolerance=0,
               label=f"{way}{size}{seed}{dtype}{objects.shape}")  # fmt: skip


def _drawn(op, channels, colors=None, dtypes=("float32",)):
    places = np.concatenate(
        [
            boxes_of(2, 12),
            [[[-0.5, 0.2, 0.4, 1.5], [0.8, 0.1, 0.2, 0.5], [1.2, 1.2, 1.5, 1.6], [-1, -1, 3, 3]]]
            * 2,
        ],
        1,
    )

    def build(module, images, boxes):
        return module.image.draw_bounding_boxes(images, boxes, colors=colors)

    inputs = [floats(2, 9, 11, channels, low=0, high=1), value(places, "float32")]
    return Row(op, build, inputs, {}, dtypes, tolerance=0, label=f"{channels}")  # fmt: skip


MANY = boxes_of(40)
MANY[::3] = MANY[:14] * 0.97 + 0.01
FLIPPED = MANY[:, [2, 1, 0, 3]]
SCORES = np.round(RNG.uniform(0, 1, 40), 1)


def _chosen(name, boxes=MANY, dtypes=("float32",), most=12, label="", **kwargs):
    op = {"non_max_suppression": "NonMaxSuppressionV3",
          "non_max_suppression_with_scores": "NonMaxSuppressionV5",
          "non_max_suppression_padded": "NonMaxSuppressionV4",
          "non_max_suppression_overlaps": "NonMaxSuppressionWithOverlaps"}[name]  # fmt: skip
    inputs = [value(boxes), value(SCORES), value(most, "int32")]
    same = "TensorFlow's calls a function" if name.endswith("padded") else True
    return Row(op, f"image.{name}", inputs, kwargs, dtypes, same_graph=same,
               label=f"{most}{kwargs}{label}")  # fmt: skip


def _by_type(op, *thresholds, attrs=None):
    """TensorFlow has no builder of its own for these; its raw one has their names."""

    def build(module, boxes, scores):
        inputs = [boxes, scores, module.constant(9), *map(module.constant, thresholds)]
        if module is tf:
            return create_op(op, inputs, attrs or {}, "op")
        names = ["boxes", "scores", "max_output_size", "iou_threshold", "score_threshold"]
        named = dict(zip(names, inputs, strict=False))
        return getattr(module.raw_ops, op)(**named, **(attrs or {}), name="op")

    return Row(op, build, [value(MANY), value(SCORES)], label=f"{attrs}")


PLACES = np.array([[0, 0, 1, 1], [0.1, 0.2, 0.7, 0.9], [0.6, 0.7, 0.1, 0.2], [-0.3, 0.1, 0.5, 1.4],
                   [0.31, 0.42, 0.31, 0.42]], "float32")  # fmt: skip
WHICH = [0, 1, 1, 0, 1]


def _cut(size, label="", dtypes=("float32",), **kwargs):
    inputs = [floats(2, 5, 6, 3, low=0, high=9), value(PLACES, "float32"), value(WHICH, "int32")]
    return Row("CropAndResize", "image.crop_and_resize", inputs, {"crop_size": size, **kwargs},
               dtypes, label=f"{size}{kwargs}{label}")  # fmt: skip


def _cut_gradient(op, size, method="bilinear"):
    def build(module, image, boxes, slopes):
        cut = module.image.crop_and_resize(image, boxes, WHICH, size, method)
        of_image, of_boxes = module.gradients(cut, [image, boxes], slopes)
        return of_image if op.endswith("Image") else of_boxes

    inputs = [floats(2, 5, 6, 3), value(PLACES, "float32"), floats(5, *size, 3, dtype="float32")]
    dtypes = ("float32", "float16") if op.endswith("Image") else ("float32",)
    return Row(op, build, inputs, {}, dtypes, same_graph="rules name their nodes otherwise",
               tolerance=4, label=f"{size}{method}")  # fmt: skip


ROWS = [
    *(
        Row("CombinedNonMaxSuppression", "image.combined_non_max_suppression",
            [floats(2, 9, q, 4, low=-0.3, high=1.2), floats(2, 9, 3, low=0.0, high=1.0)],
            {"max_output_size_per_class": 3, "max_total_size": total, "iou_threshold": 0.2,
             "score_threshold": 0.3, **kwargs}, label=f"{q}-{total}-{kwargs}")
        for q, total, kwargs in ((1, 5, {}), (3, 20, {}), (3, 20, {"pad_per_class": True}),
                                 (1, 4, {"clip_boxes": False}))
    ),
    *(_sampled(way, size, seed) for way in WAYS for size, seed in
      (([97, 131, 3], 1), ([480, 640, 3], 20), ([5, 3, 1], 40))),
    *(_sampled({}, [100, 70, 3], 3, dtype=dtype) for dtype in ("int64", "int16", "uint8")),
    _sampled({"use_image_if_no_bounding_boxes": True}, [99, 70, 3], 3, np.zeros((1, 0, 4), "f4")),
    *(_drawn("DrawBoundingBoxes", n) for n in (1, 3, 4)),
    _drawn("DrawBoundingBoxesV2", 3, [[0.1, 0.2, 0.3], [0.9, 0.8, 0.7]]),
    *(_chosen("non_max_suppression", most=most, iou_threshold=iou)
      for most, iou in ((12, 0.5), (3, 0.2), (0, 0.5), (99, 1.0))),
    _chosen("non_max_suppression", FLIPPED, score_threshold=0.3),
    _chosen("non_max_suppression_with_scores", soft_nms_sigma=0.5),
    _chosen("non_max_suppression_with_scores", soft_nms_sigma=0.2, score_threshold=0.2, most=40),
    _chosen("non_max_suppression_with_scores", iou_threshold=0.3),
    _chosen("non_max_suppression_overlaps", RNG.uniform(0, 1, (40, 40)), overlap_threshold=0.8),
    _chosen("non_max_suppression_padded", most=30),
    _chosen("non_max_suppression_padded", most=30, pad_to_max_output_size=True),
    _by_type("NonMaxSuppressionV2", 0.4),
    _by_type("NonMaxSuppression"),
    _by_type("NonMaxSuppressionV4", 0.1, 0.2, attrs={"pad_to_max_output_size": False}),
    _by_type("NonMaxSuppressionV4", 0.1, 0.9, attrs={"pad_to_max_output_size": True}),
    *(_cut(size, method=method) for size in ([3, 4], [1, 1], [7, 2])
      for method in ("bilinear", "nearest")),
    _cut([3, 3], extrapolation_value=-5.5),
    _cut([2, 3], "types", ("uint8", "int16", "int64", "float16", "float64")),
    *(_cut_gradient("CropAndResizeGradImage", size, method) for size in ([3, 4], [1, 1])
      for method in ("bilinear", "nearest")),
    *(_cut_gradient("CropAndResizeGradBoxes", size) for size in ([3, 4], [1, 1], [2, 5])),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def test_a_session_draws_one_part_after_the_other(fresh_graph):
    sample = tf.image.sample_distorted_bounding_box([90, 80, 3], OBJECTS, seed=4)
    with tf.Session() as session:
        first = [session.run(sample) for _ in range(3)]
    with tf.Session() as session:
        again = [session.run(sample) for _ in range(3)]
    assert all(np.array_equal(a, b) for x, y in zip(first, again, strict=True)
               for a, b in zip(x, y, strict=True))  # fmt: skip
    assert not np.array_equal(first[0][2], first[1][2])


IMAGE = tf.image
NO_BOX = np.zeros((1, 0, 4), "f4")
WRONG = [
    (lambda x: IMAGE.sample_distorted_bounding_box([9, 9, 3], NO_BOX), "No bounding boxes"),
    (lambda x: IMAGE.sample_distorted_bounding_box([9, 9, 3], [[[0, 0, 2, 1.0]]]), "must be in"),
    (lambda x: IMAGE.sample_distorted_bounding_box([0, 9, 3], OBJECTS), "must be positive"),
    (lambda x: IMAGE.sample_distorted_bounding_box([9, 9, 3], OBJECTS, area_range=[0.5, 2]),
     "Area range must be"),
    (lambda x: IMAGE.draw_bounding_boxes(x, OBJECTS), "rank of the images should be 4"),
    (lambda x: IMAGE.draw_bounding_boxes(tf.zeros([2, 3, 3, 1]), OBJECTS), "batch sizes"),
    (lambda x: IMAGE.non_max_suppression(x, [0.1], 3), "boxes must have 4 columns"),
    (lambda x: IMAGE.non_max_suppression(MANY, SCORES, 3, iou_threshold=1.5), r"be in \[0, 1\]"),
    (lambda x: IMAGE.crop_and_resize(tf.zeros([1, 2, 2, 1]), PLACES[:1], [1], [2, 2]),
     "box_index has values outside"),
    (lambda x: IMAGE.crop_and_resize(tf.zeros([1, 2, 2, 1]), PLACES[:1], [0], [0, 2]),
     "crop dimensions must be positive"),
    (lambda x: IMAGE.crop_and_resize(x, PLACES[:1], [0], [1, 2]), "input image must be 4-D"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "phrase"), WRONG)
def test_refused_when_run(build, phrase, fresh_graph):
    x = tf.placeholder("float32")
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=phrase):
        session.run(build(x), {x: np.zeros((2, 3), "float32")})
