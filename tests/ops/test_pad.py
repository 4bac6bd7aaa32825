"""Padding with values or mirror images, and tiling."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import NUMBERS, Row, case_name, check_row, floats, row_cases, strings, value

ANY = (*NUMBERS, "bool")
PAIRS = [[1, 2], [0, 1]]


def mirrored(module, x, mode):
    if module is tf:
        return create_op("MirrorPadGrad", [x, [[1, 1], [2, 1]]], {"mode": mode})
    return module.raw_ops.MirrorPadGrad(input=x, paddings=[[1, 1], [2, 1]], mode=mode)


ROWS = [
    Row("Pad", lambda tf, x: tf.pad(x, PAIRS), [floats(2, 3)], dtypes=ANY,
        reference=lambda x: np.pad(x, PAIRS), grad=True),
    Row("Pad", lambda tf, x, p: tf.pad(x, p), [floats(2, 3), value(PAIRS, "int64")], label="fed"),
    Row("Pad", lambda tf, x: tf.pad(x, PAIRS), [floats(0, 3)], label="empty"),
    Row("Pad", lambda tf, x: tf.pad(x, [[1, 0]]), [strings(b"a")], label="texts"),
    Row("PadV2", lambda tf, x: tf.pad(x, PAIRS, constant_values=3), [floats(2, 3)],
        dtypes=NUMBERS, reference=lambda x: np.pad(x, PAIRS, constant_values=3), grad=True),
    Row("PadV2", lambda tf, x: tf.pad(x, [[0, 2]], constant_values="x"), [strings(b"a")],
        label="texts"),
    Row("MirrorPad", lambda tf, x: tf.pad(x, [[1, 1], [0, 2]], "REFLECT"), [floats(2, 3)],
        dtypes=["float32", "float64", "int32", "complex64", "bool"], grad=True,
        reference=lambda x: np.pad(x, [[1, 1], [0, 2]], "reflect")),
    Row("MirrorPad", lambda tf, x: tf.pad(x, [[2, 1], [3, 0]], mode="symmetric"), [floats(2, 3)],
        reference=lambda x: np.pad(x, [[2, 1], [3, 0]], "symmetric"), grad=True,
        label="symmetric"),
    Row("MirrorPadGrad", lambda tf, x: mirrored(tf, x, "SYMMETRIC"), [floats(4, 7)], grad=True,
        label="symmetric"),
    Row("MirrorPadGrad", lambda tf, x: mirrored(tf, x, "REFLECT"), [floats(4, 7)]),
    Row("Tile", lambda tf, x: tf.tile(x, [2, 3]), [floats(2, 3)],
        dtypes=[dtype for dtype in ANY if dtype != "uint16"],  # TensorFlow has no kernel
        reference=lambda x: np.tile(x, [2, 3]), grad=True),
    Row("Tile", lambda tf, x, n: tf.tile(x, n), [floats(2, 3), value([0, 2], "int64")],
        label="none"),
    Row("Tile", lambda tf, x: tf.tile(x, [2]), [strings(b"a", b"b")], label="texts"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda x: tf.pad(x, [[1, 2]]), "Shape must be rank 1 but is rank 2"),
        (lambda x: tf.pad(x, [[1, -2], [0, 0]]), "Paddings must be non-negative"),
        (lambda x: tf.pad(x, PAIRS, "foo"), "Received `mode` = FOO"),
        (lambda x: tf.tile(x, [2]), "Shape must be rank 2 but is rank 1"),
    ],
)
def test_errors_while_building(fresh_graph, build, text):
    x = tf.placeholder(tf.float32, [2, 3])
    with pytest.raises(ValueError, match=text):
        build(x)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda x, p: tf.pad(x, p), "Paddings must be non-negative: 1 -1"),
        (lambda x, p: tf.pad(x, [[1, 1]]),
         r"first dimension of paddings must be the rank of inputs\[1,2\] \[2,3\]"),
        (lambda x, p: tf.pad(x, [[2, 0], [0, 0]], "REFLECT"),
         "paddings must be less than the dimension size: 2, 0 not less than 2"),
        (lambda x, p: tf.pad(x, [[0, 0], [0, 4]], "SYMMETRIC"),
         "paddings must be no greater than the dimension size: 0, 4 greater than 3"),
        (lambda x, p: tf.pad(x, p, "SYMMETRIC"), "paddings must be non-negative: 1 -1"),
        (lambda x, p: tf.tile(x, p[0]), r"Expected multiples\[1\] >= 0, but got -1"),
        (lambda x, p: tf.tile(x, [2]), "to be a vector of length 2 but got length 1"),
    ],
)  # fmt: skip
def test_errors_at_run_time(fresh_graph, build, text):
    x, p = tf.placeholder(tf.float32), tf.placeholder(tf.int32)
    result = build(x, p)
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=text):
        session.run(result, {x: np.zeros((2, 3)), p: [[1, -1], [0, 1]]})
