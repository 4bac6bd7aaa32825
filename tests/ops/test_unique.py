"""Distinct elements, in the order of their first appearance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfsession as tf
from tfsession.testing import INTS, Row, case_name, check_row, ints, row_cases, strings, value

DTYPES = ("float32", "float64", "int32", "int64", "uint8")

ROWS = [
    Row("Unique", "unique", [ints(17, high=6, dtype=None)], dtypes=DTYPES),
    Row("Unique", "unique", [ints(0, dtype=None)], label="empty"),
    Row("Unique", "unique", [ints(9, high=3)], kwargs={"out_idx": "int64"}, label="int64 index"),
    Row("Unique", "unique", [strings(b"b", b"a", b"b", b"")], label="strings"),
    Row("UniqueWithCounts", "unique_with_counts", [ints(17, high=6, dtype=None)], dtypes=DTYPES),
    Row("UniqueWithCounts", "unique_with_counts", [value([2, 2, 2], "int32")], label="one"),
    Row("ListDiff", "setdiff1d", [ints(12, high=8, dtype=None), value([1, 3, 7])], dtypes=INTS),
    Row("ListDiff", "setdiff1d", [value([], "int32"), value([1], "int32")], label="empty"),
    Row("ListDiff", "setdiff1d", [strings(b"a", b"b"), strings(b"b")], label="strings"),
]


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@given(
    st.sampled_from(["int8", "uint8", "int32", "int64", "uint64"]),
    st.lists(st.integers(-3, 3), max_size=20),
    st.sampled_from(["least", "greatest", "zero", "far apart"]),
)
def test_the_numbers_are_near_each_other_or_not(dtype, steps, where):
    limits = np.iinfo(dtype)
    start = {"least": limits.min + 3, "greatest": limits.max - 3, "zero": 3}.get(where, 3)
    numbers = [start + step for step in steps]
    if where == "far apart":
        numbers += [int(limits.min), int(limits.max)] * 2
    with tf.Graph().as_default(), tf.Session() as session:
        values, which = session.run(tf.unique(tf.constant(np.array(numbers, dtype))))
    assert values.tolist() == list(dict.fromkeys(numbers))
    assert values[which].tolist() == numbers
