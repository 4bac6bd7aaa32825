"""Counting whole numbers, and finding places in sorted rows."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, floats, row_cases, value

OWN = "the same numbers by other operations"
NUMBERS = value([[1, 3, 1], [0, 3, 3]], "int32")
ROWS = [
    Row("Bincount", "bincount", [NUMBERS], same_graph=OWN,
        reference=lambda x: np.bincount(x.reshape(-1))),
    *(
        Row("Bincount", "bincount", [NUMBERS], kwargs, same_graph=OWN, label=f"{kwargs}")
        for kwargs in ({"minlength": 7}, {"maxlength": 2}, {"minlength": 2, "maxlength": 3})
    ),
    Row("Bincount", "math.bincount", [NUMBERS, floats(2, 3)], dtypes=["float32", "int64"],
        same_graph=OWN, label="weighted"),
    Row("Bincount", "bincount", [value([], "int32")], same_graph=OWN, label="empty"),
    *(
        Row(op, "searchsorted", [value([[1, 3, 3, 9], [0, 1, 2, 3]]), value([[3, 0], [5, 2]])],
            {"side": side}, ["float32", "int32"], same_graph=OWN,
            reference=lambda a, b, side: [
                np.stack([np.searchsorted(x, y, side) for x, y in zip(a, b, strict=True)])])
        for op, side in (("LowerBound", "left"), ("UpperBound", "right"))
    ),
    Row("LowerBound", "searchsorted", [value([1, 3, 9]), value([4])], {"out_type": tf.int64},
        same_graph=OWN, oracle="its dtype is tfsession's", label="vector"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def test_errors(fresh_graph):
    with pytest.raises(ValueError, match="must be either 'right' or 'left'"):
        tf.searchsorted([1], [1], side="middle")
    with (
        tf.Session() as session,
        pytest.raises(tf.errors.InvalidArgumentError, match="non-negative"),
    ):
        session.run(tf.bincount([1, -1]))
