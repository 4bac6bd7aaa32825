"""Distinct elements, in the order of their first appearance."""

import pytest

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
