"""Diagonals: which elements, where they stand, what surrounds them, and what does not fit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import NUMBERS, Row, case_name, check_row, floats, row_cases, value

ALIGNMENTS = ("RIGHT_LEFT", "LEFT_RIGHT", "LEFT_LEFT", "RIGHT_RIGHT")
TENSOR_TYPES = ("float16", "float32", "float64", "int32", "int64", "complex64", "complex128")


def raw(op_type, *names, **fixed):
    """Builds the op itself, whose inputs have these names."""

    def build(tf_, *tensors):
        inputs = dict(zip(names, tensors, strict=False)) | fixed
        if tf_ is tf:
            return create_op(op_type, [inputs[name] for name in names])
        return getattr(tf_.raw_ops, op_type)(**inputs)

    return build


ROWS = [
    Row("Diag", "diag", [floats(4)], dtypes=TENSOR_TYPES, reference=np.diag, grad=True),
    Row("Diag", "linalg.tensor_diag", [floats(2, 3)], grad=True, label="matrix"),
    Row("Diag", "diag", [floats(0)], label="empty"),
    Row("DiagPart", "diag_part", [floats(4, 4)], dtypes=TENSOR_TYPES, reference=np.diag, grad=True),
    Row("DiagPart", "linalg.tensor_diag_part", [floats(2, 3, 2, 3)], grad=True, label="tensor"),
    Row("MatrixDiag", raw("MatrixDiag", "diagonal"), [floats(2, 3)], dtypes=[*NUMBERS, "bool"],
        grad=True),
    Row("MatrixDiagPart", raw("MatrixDiagPart", "input"), [floats(2, 3, 4)],
        dtypes=[*NUMBERS, "bool"], grad=True),
    Row("MatrixDiagPart", raw("MatrixDiagPart", "input"), [floats(4, 3)], grad=True, label="tall"),
    Row("MatrixSetDiag", raw("MatrixSetDiag", "input", "diagonal"), [floats(2, 3, 4), floats(2, 3)],
        dtypes=[*NUMBERS, "bool"], grad=True),
    Row("MatrixDiagV2", raw("MatrixDiagV2", "diagonal", "k", "num_rows", "num_cols",
                            "padding_value", k=[-1, 1], num_rows=3, num_cols=-1, padding_value=7.0),
        [floats(2, 3, 3)], grad=True,
        oracle="its gradient there is aligned as MatrixDiagV3's, and wrong"),
    Row("MatrixDiagPartV2", raw("MatrixDiagPartV2", "input", "k", "padding_value", k=[-1, 2],
                                padding_value=7.0), [floats(2, 3, 4)], grad=True),
    Row("MatrixSetDiagV2", raw("MatrixSetDiagV2", "input", "diagonal", "k", k=[-1, 0]),
        [floats(2, 3, 4), floats(2, 2, 3)], grad=True),
    Row("MatrixDiagV3", "matrix_diag", [floats(2, 3)], dtypes=NUMBERS, grad=True),
    Row("MatrixDiagV3", "linalg.diag", [floats(3)], {"k": -1}, grad=True, label="below"),
    Row("MatrixDiagV3", "matrix_diag", [floats(3)], {"k": 1, "num_rows": 5, "num_cols": 4},
        grad=True, label="sizes"),
    Row("MatrixDiagV3", "matrix_diag", [floats(2, 0)], label="empty"),
    Row("MatrixDiagV3", "matrix_diag", [floats(2, 3)], dtypes=["bool"], label="bool"),
    Row("MatrixDiagPartV3", "matrix_diag_part", [floats(2, 3, 4)], dtypes=NUMBERS, grad=True),
    Row("MatrixDiagPartV3", "linalg.diag_part", [floats(3, 4)], {"k": 3}, grad=True, label="last"),
    Row("MatrixDiagPartV3", "matrix_diag_part", [floats(3, 4)], {"k": -2}, grad=True,
        label="lowest"),
    Row("MatrixDiagPartV3", "matrix_diag_part", [floats(2, 0, 3)], label="empty"),
    Row("MatrixDiagPartV3", lambda tf, x, k: tf.matrix_diag_part(x, k=k),
        [floats(3, 4), value([-1, 1], "int32")], label="fed_k"),
    Row("MatrixSetDiagV3", "matrix_set_diag", [floats(2, 3, 4), floats(2, 3)], dtypes=NUMBERS,
        grad=True),
    Row("MatrixSetDiagV3", "linalg.set_diag", [floats(3, 4), floats(2)], {"k": 2}, grad=True,
        label="above"),
    *(
        row
        for align in ALIGNMENTS
        for row in (
            Row("MatrixDiagPartV3", "matrix_diag_part", [floats(2, 3, 4)],
                {"k": (-2, 3), "padding_value": 9, "align": align}, grad=True, label=align),
            Row("MatrixDiagPartV3", "matrix_diag_part", [floats(4, 3)],
                {"k": (-3, -1), "align": align}, grad=True, label=f"{align}_below"),
            Row("MatrixDiagV3", "matrix_diag", [floats(2, 3, 3)],
                {"k": (-1, 1), "padding_value": 9, "align": align}, grad=True, label=align),
            Row("MatrixSetDiagV3", "matrix_set_diag", [floats(2, 3, 4), floats(2, 4, 3)],
                {"k": (-1, 2), "align": align}, grad=True, label=align),
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize(
    ("name", "shapes", "kwargs", "text"),
    [
        ("diag", [()], {}, "Shape must be at least rank 1 but is rank 0"),
        ("diag_part", [(2, 3)], {}, "Dimensions must be equal, but are 2 and 3"),
        ("matrix_diag", [(4, 2, 3)], {"k": (-1, 1)}, "doesn't match the number of diagonals"),
        ("matrix_diag", [(3,)], {"num_rows": 2, "num_cols": 2}, "num_rows is too small"),
        ("matrix_diag", [(3,)], {"num_rows": 5, "num_cols": 5, "k": -1},
         "num_rows = 5 != min_num_rows = 4, num_cols = 5 != min_num_cols = 3"),
        ("matrix_diag", [(3,)], {"k": (1, 0)}, "lower_diag_index is greater than"),
        ("matrix_diag", [(3,)], {"align": "UP"}, "Attr 'align' of 'MatrixDiagV3' Op passed string"),
        ("matrix_diag_part", [(2, 3, 4)], {"k": 4}, "lower_diag_index is out of bound."),
        ("matrix_diag_part", [(2, 3, 4)], {"k": (0, 4)}, "upper_diag_index is out of bound."),
        ("matrix_diag_part", [(3,)], {}, "Shape must be at least rank 2 but is rank 1"),
        ("matrix_set_diag", [(2, 3, 4), (2, 3)], {"k": -3}, "lower_diag_index is out of bound."),
        ("matrix_set_diag", [(2, 3), (1, 1, 2)], {}, "Shape must be rank 1 but is rank 3"),
    ],
)  # fmt: skip
def test_what_does_not_fit(fresh_graph, name, shapes, kwargs, text):
    tensors = [tf.placeholder("float32", shape) for shape in shapes]
    with pytest.raises(ValueError) as error:
        getattr(tf, name)(*tensors, **kwargs)
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("name", "shapes", "kwargs", "text"),
    [
        ("diag", [()], {}, "Input must be at least rank 1, got 0"),
        ("diag_part", [(2, 3)], {}, "Invalid shape [2,3]: dimensions 0 and 1 do not match."),
        ("diag_part", [(2, 3, 3)], {}, "even and positive, got shape [2,3,3]"),
        ("matrix_diag", [()], {}, "diagonal must be at least 1-dim, received shape: []"),
        ("matrix_diag", [(3, 2)], {"k": (0, 1)}, "The number of diagonals provided in the input"),
        ("matrix_diag", [(3,)], {"num_rows": 2, "num_cols": 2}, "number of rows is too small."),
        ("matrix_diag_part", [(2, 3)], {"k": 5}, "out of bound: 5. It must be between -2 and 3"),
        ("matrix_diag_part", [(3,)], {}, "input must be at least 2-dim, received shape: [3]"),
        ("matrix_set_diag", [(3, 2), (3,)], {}, "Expected diagonal shape: [2]"),
    ],
)
def test_what_does_not_fit_at_run_time(fresh_graph, name, shapes, kwargs, text):
    tensors = [tf.placeholder_with_default(np.ones(s, np.float32), None) for s in shapes]
    result = getattr(tf, name)(*tensors, **kwargs)
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError) as error:
        session.run(result)
    assert text in str(error.value)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_diagonals_taken_and_put_back(data):
    """A matrix made of zeros and a band of another one is that band."""
    rows, columns = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    upper = data.draw(st.integers(-rows + 1, columns - 1))
    lower = data.draw(st.integers(-rows + 1, upper))
    align = data.draw(st.sampled_from(ALIGNMENTS))
    matrix = np.random.default_rng(4).normal(size=(2, rows, columns))
    with tf.Graph().as_default(), tf.Session() as session:
        band = tf.matrix_diag_part(matrix, k=(lower, upper), align=align)
        zeros = np.zeros_like(matrix)
        result = session.run(tf.matrix_set_diag(zeros, band, k=(lower, upper), align=align))
    offsets = np.arange(columns) - np.arange(rows)[:, None]
    inside = (offsets >= lower) & (offsets <= upper)
    np.testing.assert_array_equal(result, np.where(inside, matrix, 0))
