"""Running sums and products along an axis, forth and back, with and without the element itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.testing import (
    COMPLEX,
    FLOATS,
    INTS,
    Row,
    case_name,
    check_row,
    floats,
    ints,
    row_cases,
    value,
)

DIRECTIONS = [(False, False), (True, False), (False, True), (True, True)]


def running(scan, first):
    """The definition, one element after the other."""

    def reference(x, axis=0, exclusive=False, reverse=False):
        axis = int(axis)
        result = np.empty_like(x)
        places = range(x.shape[axis])
        total = np.full(np.delete(x.shape, axis), first).astype(x.dtype)
        for i in reversed(places) if reverse else places:
            at = (slice(None),) * (axis % x.ndim) + (i,)
            after = scan(total, x[at])
            result[at] = total if exclusive else after
            total = after
        return result

    return reference


def exponential_of(tf, x, **kwargs):
    """Finite also where nothing was summed, so that gradients can be compared."""
    return tf.exp(tf.math.cumulative_logsumexp(x, **kwargs))


SCANS = {
    "Cumsum": ("cumsum", running(np.add, 0)),
    "Cumprod": ("math.cumprod", running(np.multiply, 1)),
    "CumulativeLogsumexp": (
        "math.cumulative_logsumexp",
        running(lambda a, b: np.logaddexp(a.astype(float), b.astype(float)), -np.inf),
    ),
}
ROWS = [
    row
    for op, (build, reference) in SCANS.items()
    for row in (
        *(
            Row(op, build, [floats(5, 3)], {"exclusive": exclusive, "reverse": reverse},
                dtypes=FLOATS if exclusive is reverse else ("float32",), reference=reference,
                grad=op != "CumulativeLogsumexp" or not exclusive,
                label=f"{'before' if exclusive else 'upto'}_{'back' * reverse}")
            for exclusive, reverse in DIRECTIONS
        ),
        Row(op, build, [floats(2, 4, 3)], {"axis": -2, "reverse": True}, reference=reference,
            grad=True, label="middle"),
        Row(op, build, [floats(2, 1)], {"axis": 1, "exclusive": True}, label="one"),
        Row(op, build, [floats(0, 3)], {"exclusive": True}, label="empty"),
        Row(op, build, [floats(3, 0)], {"exclusive": True, "reverse": True}, label="no_columns"),
        Row(op, build, [floats(3, 4), value(1, "int32")], label="fed_axis"),
    )
] + [
    Row("Cumsum", "math.cumsum", [ints(5, 3, high=100, dtype=None)], dtypes=INTS, label="wrapping"),
    Row("Cumprod", "cumprod", [ints(5, 3, high=100, dtype=None)], {"exclusive": True},
        dtypes=INTS, label="wrapping"),
    Row("Cumsum", "cumsum", [floats(5)], {"reverse": True}, dtypes=COMPLEX, label="complex"),
    Row("Cumprod", "cumprod", [floats(5)], {"exclusive": True}, dtypes=COMPLEX, label="complex"),
    Row("Cumsum", "cumsum", [floats(5), value(0, "int64")], constants=[1], label="int64_axis"),
    Row("Cumprod", "cumprod", [value([2, 0, 3, 0, 1])], label="zeros"),
    *(
        Row("CumulativeLogsumexp", exponential_of, [floats(4, 2)],
            {"exclusive": True, "reverse": reverse}, grad=True,
            label=f"before_{'back' * reverse}_exp")
        for reverse in (False, True)
    ),
    Row("CumulativeLogsumexp", "math.cumulative_logsumexp",
        [value([1, -np.inf, 2, 800, -800, np.inf, 1])], label="infinite"),
    Row("CumulativeLogsumexp", "math.cumulative_logsumexp", [value([-np.inf, -np.inf, 1])],
        {"exclusive": True}, label="nothing"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize("name", ["cumsum", "cumprod", "math.cumulative_logsumexp"])
@pytest.mark.parametrize(
    ("x", "axis", "text"),
    [
        ([1.0, 2.0], 1, "ScanOp: Expected scan axis in the range [-1, 1), but got 1"),
        ([[1.0, 2.0]], -3, "ScanOp: Expected scan axis in the range [-2, 2), but got -1"),
        (1.0, 0, "ScanOp: Expected scan axis in the range [0, 0), but got 0"),
        ([1.0, 2.0], [0], "ScanOp: axis must be a scalar, not [1]"),
    ],
)
def test_a_wrong_axis_is_told_at_run_time(fresh_graph, name, x, axis, text):
    build = tf.math.cumulative_logsumexp if "." in name else getattr(tf, name)
    y = build(x, axis)
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError) as error:
        session.run(y)
    assert text in str(error.value)


@settings(max_examples=40, deadline=None)
@given(
    length=st.integers(0, 40),
    direction=st.sampled_from(DIRECTIONS),
    seed=st.integers(0, 1000),
)
def test_logarithms_of_sums_are_the_definition(length, direction, seed):
    x = np.random.default_rng(seed).uniform(-50, 50, [length])
    exclusive, reverse = direction
    with tf.Graph().as_default(), tf.Session() as session:
        y = tf.math.cumulative_logsumexp(x, exclusive=exclusive, reverse=reverse)
        result = session.run(y)
    wanted = SCANS["CumulativeLogsumexp"][1](x, 0, exclusive, reverse)
    np.testing.assert_allclose(result, wanted, rtol=1e-13)


def test_sums_stay_in_their_own_type():
    """As in TensorFlow: a running sum of halves does not grow where ones are too small for it."""
    with tf.Graph().as_default(), tf.Session() as session:
        assert session.run(tf.cumsum(np.ones([5000], np.float16)))[-1] == 2048
