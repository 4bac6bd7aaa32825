"""Orders of dimensions, and blocks between image and depth."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import NUMBERS, Row, case_name, check_row, floats, row_cases, strings, value

ANY = (*NUMBERS, "bool")

ROWS = [
    Row("Transpose", "transpose", [floats(2, 3, 4)], dtypes=ANY, reference=np.transpose, grad=True,
        same_graph=True),
    Row("Transpose", lambda tf, x: tf.transpose(x, [1, 2, 0]), [floats(2, 3, 4)], grad=True,
        reference=lambda x: x.transpose(1, 2, 0), label="order"),
    Row("Transpose", lambda tf, x, p: tf.transpose(x, p), [floats(2, 3, 4), value([2, 0, 1])],
        dtypes=["int32", "int64"], label="fed order"),
    Row("Transpose", lambda tf, x: tf.transpose(x, [-1, 0]), [floats(2, 3)], grad=False,
        label="negative"),
    Row("Transpose", "transpose", [floats()], grad=False, label="scalar",
        same_graph="TensorFlow computes the empty order"),
    Row("Transpose", "transpose", [floats(0, 3)], label="empty"),
    Row("Transpose", "transpose", [strings(b"a", b"b", shape=[1, 2])], label="texts"),
    Row("Transpose", "matrix_transpose", [floats(2, 3, 4)], grad=True, label="matrix"),
    Row("Transpose", lambda tf, x: tf.transpose(tf.placeholder_with_default(x, None)),
        [floats(2, 3)], label="unknown rank"),
    Row("Transpose", lambda tf, x: tf.matrix_transpose(tf.placeholder_with_default(x, None)),
        [floats(2, 3, 4)], label="matrix of unknown rank"),
    Row("ConjugateTranspose", lambda tf, x: tf.transpose(x, conjugate=True), [floats(2, 3)],
        dtypes=["complex64", "complex128"], reference=lambda x: x.conj().T),
    Row("InvertPermutation", "invert_permutation", [value([2, 4, 3, 0, 1])],
        dtypes=["int32", "int64"], reference=np.argsort),
    Row("DepthToSpace", lambda tf, x: tf.depth_to_space(x, 2), [floats(2, 2, 3, 8)],
        dtypes=["float32", "float64", "int32"], grad=True),
    Row("SpaceToDepth", lambda tf, x: tf.space_to_depth(x, 3), [floats(1, 6, 3, 2)],
        dtypes=["float32", "float64", "int32"], grad=True),
    Row("DepthToSpace", lambda tf, x: tf.depth_to_space(x, 2, data_format="NCHW"),
        [floats(2, 8, 2, 3)], label="NCHW", oracle="TensorFlow's CPU has no kernel for NCHW",
        reference=lambda x: x.reshape(2, 2, 2, 2, 2, 3).transpose(0, 3, 4, 1, 5, 2)
        .reshape(2, 2, 4, 6)),
    Row("SpaceToDepth", lambda tf, x: tf.space_to_depth(x, 2, data_format="NCHW"),
        [floats(2, 2, 4, 6)], label="NCHW", oracle="TensorFlow's CPU has no kernel for NCHW",
        reference=lambda x: x.reshape(2, 2, 2, 2, 3, 2).transpose(0, 3, 5, 1, 2, 4)
        .reshape(2, 8, 2, 3)),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda x: tf.transpose(x, [1, 0]), "Dimension must be 3 but is 2"),
        (lambda x: tf.transpose(x, [1, 0, 5]), "perm dim 5 is out of range of input rank 3"),
        (lambda x: tf.matrix_transpose(x[0, 0]), "should be a .batch. matrix with rank >= 2"),
        (lambda x: tf.space_to_depth(x[None], 3), "evenly divisible by 3 but is 2"),
        (lambda x: tf.depth_to_space(x, 2), "Shape must be rank 4 but is rank 3"),
    ],
)
def test_errors_while_building(fresh_graph, build, text):
    x = tf.placeholder(tf.float32, [2, 3, 4])
    with pytest.raises(ValueError, match=text):
        build(x)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda x, p: tf.transpose(x, p[:2]), "of size 3. But input.1. is a vector "
         "of size 2"),
        (lambda x, p: tf.transpose(x, p), r"2 is missing from \{1,1,0\}."),
        (lambda x, p: tf.transpose(x, tf.constant([0, 0, 5]) + p), r"5 is out of range \[0 .. 3\)"),
        (lambda x, p: tf.transpose(x[0, 0, 0], p), "expects a vector of size 0"),
        (lambda x, p: tf.invert_permutation(p), "1 is duplicated in the input."),
        (lambda x, p: tf.invert_permutation(p + 4), "5 is not between 0 and 3"),
    ],
)  # fmt: skip
def test_errors_at_run_time(fresh_graph, build, text):
    x, p = tf.placeholder(tf.float32), tf.placeholder(tf.int32)
    result = build(x, p)
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=text):
        session.run(result, {x: np.zeros((2, 3, 4)), p: [1, 1, 0]})


def test_a_range_is_an_order(fresh_graph):
    y = tf.transpose(tf.constant([[1, 2], [3, 4]]), range(1, -1, -1))
    with tf.Session() as sess:
        assert sess.run(y).tolist() == [[1, 3], [2, 4]]
