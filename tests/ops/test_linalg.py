"""Identity matrices, traces, norms, bands and cross products."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import (
    COMPLEX,
    FLOATS,
    INTS,
    NUMBERS,
    Row,
    case_name,
    check_row,
    floats,
    row_cases,
    value,
)


def band(x, num_lower, num_upper, **_):
    offsets = np.arange(x.shape[-1]) - np.arange(x.shape[-2])[:, None]
    below = x.shape[-2] if num_lower < 0 else num_lower
    above = x.shape[-1] if num_upper < 0 else num_upper
    return np.where((offsets >= -below) & (offsets <= above), x, 0)


ROWS = [
    *(
        Row("MatrixBandPart", "matrix_band_part", [floats(2, 4, 5)],
            {"num_lower": lower, "num_upper": upper}, dtypes=dtypes, reference=band, grad=True,
            label=f"{lower}_{upper}")
        for lower, upper, dtypes in (
            (-1, 0, [*NUMBERS, "bool"]), (0, -1, ["float32"]), (1, 2, ["float32"]),
            (0, 0, ["float32"]), (-1, -1, ["float32"]), (4, 5, ["float32"]),
        )
    ),
    Row("MatrixBandPart", "linalg.band_part", [floats(3, 3), value(1, "int64"), value(0, "int64")],
        label="fed"),
    Row("MatrixBandPart", "linalg.band_part", [floats(0, 3)], {"num_lower": 0, "num_upper": 0},
        label="empty"),
    Row("Cross", "cross", [floats(3), floats(3)], dtypes=(*FLOATS, *INTS), grad=True,
        reference=lambda a, b: np.cross(a.astype(np.float64), b.astype(np.float64))
        if a.dtype.kind in "fV" else np.cross(a, b)),
    Row("Cross", "linalg.cross", [floats(2, 4, 3), floats(2, 4, 3)], grad=True, label="batch"),
    Row("MatrixDiagV3", lambda tf: tf.eye(3), label="eye"),
    Row("MatrixDiagV3", lambda tf: tf.linalg.eye(2, batch_shape=[3, 1], dtype=tf.int32),
        label="eye_batch"),
    Row("MatrixSetDiagV3", lambda tf: tf.eye(3, 4, dtype="float64", name="foo"), label="eye"),
    Row("MatrixSetDiagV3", lambda tf, n, batch: tf.eye(n, 3, batch_shape=batch),
        [value(2, "int32"), value([2], "int32")], label="eye_fed"),
    Row("MatrixDiagPartV3", "trace", [floats(2, 3, 3)], dtypes=NUMBERS, grad=True, label="trace",
        reference=lambda x: x[:, 0, 0] + x[:, 1, 1] + x[:, 2, 2]),
    Row("MatrixDiagPartV3", "linalg.trace", [floats(3, 4)], grad=True, label="trace_wide"),
    Row("ConjugateTranspose", "linalg.adjoint", [floats(2, 3, 4)], dtypes=COMPLEX, label="adjoint"),
    Row("Transpose", "linalg.adjoint", [floats(3, 4)], grad=True, label="adjoint"),
    *(
        Row(op, "norm", [floats(3, 4, 5)], {"ord": ord, "axis": axis, "keepdims": keepdims},
            dtypes=dtypes, grad=True, label=f"norm_{ord}_{axis}",
            reference=lambda x, **kwargs: np.linalg.norm(x.astype(np.float64), **kwargs))
        for op, ord, axis, keepdims, dtypes in (
            ("Sum", 2, 1, False, FLOATS), ("Sum", 1, 0, True, ["float32"]),
            ("Max", np.inf, -1, False, ["float32"]), ("Pow", 3, 1, True, ["float32"]),
            ("Sum", "fro", (0, 2), False, ["float32"]), ("Max", 1, (2, 0), False, ["float32"]),
            ("Max", np.inf, (0, 1), True, ["float32"]),
        )
    ),
    Row("Sum", "linalg.norm", [floats(3, 4)], grad=True, label="norm"),
    Row("Svd", "norm", [floats(3, 4, 5)], {"ord": 2, "axis": (2, 0)}, grad=True, label="norm",
        reference=lambda x, **kwargs: np.linalg.norm(x.astype(np.float64), **kwargs),
        oracle="TensorFlow moves axes in a loop, and loses the shape"),
    Row("Sum", "norm", [floats(3, 4)], {"axis": 1}, dtypes=COMPLEX, label="norm_complex"),
    Row("Sum", "linalg.normalize", [floats(3, 4)], {"axis": 1}, grad=True, label="normalize"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({"ord": "foo"}, "'ord' must be a supported vector norm, got foo"),
        ({"ord": -1}, "'ord' must be a supported vector norm, got -1"),
        ({"ord": "fro", "axis": 1}, "'ord' must be a supported vector norm, got fro"),
        ({"ord": 3, "axis": [0, 1]}, "'ord' must be a supported matrix norm in"),
        ({"axis": [1, 1]}, "'axis' must be None, an integer, or a tuple of 2 unique integers"),
        ({"axis": "a"}, "'axis' must be None, an integer, or a tuple of 2 unique integers, got a"),
        ({"keepdims": True, "keep_dims": True}, "Cannot specify both 'keep_dims' and 'keepdims'."),
    ],
)
def test_unknown_norms(fresh_graph, kwargs, text):
    with pytest.raises(ValueError) as error:
        tf.norm(tf.placeholder("float32", [2, 3]), **kwargs)
    assert text in str(error.value)


@pytest.mark.usefixtures("fresh_graph")
def test_vectors_that_have_no_cross_product():
    def vectors(*shapes):
        return [tf.placeholder("float32", shape) for shape in shapes]

    for shapes, text in (
        ([(2, 3), (3,)], "Shapes must be equal rank, but are 2 and 1"),
        ([(2, 4), (2, 4)], "Dimension must be 3 but is 4"),
        ([(), ()], "Shape must be at least rank 1 but is rank 0"),
    ):
        with pytest.raises(ValueError, match=text):
            tf.cross(*vectors(*shapes))


@pytest.mark.parametrize(
    ("build", "kind", "text"),
    [
        (lambda fed: tf.cross(fed((2, 4)), fed((2, 4))), tf.errors.FailedPreconditionError,
         "Cross-products are only defined for 3-element vectors."),
        (lambda fed: tf.cross(fed((2, 3)), fed((3,))), tf.errors.InvalidArgumentError,
         "Both inputs must be of same shape: [2,3] vs. [3]"),
        (lambda fed: tf.linalg.band_part(fed((3, 4)), 5, 0), tf.errors.InvalidArgumentError,
         "num_lower must be negative or less or equal to number of rows (3) got: 5"),
        (lambda fed: tf.linalg.band_part(fed((3, 4)), 0, 6), tf.errors.InvalidArgumentError,
         "num_upper must be negative or less or equal to number of columns (4) got: 6"),
        (lambda fed: tf.linalg.band_part(fed((3,)), 1, 1), tf.errors.InvalidArgumentError,
         "input must be at least 2-dim, received shape: [3]"),
        (lambda fed: tf.linalg.band_part(fed((3, 4)), [1], 1), tf.errors.InvalidArgumentError,
         "num_lower must be scalar, got shape [1]"),
    ],
)  # fmt: skip
def test_errors_at_run_time(fresh_graph, build, kind, text):
    def fed(shape):
        return tf.placeholder_with_default(np.ones(shape, np.float32), None)

    result = build(fed)
    with tf.Session() as session, pytest.raises(kind) as error:
        session.run(result)
    assert text in str(error.value)
